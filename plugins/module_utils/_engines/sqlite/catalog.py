# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description of a SQLite file and its tables: PRAGMAs and normalised SQL, as comparable lines."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._core.errors import Failed
from ..connection import OWN, unwrap_connection
from ..sql import quote_name
from ..sqlalchemy_import import sa
from .probe import open_read_only

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: How Alembic names the table that a batch operation fills before it takes the other's name.
_BATCH = "_alembic_tmp_"
_KINDS = ("table ", "column ", "foreign key ", "key ", "")
#: The tables whose rows are counted: SQLite's own, as that of AUTOINCREMENT, come and go with what they are about.
_COUNTED = "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\'"
_EXPRESSION = re.compile(r"\b(check|as)\s*\(", re.IGNORECASE)
#: What an application adds to SQLite in its own process; without it not even SQLite can read such a file through.
_MISSING = re.compile("no such collation sequence|no such module|unknown function|no such function")
_COLLATION = re.compile(r"\bcollate\s+\S+", re.IGNORECASE)


def prove_file(path: Path, count_rows: bool) -> dict[str, int] | None:
    """Read a whole database file back and count its rows if requested.

    Raises:
        Failed: SQLite finds it damaged, or cannot read it.
    """
    try:
        with open_read_only(path) as copy:
            verdict = copy.execute("pragma integrity_check").fetchone()[0]
            names = [row[0] for row in copy.execute(_COUNTED)]
            counts = {
                name: copy.execute(f"select count(*) from {quote_name(name)}").fetchone()[0]
                for name in (names if count_rows else [])
            }
    except sqlite3.DatabaseError as error:
        if _MISSING.search(str(error)):
            raise Failed(
                f"The backup {path} cannot be proven",
                f"{error}; the application brings that to SQLite itself, and it is not here",
                "Nothing was changed; let migrate_backup_command and migrate_backup_check_command do it",
                code="backup-not-proven",
            ) from error
        verdict, counts = str(error), {}
    if verdict != "ok":
        raise Failed(
            f"The backup {path} is damaged",
            str(verdict),
            "Nothing was changed; check the disk and run again",
            code="backup-damaged",
        )
    return counts if count_rows else None


def list_table_lines(connection: Connection, table: str, sql: str) -> list[str]:
    """Return all lines about a table, its indexes made by CREATE INDEX excepted."""
    words = quote_name(table)
    lines = [f"table {table}{_parse_table_options(sql)}"]
    for _cid, name, kind, notnull, default, primary, hidden in query_rows(connection, f"pragma table_xinfo({words})"):
        lines.append(f"column {table}.{name} {kind} notnull {notnull} default {default} key {primary} hidden {hidden}")
    keys: dict[int, list[str]] = {}
    for row in query_rows(connection, f"pragma foreign_key_list({words})"):
        keys.setdefault(row[0], []).append(" ".join(str(part) for part in row[2:]))
    lines += [f"foreign key {table} {' '.join(parts)}" for parts in keys.values()]
    for _seq, name, unique, origin, _partial in query_rows(connection, f"pragma index_list({words})"):
        if origin != "c":  # those made by CREATE INDEX have a line of their own
            columns = [
                str(row[2]) for row in query_rows(connection, f"pragma index_xinfo({quote_name(name)})") if row[5]
            ]
            lines.append(f"key {table} {origin} unique {unique} {' '.join(columns)}")
    return lines + [f"{table} {expression}" for expression in _parse_expressions(sql)]


def _parse_table_options(sql: str) -> str:
    tail = sql[sql.rfind(")") + 1 :].strip().lower()
    return (" autoincrement" if "autoincrement" in sql.lower() else "") + (f" {tail}" if tail else "")


def _parse_expressions(sql: str) -> list[str]:
    """Return what no PRAGMA shows: each CHECK, each generated column's expression, each collation."""
    found = [normalise_sql(match[0].rstrip(",)").lower()) for match in _COLLATION.finditer(sql)]
    for match in _EXPRESSION.finditer(sql):
        depth, end = 1, match.end()
        while end < len(sql) and depth:
            depth += {"(": 1, ")": -1}.get(sql[end], 0)
            end += 1
        found.append(f"{match[1].lower()} {normalise_sql(sql[match.end() : end - 1])}")
    return sorted(found)


def normalise_sql(sql: str) -> str:
    """Return SQL without quotes around names and with single spaces."""
    return " ".join(re.sub(r"[\"`\[\]]", "", sql).split())


def query_rows(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    """Execute as it is: a colon in a table's name is not a parameter.

    On a connection of our own it goes past SQLAlchemy, which takes ten times as long as SQLite.
    """
    if not connection.get_execution_options().get(OWN):
        return [tuple(row) for row in connection.exec_driver_sql(statement)]
    try:
        return list(unwrap_connection(connection).execute(statement).fetchall())
    except sqlite3.Error as error:
        raise sa.exc.DBAPIError.instance(statement, None, error, sqlite3.Error) from error


def list_unfinished_batches(connection: Connection) -> list[str]:
    """Return the tables that Alembic's batch mode was filling, if the ones that they copy are there."""
    names = {row[0] for row in query_rows(connection, "select name from sqlite_master where type = 'table'")}
    return sorted(name for name in names if name.startswith(_BATCH) and name[len(_BATCH) :] in names)


def is_about_table(line: str, table: str) -> bool:
    """Return whether a line of ``list_table_lines`` is about a table."""
    return any(line.startswith((f"{kind}{table} ", f"{kind}{table}.")) or line == kind + table for kind in _KINDS)


def drop_unfinished(
    connection: Connection, fingerprint: Callable[[Connection, frozenset[str]], list[str]], before: list[str]
) -> list[str]:
    """Drop the tables of unfinished batch operations that were not there before, and return their lines."""
    removed = []
    for name in list_unfinished_batches(connection):
        lines = [line for line in fingerprint(connection, frozenset()) if is_about_table(line, name)]
        if not set(lines) & set(before):
            connection.exec_driver_sql(f"drop table {quote_name(name)}")
            removed += lines
    return removed


def count_rows(connection: Connection) -> dict[str, int]:
    """Return the number of rows of each table."""
    names = [row[0] for row in query_rows(connection, _COUNTED)]
    return {name: query_rows(connection, f"select count(*) from {quote_name(name)}")[0][0] for name in names}
