# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes since a backup that others made, beyond rows that are counted: a restore would take them back.

A table that was emptied or rewritten has another file. Each row of a catalog has the transaction that wrote it
(``xmin``), and a run knows its own; what leaves no row is counted (see ``catalog_changes.py``). What cannot be
distinguished from others' counts as theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..._core.errors import describe_first
from ..connection import execute
from ..data import Archive, WrittenRows
from ..sql import escape_colons
from .catalog_changes import describe_changes_of_others
from .relations import Relation, read_relations
from .system_catalogs import OURS, build_exclusion, list_catalogs
from .transaction_numbers import XMIN, is_one_of, is_since
from .write_counters import COMMENTS, LARGE_OBJECTS, MAPPINGS, UNKNOWN, explain_untrusted_counters, read_activity

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_MOST_NAMED = 5


def list_changes_by_others(connection: Connection, archive: Archive, written_rows: WrittenRows) -> list[str]:
    """Return in words what others changed since a backup, or may have, but for sequences.

    Args:
        connection: our own.
        archive: the backup.
        written_rows: what the run has done.
    """
    before = archive.activity
    if "files" not in before:
        return ["the backup does not say which tables there were"]
    leave_out = written_rows.version_tables | archive.version_tables
    found = []
    doubt = explain_untrusted_counters(connection, before)
    if doubt:
        found.append(f"{doubt}, so it is unknown what others wrote")
    here = read_relations(connection)
    found += _list_table_changes(before["files"], here, written_rows, leave_out)
    now = read_activity(connection)
    # Its row in the catalog is written by a restore, which closes it to others.
    if now["database"] != before["database"]:
        found.append("the owner or the privileges of the database were changed")
    found += _find_counted_changes(before, now, written_rows)
    written = now["large_objects"] - before["large_objects"]
    if written > written_rows.wrote.get(LARGE_OBJECTS, 0) + written_rows.wrote.get(f"{LARGE_OBJECTS}_metadata", 0):
        found.append("large objects were written")
    return found + list_schema_changes_by_others(connection, archive, written_rows)


def list_schema_changes_by_others(connection: Connection, archive: Archive, written_rows: WrittenRows) -> list[str]:
    """Return in words what others changed in the schema since a backup, or may have."""
    if "catalogs" not in archive.activity:
        return ["the backup does not say what was in the catalogs"]
    numbers = _select_numbers(read_relations(connection), written_rows.version_tables | archive.version_tables)
    gone = describe_changes_of_others(connection, archive.activity["catalogs"], written_rows, numbers)
    found = [f"the schema was changed by others: {', '.join(gone)}"] if gone else []
    named = sorted(set(_read_catalog_changes(connection, written_rows, numbers)))
    if named:
        found.append(f"the schema was changed: {describe_first(named, _MOST_NAMED)}")
    return found


def _find_counted_changes(before: dict[str, Any], now: dict[str, Any], written_rows: WrittenRows) -> Iterator[str]:
    """Yield what has changed where rows are only counted, if the run has not written all of them."""
    kinds = (("comment", COMMENTS, "the comment of the database"), ("user_mappings", MAPPINGS, "user mappings"))
    for key, catalog, words in kinds:
        if now[key] == before.get(key):
            continue
        base = before.get("catalogs_written")
        grown = now["catalogs_written"][catalog] - base[catalog] if base else None
        if grown is None or not 0 <= grown <= written_rows.wrote.get(catalog, 0):
            yield f"{words} changed, and it is unknown who has changed that"


def _list_table_changes(
    before: dict[str, list[object]], now: dict[str, Relation], written_rows: WrittenRows, leave_out: frozenset[str]
) -> Iterator[str]:
    names = {relation.name for relation in now.values()}
    for oid, facts in before.items():
        was = Relation(*facts)  # type: ignore[arg-type]
        here = now.get(oid)
        if was.name in leave_out:
            continue
        if here is None:
            if oid not in written_rows.dropped:
                yield f"table {was.name} is gone, and the run is not known to have dropped it"
            # What the run wrote is known by name: where another table has it by now, the rows may all be of that one.
            elif written_rows.written.get(oid, UNKNOWN) > was.count + (
                0 if was.name in names else written_rows.wrote.get(was.name, 0)
            ):
                yield f"others may have written to table {was.name} before the run dropped it"
        elif here.file != was.file and here.file not in written_rows.files:
            yield f"table {was.name} was emptied or rewritten, and not by the run as far as is known"


def _select_numbers(here: dict[str, Relation], tables: frozenset[str]) -> list[int]:
    """Return the numbers of some tables, as schema.table."""
    return sorted(int(oid) for oid, table in here.items() if table.name in tables)


def _read_catalog_changes(connection: Connection, written_rows: WrittenRows, leave_out: list[int]) -> Iterator[str]:
    number = f"t.{XMIN}"
    strange = f"{is_since(number, written_rows.activity)} and not {is_one_of(number, written_rows.transactions)}"
    parts = [
        f"select pg_describe_object({described}) from {catalog} t where {which} and {strange}"
        + (f" and {build_exclusion(described, leave_out)}" if leave_out else "")
        for catalog, described, which in list_catalogs(connection)
    ]
    for (name,) in execute(connection, escape_colons(OURS + " union all ".join(parts))):
        if name:
            yield str(name)
