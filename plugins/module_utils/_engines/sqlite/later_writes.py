# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writes of others to a SQLite file between the dump right before downgrades and each of their statements.

The driver commits each definition by itself. So each statement that takes anything away is executed under a lock, and
before it the rows are compared with the dump, if another session has written since.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..data import Writes
from .rows import Acting, beside, columns_of, list_changed_tables

#: First words of statements before which the driver begins a transaction.
_CHANGES_ROWS = {"DELETE", "INSERT", "REPLACE", "UPDATE"}


def find_written_tables(
    dump: Path, path: Path, acting: Acting, leave_out: frozenset[str], names: Iterable[str]
) -> Writes:
    """Return, of some tables, those whose rows are not those of a dump.

    Args:
        dump: was taken right before.
        path: of the file.
        acting: gives the rights with which the file is read.
        leave_out: version tables, as schema.table.
        names: of the objects that the run has made or changed, none where that is not known: then all count.
    """
    with beside(dump, path, acting) as connection:
        changed = list_changed_tables(connection, leave_out, frozenset(names) or None)
        # What is gone, a downgrade has dropped.
        there = [name for name in changed if columns_of(connection, "main", name)]
        return Writes({name: _count_more(connection, name) for name in there})


def _count_more(connection: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    try:
        (now,), (then,) = (
            connection.execute(f'select count(*) from {schema}."{quoted}"').fetchone() for schema in ("main", "backup")
        )
    except sqlite3.Error:
        return 1
    return max(int(now) - int(then), 1)


def keep_others_out(connection: Any, statement: str) -> bool:
    """Lock a file for a statement of env.py, as its driver would once it writes.

    Args:
        connection: of the driver.
        statement: is about to be executed.

    Returns:
        Whether the driver commits the statement by itself, so that the lock ends with it.
    """
    if not isinstance(connection, sqlite3.Connection) or connection.in_transaction:
        return False
    connection.execute("begin immediate")
    return statement.split(None, 1)[0].upper() not in _CHANGES_ROWS
