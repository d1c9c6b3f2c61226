# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rehearsal: the plan of a database, proven on a copy that was restored from a backup. The database is only read."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._backup.command import TOOL
from .._backup.manifest import Manifest, check, list_proven, parse_taken_time
from .._backup.take import take
from .._core.errors import OTHER_COPY, Failed, Refused
from .._core.job import Database, Job
from .._core.processes import Died, redirect_output, run_in_processes
from .._core.progress import Progress
from .._core.results import RehearsalResult
from .._engines.comparison import Comparison
from .._engines.connection import describe_error
from .._engines.interface import Engine, Scratch
from .._engines.parts import find_rehearser
from .._engines.registry import build_engine
from .._journal.abandoned_copies import DROPPED, MADE
from .._journal.events import Journal, find_ending, list_newest_first
from .._migration.env_proxy import build_environment
from .._migration.environment import Environment
from .._migration.explanations import advise_stamping, explain_open_transaction
from .._migration.interrupted import Interrupted
from .._migration.placeholders import refuse_literal_url
from .._migration.state import Position, read_fingerprint, read_position
from .._migration.step import Step
from .._plan.database import plan_database
from .._plan.model import Plan
from .._plan.rehearsal_record import forget_rehearsal, note_rehearsal
from .._worker.task import OneDatabase
from .observer import Observer
from .undo import Undoing
from .verdict import Verdict
from .watched_run import run_watched

if TYPE_CHECKING:
    from collections.abc import Sequence


_CORRECT = "Correct the release, or the rows it fails on"


class Rehearsal(OneDatabase):
    """One database's rehearsal, from its plan to its verdict."""

    def __init__(self, database: Database, job: Job, journal: Journal, progress: Progress, engine: Engine) -> None:
        super().__init__(database, job, journal, progress)
        self.engine = engine
        self.plan = Plan(database.name, database.target or job.target)
        self.backup: Manifest | None = None
        self.backup_taken = False
        self.verdicts: list[Verdict] = []
        self.models: list[str] | None = None
        self.notes: list[str] = []
        self.upgrade_seconds: float | None = None

    def run(self) -> RehearsalResult:
        """Rehearse, leave a record of a success, and return the result; a failure is a result, too."""
        try:
            self.plan = self._plan_apart()
            if self.plan.obstacles:
                return self._build_result("refused", self.plan.obstacles[0])
            if not self.plan.pending:
                return self._build_result("unchanged")
            refuse_literal_url(self.database, self.engine.url)
            self.backup = self._find_proven_backup() or self._take_backup()
            self._rehearse_in_process(self.backup)
            self._complain()
        except Refused as refusal:
            if isinstance(refusal, Failed):
                forget_rehearsal(self.database, self.job)
                self.journal.write("failed", error=refusal.as_facts())
            return self._build_result("failed" if isinstance(refusal, Failed) else "refused", refusal)
        note_rehearsal(self.database, self.job, self.plan)
        return self._build_result("rehearsed")

    def _plan_apart(self) -> Plan:
        """Plan in a process that is thrown away: what the application has loaded there knows the real URL."""
        self.progress.begin_phase("plans")
        answers: list[Any] = []
        # What failed before is what a rehearsal is for.
        job = replace(self.job, require_rehearsal=False, retry_failed=True, rehearses=True)

        def plan_one(database: Database) -> Plan:
            redirect_output(os.devnull)
            return plan_database(database, job)

        run_in_processes(
            [self.database], 1, plan_one, self.job.plan_timeout, lambda _database, answer: answers.append(answer)
        )
        if isinstance(answers[0], Died):
            raise Refused(
                f"Database {self.database.name!r} could not be planned",
                str(answers[0]),
                "Run again; where it takes long, raise migrate_plan_timeout",
                code="plan-failed",
            )
        plan: Plan = answers[0]
        self.journal.write("planned", release=self.job.release, target=plan.target, heads=plan.heads)
        return plan

    def _find_proven_backup(self) -> Manifest | None:
        """Return the newest backup, if it is of this database as it is, fresh, and still whole."""
        oldest = time.time() - self.job.rehearsal_max_age
        for manifest in list_proven(self.job.layout.locate_backups(self.database.name))[:1]:
            if manifest.identity != self.plan.identity or manifest.heads != self.plan.heads:
                break
            if manifest.tool == TOOL or not all((Path(manifest.path) / name).exists() for name in manifest.files):
                break  # a command made it, or only its encrypted archive is left: no copy can be made of it here
            if manifest.path in self._list_failed_backups():
                break  # the rows that it failed on may have been corrected since
            if parse_taken_time(manifest) < oldest or manifest.fingerprint != self._read_fingerprint():
                break
            try:
                check(manifest)
            except Failed as failure:
                self.notes.append(f"the newest backup was not used: {failure.why}")
                break
            return manifest
        return None

    def _list_failed_backups(self) -> set[str]:
        """Return the backups on which rehearsals have failed."""
        folder = self.job.layout.locate_rehearsal(self.database.name, self.job.run).parent
        endings = [find_ending(events, "rehearse") for _run, events in list_newest_first(folder)]
        results = [event["result"] for event in endings if event]
        # One that died has no more than its name in its result.
        taken = [result.get("backup") for result in results if result["outcome"] == "failed"]
        return {backup["path"] for backup in taken if backup}

    def _read_fingerprint(self) -> list[str]:
        if not self.engine.is_present():
            return []
        return read_fingerprint(self.engine, self.engine.open_own_connection(), list(self.plan.heads))

    def _take_backup(self) -> Manifest:
        self.progress.begin_phase("waits for the lock on the database")
        with self.engine.lock(self.job.database_wait, self.progress.report):
            if read_position(self.engine, list(self.plan.heads)).heads != self.plan.heads:
                raise Refused(
                    f"Database {self.database.name!r} was moved while it was rehearsed",
                    "",
                    "Try again",
                    code="rehearsal-outdated",
                )
            self.progress.begin_phase("backs up")
            # A backup that a command made can be restored by a command only, and not into a copy.
            job = replace(self.job, backup_command=())
            manifest = take(self.engine, self.plan.heads, job, self.progress.report)
        self.backup_taken = True
        self.journal.write("backed_up", path=manifest.path, size=manifest.size)
        return manifest

    def _rehearse_in_process(self, backup: Manifest) -> None:
        """Rehearse on a copy that is dropped afterwards, and journal that: a recovery searches for the others."""
        problem: Exception | None = None
        try:
            with find_rehearser(self.engine).open_scratch(backup.as_archive(), self.progress.report) as scratch:
                self.journal.write(MADE)
                try:
                    self._rehearse(scratch)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is raised once the copy is gone
                    problem = error
                problem = self._find_problem_of_database(scratch, problem)
        except Exception as error:
            # A copy that is left is the lesser problem, and must not hide the other.
            if problem is None:
                raise
            if isinstance(problem, Refused):
                problem.remedy = "; ".join(filter(None, (problem.remedy, _describe_error(error))))
        else:
            self.journal.write(DROPPED)
        if problem:
            raise problem

    def _find_problem_of_database(self, scratch: Scratch, problem: Exception | None) -> Exception | None:
        """Return that the database itself was changed meanwhile, which is worse than a problem of the copy, or that."""
        try:
            self.notes += scratch.check_database()
        except Failed as failure:
            return failure
        except Exception as error:  # noqa: BLE001 - what was not compared is not as before
            return problem or Failed(
                f"Database {self.database.name!r} itself could not be compared with what it was before its rehearsal",
                describe_error(error),
                "Rehearse again",
                code="rehearsal-database-changed",
            )
        return problem

    def _rehearse(self, scratch: Scratch) -> None:
        self.progress.begin_phase("restores into a scratch database")
        begun = time.monotonic()
        self.notes += scratch.fill()
        seconds = round(time.monotonic() - begun, 3)
        self.journal.write("scratch_filled", path=self.backup.path if self.backup else "", seconds=seconds)
        environment = build_environment(scratch.engine.database, self.job, scratch.engine)
        tables = self._check_copy(environment, scratch)
        in_full, report = self._is_read_in_full(), self.progress.report
        known = (self.backup.as_archive(), tables, in_full, report) if self.backup else None
        filled = find_rehearser(scratch.engine).read_copy(*known) if known else None
        observer = Observer(scratch.engine, tables, in_full, self.journal, self.progress)
        steps = self._upgrade(environment, observer)
        self.verdicts = observer.verdicts
        with scratch.engine.watch_connections():
            left = [revision.revision for stream in environment.read_streams() for revision in stream.pending]
        if left or len(steps) < len(self.plan.pending):
            why, remedy = explain_open_transaction(environment)
            raise Failed(
                f"The rehearsed upgrade of {self.database.name!r} did not reach its target",
                f"not applied: {', '.join(left) or 'less than was planned'}; {why}",
                remedy,
                code="target-not-reached",
            )
        self._compare_models(environment)
        undoing = Undoing(scratch, environment, observer, self.journal, self.progress, self.notes)
        undoing.run(lambda: find_rehearser(scratch.engine).compare_copy(filled, *known) if known else Comparison())

    def _check_copy(self, environment: Environment, scratch: Scratch) -> frozenset[str]:
        """Make sure that env.py leads to the copy, and that this is at the revisions of the database.

        Raises:
            Refused: it leads elsewhere.
            Failed: the backup is not what its manifest says.
        """
        with environment.engine.watch_connections():
            streams = environment.read_streams()
        found = {stream.table: list(stream.heads) for stream in streams}
        expected = {scratch.name_of(table): heads for table, heads in self.plan.heads.items()}
        in_full = sorted((found.keys() & self.plan.heads.keys()) - expected.keys())
        if in_full:
            raise Refused(
                f"Database {self.database.name!r} cannot be rehearsed beside itself",
                f"env.py names the version table in full ({', '.join(in_full)}), and the copy has another name",
                "Leave version_table_schema out of env.py, or take it from the connection",
                code="rehearsal-names-database",
            )
        if self.engine.is_present() and found != expected:
            raise Failed(
                f"The copy of {self.database.name!r} is not at the database's revision",
                f"it has {found}",
                OTHER_COPY,
                code="rehearsal-copy-failed",
            )
        return frozenset(found)

    def _is_read_in_full(self) -> bool:
        """Return whether the database is small enough to read every value of it again and again."""
        return (
            not self.engine.is_present()
            or self.engine.open_own_connection().run(self.engine.measure_size) <= self.job.row_counts_limit
        )

    def _upgrade(self, environment: Environment, observer: Observer) -> Sequence[Step]:
        begun = time.monotonic()
        try:
            steps = run_watched(environment, observer, self.progress, lambda: environment.upgrade(observer))
        except Interrupted as interruption:
            self.verdicts = observer.verdicts
            raise self._explain(interruption) from interruption
        self.upgrade_seconds = round(time.monotonic() - begun - observer.overhead, 3)
        return steps

    def _explain(self, interruption: Interrupted) -> Refused:
        cause = interruption.cause
        if isinstance(cause, Refused):
            return cause
        failed = interruption.steps[-1] if interruption.steps else None
        what = f"Revision {failed.revision} ({failed.message})" if failed else "env.py"
        advice = advise_stamping(cause) if not Position(self.plan.heads).revisions else ""
        return Failed(
            f"{what} failed in database {self.database.name!r}, on a copy",
            interruption.describe(cause, failed),
            f"{advice or _CORRECT}, and rehearse again",
            code="revision-failed" if failed else "env-py-failed",
        )

    def _compare_models(self, environment: Environment) -> None:
        self.progress.begin_phase("compares with the models")
        try:
            with environment.engine.watch_connections():
                self.models = environment.compare_models()
        except Refused as refusal:
            self.notes.append(f"could not be compared with the models: {refusal.why}")

    def _complain(self) -> None:
        """Fail on what ``rehearsal_fails_on`` names.

        Raises:
            Failed: there is such.
        """
        found = {
            "lossy": [f"{entry.step.revision} is lossy" for entry in self.verdicts if entry.verdict == "lossy"],
            "irreversible": [
                f"{entry.step.revision} is {entry.verdict}"
                for entry in self.verdicts
                if entry.verdict in ("irreversible", "unknown")
            ],
            "again": [f"{entry.step.revision} fails a second time" for entry in self.verdicts if entry.again is False],
            "models": self.models or [],
        }
        failing = [line for kind in self.job.rehearsal_fails_on for line in found[kind]]
        if failing:
            raise Failed(
                f"The rehearsal of {self.database.name!r} found what migrate_rehearsal_fails_on names",
                "; ".join(failing[:5]) + ("; …" if len(failing) > 5 else ""),
                "Correct the release, or take the word out of migrate_rehearsal_fails_on",
                code="rehearsal-not-clean",
            )

    def _build_result(self, outcome: str, error: Refused | None = None) -> RehearsalResult:
        current = Position(self.plan.heads).revisions
        expected = None
        if self.upgrade_seconds is not None and self.backup:
            expected = round(self.upgrade_seconds + self.backup.seconds, 3)
        return {
            "name": self.database.name,
            "outcome": outcome,
            # What is left behind is a record of the success, or a backup; the database is as it was.
            "changed": outcome == "rehearsed" or self.backup_taken,
            "identity": self.plan.identity,
            "target": self.plan.target,
            "before": current,
            "after": current,
            "goal": sorted({head for stream in self.plan.streams for head in stream.goal}),
            "backup": self.backup.as_facts() if self.backup else None,
            "backup_taken": self.backup_taken,
            "revisions": [entry.as_facts() for entry in self.verdicts],
            "models": self.models,
            "notes": self.notes,
            "upgrade_seconds": self.upgrade_seconds,
            "expected_seconds": expected,
            "error": error.as_facts() if error else None,
            "seconds": self.seconds,
        }


def rehearse_database(database: Database, job: Job, journal: Journal, progress: Progress) -> RehearsalResult:
    """Rehearse one database and return its result.

    Raises:
        Refused: its URL cannot be used.
    """
    return Rehearsal(database, job, journal, progress, build_engine(database, job)).run()


def _describe_error(error: Exception) -> str:
    return f"{error.what}: {error.why}" if isinstance(error, Refused) else describe_error(error)
