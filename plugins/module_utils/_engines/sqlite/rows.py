# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison of the rows of two files: every value by its storage class and its bytes, in whatever order.

SQLite itself compares the rows that have the same key, which reads both files once. Only where it finds a difference
are digests compared, since rows that were copied into a rebuilt table have other keys.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..._core.run_as import act_as_ourselves
from ..sql import quote_name
from .probe import keep_raw_text

Acting = Callable[[], AbstractContextManager[None]]

#: Without virtual ones: what they hold lies in tables of their own beside them.
_TABLES = """select name from {}.sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\'
    and sql not like 'create virtual %'"""
_ROW_IDS = ("rowid", "_rowid_", "oid")


@contextmanager
def open_with_backup(backup: Path, current: Path, acting: Acting) -> Iterator[sqlite3.Connection]:
    """Connect to the current file, as main, and to a backup that does not change, as backup; both only to read.

    Args:
        backup: the backup, which is ours.
        current: the file, which may be a customer's.
        acting: gives the rights with which that is read, for the whole block.
    """
    name = f"file:{quote(str(current))}?mode=ro"
    with acting(), closing(sqlite3.connect(name, uri=True, isolation_level=None)) as connection:
        attach(connection, backup)
        yield connection


def attach(connection: sqlite3.Connection, backup: Path) -> None:
    """Attach a backup, without locks and without a log beside it; it is opened now, with our own rights."""
    connection.execute("select count(*) from main.sqlite_master").fetchone()  # and what lies beside the file before
    with act_as_ourselves():
        connection.execute("attach ? as backup", (f"file:{quote(str(backup))}?mode=ro&immutable=1",))


def is_attached(connection: sqlite3.Connection) -> bool:
    """Return whether a backup is attached already."""
    return any(row[1] == "backup" for row in connection.execute("pragma database_list"))


def list_changed_tables(
    connection: sqlite3.Connection,
    leave_out: frozenset[str],
    written: frozenset[str] | None = None,
    known: dict[str, bool] | None = None,
) -> list[str]:
    """Return the tables of the backup whose rows are not the same now.

    Args:
        connection: of ``beside``.
        leave_out: version tables, as schema.table.
        written: the only tables that can have changed, None where all can.
        known: what is known by table; what is found out is added.
    """
    known = {} if known is None else known
    names = [name for (name,) in connection.execute(_TABLES.format("backup")) if f"main.{name}" not in leave_out]
    for name in names:
        if _is_among(name, written) and name not in known:
            known[name] = has_same_rows(connection, name)
    return sorted(name for name in names if _is_among(name, written) and not known[name])


def _is_among(table: str, written: frozenset[str] | None) -> bool:
    """Return whether a table can have changed; those of a virtual one are named after it."""
    return written is None or any(table == name or table.startswith(f"{name}_") for name in written)


def has_same_rows(connection: sqlite3.Connection, table: str) -> bool:
    """Return whether a table holds the same rows in both, by the columns that both have."""
    before, now = read_columns(connection, "backup", table), read_columns(connection, "main", table)
    shared = [column for column in before if column in now]
    if before and not shared:
        return False
    if _has_same_rows_by_key(connection, table, shared, before, now):
        return True
    return _sum_rows(connection, "backup", table, shared) == _sum_rows(connection, "main", table, shared)


def read_columns(connection: sqlite3.Connection, schema: str, table: str) -> dict[str, int]:
    """Return the columns that are stored, each with its place in the primary key or 0."""
    return {row[1]: row[5] for row in connection.execute(f"pragma {schema}.table_info({quote_name(table)})")}


def _has_same_rows_by_key(
    connection: sqlite3.Connection, table: str, shared: list[str], before: dict[str, int], now: dict[str, int]
) -> bool:
    """Return whether rows with the same key are the same and none is missing; False may only mean other keys."""
    name = quote_name(table)
    key = _find_row_id(connection, table, {column.lower() for column in (*before, *now)})
    keys = [key] if key else [quote_name(column) for column in shared if before[column]]
    if not keys or (not key and [c for c in before if before[c]] != [c for c in now if now[c]]):
        return False
    joined = " and ".join(f"b.{word} = a.{word}" for word in keys)
    same = [
        _build_type_condition(quote_name(column))
        for column in sorted(set(shared) - _list_one_class_columns(connection, table))
    ]
    same += [f"a.{word} is b.{word} collate binary" for word in map(quote_name, shared)]
    try:
        counts = [connection.execute(f"select count(*) from {side}.{name}").fetchone() for side in ("main", "backup")]
        if counts[0] != counts[1]:
            return False
        other = f"select 1 from main.{name} a left join backup.{name} b on {joined} where b.{keys[0]} is null"
        other += "".join(f" or not ({condition})" for condition in same)
        return connection.execute(f"{other} limit 1").fetchone() is None
    except sqlite3.Error:
        return False  # a collation that only the application has, for one


def _build_type_condition(word: str) -> str:
    return f"typeof(a.{word}) = typeof(b.{word})"


def _list_one_class_columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the columns in which equal values have the same storage class: there typeof costs much and says nothing.

    Text that looks like a number stays text in a column of text on both sides, and the number of a row is an integer.
    """
    before, now = (_read_kinds(connection, schema, table) for schema in ("backup", "main"))
    return {column for column, kind in before.items() if kind and kind == now.get(column)}


def _read_kinds(connection: sqlite3.Connection, schema: str, table: str) -> dict[str, str]:
    """Return "text", "row number" or nothing by column."""
    rows = connection.execute(f"pragma {schema}.table_info({quote_name(table)})").fetchall()
    keys = [row[1] for row in rows if row[5]]
    indexes = connection.execute(f"pragma {schema}.index_list({quote_name(table)})").fetchall()
    # A key that has an index of its own is a column like any other.
    numbers = set(keys) if len(keys) == 1 and not any(index[3] == "pk" for index in indexes) else set()
    return {
        column: "text" if _is_text(kind) else "row number" if column in numbers and kind.upper() == "INTEGER" else ""
        for _number, column, kind, _notnull, _default, _key in rows
    }


def _is_text(kind: str) -> bool:
    """Return whether a declared type has the affinity TEXT."""
    words = kind.upper()
    return "INT" not in words and any(word in words for word in ("CHAR", "CLOB", "TEXT"))


def _find_row_id(connection: sqlite3.Connection, table: str, taken: set[str]) -> str:
    """Return a name of the row's number that is not a column's, or nothing where rows have none."""
    name = quote_name(table)
    for word in _ROW_IDS:
        with suppress(sqlite3.Error):
            if word not in taken:
                connection.execute(f"select a.{word}, b.{word} from main.{name} a, backup.{name} b limit 0")
                return word
    return ""


def _sum_rows(connection: sqlite3.Connection, schema: str, table: str, columns: list[str]) -> tuple[int, int]:
    """Return the number of rows and a sum over them, which is the same in whatever order they come."""
    count = total = 0
    words = ", ".join(map(quote_name, columns)) or "null"
    with keep_raw_text(connection):
        # One at a time: a single row may be large.
        for row in connection.execute(f"select {words} from {schema}.{quote_name(table)}"):
            count += 1
            total += _hash_row(row)
    return count, total % (1 << 128)


def _hash_row(row: tuple[Any, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(row).encode(), digest_size=16).digest(), "big")
