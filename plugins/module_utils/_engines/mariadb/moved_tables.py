# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables that a restore has to move: those that differ, but for rows of others, and those bound to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.errors import Refused
from .beside import Beside, find_sequence_definition
from .content import list_inexact_columns, read_columns
from .same_name import REFERS_TO_SCHEMA, TABLE_IS_IN_SCHEMA

if TYPE_CHECKING:
    from .session import MariaDBSession

_BONDS = f"""
select distinct table_name, referenced_table_name from information_schema.key_column_usage
 where {TABLE_IS_IN_SCHEMA} and {REFERS_TO_SCHEMA}
"""
_BONDS_FROM_OUTSIDE = f"""
select distinct concat(table_schema, '.', table_name), referenced_table_name from information_schema.key_column_usage
 where not {TABLE_IS_IN_SCHEMA} and {REFERS_TO_SCHEMA}
"""
_VERSIONED = f"""
select table_name from information_schema.tables
 where {TABLE_IS_IN_SCHEMA} and table_type = 'SYSTEM VERSIONED' order by table_name
"""


def list_tables_to_move(engine: MariaDBSession, beside: Beside, written: set[str] | None) -> set[str]:
    """Return the tables and sequences that have to be moved.

    Args:
        engine: of the database.
        beside: the backup, loaded and read.
        written: what the run may have written, None for all. The rows of other tables are others', and stay, unless a
            foreign key binds the table to one that is moved: a key would follow that.
    """
    before, now = beside.before, beside.now
    changed = set(beside.list_changed_tables(beside.rows_now))
    differs = changed if written is None else changed & written
    differs |= {name for name in before.tables if before.tables[name] != now.tables.get(name)}
    differs |= {
        name
        for name in before.sequences
        if name not in now.sequences or find_sequence_definition(before, name) != find_sequence_definition(now, name)
    }
    differs |= now.list_tables() - before.list_tables()
    if engine.job.restore_loses_writes:  # then what others write from now on is not searched for
        differs |= before.list_tables()
    return _with_bonds(engine, beside, differs)


def _with_bonds(engine: MariaDBSession, beside: Beside, tables: set[str]) -> set[str]:
    own = engine.open_own_connection()
    bonds = {tuple(pair) for pair in own.query_rows(_BONDS, schema=beside.schema)}
    bonds |= beside.there.read_foreign_keys(own, beside.before.list_tables())
    found, size = set(tables), -1
    while len(found) != size:
        size = len(found)
        for bond in bonds:
            if found & set(bond):
                found |= set(bond)
    return found


def refuse_what_would_lose(engine: MariaDBSession, beside: Beside, out: list[str]) -> None:
    """Refuse where tables hold what no dump brings back, or where others depend on them.

    Raises:
        Refused: it is so; nothing was changed.
    """
    own = engine.open_own_connection()
    affected = set(out)
    reasons = [
        f"{child} has a foreign key to {table}"
        for child, table in own.query_rows(_BONDS_FROM_OUTSIDE, schema=beside.schema)
        if table in affected
    ]
    reasons += [
        f"table {table} is system-versioned, and a dump has no history of it"
        for (table,) in own.query_rows(_VERSIONED, schema=beside.schema)
        if table in affected
    ]
    columns = read_columns(own, beside.schema)
    for table in sorted(affected & beside.before.tables.keys()):
        lost = list_inexact_columns(own, beside.schema, table, columns.get(table, {}))
        reasons += [f"column {column} is a FLOAT with more digits than a dump writes" for column in lost]
    if reasons and not engine.job.restore_loses_writes:
        raise Refused(
            f"A restore of {engine.database.name!r} would not bring everything back",
            "; ".join(reasons),
            "Restore it by hand, with the command below",
            code="restore-loses",
        )
