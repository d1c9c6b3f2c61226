# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal of the downgrades of a revert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core.progress import Progress
from .._engines.sqlalchemy_import import sa
from .._journal.events import Journal
from .._migration.env_messages import RemoteConnection
from .._migration.step import Step, Watcher
from .run_record import RunRecord

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .later_writes import LaterWrites


#: First words of statements that may take rows away.
_TAKES = {"ALTER", "DELETE", "DROP", "RENAME", "REPLACE", "TRUNCATE", "UPDATE"}


class DowngradeJournal(Watcher):
    """Journal each downgrade before it runs, and remember what ran."""

    wants_rows_of_savepoints = True

    def __init__(self, journal: Journal, progress: Progress, run_record: RunRecord, later: LaterWrites | None) -> None:
        self._journal = journal
        self._progress = progress
        self._run_record = run_record
        self._later = later
        self._connection: Connection | None = None
        #: Whether the function of a revision runs.
        self._is_downgrading = False
        self.ran_steps: dict[str, Step] = {}
        #: Rows by table that the downgrades have written.
        self.wrote: dict[str, int] = {}

    def works_on(self, connection: Connection) -> None:
        """Take the connection."""
        self._connection = connection
        if self._later and self._later.checks_each_statement and not isinstance(connection, RemoteConnection):
            sa.event.listen(connection, "before_cursor_execute", self._check_before)
            sa.event.listen(connection, "after_cursor_execute", self._note_after)

    def _check_before(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if self._later and self._is_downgrading and self._takes(statement):
            self._later.check_statement(connection, statement)

    def _note_after(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if self._later and self._is_downgrading and self._takes(statement):
            self._later.end_statement(connection)

    def _takes(self, statement: str) -> bool:
        """Return whether a statement may take rows away; Alembic's own, of its version table, are left out."""
        words = statement.split(None, 1)
        names = [table.rpartition(".")[2] for table in self._run_record.committed]
        return bool(words) and words[0].upper() in _TAKES and not any(name in statement for name in names)

    def begins(self, step: Step, number: int, count: int) -> None:
        """Journal the step."""
        self._journal.write("downgrade_begun", revision=step.revision, table=step.table)
        self._progress.phase(f"downgrades {number} of {count}, {step.revision} {step.message}".strip())

    def begins_revision(self) -> None:
        """Check a last time whether the step may run."""
        if self._connection is not None and self._later:
            if self.ran_steps:  # what the one before has written is committed by now
                self._later.note_own()
            self._later.check(self._connection)
            self._later.has_begun = True
        self._is_downgrading = True

    def executes(self, step: Step, statement: str) -> None:
        """Journal it, as an upgrade does."""
        self._journal.write("executes", revision=step.revision, table=step.table, statement=statement)

    def writes_unseen(self, step: Step, reason: str) -> None:
        """Journal it: afterwards, what the step wrote looks like what others wrote."""
        self._journal.write("wrote_unseen", revision=step.revision, table=step.table, reason=reason)

    def defines(self, step: Step, held: dict[str, list[str]]) -> None:
        """Journal them, as for an upgrade."""
        self._journal.write_with_next("defined", revision=step.revision, table=step.table, held=held)

    def on_failed(self, step: Step) -> None:
        """Journal what a downgrade wrote that has failed."""
        self._is_downgrading = False
        written_rows = {**step.collect_written_rows(), "span": []}
        self._journal.write("downgrade_failed", revision=step.revision, table=step.table, **written_rows)

    def on_ran(self, step: Step) -> None:
        """Journal that the revision's function has returned, unless it has taken what others wrote.

        Raises:
            Refused: it has; nothing of it is committed.
        """
        self._is_downgrading = False
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
    return any(event["event"] == "downgrade_begun" for event in journal.events())
