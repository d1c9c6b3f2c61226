# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal of the downgrades of a revert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core.progress import Progress
from .._journal.events import Journal
from .._migration.step import Step, Watcher
from .run_record import RunRecord

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .later_writes import LaterWrites


class DowngradeJournal(Watcher):
    """Journal each downgrade before it runs, and remember what ran."""

    wants_rows_of_savepoints = True

    def __init__(self, journal: Journal, progress: Progress, run_record: RunRecord, later: LaterWrites | None) -> None:
        self._journal = journal
        self._progress = progress
        self._run_record = run_record
        self._later = later
        self._connection: Connection | None = None
        self.ran_steps: dict[str, Step] = {}
        #: Rows by table that the downgrades have written.
        self.wrote: dict[str, int] = {}

    def on_connection(self, connection: Connection) -> None:
        """Take the connection."""
        self._connection = connection

    def on_begin(self, step: Step, number: int, count: int) -> None:
        """Journal the step."""
        self._journal.write("downgrade_begun", revision=step.revision, table=step.table)
        self._progress.begin_phase(f"downgrades {number} of {count}, {step.revision} {step.message}".strip())

    def on_begin_revision(self) -> None:
        """Check a last time whether the step may run."""
        if self._connection is not None and self._later:
            self._later.check(self._connection)
            self._later.has_begun = True

    def on_early_commit(self, step: Step) -> None:
        """Forget what was locked."""
        if self._later:
            self._later.forget_locks()

    def on_execute(self, step: Step, statement: str) -> None:
        """Journal it, as an upgrade does."""
        self._journal.write("executes", revision=step.revision, table=step.table, statement=statement)

    def on_unseen_write(self, step: Step, reason: str) -> None:
        """Journal it: afterwards, what the step wrote looks like what others wrote."""
        self._journal.write("wrote_unseen", revision=step.revision, table=step.table, reason=reason)

    def on_define(self, step: Step, held: dict[str, list[str]]) -> None:
        """Journal them, as for an upgrade."""
        self._journal.write_with_next("defined", revision=step.revision, table=step.table, held=held)

    def on_failed(self, step: Step) -> None:
        """Journal what a downgrade wrote that has failed."""
        written_rows = {**step.collect_written_rows(), "span": []}
        self._journal.write("downgrade_failed", revision=step.revision, table=step.table, **written_rows)

    def on_ran(self, step: Step) -> None:
        """Journal that the revision's function has returned, unless it has taken what others wrote.

        Raises:
            Refused: it has; nothing of it is committed.
        """
        if self._connection is not None and self._later:
            self._later.check_written(self._connection, step.wrote)
        # Without its span: what else was written meanwhile counts as others', for the next step may drop it.
        written_rows: dict[str, Any] = {"wrote": step.wrote, "transactions": step.transactions, "held": step.held}
        written_rows["replaced"], written_rows["catalog_rows"] = sorted(step.replaced), step.catalog_rows
        written_rows["used"], written_rows["reads"], written_rows["written"] = step.used, step.reads, step.written
        self._journal.write(
            "downgrade_ran", revision=step.revision, table=step.table, seconds=step.seconds, **written_rows
        )
        self._run_record.add_transactions([written_rows])
        self.ran_steps[step.revision] = step
        for table, count in step.wrote.items():
            self.wrote[table] = self.wrote.get(table, 0) + count

    def hand_over(self) -> dict[str, Any]:
        """Return what it remembers, for one in another process."""
        return {"ran_steps": self.ran_steps, "wrote": self.wrote}

    def take_over(self, remembered: dict[str, Any]) -> None:
        """Go on from what another one remembers."""
        vars(self).update(remembered)


def has_begun(journal: Journal) -> bool:
    """Return whether a downgrade of this run was begun."""
    return any(event["event"] == "downgrade_begun" for event in journal.read_events_of_run())
