# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a restore of a SQLite file would lose rows that others wrote.

SQLite counts no writes, but tells a connection whether others have committed ("PRAGMA data_version"). Env.py's own
connection and ours, both looked at from the dump until the failure, vouch for that time; digests of all rows, taken
then and compared while nobody can write, for the time after it.

Without such a witness the tables are compared with those of the backup. What the backup holds unchanged is the same in
both, so nobody's rows can be lost with it; a table that only the newer file has was made by the run. Any other
difference may be the run's or somebody else's.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .sql import quoted
from .sqlite_glance import raw_text, reading

_TABLES = "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\'"
_AT_ONCE = 1000


class Comparison:
    """The rows of a proven backup beside those of its database.

    The backup does not change, so each of its tables is read once, however often the database is compared with it.
    """

    def __init__(self, backup: Path) -> None:
        self._backup = backup
        self._digests: dict[tuple[str, tuple[str, ...]], str] = {}

    def changed_tables(self, current: sqlite3.Connection, leave_out: frozenset[str]) -> list[str]:
        """Return the tables of the backup whose rows are not the same in the database now.

        Args:
            current: the database, which nobody else can write meanwhile.
            leave_out: version tables, as schema.table.
        """
        with reading(self._backup) as before:
            tables = [name for name in tables_of(before) if f"main.{name}" not in leave_out]
            return sorted(table for table in tables if self._differs(before, current, table))

    def _differs(self, before: sqlite3.Connection, current: sqlite3.Connection, table: str) -> bool:
        old, new = _columns(before, table), _columns(current, table)
        shared = [column for column in old if column in new]
        if old and not shared:
            return True
        if self._digest_before(before, table, shared) == _digest(current, table, shared):
            return False
        # A table that was rebuilt may have another order.
        return _sum(before, table, shared) != _sum(current, table, shared)

    def _digest_before(self, before: sqlite3.Connection, table: str, columns: list[str]) -> str:
        key = table, tuple(columns)
        if key not in self._digests:
            self._digests[key] = _digest(before, table, columns)
        return self._digests[key]


def content_of(connection: sqlite3.Connection) -> dict[str, str]:
    """Return a digest of the rows of each table."""
    return {table: _digest(connection, table, _columns(connection, table)) for table in tables_of(connection)}


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """Return the names of all tables but SQLite's own."""
    return [name for (name,) in connection.execute(_TABLES)]


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"pragma table_info({quoted(table)})")]


def _digest(connection: sqlite3.Connection, table: str, columns: list[str]) -> str:
    """Return a digest of all rows in the order they come in."""
    return counted_digest(connection, table, columns)[1]


def counted_digest(connection: sqlite3.Connection, table: str, columns: list[str], where: str = "1") -> tuple[int, str]:
    """Return the number of rows and a digest of them, in the order they come in."""
    count, digest = 0, hashlib.sha256()
    for rows in _rows(connection, table, columns, where):
        count += len(rows)
        digest.update(repr(rows).encode())
    return count, digest.hexdigest()


def _sum(connection: sqlite3.Connection, table: str, columns: list[str]) -> tuple[int, int]:
    """Return the number of rows and a sum over them, which is the same in whatever order they come."""
    count = total = 0
    for rows in _rows(connection, table, columns):
        count += len(rows)
        for row in rows:
            total += int.from_bytes(hashlib.blake2b(repr(row).encode(), digest_size=16).digest(), "big")
    return count, total % (1 << 128)


def _rows(
    connection: sqlite3.Connection, table: str, columns: list[str], where: str = "1"
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield rows, many at a time: everybody waits meanwhile."""
    with raw_text(connection):
        words = ", ".join(map(quoted, columns))
        cursor = connection.execute(f"select {words} from {quoted(table)} where {where}")
        while rows := cursor.fetchmany(_AT_ONCE):
            yield rows
