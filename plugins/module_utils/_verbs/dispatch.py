# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verbs, done: each takes a job and returns an answer as plain data.

Each loads its own code when it begins, since that is compiled each time; never later, since a worker may find the
module's archive gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .._backup.restore_forecast import forecast_restore
from .._backup.retention import prune as prune_backups
from .._backup.take import take
from .._core.errors import Failed, Refused
from .._core.job import Database, Job, counted_from_now
from .._core.processes import each_apart, silence
from .._core.progress import Progress
from .._engines.registry import engine_for
from .._journal.events import Journal, moved, needs_leading_back, newest_first, reject
from .._migration.env_proxy import environment_of
from .._migration.preload import warm
from .._migration.state import read_position
from .._plan.host import check, plan
from .._worker.follow import is_alive
from .._worker.worker import attend

Answer = dict[str, Any]


def upgrade(job: Job) -> Answer:
    """Back up and upgrade every database, in a worker that outlives the connection."""
    from .upgrade import upgrade_database  # noqa: PLC0415

    answer = attend(counted_from_now(job), list(job.databases), upgrade_database)
    if answer["finished"]:
        _prune_backups(job)
    return answer


def backup(job: Job) -> Answer:
    """Back up every database, in a worker that outlives the connection."""
    answer = attend(job, list(job.databases), backup_database)
    if answer["finished"]:
        _prune_backups(job)
    return answer


def rehearse(job: Job) -> Answer:
    """Prove the plan of every database on a copy, in a worker that outlives the connection."""
    from .._rehearsal.rehearse import rehearse_database  # noqa: PLC0415

    answer = attend(job, list(job.databases), rehearse_database)
    if answer["finished"]:
        _prune_backups(job)
    return answer


def downgrade(job: Job) -> Answer:
    """Lead back what the upgrade of this run left unfinished, once its worker has ended."""
    from .._revert.revert import downgrade_database  # noqa: PLC0415

    deadline = time.monotonic() + job.follow
    while is_alive(job, "upgrade"):
        if time.monotonic() > deadline:
            return {"finished": False, "results": [], "lines": ["the upgrade still runs"], "cursor": job.cursor}
        time.sleep(0.1)
    if job.rejected:
        error = Failed("The upgrade was verified and then rejected", job.rejected, code="upgrade-rejected").facts()
        for database in job.databases:
            reject(Journal(job.layout.journal(database.name, job.run), "upgrade"), error)
    failed = [database for database in job.databases if needs_leading_back(_journal(job, database).events())]
    return attend(job, failed, downgrade_database)


def rollback(job: Job) -> Answer:
    """Lead back every database that an earlier run upgraded, or those that are named."""
    from .._journal.history import rolled_back_by  # noqa: PLC0415
    from .rollback import rollback_database  # noqa: PLC0415

    names = [database.name for database in job.databases]
    chosen = rolled_back_by(job.root, job.run, job.of_run, names, job.only, attach=job.attach)
    return attend(job, [database for database in job.databases if database.name in chosen], rollback_database)


def restore(job: Job) -> Answer:
    """Bring a backup of every database back, on purpose."""
    from .._revert.restore import restore_database  # noqa: PLC0415

    return attend(job, list(job.databases), restore_database)


def foresee_restore(job: Job) -> Answer:
    """Say of every database what a restore would say, and change nothing."""
    from .._revert.foreseen_restore import foresee_restore as foresee_restore_database  # noqa: PLC0415

    said = _each(job, job.databases, foresee_restore_database)
    return {"results": [_foreseen(database, said[database.name]) for database in job.databases]}


def _foreseen(database: Database, answer: Any) -> Answer:
    if not isinstance(answer, Exception):
        return dict(answer)
    what = f"What a restore of {database.name!r} would do could not be found out"
    failure = Failed(what, f"{type(answer).__name__}: {answer}", code="restore-not-predicted")
    return {"name": database.name, "outcome": "failed", "changed": False, "error": failure.facts()}


def recover(job: Job) -> Answer:
    """Settle what dead runs of one release have left; each release that left something has a worker of its own."""
    from .recover import recover_database  # noqa: PLC0415

    return attend(replace(job, verb=f"recover-{job.release[:12]}"), list(job.databases), recover_database)


def status(job: Job) -> Answer:
    """Say of every database where it is, what is pending, and what was last done to it."""
    from .prune import leftovers_of  # noqa: PLC0415
    from .status import status_of  # noqa: PLC0415

    planned = {entry["name"]: entry for entry in plan(job)["databases"]} if job.release else {}
    reachable = [database for database in job.databases if planned.get(database.name, {}).get("server")]
    aside = _each(job, reachable, leftovers_of)
    return {
        "databases": [
            status_of(database, job, planned.get(database.name), _listed(aside.get(database.name)))
            for database in job.databases
        ]
    }


def health(job: Job) -> Answer:
    """Say what each statement of a health check returns, or why it returns nothing."""
    from .health import returned, statements_for  # noqa: PLC0415

    asked = [database for database in job.databases if statements_for(job, database)]
    found: dict[int, list[Answer]] = {}

    def answered(database: Database, answer: Any) -> None:
        for statement in statements_for(job, database):
            said = {"error": str(answer)} if isinstance(answer, Exception) else answer[statement["number"]]
            found.setdefault(statement["number"], []).append({"database": database.name, **said})

    def alone(database: Database) -> Any:
        silence(os.devnull)
        return returned(database, job)

    warm(job, asked)
    each_apart(asked, job.workers, alone, job.plan_timeout, answered)
    return {"found": found}


def prune(job: Job) -> Answer:
    """List what lies aside of every database, and drop what is old enough if that was asked."""
    from .prune import prune_database  # noqa: PLC0415

    done = _each(job, job.databases, prune_database)
    return {"results": [_pruned(database, done[database.name]) for database in job.databases]}


def _each(job: Job, databases: Sequence[Database], task: Callable[[Database, Job], Any]) -> dict[str, Any]:
    """Call a task for every database in a process of its own, and return what each said."""
    said: dict[str, Any] = {}

    def alone(database: Database) -> Any:
        silence(os.devnull)
        try:
            return task(database, job)
        except Exception as error:  # noqa: BLE001 - the process that asked says it
            return error

    if databases:
        warm(job, databases)
    each_apart(databases, job.workers, alone, 0, lambda database, answer: said.update({database.name: answer}))
    return said


def _listed(aside: Any) -> list[Answer]:
    """Return what lies aside; a database that could not be asked says so in its plan."""
    return aside if isinstance(aside, list) else []


def _pruned(database: Database, answer: Any) -> Answer:
    if not isinstance(answer, Exception):
        return dict(answer)
    failure = Failed(
        f"Database {database.name!r} could not be pruned", f"{type(answer).__name__}: {answer}", code="prune-failed"
    )
    facts = {"name": database.name, "outcome": "failed", "changed": False, "leftovers": []}
    return {**facts, "error": failure.facts()}


def backup_database(database: Database, job: Job, journal: Journal, progress: Progress) -> Answer:
    """Back one database up under its lock, whether anything is pending or not.

    Raises:
        Refused: it does not exist, cannot be reached, or is held by another run.
        Failed: the backup could not be written or proven.
    """
    engine = engine_for(database, job)
    environment = environment_of(database, job, engine)
    journal.write("planned", release=job.release)
    with engine.lock(job.database_wait, progress.tell):
        journal.write("locked")
        with engine.watch_connections():
            tables = [stream.table for stream in environment.streams()] if engine.exists() else []
        if not tables:
            raise Refused(
                f"Database {database.name!r} does not exist yet, so there is nothing to back up",
                code="database-missing",
            )
        progress.phase("backs up")
        position = read_position(environment.engine, tables)
        manifest = take(engine, position.heads, job, progress.tell)
        restore = forecast_restore(engine, manifest)
    journal.write("backed_up", path=manifest.path, size=manifest.size, **position.facts())
    return {
        "name": database.name,
        "outcome": "backed_up",
        "changed": True,
        "before": position.revisions,
        "after": position.revisions,
        "backup": manifest.facts(),
        "restore": restore,
        "seconds": manifest.seconds,
    }


def _prune_backups(job: Job) -> None:
    for database in job.databases:
        runs = newest_first(job.layout.journals_of(database.name))
        way_back = next((run for run, events in runs if moved(events)), "")
        folder = job.layout.backups_of(database.name)
        prune_backups(folder, job.backup_keep, job.backup_keep_days, frozenset({way_back}))


def _journal(job: Job, database: Database) -> Journal:
    return Journal(job.layout.journal(database.name, job.run), job.verb)


_VERBS = {
    verb.__name__: verb
    for verb in (
        plan, backup, rehearse, upgrade, downgrade, rollback, restore, foresee_restore, recover, status, health, prune,
    )
}  # fmt: skip


def do(job: Job) -> Answer:
    """Do a job and return its answer.

    Raises:
        Refused: it cannot be done.
    """
    check(job)
    return _VERBS[job.verb](job)
