# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of an engine's part that knows who wrote what since when."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .comparison import Comparison
from .data import Archive, Counted, Writes, WrittenRows
from .interface import Report
from .unseen_writes import Current, Note, UnseenWrites

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: Is called with names, and with a reason.
NoteTouched = Callable[[Iterable[str], str], None]


class WriteTracker(ABC):
    """Knows what a run has written and what others have, and compares with a backup."""

    #: Whether what a transaction wrote is counted when it ends; else each statement reports by itself.
    counts_transactions: bool

    def build_unseen_writes(self, connection: Connection, note: Note, current: Current) -> UnseenWrites:
        """Return what notes that a step of env.py's connection may have written where nothing counts it.

        Args:
            connection: env.py's.
            note: is called with the reason.
            current: returns the step that runs, or ran last.
        """
        return UnseenWrites(connection, note, current)

    def hand_over(self) -> Any:
        """Return, as data, what this process knows of who wrote, for the process that goes on in its place."""
        return None

    def take_over(self, known: Any) -> None:
        """Go on from what the process that worked on the database before has handed over."""
        return

    @contextmanager
    def watch_touched(self, note: NoteTouched) -> Iterator[None]:
        """Note, while env.py runs in the block, what its statements name, each before it is executed.

        Args:
            note: is called with names that are new, and with the reason where it is not known what is written.
        """
        yield

    @abstractmethod
    def count_transaction(self, connection: Connection, held: bool = False) -> Counted:
        """Return what is counted of env.py's open transaction; with ``held`` also what it keeps to itself."""

    def count_failed_transaction(self, connection: Connection) -> Counted:
        """Return what env.py's transaction has written that an error has ended, and leave it as it is."""
        return Counted()

    def list_changes_outside(self, connection: Connection, counted: Counted, wrote: Iterable[str]) -> list[str]:
        """Return what env.py's open transaction has changed outside of what the entry means, in words.

        Args:
            connection: env.py's.
            counted: of the transaction.
            wrote: the tables whose rows the step has written.
        """
        return []

    def list_subtransactions(self, connection: Connection, span: list[int], tables: list[str]) -> list[int]:
        """Return the numbers that env.py's open transaction has, besides its first one, as far as rows show them.

        Args:
            connection: env.py's.
            span: from where to where numbers were given since it began.
            tables: where it has written rows that are to be read.
        """
        return []

    def list_catalog_rows(self, connection: Connection, counted: Counted, span: list[int]) -> dict[str, dict[str, int]]:
        """Return the rows of catalogs that env.py's open transaction has replaced, by catalog and by who wrote them.

        Args:
            connection: env.py's.
            counted: what was counted of the transaction.
            span: as for ``list_subtransactions`` where it has such, else empty.
        """
        return {}

    def read_catalogs(self) -> Any:
        """Return what the catalogs hold before a statement that commits by itself, as far as they show it."""
        return None

    def list_catalog_rows_since(self, before: Any) -> dict[str, dict[str, dict[str, int]]]:
        """Return the rows that are gone since then, by the number of the first transaction since.

        They are the statement's if it had all transactions that there were since.
        """
        return {}

    def list_files_since(self, before: Any) -> tuple[list[str], dict[str, int]]:
        """Return the files that tables have got since ``read_catalogs``, and what was counted of tables now gone."""
        return [], {}

    def select_own_transactions(self, statement: str, span: list[int]) -> list[int]:
        """Return, of the numbers given while a statement ran that committed by itself, those that show to be its own.

        Args:
            statement: in SQL.
            span: the first number, and the first one after them.
        """
        return []

    def read_next_transaction(self) -> int:
        """Return the number that the next transaction will get, 0 where they have none."""
        return 0

    @abstractmethod
    def check_other_writers(self, connection: Connection) -> None:
        """Check whether others have written meanwhile, on env.py's connection without beginning a transaction there."""

    def can_read_now(self) -> bool:
        """Return whether a connection of our own can read while env.py's has a transaction open.

        What it cannot read is what that transaction holds for itself, so nothing was committed since it began.
        """
        return True

    @abstractmethod
    def read_content_state(self) -> dict[str, str] | None:
        """Return a digest of each table's rows, or None if others may have written since the dump or it counts them."""

    def resume(self, content: dict[str, str] | None, unchanged: Sequence[str] = ()) -> None:
        """Continue from what the process that failed has returned; to be called with the lock held.

        Args:
            content: what ``content`` returned.
            unchanged: what ``list_unchanged_tables`` returned.
        """
        return

    @abstractmethod
    def hash_made_rows(self, written_rows: WrittenRows) -> dict[str, Any]:
        """Return what is to be remembered, at a run's end, of the rows in what it has made, to find who wrote them."""

    @abstractmethod
    def find_later_writes(self, written_rows: WrittenRows) -> Writes:
        """Return what others wrote into tables and columns that a run has made: a downgrade would drop it.

        What is unknown may be the run's own as well.
        """

    def list_untouched(self, archive: Archive, written_rows: WrittenRows, tables: Iterable[str]) -> set[str]:
        """Return, of some tables, as schema.table, those that the run has provably not written.

        Args:
            archive: the backup.
            written_rows: what the run has done.
            tables: of the backup.
        """
        return set()

    def find_writes_into_made(self, written_rows: WrittenRows) -> Writes:
        """Return the same for a restore's guard, when no other session can write; what is unknown holds it."""
        return Writes(self.find_later_writes(written_rows).tables)

    def list_taken_from_others(self, archive: Archive | None, written_rows: WrittenRows) -> list[str]:
        """Return, in words, from what a run may have taken for good what others had written since its backup.

        It is in no place then: a table that was replaced may be as before. Nothing where a failure takes nothing.

        Args:
            archive: the backup, None where it was made by a command.
            written_rows: what the run has done.
        """
        return []

    def list_redefined_by_others(self, written_rows: WrittenRows, executed: Iterable[str]) -> list[str]:
        """Return, in words, objects without rows that the run has changed and others may have defined anew since.

        Args:
            written_rows: what the run has done.
            executed: its statements that were permanent at once.
        """
        return []

    def list_unchanged_tables(self, archive: Archive) -> list[str]:
        """Return the tables that the run wrote whose rows are those of the backup, if no other session wrote since.

        Args:
            archive: the backup; the run has just failed.
        """
        return []

    def list_touched_by_others(self, written_rows: WrittenRows) -> list[str]:
        """Return, as text, the tables that the run has changed and others may have written since."""
        return []

    def note_rows(self, written_rows: WrittenRows, now: list[str]) -> None:
        """Note, right before a backup, what ``find_final_writes`` compares with where nothing else shows who writes.

        Args:
            written_rows: what the run has done.
            now: the fingerprint of the database.
        """
        return

    def forget_locks(self) -> None:
        """Forget which tables ``find_final_writes`` has locked: their transaction ends."""
        return

    def count_cleared(self) -> dict[str, Any]:
        """Return by number the tables that only the run has changed, with what was counted until then."""
        return {}

    @abstractmethod
    def find_final_writes(self, connection: Connection, written_rows: WrittenRows) -> Writes:
        """Return what others wrote into tables that a run has made, which are locked until the transaction ends.

        Args:
            connection: env.py's, which is about to drop them.
            written_rows: what the run has done.
        """

    def find_overwritten(self, connection: Connection, written_rows: WrittenRows, wrote: Iterable[str]) -> Writes:
        """Return what others wrote into tables that a downgrade has changed, though that was not known before.

        Args:
            connection: env.py's, before the downgrade is committed.
            written_rows: what the run has done.
            wrote: the tables whose rows the downgrade has written.
        """
        return Writes()

    def read_positions(self) -> dict[str, Any]:
        """Return where the sequences are, for ``keep_positions``."""
        return {}

    def keep_positions(
        self, before: dict[str, Any], archive: Archive | None, written_rows: WrittenRows
    ) -> dict[str, str]:
        """Set sequences forward that downgrades have set behind what others were given, and return a note on each.

        Args:
            before: what ``positions`` returned before the downgrades.
            archive: the backup of the run, if there is one.
            written_rows: what the run has done, its downgrades included.
        """
        return {}

    def take_reads(self) -> dict[str, int]:
        """Return how often this process has read sequences itself, by number, and forget it: a journal keeps it."""
        return {}

    @abstractmethod
    def list_changed_by_run(self, archive: Archive, ours: dict[str, int]) -> list[str]:
        """Return the tables of a backup whose rows a run may have changed, given what it is known to have written."""

    def list_changed_by_downgrades(self, archive: Archive, wrote: dict[str, int], limit: int) -> list[str]:
        """Return the tables, of a backup and of now, whose rows downgrades have changed.

        Args:
            archive: the backup, taken right before them.
            wrote: rows or statements by table, as they wrote them.
            limit: as for ``compare``; a table that is not compared counts as changed.
        """
        return []

    def compare(self, archive: Archive, written_rows: WrittenRows, limit: int, report: Report) -> Comparison:
        """Compare the database with a backup: the schema to the letter, and the content of what may have changed.

        It is called after a failure, when what the run did is rolled back or downgraded, with the lock held.

        Args:
            archive: the backup.
            written_rows: what the run has done; ``before`` has the schema changes that others made since.
            limit: bytes; a larger table that may have changed is not compared, which counts as different.
            report: is called with what is being compared.
        """
        return Comparison()

    def compare_schema(
        self, archive: Archive, written_rows: WrittenRows, report: Report
    ) -> tuple[list[str], list[str]]:
        """Compare the schema with that of an older backup, and return how it differs, and what others changed in it.

        Args:
            archive: the backup.
            written_rows: what the run has done since, its downgrades included.
            report: is called with what is being compared.

        Raises:
            Failed: it could not be read.
        """
        return [], []

    @abstractmethod
    def find_writes_since(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Return what others wrote since a backup; only a restore's guard may call it, when no other session can write.

        Args:
            archive: the backup.
            ours: rows by table that the run itself has written since.
            content: what ``read_content_state`` returned later than the backup, if it did.
        """

    def compare_written(self, archive: Archive, written_rows: WrittenRows, limit: int, report: Report) -> None:
        """Compare what others seem to have written with a backup: ``find_writes_since`` leaves out the run's own.

        It is called before a restore, while others may still write.

        Args:
            archive: the backup.
            written_rows: what the run has done.
            limit: bytes; a larger table is not compared, and what was written to it counts as others'.
            report: is called with what is being compared.
        """
        return

    def foresee_writes(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Return the same while others are still at work: what can be read, but for whom a restore would end."""
        return self.find_writes_since(archive, ours, content)

    def count_definitions(self, connection: Connection) -> Counted | None:
        """Return what env.py's connections have defined that is permanent already, as ``files`` and ``schemas``.

        None where nothing is new, and for an engine that knows in other ways who has changed a schema.
        """
        return None

    def list_changes_by_others(self, archive: Archive, written_rows: WrittenRows) -> list[str]:
        """Return what others changed, or may have, beyond rows that are counted; for a restore's guard only."""
        return []
