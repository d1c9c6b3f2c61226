# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The predictions of a rollback and of a backup, for check mode: nothing is changed, and no journal is written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from .._core.errors import REPORT_IT, Failed, Refused
from .._core.job import Database, Job
from .._core.results import Answer, DatabaseResult
from .._engines.registry import build_engine
from .._journal.events import read_events
from .._journal.history import predict_rollback
from .._migration.env_proxy import build_environment
from .._migration.state import read_position
from .._revert.run_record import RunRecord
from .._worker.each import do_each
from .backup import list_version_tables
from .foreseen_restore import refuse_if_locked


def foresee_rollback_of(database: Database, job: Job) -> DatabaseResult:
    """Return the result that a rollback would have; that it would be refused is a result, too."""
    (result,) = predict_rollback(job.root, job.run, job.of_run, [database.name])
    return result if "error" in result else _run_check(result, lambda: _check_rollback(database, job))


def foresee_backup_of(database: Database, job: Job) -> DatabaseResult:
    """Return the result that a backup would have; that it would be refused is a result, too."""
    result: DatabaseResult = {"name": database.name, "outcome": "backed_up", "changed": True}
    return _run_check(result, lambda: _check_backup(database, job))


def foresee_rollback(job: Job) -> Answer:
    """Return for every database what a rollback would do, and change nothing."""
    return _of_each(job, foresee_rollback_of, "rollback")


def foresee_backup(job: Job) -> Answer:
    """Return for every database what a backup would do, and change nothing."""
    return _of_each(job, foresee_backup_of, "backup")


def _run_check(result: DatabaseResult, check: Callable[[], None]) -> DatabaseResult:
    try:
        check()
    except Refused as refusal:
        outcome = "failed" if isinstance(refusal, Failed) else "refused"
        return {**result, "outcome": outcome, "changed": False, "error": refusal.as_facts()}
    return result


def _check_rollback(database: Database, job: Job) -> None:
    record = RunRecord.of(job.of_run, read_events(job.layout.locate_journal(database.name, job.of_run)))
    with closing(build_engine(database, job)) as engine:
        refuse_if_locked(engine, "rollback")
        record.refuse_elsewhere(engine)
        now = read_position(engine, list(record.after.heads))
        # What a run that was cut short has committed, only the rollback itself finds out.
        if not record.cut_short:
            record.refuse_moved(database.name, now)


def _check_backup(database: Database, job: Job) -> None:
    with closing(build_engine(database, job)) as engine:
        refuse_if_locked(engine, "backup")
        list_version_tables(engine, build_environment(database, job, engine))


def _of_each(job: Job, foresee: Callable[[Database, Job], DatabaseResult], verb: str) -> Answer:
    answers = do_each(job, job.databases, foresee)
    return {"results": [_answer_of(database, answers[database.name], verb) for database in job.databases]}


def _answer_of(database: Database, answer: Any, verb: str) -> Answer:
    if not isinstance(answer, Exception):
        return dict(answer)
    what = f"What a {verb} of {database.name!r} would do could not be found out"
    failure = Failed(what, f"{type(answer).__name__}: {answer}", REPORT_IT, code="outcome-not-predicted")
    return {"name": database.name, "outcome": "failed", "changed": False, "error": failure.as_facts()}
