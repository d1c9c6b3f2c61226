# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check that the rows of a table are unchanged after an upgrade that failed, and after its downgrade.

Nothing in a SQLite file shows who wrote a row. But where an upgrade left all rows of a table as they were, whatever
differs later is others'; and where a downgrade left all of that as it was, nothing of it is lost.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..._core.run_as import act_as_ourselves
from .rows import Acting, has_same_rows, open_with_backup, read_columns
from .written_tables import ANY


def find_unchanged_tables(
    backup: Path, path: Path, wrote: Iterable[str], rows: Collection[str], acting: Acting
) -> list[str]:
    """Return the tables that were written and have the rows of a backup, each with all columns that it has there.

    Args:
        backup: the backup.
        path: the file, which only the run has written.
        wrote: the tables that it wrote.
        rows: those of them whose rows it may have written.
        acting: gives the rights with which the file is read.
    """
    tables = set(wrote)
    if ANY in tables or not backup.is_file():
        return []
    with suppress(sqlite3.Error), open_with_backup(backup, path, acting) as connection:
        return sorted(
            table for table in tables if _is_whole(connection, table, may_differ=bool({ANY, table} & {*rows}))
        )
    return []


def _is_whole(connection: sqlite3.Connection, table: str, *, may_differ: bool) -> bool:
    before, now = (read_columns(connection, schema, table) for schema in ("backup", "main"))
    if not before or not set(before) <= set(now):
        return False
    return (not may_differ and _is_same_tree(connection, table, before, now)) or has_same_rows(connection, table)


def _is_same_tree(connection: sqlite3.Connection, table: str, before: dict[str, int], now: dict[str, int]) -> bool:
    """Return whether a table that was only altered begins at the page of the backup, which is a copy page by page.

    Two tables that have swapped their names do not, and two columns that have are in another order.
    """
    trees = [
        connection.execute(f"select rootpage from {schema}.sqlite_master where type = 'table' and name = ?", (table,))
        for schema in ("backup", "main")
    ]
    roots = [cursor.fetchall() for cursor in trees]
    # A virtual table has no page of its own.
    is_kept = bool(roots[0]) and roots[0] == roots[1] and bool(roots[0][0][0])
    return is_kept and list(now)[: len(before)] == list(before)


def is_as_before(before: Path | None, path: Path, table: str, columns: Iterable[str], acting: Acting) -> bool:
    """Return whether a table has the rows, and the position of its sequence, that it had right before the downgrades.

    Args:
        before: a backup of then, if there is one.
        path: the file.
        table: the table.
        columns: what it has in the backup of the run; all of them must have been there before the downgrades too.
        acting: gives the rights with which the file is read.
    """
    with act_as_ourselves():
        if before is None or not before.is_file():
            return False
    with suppress(sqlite3.Error), open_with_backup(before, path, acting) as connection:
        then, now = (read_columns(connection, schema, table) for schema in ("backup", "main"))
        if not set(columns) <= set(then) or not set(columns) <= set(now):
            return False
        if _read_sequence(connection, "backup", table) != _read_sequence(connection, "main", table):
            return False
        return has_same_rows(connection, table)
    return False


def _read_sequence(connection: sqlite3.Connection, schema: str, table: str) -> Any:
    known = connection.execute(f"select 1 from {schema}.sqlite_master where name = 'sqlite_sequence'").fetchone()
    if known is None:
        return None
    return connection.execute(f"select seq from {schema}.sqlite_sequence where name = ?", (table,)).fetchone()
