# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Long work is followed, not awaited: a detached worker does it, and any later call finds it again.

A worker is alive while a process holds the lock on its file: itself or the process of one of its databases.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from .._backup.finish import finish_backups
from .._core.entries import ENTRIES
from .._core.errors import REPORT_IT, Failed, Refused
from .._core.job import Database, Job
from .._core.paths import make_private_directory, try_lock
from .._core.processes import Died, Late, redirect_descriptors, redirect_output, run_in_processes
from .._core.progress import Progress
from .._core.results import DatabaseResult
from .._core.serve import clean_for
from .._engines.loaded import load_engines
from .._journal.events import Journal, find_ending, may_have_changed
from .._migration.preload import warm
from .deadline import GRACE, build_too_late_refusal, describe_cancelled
from .follow import POLL_INTERVAL, Unfinished, build_result_of_dead, find_ending_of, is_alive, report
from .output import CleanedOutput

Task = Callable[[Database, Job, Journal, Progress], DatabaseResult]

_OUTPUT = CleanedOutput()


def attend(job: Job, databases: list[Database], task: Task) -> dict[str, Any]:
    """Start the worker of a verb unless it was started before, and follow it for a while.

    Args:
        job: ``run`` and ``verb`` name the worker, ``follow`` says how long to stay, ``cursor`` what is known already.
        databases: what to work on.
        task: what to do with each.

    Raises:
        Refused: a run of this id has ended here before, and this call does not belong to it.

    Returns:
        ``finished``, the ``results`` so far, ``lines`` that say what happens, and the next ``cursor``.
    """
    patience_ends = monotonic() + job.follow
    while databases and not _is_started(job, databases, task):
        # The worker of this run on another application's databases has to end first.
        if monotonic() >= patience_ends:
            return report(job, databases, finished=False)
        sleep(POLL_INTERVAL)
    unfinished = Unfinished(job, databases)
    finished = not unfinished.poll()
    while not finished and monotonic() < patience_ends:
        sleep(POLL_INTERVAL)
        finished = not unfinished.poll()
    if not finished and not is_alive(job, job.verb):
        _bury(job, databases)
        finished = True
    return report(job, databases, finished)


def _is_started(job: Job, databases: list[Database], task: Task) -> bool:
    """Start the worker for these databases unless it was started before; return whether it ever was.

    The worker's file names the databases that it was started for.

    Raises:
        Refused: it has ended before, and this call does not belong to it.
    """
    make_private_directory(job.layout.workers)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(job.layout.locate_worker(job.run, job.verb), flags, 0o600)
    try:
        is_idle = try_lock(descriptor)
        started = _read_names(descriptor)
        new = [database for database in databases if database.name not in started]
        if is_idle and len(new) < len(databases) and not job.attach:
            raise Refused(
                f"Run {job.run} has ended on this host already",
                "a run id names one run",
                "Leave migrate_run empty, or choose another id",
                code="run-ended",
            )
        if new and not is_idle:
            return False
        if new:
            os.write(descriptor, json.dumps(sorted({*started, *(each.name for each in new)})).encode() + b"\n")
            os.fsync(descriptor)
            load_engines(databases)
            if os.fork() == 0:
                _run_worker(job, new, task, descriptor)
        return True
    finally:
        os.close(descriptor)  # the worker's own copy keeps the lock


def _read_names(descriptor: int) -> set[str]:
    """Return the databases that a worker's file names in its last whole line, and leave the file at its end."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as handle:
        lines = handle.read().split(b"\n")[:-1]
    return set(json.loads(lines[-1])) if lines else set()


def _run_worker(job: Job, databases: list[Database], task: Task, lock: int) -> None:
    """Be the worker: let go of the connection, work on every database, and end."""
    try:
        os.setsid()
        redirect_output(os.devnull)
        redirect_descriptors(lock, ENTRIES.descriptor)
        _OUTPUT.start(clean_for)
        warm(job, databases)
        canary = [database for database in databases if database.name == job.canary]
        others = [database for database in databases if database not in canary]
        _work_on_each(job, canary, task)
        died = canary and _find_bad_ending(job, canary[0])
        if died:
            _refuse(job, others, died)
        else:
            _work_on_each(job, others, task)
    finally:
        os._exit(0)


def _work_on_each(job: Job, databases: list[Database], task: Task) -> None:
    run_in_processes(
        databases,
        job.workers,
        lambda database: _work_on(database, job, task),
        0,
        lambda database, answer: _finish_database(database, job, answer),
        until=None if job.ends_at is None else job.ends_at + GRACE,
    )


def _find_bad_ending(job: Job, database: Database) -> Refused | None:
    """Return what is wrong with how a database's turn has ended, or None."""
    done = find_ending_of(job, database)
    result = done["result"] if done else {}
    if result.get("outcome") in ("upgraded", "unchanged"):
        return None
    return Refused.of(result.get("error") or {"what": str(result.get("outcome", "its process died"))})


def _refuse(job: Job, databases: list[Database], why: Refused) -> None:
    for database in databases:
        refusal = Refused(
            f"Database {database.name!r} was not begun, because the canary {job.canary!r} is not at its target",
            _as_one_line(why),
            "Check the canary first; migrate_rollout_canary_database names it",
            code="canary-failed",
        )
        Journal(job.locate_journal(database.name), job.verb).write(
            "done", result=_build_missing_result(database, "refused", refusal)
        )


def _as_one_line(refusal: Refused) -> str:
    """Return a refusal as a reason for another one."""
    return " ".join(str(refusal).split()).rstrip(".")


def _work_on(database: Database, job: Job, task: Task) -> None:
    journal = Journal(job.locate_journal(database.name), job.verb)
    make_private_directory(journal.path.parent)
    _OUTPUT.take(journal.path.with_suffix(".output"), database.name, clean_for)
    with Progress(journal.path.with_suffix(".progress")) as progress:
        try:
            result = task(database, job, journal, progress)
        except Refused as refusal:
            outcome = "failed" if isinstance(refusal, Failed) else "refused"
            result = _build_missing_result(database, outcome, refusal)
        except Exception as error:  # noqa: BLE001 - whatever it is, the journal must say so before the process ends
            failure = Failed(
                f"{job.verb} of {database.name!r} failed",
                f"{type(error).__name__}: {error}",
                REPORT_IT,
                code="run-failed",
            )
            result = _build_missing_result(database, "failed", failure)
        _put_backups_in_order(database, job, journal, result, progress)
        journal.write("done", result=result)


def _put_backups_in_order(
    database: Database, job: Job, journal: Journal, result: DatabaseResult, progress: Progress
) -> None:
    progress.begin_phase("puts its backups in order")
    progress.waits_for = list
    try:
        finish_backups(database, job, journal, result, progress.report)
    except Exception as error:  # noqa: BLE001 - whatever becomes of copies, the database's own outcome is kept
        problem = Failed(
            f"Post-processing the backups of {database.name!r} failed",
            f"{type(error).__name__}: {error}",
            REPORT_IT,
            code="backup-not-finished",
        )
        result["backup_problems"] = [problem.as_facts()]


def _finish_database(database: Database, job: Job, answer: Any, *, ended_from_outside: bool = False) -> None:
    """Write the end of a database's journal if its process could not.

    What ended the whole worker was not the migration, so the next run may try it again.
    """
    journal = Journal(job.locate_journal(database.name), job.verb)
    events = journal.read_events_of_run()
    if find_ending(events, job.verb) is not None:
        return
    # What was verified stays done, also if the putting in order of its backups took too long.
    if isinstance(answer, Late) and [event["event"] for event in events[-1:]] != ["verified"]:
        if may_have_changed(events):
            failure = describe_cancelled(f"The {job.verb} of database {database.name!r}", job)
            journal.write("done", result=_build_missing_result(database, "failed", failure))
        else:
            refusal = build_too_late_refusal(database, job)
            journal.write("done", result=_build_missing_result(database, "deferred", refusal))
    else:
        why = str(answer) if isinstance(answer, Died) else "it ended without a result"
        output = f"Its output is {journal.path.with_suffix('.output')}"
        result = build_result_of_dead(database.name, events, job.verb, why, output)
        if ended_from_outside and result["outcome"] == "failed":
            result["interrupted"] = True
        journal.write("done", result=result)


def _bury(job: Job, databases: list[Database]) -> None:
    """Recover what a dead worker left: its machine or its whole session was ended."""
    for database in databases:
        _finish_database(database, job, Died("the worker was ended"), ended_from_outside=True)


def _build_missing_result(database: Database, outcome: str, error: Refused) -> DatabaseResult:
    return {"name": database.name, "outcome": outcome, "changed": False, "error": error.as_facts()}
