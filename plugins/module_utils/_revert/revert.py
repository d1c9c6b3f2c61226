# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reverting a database: what a run committed, in reverse; where that is not enough, restore or hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._backup.manifest import Manifest
from .._backup.take import take
from .._core.errors import REPLACED_NOTHING, Failed, Refused
from .._core.job import Database, Job
from .._core.progress import Progress
from .._core.results import DatabaseResult, ResultDetails
from .._engines.connection import describe_error
from .._engines.interface import Engine
from .._engines.parts import find_restorer, find_write_tracker
from .._engines.registry import build_engine
from .._journal.events import Journal
from .._journal.run_state import retry_command
from .._migration.env_proxy import build_environment
from .._migration.environment import Environment
from .._migration.interrupted import Interrupted
from .._migration.own_commits import OwnCommits
from .._migration.state import Position, list_differences_since, read_position
from .._migration.step import Step, render_step
from .._worker.task import OneDatabase
from . import verification
from .data_loss import find_data_loss
from .downgrade_attempts import DowngradeAttempts, list_still_applied
from .downgrade_journal import DowngradeJournal, has_begun
from .elsewhere import OTHER_DATABASE_WRITTEN, Elsewhere, describe_manual_step, with_others
from .later_writes import LaterWrites
from .other_applications import list_changed_by_others, with_changes
from .restore import bring_back
from .run_record import RunRecord
from .taken_rows import refuse_taken
from .ways_out import build_command_for, restore_commands

_LEFT = "the failed revision left something behind that no downgrade undoes"


class Revert(OneDatabase):
    """The revert of one database from one run."""

    def __init__(
        self, database: Database, job: Job, journal: Journal, progress: Progress, run_record: RunRecord
    ) -> None:
        super().__init__(database, job, journal, progress)
        self.run_record = run_record
        self.undone: list[Step] = []
        self.notes: list[str] = []
        self.backup: Manifest | None = None
        #: Tables whose rows were other ones than the backup's already before the downgrades, once that was read.
        self.other_rows: set[str] | None = None
        #: Where a search was made for what others wrote into what the run had made.
        self.later: LaterWrites | None = None

    def run(self, on_purpose: bool) -> DatabaseResult:
        """Revert the database and return its result; that it is held, or refused, is a result, too.

        Args:
            on_purpose: an operator requested it later, so that what was written since is backed up first.
        """
        engine = build_engine(self.database, self.job)
        try:
            outside = OwnCommits(engine, self.journal, since_backup=not on_purpose)
            environment = build_environment(self.database, self.job, engine, outside)
            attempts = DowngradeAttempts(environment, self.journal, self.progress, self.run_record)
            with attempts as self._attempts, engine.lock(self.job.database_wait, self.progress.report) as self._lock:
                return self._with_others(engine, self._revert_locked(environment, on_purpose), on_purpose)
        except Refused as refusal:
            if on_purpose and not isinstance(refusal, Failed) and not has_begun(self.journal):
                return self._build_result("refused", details={"error": refusal.as_facts()})
            return self._hold(engine, refusal)
        except Exception as error:  # noqa: BLE001 - a server that went away, for one; what it left is for a person
            why = f"{type(error).__name__}: {describe_error(error)}"
            return self._hold(
                engine, Failed(f"Reverting database {self.database.name!r} failed", why, code="revert-failed")
            )

    def _revert_locked(self, environment: Environment, on_purpose: bool) -> DatabaseResult:
        self.progress.begin_phase("reverts")
        self.run_record.refuse_elsewhere(environment.engine)
        find_write_tracker(environment.engine).resume(self.run_record.content, self.run_record.unchanged)
        now = read_position(environment.engine, list(self.run_record.after.heads))
        if self.run_record.cut_short:
            self._read_committed(environment, now)
        self.run_record.refuse_moved(self.database.name, now)
        self._expect_others(environment.engine, now)
        if on_purpose:
            return self._roll_back(environment, now)
        if self.job.on_failure == "hold" and not self._is_old(environment.engine, now):
            what = f"Database {self.database.name!r} is held: nothing was undone"
            raise Failed(what, "migrate_on_failure is hold", code="database-held")
        refuse_taken(environment.engine, self._read_manifest(), self.run_record)
        if self.job.on_failure == "restore" and not self._is_old(environment.engine, now):
            return self._restore(environment, "migrate_on_failure is restore")
        self._tidy(environment.engine)
        if self.job.on_failure == "auto":
            restored = self._restore_if_needed(environment)
            if restored:
                return restored
        elif self.run_record.left:
            raise Failed(f"Database {self.database.name!r} is held: nothing was dropped", _LEFT, code="database-held")
        self.later = self._build_later_writes(environment.engine)
        self._note(self.later.keep(now))
        try:
            return self._downgrade_and_verify(environment, self._read_manifest(), self.later)
        except Failed as failure:
            return self._restore(environment, f"{failure.what}: {failure.why}")

    def _roll_back(self, environment: Environment, now: Position) -> DatabaseResult:
        # What was there before an interrupted rollback, no backup taken now can hold.
        before = verification.find_backup_of_interrupted(self.journal)
        self.later = self._build_later_writes(environment.engine)
        self.later.begin_rollback(now)
        taken = self._back_up(environment.engine, now)
        self.backup = before or taken
        self._note(self.later.describe(taken))
        self.later.secure(taken)
        try:
            return self._downgrade_and_verify(environment, None, self.later)
        except Refused as failure:
            if not (isinstance(failure, Failed) or self.later.refused):
                raise
            return self._undo_rollback(environment.engine, self.backup, failure, own_backup=before is None)

    def _undo_rollback(self, engine: Engine, backup: Manifest, failure: Refused, own_backup: bool) -> DatabaseResult:
        """Bring back what was there before a failed rollback, if no session has written since, and return the failure.

        Raises:
            Failed: it cannot be brought back; then a person decides.
        """
        why = f"{failure.what}: {failure.why}"
        if own_backup and self.later and self.later.refused and not self.later.has_begun:  # nothing was executed
            now, restored = read_position(engine, list(backup.heads)), None
        else:
            now, restored = verification.undo_rollback(
                engine, backup, self.journal, self.progress, why, self.job.compare_limit, own_backup
            )
        self.undone = []
        first = failure.remedy if failure.code == "others-wrote" else "Correct the downgrade"
        what = f"The rollback of {self.database.name!r} failed, and the database is as before it"
        remedy = f"{first}, then: {self._build_rollback_command()}"
        error = Failed(what, why, remedy, code="rollback-failed").as_facts()
        details: ResultDetails = {"error": error, "as_before": True}
        if restored:
            details |= {"retained": restored.retained, "method": restored.method}
        return self._build_result("failed", now, details)

    def _restore_if_needed(self, environment: Environment) -> DatabaseResult | None:
        """Restore where a downgrade would not bring everything back, or return None where a downgrade is enough.

        Raises:
            Refused: it would be needed for certain, and cannot be.
        """
        if self.run_record.left:
            return self._restore(environment, _LEFT)
        manifest = self._read_manifest()
        engine = environment.engine
        count = manifest is not None and manifest.row_counts is not None
        now = read_position(engine, list(self.run_record.after.heads), count_rows=count)
        found = find_data_loss(engine, manifest, self.run_record, now)
        self.other_rows = set(found.changed)
        if found.certain or (found.possible and find_restorer(engine).restores_quickly):
            try:
                return self._restore(environment, f"a downgrade might not bring back what was: {found}")
            except Refused as refusal:
                begun = isinstance(refusal, Failed) and refusal.code != REPLACED_NOTHING
                if found.certain or begun:
                    raise
        self.notes += [
            f"{words}; a downgrade may leave them so, the backup has them as before" for words in found.possible
        ]
        return None

    def _build_later_writes(self, engine: Engine) -> LaterWrites:
        return LaterWrites(engine, self.run_record, self._read_manifest(), self.journal, self.progress)

    def _note(self, words: str) -> None:
        self.notes += [words] if words else []

    def _expect_others(self, engine: Engine, now: Position) -> None:
        """Let what others have changed in the schema since be a part of what the revert leads to."""
        changes = self.run_record.others = list_changed_by_others(engine, self.run_record, now)
        if changes:
            expected = with_changes(self.run_record.before.fingerprint, changes)
            self.run_record.before = Position(self.run_record.before.heads, expected)

    def _is_old(self, engine: Engine, now: Position) -> bool:
        before = self.run_record.before
        return now.heads == before.heads and not list_differences_since(engine, before.fingerprint, now.fingerprint)

    def _tidy(self, engine: Engine) -> None:
        """Take away what the failed revision left half-made, if no session uses it."""
        record = self.run_record
        removed = find_restorer(engine).remove_unfinished(record.before.fingerprint, record.left, record.executed)
        if removed:
            self.journal.write("tidied", removed=removed)
            record.left = [line for line in record.left if line.removeprefix("+") not in removed]

    def _downgrade_and_verify(
        self,
        environment: Environment,
        manifest: Manifest | None,
        later: LaterWrites | None = None,
    ) -> DatabaseResult:
        """Downgrade and verify.

        Args:
            environment: of the database.
            manifest: the backup whose rows must not be other ones through the downgrades, if there is one.
            later: checks in the transaction of each step that it takes nothing of others.

        Raises:
            Refused: by ``later``.
            Failed: a downgrade failed, or did not bring back what was.
        """
        known = self.other_rows
        if known is None:
            known = self._list_changed_tables(environment.engine, manifest, self.run_record.wrote)
        watcher = DowngradeJournal(self.journal, self.progress, self.run_record, later)
        try:
            self._downgrade(environment, watcher)
        except Interrupted as interruption:
            if self.later and self.later.refused and isinstance(interruption.cause, Refused):
                raise interruption.cause from interruption  # a restore would lose the same
            raise Failed(
                f"The downgrade of {self.database.name!r} failed", str(interruption), code="downgrade-failed"
            ) from interruption
        changed = self._list_changed_tables(environment.engine, manifest, watcher.wrote) - known
        if changed:
            why = f"the upgrade had not written to {', '.join(sorted(changed))}"
            raise Failed("the downgrades changed rows that they had no reason to", why, code="downgrade-changed-rows")
        if self.backup:  # a rollback on purpose may undo what the upgrade did to rows, so that is only reported
            limit = self.job.compare_limit
            self._note(verification.describe_changed_rows(environment.engine, self.backup, watcher.wrote, limit))
        return self._verify(environment, manifest)

    @staticmethod
    def _list_changed_tables(engine: Engine, manifest: Manifest | None, wrote: dict[str, int]) -> set[str]:
        if manifest is None or not engine.is_present():
            return set()
        return set(find_write_tracker(engine).list_changed_by_run(manifest.as_archive(), wrote))

    def _read_committed(self, environment: Environment, now: Position) -> None:
        """Take what a dead process committed from the database: of the revisions it began, those that are applied."""
        self.run_record.committed = self.run_record.begun
        self.run_record.committed = list_still_applied(environment, self.run_record)
        self.run_record.left += self.run_record.list_left_by_unapplied()
        self.run_record.after = now

    def _back_up(self, engine: Engine, now: Position) -> Manifest:
        taken = take(engine, now.heads, self.job, self.progress.report)
        self.journal.write("backed_up", path=taken.path, size=taken.size, **now.as_facts())
        return taken

    def _downgrade(self, environment: Environment, watcher: DowngradeJournal) -> None:
        positions = find_write_tracker(environment.engine).read_positions()
        work: list[Callable[[], None]] = [
            lambda: self._keep_positions(environment.engine, watcher, positions),
            lambda: self._read_undone(environment, watcher),
        ]
        try:
            self._attempts.run(self._lock, watcher, self.later)
        except BaseException:
            # What failed first decides what follows, and must not be hidden by what fails because of it.
            for each in work:
                try:
                    each()
                except Exception as error:  # noqa: BLE001 - the server may be what failed
                    self._note(f"after the downgrade had failed: {type(error).__name__}: {describe_error(error)}")
            raise
        for each in work:
            each()

    def _keep_positions(self, engine: Engine, watcher: DowngradeJournal, before: dict[str, Any]) -> None:
        if watcher.ran_steps:
            done, manifest = self._record_of_now(), self._read_manifest()
            self.notes += verification.keep_positions(engine, self.journal, before, manifest, done)

    def _read_undone(self, environment: Environment, watcher: DowngradeJournal) -> None:
        """Read which of the downgrades that ran are committed; all may be where that cannot be read."""
        self.undone = list(watcher.ran_steps.values())
        applied = list_still_applied(environment, self.run_record).values()
        left = {revision for revisions in applied for revision in revisions}
        self.undone = [step for step in self.undone if step.revision not in left]

    def _verify(self, environment: Environment, manifest: Manifest | None) -> DatabaseResult:
        """Compare with what was true before the run.

        Args:
            environment: of the database.
            manifest: the backup to compare with, if there is one.

        Raises:
            Failed: the downgrades ran, but the database is not what it was.
        """
        # A database that was not there before had no version tables that could be known; empty ones may stay.
        before = {**{table: [] for table in self.run_record.committed}, **self.run_record.before.heads}
        now = read_position(environment.engine, list(before))
        if now.heads != before:
            raise Failed(
                "the downgrades did not lead to the old revision", f"it is at {now}", code="downgrade-not-exact"
            )
        changed = list_differences_since(environment.engine, self.run_record.before.fingerprint, now.fingerprint)
        if changed:
            raise Failed(
                "the downgrades did not bring the old schema back", "; ".join(changed[:5]), code="downgrade-not-exact"
            )
        found = verification.compare_with(
            manifest, environment.engine, self._record_of_now(), self.progress, self.job.compare_limit
        )
        self.notes += verification.list_notes(found)
        verification.note_reads(environment.engine, self.journal)
        if self.backup:  # of a rollback on purpose, which has no backup of its own run to compare with
            done = self._record_of_now()
            self.notes += verification.compare_rolled_back(
                self._read_manifest(), environment.engine, self.run_record, done, self.progress
            )
        if manifest:
            verification.refuse_differences(found, manifest)
        self.journal.write("downgraded", **now.as_facts())
        return self._build_result("downgraded" if self.undone else "untouched", now)

    def _record_of_now(self) -> RunRecord:
        """Return what the run has done, its downgrades included."""
        run_record = RunRecord.of(self.run_record.run, self.journal.read_events_of_run())
        run_record.before, run_record.committed = self.run_record.before, self.run_record.committed
        return run_record

    def _restore(self, environment: Environment, reason: str) -> DatabaseResult:
        manifest = self._read_manifest()
        if self.job.on_failure == "downgrade" or manifest is None:
            raise Failed(f"Database {self.database.name!r} is held: nothing was dropped", reason, code="database-held")
        # The downgrades that were tried before have written rows too.
        run_record = RunRecord.of(self.run_record.run, self.journal.read_events_of_run(), self.run_record.others)
        try:
            restored, now = bring_back(environment.engine, manifest, run_record, self.journal, self.progress, reason)
        except Refused as refusal:
            raise refusal.with_reason(reason) from refusal
        details: ResultDetails = {"retained": restored.retained, "method": restored.method, "reason": reason}
        return self._build_result("restored", now, {**details, "not_restored": restored.not_restored})

    def _read_manifest(self) -> Manifest | None:
        return verification.find_backup(self.run_record)

    def _with_others(self, engine: Engine, result: DatabaseResult, on_purpose: bool) -> DatabaseResult:
        """Add what the run has written to other databases, which holds this one: a person decides about those."""
        found = Elsewhere.of(self.run_record, self.journal)
        return with_others(result, found, None if on_purpose else lambda refusal: self._hold(engine, refusal))

    def _hold(self, engine: Engine, failure: Refused) -> DatabaseResult:
        """Leave the database as it is and say both ways out."""
        ways = {"forward": f"{describe_manual_step(failure)}, then: {retry_command(self.database.name)}"}
        # Of a rollback on purpose, the backup that it took itself.
        manifest = self.backup or self._read_manifest()
        refused = self.later is not None and self.later.refused
        # It backs up all that is there before it downgrades, so it keeps more than a restore.
        keeps_more = refused and not self.undone and not self.run_record.may_have_left
        if manifest and not keeps_more and failure.code != OTHER_DATABASE_WRITTEN:
            ways |= restore_commands(engine, manifest, failure.code)
        elif refused:
            ways["back"] = self._build_rollback_command()
        self.journal.write("held", error=failure.as_facts(), ways_out=ways)
        found = Elsewhere.of(self.run_record, self.journal).describe(but=failure.code)
        details: ResultDetails = {"error": failure.as_facts(), "ways_out": ways, "elsewhere": found}
        return self._build_result("held", self._read_where(engine), details)

    def _build_rollback_command(self) -> str:
        return build_command_for(self.database.name, "rollback", migrate_rollback_run=self.run_record.run)

    def _read_where(self, engine: Engine) -> Position | None:
        """Read the revisions of the database once more; None if it is unknown."""
        try:
            return read_position(engine, list(self.run_record.before.heads))
        except Exception:  # noqa: BLE001 - the server may be what failed
            return None

    def _build_result(
        self, outcome: str, now: Position | None = None, details: ResultDetails | None = None
    ) -> DatabaseResult:
        return {
            "name": self.database.name,
            "outcome": outcome,
            "changed": bool(self.undone) or outcome == "restored",
            "of_run": self.run_record.run,
            "before": self.run_record.after.revisions,
            "after": now.revisions if now else None,
            "undone": [render_step(step) for step in self.undone],
            "backup": self.backup.as_facts() if self.backup else None,
            "upgrade_error": self.run_record.error,
            "notes": self.notes,
            "seconds": self.seconds,
            **(details or {}),
        }
