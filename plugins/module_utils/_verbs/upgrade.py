# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The upgrade of one database: lock, plan again, back up, run Alembic, verify. Runs in a process of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._backup.command import TOOL
from .._backup.manifest import Manifest
from .._backup.retention import prune_backups
from .._backup.take import take
from .._core.errors import ErrorFacts, Failed, Refused, describe_first
from .._core.job import Database, Job, is_over, start_deadline
from .._core.playbook_command import build_playbook_command
from .._core.progress import Progress
from .._core.results import Answer, DatabaseResult
from .._core.revisions import Stream, describe_heads
from .._engines.data import WrittenRows
from .._engines.interface import Engine, Lock
from .._engines.parts import find_write_tracker
from .._engines.registry import build_engine
from .._journal.events import Journal, may_have_changed
from .._migration.dry_run import SHARE, Found
from .._migration.env_proxy import build_environment
from .._migration.environment import Environment
from .._migration.explanations import choose_advice, explain_open_transaction
from .._migration.interrupted import Interrupted
from .._migration.journal_writer import JournalWriter
from .._migration.lock_retry import Blockers, retry_on_lock
from .._migration.own_commits import OwnCommits
from .._migration.own_process import LockOfParent, ProgressOfParent, Standby
from .._migration.state import Position, find_lost_rows, list_differences, read_applied, read_position
from .._migration.statements import render_for_journal
from .._migration.step import Step, render_step
from .._plan.at_head import remember
from .._plan.changed_history import is_unknown
from .._plan.database import fill_plan
from .._plan.model import Plan
from .._worker.deadline import describe_cancelled, find_deadline_obstacle
from .._worker.task import OneDatabase
from .._worker.worker import attend

_DRY = "dry"
_MOST_NAMED = 5


class Upgrade(OneDatabase):
    """One database's upgrade, from its lock to its verdict."""

    def __init__(self, database: Database, job: Job, journal: Journal, progress: Progress, engine: Engine) -> None:
        super().__init__(database, job, journal, progress)
        self.engine = engine
        self.plan = Plan(database.name, database.target or job.target)
        self.backup: Manifest | None = None
        self.before = Position({})
        self._outside = OwnCommits(engine, journal, since_backup=False)

    def run(self) -> DatabaseResult:
        """Upgrade the database and return its result; a failure is a result, too."""
        try:
            environment = build_environment(self.database, self.job, self.engine, self._outside)
            self.journal.write("planned", release=self.job.release, target=self.plan.target)
            if self.job.window_override:
                self.journal.write("overridden", reason=self.job.window_override)
            self.progress.begin_phase("waits for the lock on the database")
            # Forked while this process has no connection that another one could meddle with.
            standby = Standby(lambda *request: self._retry_in_process(environment, *request))
            with standby as self._standby, self.engine.lock(self.job.database_wait, self.progress.report) as lock:
                self.journal.write("locked")
                environment.elsewhere = lambda uncommitted: self._read_elsewhere(environment, lock, uncommitted)
                return self._upgrade_locked(environment, lock)
        except Refused as refusal:
            began = may_have_changed(self.journal.read_events_of_run())
            outcome = "failed" if began or isinstance(refusal, Failed) else "refused"
            return self._build_result(outcome, error=refusal.as_facts())

    def _upgrade_locked(self, environment: Environment, lock: Lock) -> DatabaseResult:
        self._refuse_if_gone()
        fill_plan(self.plan, self.engine, environment, forecast=False)
        self.before = Position(self.plan.heads)
        if self.plan.obstacles:
            return self._build_result("refused", error=self.plan.obstacles[0].as_facts())
        if not self.plan.pending:
            remember(environment, self.plan.identity, self.plan.heads, self.plan.changed_history)
            return self._build_result("unchanged", after=self.before)
        if self.database.name in self.job.verify_only:
            raise Refused(
                f"Database {self.database.name!r} is shared, and the host that migrated it has not reached the target"
                " of this host",
                f"it is at {self.before}, and {len(self.plan.pending)} revisions of this host's release are pending:"
                " that host failed, or has another release or another target",
                f"Give both hosts one release and one target, then: {build_playbook_command('migrate')}",
                code="shared-database-behind",
            )
        late = find_deadline_obstacle(self.database, self.job)
        if late:
            return self._build_result("deferred", error=late.as_facts())
        self._back_up()
        writer = JournalWriter(environment, lock, self.journal, self.progress)
        writer.tables = list(self.before.heads)
        try:
            retry_on_lock(
                self.engine,
                self.journal,
                self.progress,
                lambda: self._run_attempt(environment, writer),
                lambda interruption: not self._find_left(environment, writer, interruption.steps),
                lambda: self._try_again(environment, writer, lock),
            )
        except Interrupted as interruption:
            return self._describe_interruption(environment, writer, interruption)
        return self._verify(environment, writer)

    def _refuse_if_gone(self) -> None:
        if self.database.name in self.job.existed and not self.engine.is_present():
            raise Refused(
                f"Database {self.database.name!r} is not there any more",
                f"{self.engine.read_own_identity()} was there when this run was planned; an upgrade would make an"
                " empty one",
                f"Bring it back, or remove its entry, then: {build_playbook_command('migrate')}",
                code="database-gone",
            )

    def _back_up(self) -> None:
        self.progress.begin_phase("backs up")
        self.progress.waits_for = Blockers(self.engine)
        self.backup = take(self.engine, self.before.heads, self.job, self.progress.report)
        self.before = Position(self.before.heads, self.backup.fingerprint, self.backup.row_counts)
        facts = {"size": self.backup.size, "identity": self.backup.identity, **self.before.as_facts()}
        self.journal.write("backed_up", path=self.backup.path, **facts)
        self._outside.start(self.journal)

    def _run_attempt(self, environment: Environment, writer: JournalWriter) -> None:
        try:
            steps = environment.upgrade(writer)
        except Interrupted as interruption:
            self._note(environment, writer, interruption.steps)
            raise
        self._note(environment, writer, steps)

    def _read_elsewhere(self, environment: Environment, lock: Lock, uncommitted: bool) -> Found:
        """Run env.py to read the revisions of the database, in a fork of one that has changed little memory."""
        request = (_DRY, self.engine.read_own_identity(), self.plan.instance, uncommitted)
        answer: Found = self._standby.call(request, lock, self.progress, self.job.plan_timeout * SHARE)
        return answer

    def _try_again(self, environment: Environment, writer: JournalWriter, lock: Lock) -> None:
        """Make another attempt, in a process in which env.py has not run."""
        if environment.in_own_process:
            self._run_attempt(environment, writer)
            return
        request = (environment.hand_over(), find_write_tracker(self.engine).hand_over(), writer.hand_over())
        attempt = self._standby.call(request, lock, self.progress)
        of_environment, of_engine, of_writer, interruption = attempt
        environment.take_over(of_environment)
        find_write_tracker(self.engine).take_over(of_engine)
        writer.take_over(of_writer)
        if interruption:
            raise interruption

    def _retry_in_process(
        self, environment: Environment, request: Any, lock: LockOfParent, progress: ProgressOfParent
    ) -> Any:
        if request[0] == _DRY:
            return environment.read_dry(*request[1:])
        of_environment, of_engine, of_writer = request
        environment.take_over(of_environment)
        find_write_tracker(self.engine).take_over(of_engine)
        journal = Journal(self.journal.path, self.journal.verb)
        self._outside.start(journal)
        writer = JournalWriter(environment, lock, journal, progress)
        writer.take_over(of_writer)
        interruption = None
        try:
            with self.engine.watch_connections():
                self._run_attempt(environment, writer)
        except Interrupted as caught:
            interruption = caught.as_portable()
        return environment.hand_over(), find_write_tracker(self.engine).hand_over(), writer.hand_over(), interruption

    def _note(self, environment: Environment, writer: JournalWriter, steps: list[Step]) -> None:
        """Read what is committed; in a single transaction that is known only at its end."""
        if not steps or not self.engine.is_present():
            return
        applied = read_applied(environment, self.engine.open_own_connection(), sorted({step.table for step in steps}))
        for step in steps:
            if step.revision in applied[step.table]:
                writer.note_committed(step)

    def _find_left(self, environment: Environment, writer: JournalWriter, steps: list[Step]) -> list[str]:
        """Return what the step that failed left and no rollback took away, as differences of the fingerprint."""
        failed = [step for step in steps if step not in writer.committed]
        if not failed:
            return []
        expected = writer.before_step
        if expected is None:
            if writer.committed:
                return []  # its own transaction was rolled back, and the schema before it was not read
            expected = self.before.fingerprint
        now = read_position(environment.engine, list(self.before.heads))
        left = list_differences(expected, now.fingerprint)
        if any(step.wrote_early for step in failed):
            left.append("+rows that the revision committed before its end")
        return left

    def _describe_interruption(
        self, environment: Environment, writer: JournalWriter, interruption: Interrupted
    ) -> DatabaseResult:
        # In a single transaction none is committed; the one that ran last is the one that failed.
        failed = next((step for step in reversed(interruption.steps) if step not in writer.committed), None)
        cause = self.engine.explain_error(interruption.cause) if interruption.cause else None
        what = f"Revision {failed.revision} ({failed.message})" if failed else "env.py"
        if isinstance(cause, Refused):
            error = cause.as_facts()
        elif is_over(self.job):
            error = describe_cancelled(f"{what} in database {self.database.name!r}", self.job).as_facts()
        else:
            why = interruption.describe(cause, failed) + (describe_permanent_statements(failed) if failed else "")
            remedy = choose_advice(cause, not self.before.revisions)
            error = Failed(
                f"{what} failed in database {self.database.name!r}",
                why,
                remedy,
                code="revision-failed" if failed else "env-py-failed",
            ).as_facts()
        left = self._find_left(environment, writer, interruption.steps)
        after = read_position(environment.engine, list(self.before.heads))
        self.journal.write(
            "failed",
            error=error,
            left=left,
            content=find_write_tracker(self.engine).read_content_state() if self.engine.is_present() else None,
            content_digest=self._hash_made_rows(after),
            unchanged=self._list_unchanged(writer),
            failed_statement=find_failed_statement(interruption.cause),
            **after.as_facts(),
        )
        return self._build_result("failed", writer, after, error)

    def _list_unchanged(self, writer: JournalWriter) -> list[str]:
        """Return the tables that were written and hold the rows of the backup, where a downgrade will need that."""
        if not writer.committed or self.backup is None or self.backup.tool == TOOL:
            return []
        return find_write_tracker(self.engine).list_unchanged_tables(self.backup.as_archive())

    def _verify(self, environment: Environment, writer: JournalWriter) -> DatabaseResult:
        self.progress.begin_phase("verifies")
        tables = sorted({step.table for step in writer.committed} | set(self.before.heads))
        after = read_position(environment.engine, tables, count_rows=self.before.row_counts is not None)
        # What was committed may have been taken back since, by env.py itself.
        applied = {table: environment.list_applied(tuple(heads)) for table, heads in after.heads.items()}
        streams = self._list_streams(applied)
        pending = self._list_pending(streams)
        missing = [step.revision for step in pending if step.revision not in applied.get(step.table, ())]
        if missing:
            error = self._describe_missed(environment, after, missing)
            content = find_write_tracker(self.engine).read_content_state() if self.engine.is_present() else None
            self.journal.write("failed", error=error.as_facts(), left=[], content=content, **after.as_facts())
            return self._build_result("failed", writer, after, error.as_facts())
        notes = self._note_others(writer, pending) + self._note_further(streams, after) + self._outside.notes
        # Like the rows, it is not read where the database is large; a revert backs up once more then.
        digest = self._hash_made_rows(after) if after.row_counts is not None else {}
        self.journal.write("verified", content_digest=digest, **after.as_facts())
        found = [finding for finding in self.plan.changed_history if not is_unknown(finding)]
        remember(environment, self.plan.identity, after.heads, found)
        return {**self._build_result("upgraded", writer, after), "notes": notes}

    def _describe_missed(self, environment: Environment, after: Position, missing: list[str]) -> Failed:
        """Return that revisions of the plan are not applied."""
        why, remedy = explain_open_transaction(environment)
        return Failed(
            f"Database {self.database.name!r} is not where it should be after its upgrade",
            f"it is at {after}; not applied: {', '.join(missing)}; {why}",
            remedy,
            code="target-not-reached",
        )

    def _list_streams(self, applied: dict[str, set[str]]) -> list[Stream]:
        """Return what was planned; where a version table was made since, env.py may have made another one."""
        planned = {stream.table for stream in self.plan.streams}
        made = {
            revision: table for table, revisions in applied.items() for revision in revisions if table not in planned
        }
        return [
            replace(stream, table=made.get(stream.pending[0].revision, stream.table))
            if stream.pending and not stream.heads
            else stream
            for stream in self.plan.streams
        ]

    @staticmethod
    def _list_pending(streams: list[Stream]) -> list[Step]:
        return [Step(stream.table, each.revision, each.message) for stream in streams for each in stream.pending]

    def _note_others(self, writer: JournalWriter, pending: list[Step]) -> list[str]:
        """Journal what was applied meanwhile and not by this run, so that a rollback finds it, and say so."""
        own = {(step.table, step.revision) for step in writer.committed}
        others = [step for step in pending if (step.table, step.revision) not in own]
        for step in others:
            writer.note_committed(step)
        if not others:
            return []
        named = describe_first([step.revision for step in others], _MOST_NAMED)
        who = "by migrate_setup, by env.py before it called run_migrations(), or by another session"
        return [f"{named} was applied while this run worked, and not by it: {who}"]

    def _note_further(self, streams: list[Stream], after: Position) -> list[str]:
        """Note a database that another session has migrated past its target; a revert would undo what is not ours."""
        if all(set(after.heads.get(stream.table, ())) == set(stream.goal) for stream in streams):
            return []
        planned = describe_heads(sorted({head for stream in streams for head in stream.goal}))
        return [f"it is at {after}, and {planned} was planned: another session has migrated it further"]

    def _hash_made_rows(self, after: Position) -> dict[str, Any]:
        return find_write_tracker(self.engine).hash_made_rows(
            WrittenRows(self.before.fingerprint, frozenset({*self.before.heads, *after.heads}))
        )

    def _build_result(
        self,
        outcome: str,
        writer: JournalWriter | None = None,
        after: Position | None = None,
        error: ErrorFacts | None = None,
    ) -> DatabaseResult:
        committed = writer.committed if writer else []
        return {
            "name": self.database.name,
            "outcome": outcome,
            "changed": bool(committed),
            "identity": self.plan.identity,
            "target": self.plan.target,
            # Of what was never read, nothing is known.
            "before": self.before.revisions if self.plan.streams else None,
            "after": (after or self.before).revisions if after or self.plan.streams else None,
            "applied": [render_step(step) for step in committed],
            "backup": self.backup.as_facts() if self.backup else None,
            "lost_rows": find_lost_rows(self.before.row_counts, after.row_counts if after else None),
            "error": error,
            "notes": [],
            "seconds": self.seconds,
        }


def describe_permanent_statements(failed: Step) -> str:
    """Return which statements of a failed revision are permanent, behind its error; nothing where none is."""
    named = describe_first(failed.permanent, _MOST_NAMED)
    return f"; executed before that, and permanent: {named}" if named else ""


def find_failed_statement(cause: BaseException | None) -> str:
    """Return the statement whose error a failure is, without its strings; nothing where it may have been executed."""
    if cause is None or getattr(cause, "connection_invalidated", False):
        return ""
    return render_for_journal(str(getattr(cause, "statement", "") or ""))


def upgrade_database(database: Database, job: Job, journal: Journal, progress: Progress) -> DatabaseResult:
    """Upgrade one database and return its result.

    Raises:
        Refused: its URL cannot be used.
    """
    return Upgrade(database, job, journal, progress, build_engine(database, job)).run()


def upgrade(job: Job) -> Answer:
    """Back up and upgrade every database, in a worker that outlives the connection."""
    answer = attend(start_deadline(job), list(job.databases), upgrade_database)
    if answer["finished"]:
        prune_backups(job)
    return answer
