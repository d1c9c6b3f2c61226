# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The transactions of a run that the server does not name: those of savepoints, and of statements that use several.

Others are given numbers meanwhile. So a number counts as the run's only where a row shows that it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from ..connection import execute
from ..sql import escape_colons
from .system_catalogs import CATALOGS, OURS, list_catalogs
from .transaction_numbers import NUMBERS, XMIN, is_within

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_WORDS = re.compile(r'"((?:[^"]|"")*)"|([^\W\d]\w*)')
#: It leaves no row to show its transactions: it marks the index twice for others, and removes it then.
_DROPS_INDEX = re.compile(r"^\s*drop\s+index\s+concurrently\b", re.IGNORECASE)
_OF_DROPPED_INDEX = 3
_OF_INDEX = re.compile(r"^\s*(?:create\s+(?:unique\s+)?|re|drop\s+)index\b", re.IGNORECASE)

_READABLE = """
select n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and n.nspname not like 'pg\\_%' and has_table_privilege(c.oid, 'select')
"""

#: The number of 64 bits that a row's transaction has, which lies around those that are given now.
_FULL = (
    f"(s.newest + {NUMBERS // 2} - ((s.newest + {NUMBERS // 2} - {{0}}) % {NUMBERS} + {NUMBERS}) % {NUMBERS})::bigint"
)
_NEWEST = "(select txid_snapshot_xmax(txid_current_snapshot()) as newest) s"

#: Indexes and their columns, with the names by which a statement can mean them.
_INDEXES = """
select t.xmin::text::bigint, i.relname, r.relname
  from {catalog} t join pg_index x on x.indexrelid = t.{oid}
  join pg_class i on i.oid = x.indexrelid join pg_class r on r.oid = x.indrelid
 where {within}
"""


def read_subtransactions(connection: Connection, first: int, end: int, tables: Collection[str]) -> list[int]:
    """Return the transactions within an open one, its own number included, that wrote what it sees.

    What others have not committed yet is not seen, so what is seen and not committed is its own.

    Args:
        connection: the one with the open transaction.
        first: the number from which its transactions were given.
        end: no number from here on was given yet.
        tables: read besides the catalogs, as schema.table.
    """
    within, full = is_within(f"t.{XMIN}", first, end), _FULL.format(f"t.{XMIN}")
    sources = [catalog for catalog, _described, _which in CATALOGS]
    sources += [quoted for name, quoted in execute(connection, _READABLE) if name in tables] if tables else []
    parts = [
        f"select t.{XMIN} from {source} t, {_NEWEST}"
        f" where case when {within} then txid_status({full}) = 'in progress' else false end"
        for source in sources
    ]
    return sorted(int(number) for (number,) in execute(connection, escape_colons(" union ".join(parts))))


def read_own_of_statement(connection: Connection, first: int, end: int, statement: str) -> list[int]:
    """Return, of the numbers given while a statement ran, those that have written what only the statement can have.

    A statement about an index makes rows of indexes that it names, or of a table that it names. Another statement has
    one transaction: where several have written what it names, it is unknown which is its own.

    Args:
        connection: our own.
        first: the first of the numbers.
        end: the first one after them.
        statement: it has committed by itself.
    """
    if end - first == (_OF_DROPPED_INDEX if _DROPS_INDEX.match(statement) else 1):
        return list(range(first, end))  # there were as many as the statement has needed
    within = is_within(f"t.{XMIN}", first, end)
    words = {quoted.replace('""', '"') or word.lower() for quoted, word in _WORDS.findall(statement)}
    if _OF_INDEX.match(statement):
        catalogs = (("pg_class", "oid"), ("pg_attribute", "attrelid"), ("pg_index", "indexrelid"))
        parts = [_INDEXES.format(catalog=catalog, oid=oid, within=within) for catalog, oid in catalogs]
        rows = execute(connection, escape_colons(" union ".join(parts)))
        return sorted({int(number) for number, *names in rows if words & set(names)})
    parts = [
        f"select t.{XMIN}, o.identity from {catalog} t, pg_identify_object({described}) o where {which} and {within}"
        for catalog, described, which in list_catalogs(connection)
    ]
    rows = execute(connection, escape_colons(OURS + " union ".join(parts)))
    found = {int(number) for number, identity in rows if words & _parse_names(identity or "")}
    return sorted(found) if len(found) == 1 else []


def _parse_names(identity: str) -> set[str]:
    """Return the names in an object's identity, without its schema's."""
    names = [quoted.replace('""', '"') or word for quoted, word in _WORDS.findall(identity)]
    return set(names[1:] or names)
