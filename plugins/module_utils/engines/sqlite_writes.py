# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a restore of a SQLite file would lose rows: its tables beside those of the backup.

SQLite counts no writes. What the backup holds unchanged is the same in both, so nobody's rows can be lost with it; a
table that only the newer file has was made by the run. Any other difference may be the run's or somebody else's.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from .sqlite_catalog import quoted

_TABLES = "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\'"


def changed_tables(current: sqlite3.Connection, backup: Path, leave_out: frozenset[str]) -> list[str]:
    """Return the tables of a backup whose rows are not the same in a database now.

    Args:
        current: the database, which nobody else can write meanwhile.
        backup: a proven copy of it from before.
        leave_out: version tables, as schema.table.
    """
    with closing(sqlite3.connect(f"file:{quote(str(backup))}?mode=ro", uri=True)) as before:
        tables = [name for (name,) in before.execute(_TABLES) if f"main.{name}" not in leave_out]
        return sorted(table for table in tables if _differs(before, current, table))


def _differs(before: sqlite3.Connection, current: sqlite3.Connection, table: str) -> bool:
    old, new = _columns(before, table), _columns(current, table)
    shared = [column for column in old if column in new]
    if old and not shared:
        return True
    return _digest(before, table, shared) != _digest(current, table, shared)


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"pragma table_info({quoted(table)})")]


def _digest(connection: sqlite3.Connection, table: str, columns: list[str]) -> tuple[int, int]:
    """Return the number of rows and a sum over them, which is the same in whatever order they come."""
    rows = total = 0
    for row in connection.execute(f"select {', '.join(map(quoted, columns))} from {quoted(table)}"):
        rows += 1
        total += int.from_bytes(hashlib.blake2b(repr(row).encode(), digest_size=16).digest(), "big")
    return rows, total % (1 << 128)
