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
from typing import Any

from .sql import quoted
from .sqlite_glance import raw_text

_TABLES = "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\'"
_AT_ONCE = 1000


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


def _rows(
    connection: sqlite3.Connection, table: str, columns: list[str], where: str = "1"
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield rows, many at a time: everybody waits meanwhile."""
    with raw_text(connection):
        words = ", ".join(map(quoted, columns))
        cursor = connection.execute(f"select {words} from {quoted(table)} where {where}")
        while rows := cursor.fetchmany(_AT_ONCE):
            yield rows
