# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of the catalogs that a backup found, and who has replaced or removed them since.

What is removed leaves no row that names a transaction, and of what was changed twice only the last one is named. So the
rows that there were at the backup are counted by the transaction that wrote them. Right before a transaction of the run
commits, our own connection still sees the rows that it replaces, marked with its number (``xmax``). Where more rows of
the backup are gone than the run has replaced, another session has changed the schema, whatever the run did to it later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..connection import execute
from ..data import Counted, WrittenRows
from ..sql import escape_colons
from .other_sessions import AT_WORK
from .relations import Relation, read_relations
from .system_catalogs import OURS, build_exclusion, list_catalogs
from .transaction_numbers import NEXT, NUMBERS, XMIN, is_one_of, is_since, is_within
from .write_counters import UNKNOWN

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..connection import OwnConnection

#: The number of rows by catalog and by the transaction that wrote them.
CatalogRows = dict[str, dict[str, int]]
#: One row of a catalog, by where it lies: the catalog, the place, and the transaction that wrote it.
_Row = tuple[str, str, str]

#: The number after that of the newest transaction that has ended, how many before it have not, and the next number.
_NEXT = f"""
select txid_snapshot_xmax(s), (select count(*) from txid_snapshot_xip(s)), {NEXT}
  from txid_current_snapshot() s
"""

_WORDS = {
    "pg_namespace": "schemas",
    "pg_class": "tables, indexes, sequences or views",
    "pg_attribute": "columns",
    "pg_attrdef": "defaults of columns",
    "pg_proc": "functions",
    "pg_enum": "values of enums",
    "pg_rewrite": "rules or views",
    "pg_description": "comments",
    "pg_statistic_ext": "extended statistics",
    "pg_default_acl": "default privileges",
    "pg_db_role_setting": "settings of the database",
    "pg_depend": "owners of sequences",
    "pg_seclabel": "security labels",
}


def read_catalog_rows(connection: Connection) -> CatalogRows:
    """Return the rows that there are now."""
    parts = [
        f"select '{catalog}' as catalog, t.xmin writer from {catalog} t where {which}"
        for catalog, _described, which in list_catalogs(connection)
    ]
    rows = " union all ".join(parts)
    counted = f"{OURS} select catalog, writer::text, count(*) from ({rows}) r group by catalog, writer"
    return _count_rows(execute(connection, escape_colons(counted)))


def read_replaced(own: OwnConnection, connection: Connection, counted: Counted, span: list[int]) -> CatalogRows:
    """Return the rows that an open transaction has replaced or removed.

    Args:
        own: our own connection, which sees what was there before.
        connection: the one with the transaction.
        counted: the transaction's number, and the catalogs that it has changed.
        span: the numbers among which its savepoints have some, if it has any.
    """
    number = counted.number % NUMBERS
    if not span:
        return own.run(_count_marked, counted.catalogs, f"t.xmax = '{number}'::xid")
    marked = f"(t.xmax = '{number}'::xid or {is_within(XMIN.replace('xmin', 't.xmax'), span[0], span[1])})"
    before = set(own.run(_read_marked, counted.catalogs, marked))
    # What other open transactions replace, this one still sees; what they have committed meanwhile is in neither state.
    replaced = before - set(_read_still_seen(connection, before))
    replaced &= set(own.run(_read_marked, counted.catalogs, marked))
    found: CatalogRows = {}
    for catalog, _place, writer in replaced:
        of_catalog = found.setdefault(catalog, {})
        of_catalog[writer] = of_catalog.get(writer, 0) + 1
    return found


def read_if_quiet(connection: Connection) -> tuple[int, CatalogRows, dict[str, Relation]] | None:
    """Return the next transaction's number, the rows, and the tables; nothing while any transaction is open.

    A transaction that has no number yet has changed nothing.
    """
    ((first, still_open, following),) = execute(connection, _NEXT)
    if still_open or int(first) % NUMBERS != int(following) % NUMBERS:
        return None
    return int(first), read_catalog_rows(connection), read_relations(connection)


def list_files_since(connection: Connection, before: dict[str, Relation]) -> tuple[list[str], dict[str, int]]:
    """Return the files that tables have got since, as a TRUNCATE gives one, and what was counted of tables now gone.

    Args:
        connection: our own.
        before: the tables, read before, by number.
    """
    now = read_relations(connection)
    files = [here.file for oid, here in now.items() if oid not in before or before[oid].file != here.file]
    gone = {oid: was.count for oid, was in before.items() if oid not in now}
    if gone and execute(connection, f"select exists ({AT_WORK})")[0][0]:
        gone = dict.fromkeys(gone, UNKNOWN)
    return files, gone


def subtract_rows(before: CatalogRows, now: CatalogRows) -> CatalogRows:
    """Return the rows that are gone."""
    gone = {
        catalog: {writer: count - now.get(catalog, {}).get(writer, 0) for writer, count in rows.items()}
        for catalog, rows in before.items()
    }
    found = {catalog: {writer: n for writer, n in rows.items() if n > 0} for catalog, rows in gone.items()}
    return {catalog: rows for catalog, rows in found.items() if rows}


def describe_changes_of_others(
    connection: Connection, before: CatalogRows, written_rows: WrittenRows, leave_out: list[int]
) -> list[str]:
    """Return in words what others have replaced or removed of the rows that a backup found.

    Args:
        connection: our own.
        before: the rows at the backup.
        written_rows: what the run has done.
        leave_out: the numbers of tables whose rows do not count.
    """
    now, own = read_catalog_rows(connection), _read_committed(connection, written_rows.catalog_rows)
    gone = {catalog: _count_lost(rows, now.get(catalog, {}), own.get(catalog, {})) for catalog, rows in before.items()}
    gone = {catalog: count for catalog, count in gone.items() if count > 0}
    if gone and leave_out:
        for catalog, count in _of_tables(connection, written_rows, leave_out).items():
            gone[catalog] = gone.get(catalog, 0) - count
    return [_WORDS.get(catalog, catalog) for catalog, count in sorted(gone.items()) if count > 0]


def _count_lost(before: dict[str, int], now: dict[str, int], own: dict[str, int]) -> int:
    """Return how many rows are gone that the run has not replaced."""
    return sum(max(count - now.get(writer, 0) - own.get(writer, 0), 0) for writer, count in before.items())


def _read_committed(connection: Connection, replaced: dict[str, CatalogRows]) -> CatalogRows:
    """Return the rows that the committed ones of some transactions have replaced, all together."""
    found: CatalogRows = {}
    for number, rows in replaced.items():
        ((status,),) = execute(connection, f"select txid_status({int(number)})")
        if status != "committed":
            continue
        for catalog, by_writer in rows.items():
            of_catalog = found.setdefault(catalog, {})
            for writer, count in by_writer.items():
                of_catalog[writer] = of_catalog.get(writer, 0) + count
    return found


def _of_tables(connection: Connection, written_rows: WrittenRows, tables: list[int]) -> dict[str, int]:
    """Return how many rows of some tables others have written since the backup: each may have replaced another one."""
    number = f"t.{XMIN}"
    strange = f"{is_since(number, written_rows.activity)} and not {is_one_of(number, written_rows.transactions)}"
    parts = [
        f"select '{catalog}', count(*) from {catalog} t where {which} and {strange}"
        f" and not {build_exclusion(described, tables)}"
        for catalog, described, which in list_catalogs(connection)
    ]
    return {catalog: int(count) for catalog, count in execute(connection, _union(parts))}


def _count_marked(connection: Connection, catalogs: list[str], marked: str) -> CatalogRows:
    parts = [
        f"select '{catalog}', t.xmin::text, count(*) from {catalog} t where {which} and {marked} group by 2"
        for catalog, _described, which in list_catalogs(connection)
        if catalog in catalogs
    ]
    return _count_rows(execute(connection, _union(parts))) if parts else {}


def _read_marked(connection: Connection, catalogs: list[str], marked: str) -> list[_Row]:
    parts = [
        f"select '{catalog}', t.ctid::text, t.xmin::text from {catalog} t where {which} and {marked}"
        for catalog, _described, which in list_catalogs(connection)
        if catalog in catalogs
    ]
    rows = execute(connection, _union(parts)) if parts else []
    return [(str(catalog), str(place), str(writer)) for catalog, place, writer in rows]


def _read_still_seen(connection: Connection, rows: Iterable[_Row]) -> list[_Row]:
    """Return those of some rows that a connection sees."""
    places: dict[str, list[str]] = {}
    for catalog, place, _writer in rows:
        places.setdefault(catalog, []).append(f'"{place}"')
    parts = [
        f"select '{catalog}', t.ctid::text, t.xmin::text from {catalog} t"
        f" where t.ctid = any('{{{','.join(of_catalog)}}}'::tid[])"
        for catalog, of_catalog in places.items()
    ]
    seen = execute(connection, _union(parts)) if parts else []
    return [(str(catalog), str(place), str(writer)) for catalog, place, writer in seen]


def _union(parts: list[str]) -> str:
    return escape_colons(OURS + " union all ".join(parts))


def _count_rows(rows: Iterable[tuple[str, str, int]]) -> CatalogRows:
    found: CatalogRows = {}
    for catalog, writer, count in rows:
        found.setdefault(catalog, {})[writer] = int(count)
    return found
