# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison of a SQLite file with its backup: definitions, persistent settings, rows and sequences."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..comparison import Comparison
from ..data import Archive, WrittenRows
from ..sql import quote_name
from .catalog import is_about_table
from .definitions import has_same_meaning
from .held_folder import HeldFolder
from .kept_rows import is_as_before
from .rows import Acting, list_changed_tables, open_with_backup
from .settings import describe_changed_settings
from .written_tables import ANY, SEQUENCE_NAMES, SEQUENCES

_OBJECTS = """select type, name, tbl_name, coalesce(sql, '') from {}.sqlite_master
    where name not like 'sqlite\\_%' escape '\\'"""
_STATISTICS = "sqlite_stat1"
#: What a manifest keeps of the file itself.
_OF_FILE = {"uid": "owner", "gid": "group", "mode": "mode", "list": "access control list"}
_VIRTUAL = "create virtual "

Object = tuple[str, str]


@dataclass
class _Side:
    """The objects of one file: their SQL by kind and name, and the table that each belongs to."""

    sql: dict[Object, str] = field(default_factory=dict)
    table: dict[Object, str] = field(default_factory=dict)

    @classmethod
    def of(cls, connection: sqlite3.Connection, schema: str) -> _Side:
        found = cls()
        for kind, name, table, sql in connection.execute(_OBJECTS.format(schema)):
            found.sql[kind, name], found.table[kind, name] = sql, table
        return found


class FileComparison:
    """One comparison; no session may write meanwhile, or what was written is among the differences."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        archive: Archive,
        written_rows: WrittenRows,
        written: frozenset[str] | None,
        known: dict[str, bool] | None,
        acting: Acting,
        is_copy: bool,
    ) -> None:
        self._acting = acting
        self._is_copy = is_copy
        self._connection = connection
        self._archive = archive
        self._path = path
        self._written_rows = written_rows
        self._wrote = written_rows.wrote
        self._has_unknown_writers = bool(written_rows.unseen) or written_rows.is_open
        self._written = written
        self._known = known
        self._version_tables = archive.version_tables | written_rows.version_tables
        #: Lines of the fingerprint that others have changed since the backup, if it is known.
        self._others = set(written_rows.before) ^ set(archive.fingerprint) if written_rows.before else set()
        self.found = Comparison()

    def run(self) -> Comparison:
        """Compare everything."""
        self._compare_settings()
        self._compare_definitions()
        for table in list_changed_tables(self._connection, self._version_tables, self._written, self._known):
            self._note_rows(table, f"rows of table {table}")
        self._compare_sequences()
        return self.found

    def _compare_settings(self) -> None:
        self.found.settings.extend(describe_changed_settings(self._connection))
        before = self._archive.activity.get("journal_mode")
        now = self._read_one("pragma main.journal_mode")
        # The others do not outlive a connection.
        if before and not self._is_copy and (before == "wal") != (now == "wal"):
            self.found.settings.append(f"journal_mode was {before} and is {now}")
        if not self._is_copy:
            self._compare_file()

    def _compare_file(self) -> None:
        """Note another owner or mode of the file: a revision may have put another one into its place."""
        kept = self._archive.activity.get("file") or {}
        with suppress(OSError), HeldFolder(self._path.parent) as folder:
            now = folder.read_appearance(self._path.name).as_facts()
            for part, words in _OF_FILE.items():
                if part in kept and kept[part] != now[part]:
                    was, is_now = (f"{facts[part]:04o}" if part == "mode" else facts[part] for facts in (kept, now))
                    self.found.notes.append(f"the {words} of the file was {was} when it was backed up, and is {is_now}")

    def _compare_definitions(self) -> None:
        before, now = _Side.of(self._connection, "backup"), _Side.of(self._connection, "main")
        for key in sorted({*before.sql, *now.sql}):
            kind, name = key
            table = before.table.get(key) or now.table[key]
            if self._is_changed_by_others(kind, name, table):
                continue
            if key not in now.sql:
                self.found.schema.append(f"{kind} {name} is missing")
            elif key not in before.sql:
                if f"main.{table}" not in self._version_tables:
                    self.found.schema.append(f"{kind} {name} was not there before")
            elif not has_same_meaning(kind, before.sql[key], now.sql[key]):
                self.found.schema.append(f"the definition of {kind} {name} differs")
            elif kind == "table" and self._read_columns("backup", name) != self._read_columns("main", name):
                self.found.notes.append(f"the columns of table {name} are in another order")

    def _is_changed_by_others(self, kind: str, name: str, table: str) -> bool:
        if kind == "table":
            return any(is_about_table(line, name) for line in self._others)
        return any(line.startswith(f"{kind} {name} on {table}:") for line in self._others)

    def _compare_sequences(self) -> None:
        """Compare where AUTOINCREMENT goes on; a table that the run has made and dropped leaves only the empty list."""
        before, now = (self._read_sequences(schema) for schema in ("backup", "main"))
        for table in sorted(before):
            if before[table] == now.get(table):
                continue
            if table in self._written_rows.set_forward:
                self.found.others.append(f"the sequence of table {table} differs")
            elif f"main.{table}" in self._version_tables:
                continue
            elif self._is_copy:
                self.found.notes.append(f"the sequence of table {table} differ")
            else:
                is_ahead = type(now.get(table)) is type(before[table]) is int and now[table] > before[table]
                written_as = (SEQUENCES,) if is_ahead else (SEQUENCES, SEQUENCE_NAMES)
                self._note_rows(table, f"the sequence of table {table}", written_as)
        if self._read_statistics("backup") != self._read_statistics("main"):
            self.found.notes.append("the statistics that ANALYZE made differ; they change no result")

    def _read_sequences(self, schema: str) -> dict[str, Any]:
        if not self._has(schema, "sqlite_sequence"):
            return {}
        return dict(self._connection.execute(f"select name, seq from {schema}.sqlite_sequence").fetchall())

    def _read_statistics(self, schema: str) -> list[Any]:
        if not self._has(schema, _STATISTICS):
            return []
        return self._connection.execute(f"select * from {schema}.{_STATISTICS}").fetchall()

    def _has(self, schema: str, table: str) -> bool:
        statement = f"select 1 from {schema}.sqlite_master where name = ?"
        return self._connection.execute(statement, (table,)).fetchone() is not None

    def _note_rows(self, table: str, words: str, beside: tuple[str, ...] = ()) -> None:
        """Note content that differs, by whether the run may have written there, or to a table that holds it beside."""
        may_be_ours = self._has_unknown_writers or any(each in self._wrote for each in beside)
        if ANY in self._wrote or table in self._wrote:
            may_be_ours = may_be_ours or not self._has_kept_others_rows(table)
        (self.found.rows if may_be_ours else self.found.others).append(f"{words} differ")

    def _has_kept_others_rows(self, table: str) -> bool:
        """Return whether all that differs was there before the downgrades, and was not written by the upgrade."""
        if table not in self._written_rows.unchanged:
            return False
        return is_as_before(
            self._written_rows.kept_in, self._path, table, self._read_columns("backup", table), self._acting
        )

    def _read_columns(self, schema: str, table: str) -> list[str]:
        return [row[1] for row in self._connection.execute(f"pragma {schema}.table_info({quote_name(table)})")]

    def _read_one(self, statement: str) -> Any:
        row = self._connection.execute(statement).fetchone()
        return row[0] if row else None


def describe_changed_definitions(
    connection: sqlite3.Connection, ours: frozenset[str], touched: frozenset[str] | None, leave_out: frozenset[str]
) -> list[str]:
    """Return in words the definitions that differ from an attached backup's: others have changed them, or may have.

    Args:
        connection: of the file.
        ours: what the run alone has made, changed or dropped; what belongs to such a table comes and goes with it.
        touched: what it has, alone or not; None where it is not known.
        leave_out: version tables, as schema.table.
    """
    before, now = _Side.of(connection, "backup"), _Side.of(connection, "main")
    sides = {**before.sql, **now.sql}
    virtual = {
        name for (_kind, name), sql in sides.items() if name in (touched or ()) and sql.lower().startswith(_VIRTUAL)
    }
    found = []
    for kind, name in sorted(sides):
        key = kind, name
        table = before.table.get(key) or now.table[key]
        # An index that is new on a table of the run is not the run's for that.
        is_ours = name in ours or (table in ours and key in before.sql) or f"main.{table}" in leave_out
        if is_ours or any(table.startswith(f"{each}_") for each in virtual):
            continue
        if not (key in before.sql and key in now.sql and has_same_meaning(kind, before.sql[key], now.sql[key])):
            is_touched = touched is None or name in touched or table in touched
            also = "may have been changed by others, too" if is_touched else "was changed by others, or made or dropped"
            found.append(f"{kind} {name} {also}")
    return found


def compare(
    path: Path,
    archive: Archive,
    written_rows: WrittenRows,
    limit: int,
    acting: Acting,
    written: frozenset[str] | None = None,
    known: dict[str, bool] | None = None,
    is_copy: bool = False,
) -> Comparison:
    """Compare a file with its backup.

    Args:
        path: the file.
        archive: the backup.
        written_rows: what the run has done.
        limit: bytes; a larger file is not compared.
        acting: gives the rights with which the file is read.
        written: the only tables whose rows can have changed, None where all can.
        known: whether tables have the rows of the backup, as far as that was read since a session last wrote.
        is_copy: the file was made from the backup: its journal mode is its own, and a sequence that moved is a note.
    """
    if archive.path.is_dir():
        return Comparison()  # the fingerprint describes everything in a file that was not there before
    if written is None and path.stat().st_size > limit:
        return Comparison(not_compared=[f"the file is larger than migrate_compare_limit ({limit:,} bytes)"])
    try:
        with open_with_backup(archive.path, path, acting) as connection:
            return FileComparison(path, connection, archive, written_rows, written, known, acting, is_copy).run()
    except sqlite3.Error as error:
        return Comparison(not_compared=[f"the file cannot be read beside its backup ({error})"])
