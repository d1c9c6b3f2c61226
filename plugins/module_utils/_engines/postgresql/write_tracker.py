# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writers of rows in a PostgreSQL database: the server counts, and each row has its transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..comparison import Comparison
from ..data import Archive, Counted, Writes, WrittenRows
from ..interface import Report
from ..write_tracker import WriteTracker
from . import row_authors, write_counters
from .catalog_changes import (
    list_files_since,
    read_catalog_rows,
    read_if_quiet,
    read_replaced,
    subtract_rows,
)
from .compare import ArchiveComparison, read_archived_positions
from .grown_tables import find_lossless_tables
from .made_tables import find_writes_into_made
from .other_changes import list_changes_by_others, list_schema_changes_by_others
from .other_sessions import read_remaining_sessions
from .outside_schema import find_changes_outside
from .own_transactions import read_own_of_statement, read_subtransactions
from .relations import read_relations
from .run_sessions import close_sessions_of_run
from .sequences import list_sequence_changes, read_positions, set_forward
from .touched_tables import find_overwritten, find_touched_by_others, lock_and_find_later_writes

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

from ..unseen_writes import Current, Note, UnseenWrites
from .session import PostgreSQLSession
from .unseen_writes import PostgreSQLUnseenWrites


class PostgreSQLWriteTracker(WriteTracker):
    """Queries the server's counters and catalogs."""

    counts_transactions = True

    def __init__(self, engine: PostgreSQLSession) -> None:
        self.engine = engine
        #: Until which count of each table, by number, nothing of others would be lost.
        self._nothing_lost: dict[str, int] = {}
        #: By number, tables to which no other session had written when that was counted.
        self._cleared: dict[str, dict[str, Any]] = {}
        #: The numbers of the tables that env.py's transaction keeps to itself.
        self._locked: set[str] = set()

    def build_unseen_writes(self, connection: Connection, note: Note, current: Current) -> UnseenWrites:
        """Follow its transactions, and what it opens beside them."""
        return PostgreSQLUnseenWrites(connection, note, current, self)

    def count_transaction(self, connection: Connection, held: bool = False) -> Counted:
        """Query the backend of the connection."""
        return write_counters.count_transaction(connection, held)

    def count_failed_transaction(self, connection: Connection) -> Counted:
        """Query in the transaction that follows it."""
        return write_counters.count_failed_transaction(connection)

    def list_changes_outside(self, connection: Connection, counted: Counted, wrote: Iterable[str]) -> list[str]:
        """Read it where the entry means one schema."""
        schema = self.engine.database.schema
        return (
            find_changes_outside(self.engine.open_own_connection(), connection, schema, wrote, counted.number)
            if schema
            else []
        )

    def list_subtransactions(self, connection: Connection, span: list[int], tables: list[str]) -> list[int]:
        """Read the catalogs, and the tables."""
        return read_subtransactions(connection, span[0], span[1], tables)

    def list_catalog_rows(self, connection: Connection, counted: Counted, span: list[int]) -> dict[str, dict[str, int]]:
        """Read the catalogs on a connection of our own."""
        return read_replaced(self.engine.open_own_connection(), connection, counted, span)

    def read_catalogs(self) -> Any:
        """Read the catalogs if no transaction is open."""
        return self.engine.open_own_connection().run(read_if_quiet)

    def list_catalog_rows_since(self, before: Any) -> dict[str, dict[str, dict[str, int]]]:
        """Read the catalogs again."""
        if before is None:
            return {}
        gone = subtract_rows(before[1], self.engine.open_own_connection().run(read_catalog_rows))
        return {str(before[0]): gone} if gone else {}

    def list_files_since(self, before: Any) -> tuple[list[str], dict[str, int]]:
        """Read the tables again."""
        return self.engine.open_own_connection().run(list_files_since, before[2]) if before else ([], {})

    def select_own_transactions(self, statement: str, span: list[int]) -> list[int]:
        """Read the catalogs."""
        return self.engine.open_own_connection().run(read_own_of_statement, span[0], span[1], statement)

    def read_next_transaction(self) -> int:
        """Query on a connection of our own: a transaction that has a number is reported."""
        return self.engine.open_own_connection().run(write_counters.read_next_transaction)

    def check_other_writers(self, connection: Connection) -> None:
        """Do nothing: the server counts what others write."""

    def read_content_state(self) -> dict[str, str] | None:
        """Return nothing: the server counts."""
        return None

    def hash_made_rows(self, written_rows: WrittenRows) -> dict[str, Any]:
        """Return nothing: each row has the transaction that wrote it."""
        return {}

    def find_later_writes(self, written_rows: WrittenRows) -> Writes:
        """Read the transactions of the rows."""
        try:
            with self.engine.shorten_lock_timeout():
                return self.engine.open_own_connection().run(
                    lambda connection: row_authors.find_others_writes(
                        row_authors.build_reader(connection), written_rows
                    )
                )
        except Exception as error:
            if not self.engine.is_lock_timeout(error):
                raise
            return Writes(unknown="others hold a lock on what the run has made")

    def find_writes_into_made(self, written_rows: WrittenRows) -> Writes:
        """Read the rows in the session that has locked the tables, and the counters of all that have ended."""
        return find_writes_into_made(self.engine, written_rows, self.engine.read_locked)

    def list_touched_by_others(self, written_rows: WrittenRows) -> list[str]:
        """Query the counters, and who is at work."""
        self.engine.open_own_connection().run(write_counters.await_counters)
        until = self.engine.open_own_connection().run(write_counters.read_activity)
        touched, clear = self.engine.open_own_connection().run(
            find_touched_by_others, written_rows, self.engine.application
        )
        known = {name: until[name] for name in ("newest_transaction", "open_transactions")}
        self._cleared = {} if touched else dict.fromkeys(clear, known)
        return touched

    def count_cleared(self) -> dict[str, Any]:
        """Return what was counted then."""
        return self._cleared

    def find_final_writes(self, connection: Connection, written_rows: WrittenRows) -> Writes:
        """Lock the tables first; a session that waits for them finds them dropped."""
        made, self._locked = row_authors.lock_and_find_writes(connection, written_rows)
        if not written_rows.secured:
            return made
        touched, locked = lock_and_find_later_writes(connection, written_rows)
        self._locked = self._locked | locked
        return Writes({**made.tables, **touched.tables}, made.unknown)

    def forget_locks(self) -> None:
        """Forget their numbers."""
        self._locked = set()

    def find_overwritten(self, connection: Connection, written_rows: WrittenRows, wrote: Iterable[str]) -> Writes:
        """Read the transactions of the rows, or the counters where the downgrade keeps the table to itself."""
        return find_overwritten(self.engine, connection, written_rows, wrote, self._locked)

    def list_changed_by_run(self, archive: Archive, ours: dict[str, int]) -> list[str]:
        """Return those that the backend counted rows for."""
        return sorted(set(ours) & set(archive.activity.get("tables", {})) - archive.version_tables)

    def list_changed_by_downgrades(self, archive: Archive, wrote: dict[str, int], limit: int) -> list[str]:
        """Return those that the backend counted rows for, and that are still there."""
        there = {table.name for table in self.engine.open_own_connection().run(read_relations).values()}
        return [table for table in self.list_changed_by_run(archive, wrote) if table in there]

    def compare(self, archive: Archive, written_rows: WrittenRows, limit: int, report: Report) -> Comparison:
        """Compare with what pg_restore prints of the archive."""
        return ArchiveComparison(self.engine, archive, written_rows, limit, report).compare()

    def compare_schema(
        self, archive: Archive, written_rows: WrittenRows, report: Report
    ) -> tuple[list[str], list[str]]:
        """Compare with what pg_restore prints of the archive, and read who has written the catalogs."""
        found = ArchiveComparison(self.engine, archive, written_rows, 0, report).compare_schema()
        return found, self.engine.open_own_connection().run(
            list_schema_changes_by_others, archive, written_rows
        ) if found else []

    def compare_written(self, archive: Archive, written_rows: WrittenRows, limit: int, report: Report) -> None:
        """Read the tables whose counters went up by more than the run wrote."""
        self._nothing_lost = find_lossless_tables(self.engine, archive, written_rows, limit, report)

    def find_writes_since(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Compare the server's counters."""
        doubt = close_sessions_of_run(self.engine)
        return Writes(unknown=doubt) if doubt else self._read_writes(archive, ours, None)

    def foresee_writes(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Compare the counters as they are now; a session counts only if a restore could not end it."""
        return self._read_writes(archive, ours, read_remaining_sessions(self.engine))

    def _read_writes(self, archive: Archive, ours: dict[str, int], others: list[str] | None) -> Writes:
        leave_out, known = archive.version_tables, self._nothing_lost
        return self.engine.open_own_connection().run(
            write_counters.count_others_writes,
            archive.activity,
            ours,
            leave_out,
            self.engine.application,
            known,
            others,
        )

    def list_changes_by_others(self, archive: Archive, written_rows: WrittenRows) -> list[str]:
        """Read files, catalogs, sequences and what cannot be counted."""
        positions = read_archived_positions(self.engine, archive)
        own = self.engine.open_own_connection()
        own.run(write_counters.await_counters)
        # First: a session that has ended has handed in what it counted, and is not counted here.
        now = read_positions(self.engine)
        found = own.run(list_sequence_changes, archive, written_rows, positions, now, self.engine.sequence_reads)
        return found + own.run(list_changes_by_others, archive, written_rows.with_rows(self.engine.attempts_wrote))

    def read_positions(self) -> dict[str, Any]:
        """Read each sequence."""
        return read_positions(self.engine)

    def take_reads(self) -> dict[str, int]:
        """Return what was counted."""
        found, self.engine.sequence_reads = dict(self.engine.sequence_reads), Counter()
        return found

    def keep_positions(
        self, before: dict[str, Any], archive: Archive | None, written_rows: WrittenRows
    ) -> dict[str, str]:
        """Set sequences forward."""
        return set_forward(self.engine, before, archive, written_rows)
