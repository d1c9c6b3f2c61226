# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leading a database back: what a run committed, in reverse; where that is not enough, restore or hold."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import backups
from .engines import engine_for
from .engines.base import Engine
from .environment import Environment, Interrupted
from .errors import Failed, Refused
from .job import Database, Job
from .journal import Event, Journal, ending, moved, newest_first, read_events
from .patience import patiently
from .position import Position, differences, read_applied, read_position
from .progress import Progress
from .steps import Step, Watcher, shown

Result = dict[str, Any]


@dataclass
class Account:
    """What a journal says that a run did to a database."""

    run: str
    release: str = ""
    before: Position = field(default_factory=lambda: Position({}))
    after: Position = field(default_factory=lambda: Position({}))
    begun: dict[str, list[str]] = field(default_factory=dict)
    committed: dict[str, list[str]] = field(default_factory=dict)
    #: The process died: what it committed must be read from the database.
    cut_short: bool = True
    left_behind: bool = False
    backup: Path | None = None
    error: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, run: str, events: list[Event]) -> Account:
        """Read an account from the events of an upgrade; one that was cut short may have left anything behind."""
        account = cls(run)
        for event in events:
            if event["event"] == "planned":
                account.release = event["release"]
            elif event["event"] == "backed_up":
                account.before = Position(event["heads"], event["fingerprint"])
                account.after = account.before
                account.backup = Path(event["path"])
            elif event["event"] == "begun":
                account.begun.setdefault(event["table"], []).append(event["revision"])
            elif event["event"] == "committed":
                account.committed.setdefault(event["table"], []).append(event["revision"])
            elif event["event"] in ("verified", "failed"):
                account.after = Position(event["heads"], event["fingerprint"])
                account.cut_short = False
                account.left_behind = event.get("left_behind", False)
                account.error = event.get("error", {})
        return account


class _Chronicle(Watcher):
    """Journal each downgrade before it runs, and remember what ran."""

    def __init__(self, journal: Journal, progress: Progress) -> None:
        self._journal = journal
        self._progress = progress
        self.ran_steps: dict[str, Step] = {}

    def begins(self, step: Step, number: int, count: int) -> None:
        """Journal the step."""
        self._journal.write("downgrade_begun", revision=step.revision, table=step.table)
        self._progress.phase(f"downgrades {number} of {count}, {step.revision} {step.message}".strip())

    def ran(self, step: Step) -> None:
        """Journal that the revision's function has returned."""
        self._journal.write("downgrade_ran", revision=step.revision, table=step.table, seconds=step.seconds)
        self.ran_steps[step.revision] = step


class LeadBack:
    """The way back of one database from one run."""

    def __init__(self, database: Database, job: Job, journal: Journal, progress: Progress, account: Account) -> None:
        self.database = database
        self.job = job
        self.journal = journal
        self.progress = progress
        self.account = account
        self.begun = time.monotonic()
        self.undone: list[Step] = []
        self.backup: backups.Manifest | None = None

    def run(self, on_purpose: bool) -> Result:
        """Lead the database back and return its result; that it is held, or refused, is a result too.

        Args:
            on_purpose: a person asked for it later, so that what was written since is backed up first.
        """
        engine = engine_for(self.database, self.job)
        try:
            environment = Environment(self.database, self.job, engine)
            with engine.lock(self.job.database_wait, self.progress.tell):
                return self._locked(environment, on_purpose)
        except Refused as refusal:
            if on_purpose and not isinstance(refusal, Failed):
                return self._result("refused", error=refusal.facts())
            return self._held(engine, refusal)

    def _locked(self, environment: Environment, on_purpose: bool) -> Result:
        self.progress.phase("leads back")
        now = read_position(environment, list(self.account.after.heads))
        if self.account.cut_short:
            self._read_committed(environment, now)
        if now.heads != self.account.after.heads:
            raise Refused(
                f"Database {self.database.name!r} has been moved since run {self.account.run}",
                f"that run left it at {self.account.after}, and now it stands at {now}",
                "Go back by hand with alembic downgrade, or restore a backup",
            )
        if on_purpose:
            self._back_up(environment.engine, now)
        if self.account.left_behind:
            return self._restore(environment, "the failed revision left something behind that no downgrade undoes")
        try:
            self._downgrade(environment)
            return self._verified(environment)
        except (Interrupted, Failed) as error:
            if on_purpose:
                raise Failed(f"The downgrade of {self.database.name!r} failed", str(error)) from error
            return self._restore(environment, f"the downgrade failed: {error}")

    def _read_committed(self, environment: Environment, now: Position) -> None:
        """Take what a dead process committed from the database: of the revisions it began, those that are applied."""
        self.account.committed = self.account.begun
        self.account.committed = self._still_applied(environment)
        self.account.after = now

    def _back_up(self, engine: Engine, now: Position) -> None:
        self.backup = backups.take(engine, now.heads, self.job, self.progress.tell)
        self.journal.write("backed_up", path=self.backup.path, size=self.backup.size, **now.facts())

    def _downgrade(self, environment: Environment) -> None:
        watcher = _Chronicle(self.journal, self.progress)

        def attempt() -> None:
            # An attempt that gave way may have undone some of them already.
            applied = self._still_applied(environment)
            if any(applied.values()):
                environment.downgrade(applied, watcher)

        try:
            patiently(environment.engine, self.journal, self.progress, attempt, lambda _interruption: True)
        finally:
            left = {revision for revisions in self._still_applied(environment).values() for revision in revisions}
            self.undone = [step for step in watcher.ran_steps.values() if step.revision not in left]

    def _still_applied(self, environment: Environment) -> dict[str, list[str]]:
        applied = read_applied(environment, environment.engine.own(), list(self.account.committed))
        return {
            table: [revision for revision in revisions if revision in applied[table]]
            for table, revisions in self.account.committed.items()
        }

    def _verified(self, environment: Environment) -> Result:
        """Compare with what was true before the run.

        Raises:
            Failed: the downgrades ran, but the database is not what it was.
        """
        # A database that was not there before had no version tables that could be known; empty ones may stay.
        before = {**{table: [] for table in self.account.committed}, **self.account.before.heads}
        now = read_position(environment, list(before))
        if now.heads != before:
            raise Failed("the downgrades did not lead to the old revision", f"it stands at {now}")
        changed = differences(self.account.before.fingerprint, now.fingerprint)
        if changed:
            raise Failed("the downgrades did not bring the old schema back", "; ".join(changed[:5]))
        self.journal.write("downgraded", **now.facts())
        return self._result("downgraded" if self.undone else "untouched", now)

    def _restore(self, environment: Environment, reason: str) -> Result:
        engine = environment.engine
        manifest = self._manifest()
        if manifest is None or engine.restore_method().obstacle:
            raise Failed(f"Database {self.database.name!r} is held: nothing was dropped", reason)
        backups.check(manifest)
        self.progress.phase("restores")
        self.journal.write("restore_begun", path=manifest.path, reason=reason)
        restored = engine.restore(manifest.archive(), self.account.run, self.progress.tell, lambda: None)
        now = read_position(environment, list(self.account.before.heads))
        if now.heads != self.account.before.heads:
            raise Failed("the restore did not lead to the old revision", f"it stands at {now}")
        self.journal.write("restored", path=manifest.path, aside=restored.aside, **now.facts())
        return self._result("restored", now, aside=restored.aside, reason=reason)

    def _manifest(self) -> backups.Manifest | None:
        """Return the backup that the run took before it began, if it is still there."""
        taken = backups.proven(self.account.backup.parent) if self.account.backup else []
        return next((manifest for manifest in taken if manifest.run == self.account.run), None)

    def _held(self, engine: Engine, failure: Refused) -> Result:
        """Leave the database as it is and say both ways out."""
        ways = {"forward": "correct the release and run migrate.yml again"}
        manifest = self._manifest()
        if manifest:
            ways["back"] = engine.restore_command(Path(manifest.path) / manifest.dump)
        self.journal.write("held", error=failure.facts(), ways_out=ways)
        return self._result("held", self._where(engine), error=failure.facts(), ways_out=ways)

    def _where(self, engine: Engine) -> Position | None:
        """Read once more where the database stands; None if it cannot be told."""
        try:
            return read_position(Environment(self.database, self.job, engine), list(self.account.before.heads))
        except Exception:  # noqa: BLE001 - the server may be what failed
            return None

    def _result(self, outcome: str, now: Position | None = None, **facts: Any) -> Result:
        return {
            "name": self.database.name,
            "outcome": outcome,
            "changed": bool(self.undone) or outcome == "restored",
            "of_run": self.account.run,
            "before": self.account.after.revisions,
            "after": now.revisions if now else None,
            "undone": [shown(step) for step in self.undone],
            "backup": self.backup.facts() if self.backup else None,
            "upgrade_error": self.account.error,
            "seconds": round(time.monotonic() - self.begun, 3),
            **facts,
        }


def needs_leading_back(events: list[Event]) -> bool:
    """Tell whether the upgrade of a journal began a revision and ended badly, or never ended."""
    done = ending(events, "upgrade")
    began = any(event["event"] == "begun" for event in events)
    return began and (done is None or done["result"]["outcome"] == "failed")


def downgrade_database(database: Database, job: Job, journal: Journal, progress: Progress) -> Result:
    """Lead a database back from what this run did to it.

    Raises:
        Refused: its URL cannot be used.
    """
    account = Account.of(job.run, journal.events())
    return LeadBack(database, job, journal, progress, account).run(on_purpose=False)


def rollback_database(database: Database, job: Job, journal: Journal, progress: Progress) -> Result:
    """Lead a database back from an earlier run, on purpose.

    Raises:
        Refused: its URL cannot be used.
    """
    account = Account.of(job.of_run, read_events(job.layout.journal(database.name, job.of_run)))
    obstacle = _moved_since(job, database.name)
    if obstacle:
        return {"name": database.name, "outcome": "refused", "changed": False, "error": obstacle.facts()}
    return LeadBack(database, job, journal, progress, account).run(on_purpose=True)


def _moved_since(job: Job, database: str) -> Refused | None:
    """Return why a run cannot be rolled back any more; a later run that was itself rolled back is no reason."""
    rolled_back: dict[str, str] = {}
    what = f"Run {job.of_run} cannot be rolled back in database {database!r}"
    for run, events in newest_first(job.layout.journals_of(database)):
        if run == job.of_run:
            by = rolled_back.get(run)
            return Refused(what, f"run {by} has rolled it back already") if by else None
        undone = ending(events, "rollback")
        if undone and moved(events):
            rolled_back[undone["result"]["of_run"]] = run
        elif run != job.run and moved(events) and run not in rolled_back:
            return Refused(
                what, f"run {run} has {moved(events)} it since", f"Roll that one back first: migrate_rollback_run={run}"
            )
    return None
