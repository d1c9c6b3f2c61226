# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The positions of AUTOINCREMENT, which no row of a table shows."""

from __future__ import annotations

import sqlite3

_HAS = "select 1 from {}.sqlite_master where name = 'sqlite_sequence'"
_AUTOINCREMENT = "select name from main.sqlite_master where type = 'table' and lower(sql) like '%autoincrement%'"
#: Others may be given numbers after they were read, so that neither may set one back.
_BEGIN = """insert into main.sqlite_sequence (name, seq) select :name, :was
    where not exists (select 1 from main.sqlite_sequence where name = :name)"""
_FORWARD = """update main.sqlite_sequence
    set seq = case when typeof(seq) = 'integer' then max(seq, :was) else :was end where name = :name"""


def read_sequences(connection: sqlite3.Connection, schema: str = "main") -> dict[str, int]:
    """Return the last number that was given out, by table."""
    if not connection.execute(_HAS.format(schema)).fetchone():
        return {}
    rows = connection.execute(f"select name, seq from {schema}.sqlite_sequence where typeof(seq) = 'integer'")
    return {str(name): int(number) for name, number in rows}


def describe_moved_sequences(connection: sqlite3.Connection) -> list[str]:
    """Return in words what was given out since a backup that is attached, though no row may show it."""
    before, now = read_sequences(connection, "backup"), read_sequences(connection)
    tables = {name for (name,) in connection.execute("select name from backup.sqlite_master where type = 'table'")}
    return [
        f"numbers of table {table} were given out up to {number}"
        for table, number in sorted(now.items())
        if table in tables and number > before.get(table, 0)
    ]


def set_forward(connection: sqlite3.Connection, before: dict[str, int]) -> dict[str, str]:
    """Set AUTOINCREMENT forward where it is behind what it was, and return the tables, each with a note."""
    now = read_sequences(connection)
    found = {}
    for (table,) in connection.execute(_AUTOINCREMENT).fetchall():
        was, here = before.get(table, 0), now.get(table, 0)
        if was <= here:
            continue
        connection.execute(_BEGIN, {"was": was, "name": table})
        connection.execute(_FORWARD, {"was": was, "name": table})
        found[table] = (
            f"the next number of table {table} is {was + 1}, not {here + 1}: others may have had those between"
        )
    return found
