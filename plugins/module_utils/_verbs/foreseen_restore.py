# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The prediction of a restore, for check mode: nothing is replaced, and no journal is written."""

from __future__ import annotations

from typing import Any

from .._backup.command import TOOL, find_restore_method
from .._backup.manifest import Manifest, check
from .._core.errors import REPORT_IT, Failed, Refused
from .._core.job import Database, Job
from .._core.progress import Progress
from .._core.results import Answer, DatabaseResult
from .._engines.data import RestoreMethod
from .._engines.interface import Engine
from .._engines.parts import find_restorer
from .._engines.registry import build_engine
from .._journal.events import Journal
from .._migration.state import read_position
from .._revert.restore import collect_written_rows
from .._revert.restore_guard import RestoreGuard
from .._worker.each import do_each
from .restore import choose_backup


def foresee_restore_of(database: Database, job: Job) -> DatabaseResult:
    """Return the result that a restore would have; that it would be refused is a result, too."""
    try:
        return _foresee(database, job)
    except Refused as refusal:
        outcome = "failed" if isinstance(refusal, Failed) else "refused"
        return {"name": database.name, "outcome": outcome, "changed": False, "error": refusal.as_facts()}


def _foresee(database: Database, job: Job) -> DatabaseResult:
    engine = build_engine(database, job)
    manifest = choose_backup(database, job)
    try:
        before, method = _check(engine, manifest)
    finally:
        engine.close()
    return {
        "name": database.name,
        "outcome": "restored",
        "changed": True,
        "of_run": manifest.run,
        "before": before,
        "after": sorted({head for heads in manifest.heads.values() for head in heads}),
        "backup": manifest.as_facts(),
        "method": method.name,
        "not_restored": method.not_restored,
    }


def _check(engine: Engine, manifest: Manifest) -> tuple[list[str] | None, RestoreMethod]:
    """Check what a restore would check, in its order, and return the heads that are there now, and the method.

    Raises:
        Refused, Failed: the restore would raise it too.
    """
    dropped = find_restorer(engine).check_recreation(manifest.as_archive()) if manifest.tool != TOOL else None
    if dropped is not None:
        for obstacle in dropped:
            raise obstacle
        check(manifest)
        return None, RestoreMethod("")
    refuse_if_locked(engine, "restore")
    method = find_restore_method(engine, manifest)
    if method.obstacle:
        raise method.obstacle
    check(manifest)
    is_readable = find_restorer(engine).is_readable()
    before = read_position(engine, list(manifest.heads)).revisions if is_readable else None
    if manifest.tool != TOOL:
        for obstacle in find_restorer(engine).foresee_obstacles(manifest.as_archive()):
            raise obstacle
    run_record = collect_written_rows(engine.database, engine.job, manifest)
    journal = Journal(engine.job.layout.locate_journal(engine.database.name, engine.job.run), "restore")
    # Neither of them is written: a guard that only foresees does not, and the progress was never begun.
    progress = Progress(journal.path.with_suffix(".progress"))
    RestoreGuard(engine, manifest, run_record, journal, progress).foresee()
    return before, method


def refuse_if_locked(engine: Engine, verb: str) -> None:
    """Raise what a verb that must not wait would raise.

    Raises:
        Refused: another run has the lock of the database, or it cannot be reached.
    """
    lock = engine.try_lock()
    if lock is None:
        raise Refused(
            f"Database {engine.database.name!r} is being migrated by another run",
            f"{engine.read_lock_holder()} holds its lock now; a {verb} waits for {engine.job.database_wait:g} s",
            "Wait for that run to end",
            code="database-locked",
        )
    lock.release()


def foresee_restore(job: Job) -> Answer:
    """Say of every database what a restore would say, and change nothing."""
    answers = do_each(job, job.databases, foresee_restore_of)
    return {"results": [_answer_of(database, answers[database.name]) for database in job.databases]}


def _answer_of(database: Database, answer: Any) -> Answer:
    if not isinstance(answer, Exception):
        return dict(answer)
    what = f"What a restore of {database.name!r} would do could not be found out"
    failure = Failed(what, f"{type(answer).__name__}: {answer}", REPORT_IT, code="restore-not-predicted")
    return {"name": database.name, "outcome": "failed", "changed": False, "error": failure.as_facts()}
