# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writes of others into tables and columns that a run has made in PostgreSQL.

Each row has the transaction that wrote it (``xmin``), and a run knows its own. What was there at the backup was not
made, whatever it is called now: a table keeps its number, and a column that is added gets one beyond all there were.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..connection import execute
from ..data import Writes, WrittenRows, describe_doubtful_rows
from ..sql import escape_colons, is_constant, quote_name, render_value_condition
from .catalog_queries import is_own
from .rendering import normalise_line
from .transaction_numbers import XMIN, is_one_of, is_since, is_within

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_COLUMNS = f"""
select c.oid::text, n.nspname, c.relname, a.attname, a.attnum, pg_get_expr(d.adbin, d.adrelid), a.attidentity <> '',
       format('column %I.%I.', n.nspname, c.relname), format('column %I.%I.%I', n.nspname, c.relname, a.attname),
       has_table_privilege(c.oid, 'select') and not (c.relrowsecurity and c.relforcerowsecurity)
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
 where c.relkind = 'r' and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and {is_own("pg_class", "c.oid")}
 order by n.nspname, c.relname, a.attnum
"""


#: Executes one statement in whatever session sees the tables, and returns its rows.
Read = Callable[[str], list[tuple[Any, ...]]]


@dataclass
class _Made:
    """A table that holds something which the run has made: all of it, or some columns."""

    schema: str
    table: str
    #: The table's number.
    oid: str
    #: Whether all its rows can be seen.
    readable: bool
    whole: bool = False
    columns: list[str] = field(default_factory=list)
    #: Conditions for a row that has something in a column, other than its default.
    filled: list[str] = field(default_factory=list)
    #: Something fills a column by itself, so what is in it need not have been written.
    fills_itself: bool = False

    @property
    def name(self) -> str:
        """Return the name that the server's counters have for it."""
        return f"{self.schema}.{self.table}"

    @property
    def quoted(self) -> str:
        return f"{quote_name(self.schema)}.{quote_name(self.table)}"

    def __str__(self) -> str:
        return self.name if self.whole else f"{', '.join(self.columns)} of {self.name}"


def build_reader(connection: Connection) -> Read:
    """Return how to read over a connection of SQLAlchemy, for which a colon begins a parameter."""
    return lambda statement: execute(connection, escape_colons(statement))


def find_others_writes(read: Read, written_rows: WrittenRows, counts: Mapping[str, int] | None = None) -> Writes:
    """Return what others wrote, and what may be the run's own as well: of a subtransaction only its span is known.

    Args:
        read: reads in a session that sees all that is committed.
        written_rows: what the run has done.
        counts: all rows that the server has counted for each table, by number, once all sessions have ended; what it
            has not counted, no other session has written.
    """
    if "relations" not in written_rows.activity:
        return Writes(unknown="the backup does not say which tables there were")
    certain: dict[str, int] = {}
    unknown: list[str] = []
    for made in _list_made(read, written_rows):
        if counts and made.oid in counts and counts[made.oid] <= _count_for_run(made, written_rows):
            continue
        if not made.readable:
            unknown.append(f"{made} cannot be read")
            continue
        strange, perhaps = _count(read, made, written_rows)
        if strange:
            certain[str(made)] = strange
        elif perhaps:
            unknown.append(describe_doubtful_rows(perhaps, str(made)))
    return Writes(certain, "; ".join(unknown))


def lock_and_find_writes(connection: Connection, written_rows: WrittenRows) -> tuple[Writes, set[str]]:
    """Lock the tables that the run has made until the transaction ends, then return what others wrote into them.

    Second come the numbers of these tables. What others wrote before all was backed up last is in that backup. Without
    the backup of the run, what was there before it is known by its names.
    """
    relations = written_rows.activity.get("relations")
    if relations is None and not written_rows.secured:
        return Writes(), set()
    since = {**(written_rows.secured or written_rows.activity), "relations": relations or {}}
    written_rows = replace(written_rows, activity=since)
    read = build_reader(connection)
    tables = [made for made in _list_made(read, written_rows) if made.whole or relations is None]
    if not tables:
        return Writes(), set()
    names = ", ".join(made.quoted for made in tables)
    read(f"lock table {names} in share row exclusive mode")
    counted = {made.name: _count(read, made, written_rows)[0] for made in tables if made.readable}
    return Writes({name: count for name, count in counted.items() if count}), {made.oid for made in tables}


def _count_for_run(made: _Made, written_rows: WrittenRows) -> int:
    """Return what the server has counted for a table by now if only the run has written since the backup."""
    _name, _file, _row_type, before, *_more = written_rows.activity["files"].get(made.oid, ("", "", "", 0))
    return int(before) + written_rows.wrote.get(made.name, 0)


def _list_made(read: Read, written_rows: WrittenRows) -> list[_Made]:
    before = sorted(written_rows.before)
    relations = written_rows.activity["relations"]
    found: dict[str, _Made] = {}
    for oid, schema, table, column, number, default, identity, of_table, of_column, readable in read(_COLUMNS):
        if f"{schema}.{table}" in written_rows.version_tables:
            continue
        if (oid in relations and number <= relations[oid]) or _has_prefix(before, f"{normalise_line(of_column)} "):
            continue
        made = found.setdefault(oid, _Made(schema, table, oid, readable))
        made.whole = oid not in relations and not _has_prefix(before, normalise_line(of_table))
        made.columns.append(column)
        # As text: not every type can be compared.
        made.filled.append(render_value_condition(column, default, "{}::text is distinct from {}::text"))
        made.fills_itself = made.fills_itself or identity or not is_constant(default)
    return list(found.values())


def _has_prefix(lines: list[str], prefix: str) -> bool:
    """Return whether one of some sorted lines begins so."""
    place = bisect_left(lines, prefix)
    return place < len(lines) and lines[place].startswith(prefix)


def _count(read: Read, made: _Made, written_rows: WrittenRows) -> tuple[int, int]:
    """Return the rows that others wrote, and those of which it is unknown."""
    conditions = [is_since(XMIN, written_rows.activity), f"not {is_one_of(XMIN, written_rows.transactions)}"]
    if not made.whole:
        conditions.append(f"({' or '.join(made.filled)})")
    perhaps = " or ".join(_allow_unwritten(made, written_rows)) or "false"
    statement = (
        f"select count(*) filter (where not ({perhaps})), count(*) filter (where {perhaps})"
        f" from {made.quoted} where {' and '.join(conditions)}"
    )
    strange, unknown = read(statement)[0]
    return int(strange), int(unknown)


def _allow_unwritten(made: _Made, written_rows: WrittenRows) -> Iterator[str]:
    """Yield conditions under which a row need not have been written by another session."""
    for first, end in written_rows.spans:
        yield is_within(XMIN, first, end)
    if not made.whole and (made.fills_itself or written_rows.wrote.get(made.name)):
        # A row that others changed elsewhere keeps what the run, or the column's default, has put into the column.
        yield "true"
