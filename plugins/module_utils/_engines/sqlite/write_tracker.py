# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writers of rows in a SQLite file: its versions, an authorizer, and the rows themselves."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..._core.errors import Failed
from ..comparison import Comparison
from ..connection import unwrap_connection
from ..data import Archive, Counted, Writes, WrittenRows
from ..interface import Report
from ..write_tracker import WriteTracker
from .catalog import (
    query_rows,
)
from .compare import compare, describe_changed_definitions
from .kept_rows import find_unchanged_tables
from .known_rows import KnownRows, await_clock, has_log
from .later_writes import find_written_tables
from .probe import open_read_only
from .row_authors import ContentDigest
from .rows import attach, is_attached, list_changed_tables, open_with_backup, read_columns
from .schema_states import is_left_by_run, read_state
from .sequences import describe_moved_sequences, read_sequences, set_forward
from .settings import describe_changed_settings
from .write_witness import read_data_version
from .written_tables import ANY

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


from .engine import PATIENCE, STATE, SQLite, read_file_id


class SQLiteWriteTracker(WriteTracker):
    """Compares versions of the file while env.py is at work, and rows where that does not show."""

    counts_transactions = False

    def __init__(self, engine: SQLite) -> None:
        self.engine = engine
        #: Whether no session has written between the failure and when this process got the lock.
        self._resumed = False
        #: Tables that then had the rows of the backup, though the run had written to them.
        self._unchanged: frozenset[str] = frozenset()
        self._known_rows = KnownRows()
        self._left: list[str] | None = None
        #: How many states of the schema there were when ``definitions`` returned them.
        self._reported = 0

    def check_other_writers(self, connection: Connection) -> None:
        """Compare the versions that both connections see."""
        if self.engine._reports:
            self.engine._reports.compare_versions()
            return
        self.engine.write_witness.compare_versions(
            self.engine.try_read_version, lambda: read_data_version(connection.connection)
        )

    def can_read_now(self) -> bool:
        """Return whether env.py's transaction lets others read, which BEGIN EXCLUSIVE and a spilled cache do not."""
        return self.engine.try_read_version() is not None

    def read_content_state(self) -> dict[str, str] | None:
        """Return the state of the file, if only env.py has written since the dump."""
        own = self.engine.open_own_connection()
        own.run(query_rows, "pragma busy_timeout = 0")
        own.run(query_rows, "pragma main.wal_checkpoint(truncate)")
        own.run(query_rows, f"pragma busy_timeout = {PATIENCE * 1000}")
        await_clock(self.engine.path)
        state = {STATE: self.engine.write_witness.read_state(self.engine.path)}
        return state if self.engine.write_witness.can_vouch(self.engine.read_version()) else None

    def resume(self, content: dict[str, str] | None, unchanged: Sequence[str] = ()) -> None:
        """Compare the state of the file when the run failed with the one when this process got the lock."""
        self._resumed = content is not None and content == self.engine.state_at_lock
        self._unchanged = frozenset(unchanged)

    def hand_over(self) -> Any:
        """Return the state of the file, if no other session has written until now, and the tables that env.py has."""
        known: dict[str, Any] = {"state": None, "wrote": self.engine.written.as_facts()}
        with suppress(Exception):  # locked by another session: then it is not known
            known["state"] = self.read_content_state()
        return known

    def take_over(self, known: Any) -> None:
        """Observe all writes from now on; what was written since the state that was handed over is not known."""
        self.engine.written.add_facts(known["wrote"])
        self.engine.write_witness.stop_vouching()
        with suppress(Exception), self.engine.act_as_owner():  # locked by another session, or not there
            self.engine.write_witness.resume(
                self.engine.path, self.engine.read_version(), str((known["state"] or {}).get(STATE))
            )

    def _is_unwritten(self, archive: Archive, content: dict[str, str] | None) -> bool:
        """Vouch since the dump, where this process has made it, or since a state that an earlier process has left."""
        known = self.engine.dumped_file == read_file_id(archive.path) or (
            content is not None and content == self.engine.state_at_lock
        )
        return known and self.engine.write_witness.can_vouch(self.engine.read_version())

    def _find_written_only(self, ours: dict[str, int]) -> frozenset[str] | None:
        """Return the tables that may have changed since the backup, or None where others may have written to any."""
        wrote = {**ours, **self.engine.written.counts}
        if ANY in wrote or not self._resumed or not self.engine.write_witness.can_vouch(self.engine.read_version()):
            return None
        return frozenset(wrote)

    def count_transaction(self, connection: Connection, held: bool = False) -> Counted:
        """Return the statements by table that env.py's connections have compiled until now."""
        if not self.engine.holds_transaction():
            self.engine.schema_states.read_found(connection)
        written = self.engine.written
        return Counted(written.count_statements(), files=sorted(written.definitions), schemas=list(written.schemas))

    def count_definitions(self, connection: Connection) -> Counted | None:
        """Return what statements outside of a transaction have defined, and the states of the schema."""
        written = self.engine.written
        if self.engine.holds_transaction():
            return None
        self.engine.schema_states.read_left(connection)
        if len(written.schemas) == self._reported:
            return None
        self._reported = len(written.schemas)
        return Counted(files=sorted(written.definitions), schemas=list(written.schemas))

    def compare(self, archive: Archive, written_rows: WrittenRows, limit: int, report: Report) -> Comparison:
        """Compare with the backup, by what this process has written as well: downgrades, for one."""
        if not self.engine.is_present():
            return Comparison()
        report("compares the file with its backup")
        written_rows = replace(written_rows, wrote={**written_rows.wrote, **self.engine.written.counts})
        known = self._read_known(archive)
        return compare(
            self.engine.path,
            archive,
            written_rows,
            limit,
            self.engine.act_as_owner,
            self._find_written_only(written_rows.wrote),
            known,
        )

    def compare_schema(
        self, archive: Archive, written_rows: WrittenRows, report: Report
    ) -> tuple[list[str], list[str]]:
        """Compare the definitions with the backup's; nothing shows who has changed a setting of the file.

        That excuses no definition that differs beside it.
        """
        if not self.engine.is_present():
            return [], []
        report("compares the definitions with the backup")
        found = compare(self.engine.path, archive, written_rows, 0, self.engine.act_as_owner, frozenset())
        if found.not_compared:
            why = "; ".join(found.not_compared)
            raise Failed("The schema cannot be compared with its backup", why, code="downgrade-not-compared")
        return [*found.settings, *found.schema], [] if found.schema else found.settings

    def read_positions(self) -> dict[str, Any]:
        """Read where AUTOINCREMENT goes on."""
        if not self.engine.is_present():
            return {}
        return self.engine.open_own_connection().run(lambda connection: read_sequences(unwrap_connection(connection)))

    def keep_positions(
        self, before: dict[str, Any], archive: Archive | None, written_rows: WrittenRows
    ) -> dict[str, str]:
        """Set AUTOINCREMENT forward, unless no other session has written."""
        if not self.engine.is_present() or (
            self._resumed and self.engine.write_witness.can_vouch(self.engine.read_version())
        ):
            return {}
        return self.engine.open_own_connection().run(
            lambda connection: set_forward(unwrap_connection(connection), before)
        )

    def hash_made_rows(self, written_rows: WrittenRows) -> dict[str, Any]:
        """Return a digest of what the run has made, and whether another session has written meanwhile."""
        if not self.engine.is_present():
            return {}
        # Without it nothing is lost: then a revert takes a backup of its own.
        with suppress(sqlite3.Error), self.engine.act_as_owner(), open_read_only(self.engine.path) as reader:
            return ContentDigest.of(reader, written_rows).as_facts(
                not_shared=self.engine.write_witness.can_vouch(self.engine.read_version())
            )
        return {}

    def find_later_writes(self, written_rows: WrittenRows) -> Writes:
        """Compare with what was read at the end of the run."""
        if not self.engine.is_present():
            return Writes()
        try:
            with (
                self.engine.act_as_owner(),
                nullcontext(self.engine.replacing)
                if self.engine.replacing
                else open_read_only(self.engine.path) as reader,
            ):
                return ContentDigest.of(reader, written_rows).find_later_writes(written_rows.content_digest)
        except sqlite3.Error as error:
            return Writes(unknown=f"what the run has made cannot be read ({error})")

    def list_unchanged_tables(self, archive: Archive) -> list[str]:
        """Compare them with the backup."""
        if not self.engine.is_present() or not self.engine.write_witness.can_vouch(self.engine.read_version()):
            return []
        return find_unchanged_tables(
            archive.path,
            self.engine.path,
            self.engine.written.counts,
            self.engine.written.rows,
            self.engine.act_as_owner,
        )

    def list_touched_by_others(self, written_rows: WrittenRows) -> list[str]:
        """Return that they may have written anywhere, unless no session has."""
        if not self.engine.is_present() or self._find_written_only(written_rows.wrote) is not None:
            return []
        return ["others may have written since the backup"]

    def find_final_writes(self, connection: Connection, written_rows: WrittenRows) -> Writes:
        """Compare with the dump that was taken right before, if others have written since."""
        if written_rows.kept_in is None or self.engine._reports:
            return Writes()
        self.check_other_writers(connection)
        now = self.engine.try_read_version()
        if now is None:  # env.py holds the file for itself, so that its rows cannot be read
            return Writes() if self.engine.write_witness.is_unshared else Writes({"any table": 1})
        wrote = {name.removeprefix("main.") for name in written_rows.wrote}
        names = {*written_rows.files, *written_rows.dropped, *wrote}
        if not names or self.engine.write_witness.can_vouch(now):
            return Writes()
        return find_written_tables(
            written_rows.kept_in, self.engine.path, self.engine.act_as_owner, written_rows.version_tables, names
        )

    def list_changed_by_run(self, archive: Archive, ours: dict[str, int]) -> list[str]:
        """Compare with the backup: by whom they were changed does not count."""
        if archive.path.is_dir():
            return []
        written = self._find_written_only(ours)
        if written is not None:
            written -= self._unchanged - self.engine.written.counts.keys()
        known = self._read_known(archive)
        with open_with_backup(archive.path, self.engine.path, self.engine.act_as_owner) as connection:
            return list_changed_tables(connection, archive.version_tables, written, known)

    def list_changed_by_downgrades(self, archive: Archive, wrote: dict[str, int], limit: int) -> list[str]:
        """Compare the tables that it may have written with the backup, by the columns that they have in both."""
        if archive.path.is_dir():
            return []
        written = None if ANY in wrote else frozenset(wrote) & self.engine.written.rows
        with open_with_backup(archive.path, self.engine.path, self.engine.act_as_owner) as connection:
            if written and self.engine.path.stat().st_size > limit:
                return sorted(written)
            changed = list_changed_tables(connection, archive.version_tables, written)
            return [table for table in changed if read_columns(connection, "main", table)]

    def _read_known(self, archive: Archive) -> dict[str, bool]:
        """Return which tables have the rows of a backup, as far as that was read since a session last wrote."""
        await_clock(self.engine.path)
        return self._known_rows.of(
            archive.path, "" if has_log(self.engine.path) else self.engine.write_witness.read_state(self.engine.path)
        )

    def compare_written(self, archive: Archive, written_rows: WrittenRows, limit: int, report: Report) -> None:
        """Keep what our own runs have left: where they dropped a table, a restore takes nothing of others from it."""
        self._left = written_rows.left

    def find_writes_since(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Compare the rows with those of the backup, unless it is known that no other session has written."""
        if archive.path.is_dir() or self.engine.replacing is None:
            return Writes()  # there was no database before, so all that is in it now was made by the run
        if self._is_unwritten(archive, content):
            return Writes()
        try:
            with self.engine.act_as_owner():
                if not is_attached(self.engine.replacing):  # until this connection is closed: its transaction keeps it
                    attach(self.engine.replacing, archive.path)
                changed = [
                    name
                    for name in list_changed_tables(self.engine.replacing, archive.version_tables)
                    if read_columns(self.engine.replacing, "main", name) or not self._is_dropped_by_us(name)
                ]
            given_out = [
                *describe_moved_sequences(self.engine.replacing),
                *describe_changed_settings(self.engine.replacing),
            ]
        except sqlite3.Error as error:
            return Writes(unknown=f"the rows cannot be compared with those of the backup ({error})")
        if changed:
            return Writes(unknown=f"rows differ from those of the backup in {', '.join(changed)}")
        if given_out:
            return Writes(unknown=f"{'; '.join(given_out)}, and it is unknown who has done that")
        return Writes()

    def list_changes_by_others(self, archive: Archive, written_rows: WrittenRows) -> list[str]:
        """Compare the definitions, unless no other session has written: what the run did not touch is others'.

        What it did touch is, too, where the states of the schema do not show that only the run has changed it.
        """
        if written_rows.on_purpose or archive.path.is_dir() or self.engine.replacing is None:
            return []
        if self._is_unwritten(archive, written_rows.content):
            return []
        connection, written = self.engine.replacing, self.engine.written
        try:
            with self.engine.act_as_owner():
                if not is_attached(connection):
                    attach(connection, archive.path)
                now, before = read_state(connection), read_state(connection, "backup")
                is_known = is_left_by_run(now, before, [*written_rows.schemas, *written.schemas])
                ours = written_rows.files | frozenset(written.definitions)
                touched = None if ANY in {**written_rows.wrote, **written.counts} else ours
                leave_out = archive.version_tables | written_rows.version_tables
                return describe_changed_definitions(connection, ours if is_known else frozenset(), touched, leave_out)
        except sqlite3.Error as error:
            return [f"the definitions cannot be compared with those of the backup ({error})"]

    def _is_dropped_by_us(self, table: str) -> bool:
        words = f"table {table}"
        return self._left is not None and not any(line == words or line.startswith(f"{words} ") for line in self._left)

    def foresee_writes(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Compare the rows as they are now, over a connection that ends with this."""
        self.engine.replacing = self.engine.open_own_connection().run(unwrap_connection)
        try:
            return self.find_writes_since(archive, ours, content)
        finally:
            self.engine.replacing = None
            self.engine.close()
