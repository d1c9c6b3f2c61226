# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The retained copies, and what unfinished backups and rehearsals have left.

It is listed, and dropped if that is requested. Nothing is dropped while the database is not there or its run is
not recovered: then it may be the only copy, or what a way out needs. Nothing is dropped whose age is not known, but
for the copies of dead rehearsals, which are of no use.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, cast

from .._backup.manifest import MANIFEST, list_proven
from .._core.errors import CORRECT_IT, REPORT_IT, Failed, Refused
from .._core.job import Database, Job
from .._core.paths import Layout, is_run
from .._core.results import Answer, LeftoverFacts, PruneResult
from .._engines.data import RetainedCopy
from .._engines.interface import Engine
from .._engines.parts import find_rehearser, find_restorer
from .._engines.registry import build_engine
from .._journal.events import Journal, find_unrecovered, read_events
from .._journal.run_state import read_last_run_state
from .._worker.each import do_each

#: What an earlier run may have left of which a person, or a recovery, may need the retained copies.
_UNRECOVERED_STATES = ("running", "cut_short", "held")


@dataclass
class Leftover:
    """One retained copy. ``made`` is ISO 8601 in UTC, ``size`` is bytes, ``days`` is its age."""

    kind: str
    name: str
    run: str
    made: str
    size: int | None
    days: float | None
    outcome: str = "kept"
    reason: str = ""

    def as_facts(self) -> LeftoverFacts:
        """Return it as plain data."""
        return cast("LeftoverFacts", asdict(self))


def list_leftovers(database: Database, job: Job) -> list[LeftoverFacts]:
    """Return what earlier restores of a database left, oldest first; for the status, which drops nothing.

    Raises:
        Refused: the database cannot be read.
    """
    engine = build_engine(database, job)
    try:
        return [leftover.as_facts() for leftover in _list_retained(engine, job.layout)]
    finally:
        engine.close()


def prune_database(database: Database, job: Job) -> PruneResult:
    """List the retained copies of a database, drop what is old enough if that was requested, and return the result."""
    found: list[Leftover] = []
    error: Refused | None = None
    try:
        engine = build_engine(database, job)
        with engine.lock(0, lambda _: None):
            found = [
                *_list_retained(engine, job.layout),
                *_list_unproven(job.layout, database.name),
                *_list_scratches(engine),
            ]
            obstacle = _explain_obstacle(engine, job)
            for leftover in found:
                try:
                    _judge(leftover, engine, job, obstacle)
                except (Refused, OSError) as problem:  # the others may go all the same
                    error = (
                        problem
                        if isinstance(problem, Refused)
                        else Failed(_describe_what(database), str(problem), CORRECT_IT, code="prune-failed")
                    )
                    leftover.reason = str(error)
        return _build_result(database, found, error)
    except Refused as refusal:
        return _build_result(database, found, refusal)
    except OSError as problem:
        return _build_result(
            database, found, Failed(_describe_what(database), str(problem), CORRECT_IT, code="prune-failed")
        )


def _describe_what(database: Database) -> str:
    return f"Not all retained copies of {database.name!r} could be dropped"


def _build_result(database: Database, found: list[Leftover], error: Refused | None) -> PruneResult:
    changed = [leftover for leftover in found if leftover.outcome != "kept"]
    return {
        "name": database.name,
        "outcome": ("failed" if changed else "refused") if error else ("pruned" if changed else "unchanged"),
        "changed": bool(changed),
        "leftovers": [leftover.as_facts() for leftover in found],
        "error": error.as_facts() if error else None,
    }


def _explain_obstacle(engine: Engine, job: Job) -> str:
    """Return why nothing at all may be dropped now."""
    if not engine.is_present():
        return "the database is not there, so this may be the only copy"
    left = read_last_run_state(job.layout, engine.database.name)
    run = find_unrecovered(job.layout.locate_journals(engine.database.name)) or (
        left.run if left.state in _UNRECOVERED_STATES else ""
    )
    if run:
        return f"run {run} has not been recovered, and its revert may need it"
    return "" if job.prune else "migrate_prune is false"


def _judge(leftover: Leftover, engine: Engine, job: Job, obstacle: str) -> None:
    is_copy = leftover.kind == "scratch"
    if leftover.days is None and not is_copy:
        leftover.reason = "its age is not known"
    elif leftover.kind == "unreadable":
        leftover.reason = "its manifest cannot be read; another version may have written it"
    elif leftover.days is not None and leftover.days < job.prune_days and not is_copy:
        leftover.reason = f"it is younger than {job.prune_days:g} days"
    elif obstacle:
        leftover.reason = obstacle
    elif job.check:
        leftover.outcome = "would be dropped"
    else:
        _drop(leftover, engine)
        leftover.outcome = "dropped"
        _note(leftover, engine.database.name, job)


def _drop(leftover: Leftover, engine: Engine) -> None:
    lies = RetainedCopy(leftover.name, leftover.run, leftover.made, leftover.size)
    if leftover.kind == "retained":
        find_restorer(engine).drop_retained(lies)
    elif leftover.kind == "scratch":
        find_rehearser(engine).drop_scratch(lies)
    else:
        shutil.rmtree(leftover.name)


def _note(leftover: Leftover, database: str, job: Job) -> None:
    """Write down what was dropped, in a file of its own.

    A run's journal says by its last event and by its file's time how the run ended, and which run was the last one.
    """
    journal = Journal(job.layout.prune_journal(database), "prune")
    journal.write("pruned", kind=leftover.kind, name=leftover.name, of_run=leftover.run)


def _list_retained(engine: Engine, layout: Layout) -> list[Leftover]:
    list_retained = [
        _build_leftover(
            "retained",
            retained.name,
            retained.run,
            _read_retained_time(retained, layout, engine.database.name),
            retained.size,
        )
        for retained in find_restorer(engine).list_retained()
    ]
    return sorted(list_retained, key=lambda leftover: (leftover.made, leftover.name))


def _list_scratches(engine: Engine) -> list[Leftover]:
    return [
        _build_leftover("scratch", each.name, each.run, each.made, each.size)
        for each in find_rehearser(engine).list_scratches()
    ]


def _read_retained_time(retained: RetainedCopy, layout: Layout, database: str) -> str:
    """Return when something was retained; the journal knows where the engine does not."""
    if retained.made:
        return retained.made
    events = [path for path in layout.locate_journals(database).glob("*.jsonl") if path.stem == retained.run]
    return str(read_events(events[0])[-1]["at"]) if events else ""


def _list_unproven(layout: Layout, database: str) -> Iterator[Leftover]:
    """Yield the folders among a database's backups that do not count as one."""
    folder = layout.locate_backups(database)
    counting = {manifest.path for manifest in list_proven(folder)}
    for path in sorted(folder.glob("*")):
        if path.is_symlink() or not path.is_dir() or str(path) in counting:
            continue
        kind = "partial" if path.name.startswith(".") else "unreadable" if (path / MANIFEST).exists() else "unproven"
        run = path.name.strip(".").removesuffix(".partial")
        files = [each.lstat() for each in path.rglob("*") if not each.is_dir()]
        newest = max([path.lstat().st_mtime, *(each.st_mtime for each in files)])
        made = datetime.fromtimestamp(newest, timezone.utc).isoformat(timespec="seconds")
        yield _build_leftover(kind, str(path), run, made, sum(each.st_size for each in files))


def _build_leftover(kind: str, name: str, run: str, made: str, size: int | None) -> Leftover:
    # What a session has put there, or named so, is not the id of a run.
    return Leftover(kind, name, run if is_run(run) else "", made, size, count_days_since(made))


def count_days_since(made: str) -> float | None:
    """Return how many days ago a moment was, None if it is unknown."""
    try:
        age = datetime.now(timezone.utc) - datetime.fromisoformat(made)
    except (ValueError, TypeError):
        return None
    return round(age.total_seconds() / 86400, 2)


def prune(job: Job) -> Answer:
    """List the retained copies of every database, and drop what is old enough if that was requested."""
    done = do_each(job, job.databases, prune_database)
    return {"results": [_make_result(database, done[database.name]) for database in job.databases]}


def _make_result(database: Database, answer: Any) -> Answer:
    if not isinstance(answer, Exception):
        return dict(answer)
    failure = Failed(
        f"Database {database.name!r} could not be pruned",
        f"{type(answer).__name__}: {answer}",
        REPORT_IT,
        code="prune-failed",
    )
    facts = {"name": database.name, "outcome": "failed", "changed": False, "leftovers": []}
    return {**facts, "error": failure.as_facts()}
