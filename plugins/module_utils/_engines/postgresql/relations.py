# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of a database as a backup keeps them: name, file, row type, what was counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..connection import execute
from .scope import match_scope

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


_ROW_TYPE = "md5(string_agg(concat_ws(' ', attnum, attname, atttypid, atttypmod, attisdropped), ',' order by attnum))"


#: Each table by its number, which a new name does not change: how many columns it has had, the file its rows lie in,
#: its row type, and what was counted. A file of 0 is that of a partitioned table, which has no rows of its own.
_RELATIONS = f"""
select c.oid::text, c.relnatts, n.nspname || '.' || c.relname, c.relfilenode::text, a.row_type,
       pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid),
       c.relkind = 'r', format('%I.%I', n.nspname, c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  cross join lateral (
    select {_ROW_TYPE}
      from pg_attribute where attrelid = c.oid and attnum > 0) a(row_type)
 where c.relkind in ('r', 'p') and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
   and n.nspname not like 'alembic\\_aside\\_%' and n.nspname not like 'alembic\\_retained\\_%' and {match_scope()}
"""


@dataclass(frozen=True)
class Relation:
    """One table: its name as counters have it, its file, its row type, and what was counted for it."""

    name: str
    file: str
    row_type: str
    count: int
    oid: str = field(default="", compare=False)
    quoted: str = field(default="", compare=False)

    def as_facts(self) -> list[Any]:
        """Return what a backup keeps of it."""
        return [self.name, self.file, self.row_type, self.count, self.oid, self.quoted]

    def count_run_rows(self, earlier: str, wrote: dict[str, int]) -> int:
        """Return how many rows the run has written to it, under the name that it has and the one that it had."""
        return sum(wrote.get(name, 0) for name in sorted({earlier, self.name}))


def read_relations(connection: Connection) -> dict[str, Relation]:
    """Return the tables that have rows of their own by number; no lock on any of them is waited for."""
    return {
        oid: Relation(name, file, row_type, int(count), oid, quoted)
        for oid, _columns, name, file, row_type, count, has_rows, quoted in execute(connection, _RELATIONS)
        if has_rows
    }


def has_same_columns(connection: Connection, oid: str, was: Relation, columns: int) -> bool:
    """Return whether the first columns of a table are still those that it had: more may have come and gone since.

    Args:
        connection: our own.
        oid: the table's number.
        was: the table at the backup.
        columns: how many it had had until then.
    """
    statement = f"select {_ROW_TYPE} from pg_attribute where attrelid = {int(oid)} and attnum between 1 and {columns}"
    return bool(execute(connection, statement)[0][0] == was.row_type)


def measure_size(connection: Connection, oid: str) -> int:
    """Return the bytes of a table; waits for the process that has locked it for themselves."""
    return int(execute(connection, f"select coalesce(pg_table_size({int(oid)}), 0)")[0][0])
