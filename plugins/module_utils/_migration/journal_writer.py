# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal of an upgrade's revisions."""

from __future__ import annotations

from typing import Any

from .._core.progress import Progress
from .._engines.interface import Lock
from .._engines.parts import find_write_tracker
from .._journal.events import Journal
from .environment import Environment
from .state import read_fingerprint
from .step import Step, Watcher
from .version_table import read_heads_at_once

_REMEMBERED = ("tables", "committed", "_locked_out", "before_step", "_read_after", "_executed")


class JournalWriter(Watcher):
    """Write what Alembic does into the journal, before it is done, and remember what a failure will need."""

    wants_each_step = False

    def __init__(self, environment: Environment, lock: Lock, journal: Journal, progress: Progress) -> None:
        self._environment = environment
        self._engine = environment.engine
        self._lock = lock
        self._journal = journal
        self._progress = progress
        self.tables: list[str] = []
        self.committed: list[Step] = []
        #: Whether the version table could not be read, because env.py's transaction has changed the table itself.
        self._locked_out = False
        #: The schema as it was before the step that runs now, where a rollback might not bring it back.
        self.before_step: list[str] | None = None
        #: How many statements the step that runs has begun to execute that are permanent at once.
        self._executed = 0
        #: How many steps were committed when it was read.
        self._read_after = 0

    def on_begin(self, step: Step, number: int, count: int) -> None:
        """Journal the step; on an engine whose DDL survives a rollback, read the schema first."""
        self._lock.check()
        self._read_before_step()
        self._executed = 0
        self._journal.write("begun", revision=step.revision, table=step.table, number=number, count=count)
        self._progress.begin_phase(f"revision {number} of {count}, {step.revision} {step.message}".strip())

    def on_ran(self, step: Step) -> None:
        """Journal that the revision's function has returned; before a commit it is on the disk."""
        facts = {"revision": step.revision, "table": step.table, "seconds": step.seconds, **step.collect_written_rows()}
        write = self._journal.write_with_next if step.is_open else self._journal.write
        write("ran", **facts)

    def on_failed(self, step: Step) -> None:
        """Journal what a step wrote that has failed, whether it was rolled back or not."""
        written_rows = {**step.collect_written_rows(), "span": []}
        self._journal.write("step_failed", revision=step.revision, table=step.table, **written_rows)

    def on_left(self, step: Step) -> None:
        """Journal the step as committed if a connection of our own sees it."""
        if step.is_open or not find_write_tracker(self._engine).can_read_now():
            return  # the transaction goes on, and nothing of it is committed
        if self._locked_out:
            return
        try:
            heads = read_heads_at_once(self._engine, step.table)
        except Exception as error:
            if not self._engine.is_lock_timeout(error):
                raise
            # Env.py's own transaction holds the version table, so nothing is committed before it ends.
            self._locked_out = True
            return
        if step.revision in heads or step.revision in self._environment.list_applied(heads):
            self.note_committed(step)

    def on_early_commit(self, step: Step) -> None:
        """Journal what the open transaction has done, and read the schema before a part of the step is made permanent.

        What the migration itself has locked cannot be read from outside, and it keeps the lock while it
        waits for us. Then it is unknown later what the step left, so it counts as if it had left something.
        """
        if step.transactions:
            # If this process dies, nothing else says what the run did in them, the steps before this one included.
            facts = {"revision": step.revision, "table": step.table, "written_rows": step.collect_written_rows()}
            self._journal.write("commit_begun", **facts)
        if self.before_step is not None:
            return
        if not find_write_tracker(self._engine).can_read_now():
            self.before_step = []
            return
        try:
            with self._engine.shorten_lock_timeout():
                self.before_step = self._read_fingerprint()
        except Exception as error:
            if not self._engine.is_lock_timeout(error):
                raise
            self.before_step = []

    def on_execute(self, step: Step, statement: str) -> None:
        """Journal it: no rollback takes it back, so a person has to know how far the step came."""
        self._executed += 1
        self._journal.write(
            "executes", revision=step.revision, table=step.table, number=self._executed, statement=statement
        )

    def on_early_write(self, step: Step) -> None:
        """Journal it: if this process dies, nothing in the schema will show."""
        self._journal.write("wrote_early", revision=step.revision, table=step.table, rows=step.wrote)

    def on_unseen_write(self, step: Step, reason: str) -> None:
        """Journal it: afterwards, what the step wrote looks like what others wrote."""
        self._journal.write("wrote_unseen", revision=step.revision, table=step.table, reason=reason)

    def on_define(self, step: Step, held: dict[str, list[str]]) -> None:
        """Journal them: if this process dies, nothing else distinguishes them from what others have done."""
        self._journal.write_with_next("defined", revision=step.revision, table=step.table, held=held)

    def note_committed(self, step: Step) -> None:
        """Journal one committed revision, once."""
        if step not in self.committed:
            self.committed.append(step)
            digest = self._environment.hash_revision(step.revision)
            facts = {"revision": step.revision, "table": step.table, "message": step.message, "sha256": digest}
            self._journal.write("committed", **facts)

    def _read_before_step(self) -> None:
        """Read the schema, or keep what was read before the transaction that goes on: a rollback reverts to it."""
        if not self._engine.ddl_survives_rollback:
            self.before_step = None
        elif find_write_tracker(self._engine).can_read_now():
            self.before_step, self._read_after = self._read_fingerprint(), len(self.committed)
        elif self._read_after != len(self.committed):
            self.before_step = None

    def _read_fingerprint(self) -> list[str]:
        return read_fingerprint(self._engine, self._engine.open_own_connection(), self.tables)

    def hand_over(self) -> dict[str, Any]:
        """Return what it remembers, for one in another process."""
        return {name: getattr(self, name) for name in _REMEMBERED}

    def take_over(self, remembered: dict[str, Any]) -> None:
        """Go on from what another one remembers."""
        vars(self).update(remembered)
