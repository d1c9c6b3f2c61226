# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests of the rows of a SQLite table."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Any

from ..sql import quoted
from .probe import raw_text

_TABLES = "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\'"
_AT_ONCE = 1000


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """Return the names of all tables but SQLite's own."""
    return [name for (name,) in connection.execute(_TABLES)]


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
    """Yield rows, many at a time: all sessions wait meanwhile."""
    with raw_text(connection):
        words = ", ".join(map(quoted, columns))
        cursor = connection.execute(f"select {words} from {quoted(table)} where {where}")
        while rows := cursor.fetchmany(_AT_ONCE):
            yield rows
