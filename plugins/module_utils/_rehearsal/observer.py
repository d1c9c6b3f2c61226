# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measuring revisions while they run in a scratch database: their time, their locks, their space, their traces."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .._core.progress import Progress
from .._engines.interface import Engine
from .._engines.parts import find_rehearser
from .._journal.events import Journal
from .._migration.env_messages import read_contents_on, read_fingerprint_on
from .._migration.step import Step, Watcher
from .verdict import State, Verdict

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

Key = tuple[str, str]


def build_key(step: Step) -> Key:
    """Return what names a step among those of all version tables."""
    return step.table, step.revision


class Traces(Watcher):
    """Remember what the database was like after the last step; read over env.py's own connection.

    In a single transaction no other session can see it.
    """

    _seen: tuple[str, ...] = ("latest",)

    def __init__(self, engine: Engine, leave_out: frozenset[str], in_full: bool) -> None:
        self.engine = engine
        self.leave_out = leave_out
        self.in_full = in_full
        self.latest: State | None = None
        self._connection: Connection | None = None

    def show_in(self, progress: Progress) -> None:
        """Hear where to show the phases; this one has none."""

    def hand_over(self) -> dict[str, Any]:
        """Return what it has seen, for one in another process."""
        return {name: getattr(self, name) for name in self._seen}

    def take_over(self, seen: dict[str, Any]) -> None:
        """Remember what another one has seen."""
        vars(self).update(seen)

    def on_connection(self, connection: Connection) -> None:
        """Take the connection."""
        self._connection = connection

    def on_ran(self, step: Step) -> None:
        """Read what the revision has left."""
        self.read_contents()

    def read_contents(self) -> None:
        """Read the schema and the rows as the migration sees them."""
        if self._connection is None:
            return
        fingerprint = read_fingerprint_on(self.engine, self._connection, self.leave_out)
        self.latest = State(fingerprint, read_contents_on(self.engine, self._connection, self.leave_out, self.in_full))


class StateBefore(Traces):
    """Remember what the database was like before one step."""

    def __init__(self, engine: Engine, leave_out: frozenset[str], in_full: bool, step: Step) -> None:
        super().__init__(engine, leave_out, in_full)
        self._key = build_key(step)

    def on_begin(self, step: Step, number: int, count: int) -> None:
        """Read it when the step is about to run."""
        if build_key(step) == self._key:
            self.read_contents()

    def on_ran(self, step: Step) -> None:
        """Read nothing: what comes after the step is another's to read."""


class Observer(Traces):
    """Watch the first upgrade."""

    _seen = ("latest", "verdicts", "before", "overhead")

    def __init__(
        self, engine: Engine, leave_out: frozenset[str], in_full: bool, journal: Journal, progress: Progress
    ) -> None:
        super().__init__(engine, leave_out, in_full)
        self.journal = journal
        self.progress = progress
        self.verdicts: list[Verdict] = []
        #: What the database was like before each revision.
        self.before: dict[Key, State] = {}
        #: Seconds that the watching took, which the real run will not need.
        self.overhead = 0.0
        self._disk_usage = 0
        self._locked: set[tuple[str, str]] = set()

    def show_in(self, progress: Progress) -> None:
        """Show the phases there."""
        self.progress = progress

    def on_begin(self, step: Step, number: int, count: int) -> None:
        """Read what was before; locks that an earlier revision of the same transaction took are its own."""
        begun = time.monotonic()
        self.journal.write("begun", revision=step.revision, table=step.table, number=number, count=count)
        self.progress.begin_phase(f"rehearses revision {number} of {count}, {step.revision} {step.message}".strip())
        if number == 1:
            self.read_contents()
        if self.latest:
            self.before[build_key(step)] = self.latest
        self.verdicts.append(Verdict(step))
        self._locked = find_rehearser(self.engine).read_locks()
        self._disk_usage = find_rehearser(self.engine).measure_disk_usage()
        self.overhead += time.monotonic() - begun
        step.began = time.monotonic()

    def on_ran(self, step: Step) -> None:
        """Read the locks and the space before anything is committed."""
        begun = time.monotonic()
        verdict = self.verdicts[-1]
        self._note_locks(verdict)
        self._weigh(verdict)
        self.read_contents()
        facts = {"revision": step.revision, "table": step.table, "message": step.message, "seconds": step.seconds}
        self.journal.write("rehearsed", **facts, locks=verdict.locks, space=verdict.space)
        self.overhead += time.monotonic() - begun

    def on_left(self, step: Step) -> None:
        """Weigh again: SQLite writes when it commits."""
        self._weigh(self.verdicts[-1])

    def on_early_commit(self, step: Step) -> None:
        """Note what an autocommit block will let go of."""
        self._note_locks(self.verdicts[-1])

    def _note_locks(self, verdict: Verdict) -> None:
        for table, mode in sorted(find_rehearser(self.engine).read_locks() - self._locked):
            if table not in self.leave_out:
                verdict.locks[table] = find_rehearser(self.engine).find_strongest_mode(
                    {mode, verdict.locks.get(table, mode)}
                )

    def _weigh(self, verdict: Verdict) -> None:
        verdict.space = max(verdict.space, find_rehearser(self.engine).measure_disk_usage() - self._disk_usage)
