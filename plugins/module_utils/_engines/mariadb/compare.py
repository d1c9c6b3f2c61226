# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison of a MariaDB database with its backup: definitions in mariadb-dump's own words, rows by digests."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Optional

from ..comparison import Comparison
from ..data import Archive, WrittenRows
from ..interface import Report
from . import client_input
from .beside import (
    Beside,
    describe_changed_definitions,
    describe_moved_counters,
    explain_not_compared,
    find_moved_sequences,
)
from .content import has_rows, has_values, read_columns
from .dump_rows import ReadDump
from .dump_text import Definitions, parse_dump
from .swap_state import read_tables

_LINE_OF_TABLE = re.compile(
    r"(?:table|system versioned) (?P<table>[^:]+)(?:: `(?P<column>(?:[^`]|``)+)` .*)?", re.DOTALL
)

#: Returns the tables and sequences that a run may have written, by what was and is defined; None for all.
WrittenTables = Callable[[Definitions, Definitions], Optional[set[str]]]

if TYPE_CHECKING:
    from ..connection import OwnConnection
    from .session import MariaDBSession


def name_all_tables(_before: Definitions, _now: Definitions) -> set[str] | None:
    """Return that a run may have written all tables."""
    return None


def compare(
    engine: MariaDBSession,
    archive: Archive,
    written_rows: WrittenRows,
    limit: int,
    report: Report,
    written: WrittenTables,
) -> Comparison:
    """Dump the database once more, and compare with a backup what the dump defines and all rows in it.

    Args:
        engine: of the database.
        archive: the backup.
        written_rows: what the run has done.
        limit: bytes; a larger backup is not compared.
        report: is called with what is being done.
        written: returns the tables and sequences that the run may have written, None for all.
    """
    if archive.path.stat().st_size > limit:
        return Comparison(not_compared=[f"the backup is larger than migrate_compare_limit ({limit:,} bytes)"])
    report("compares the database with its backup")
    try:
        with archive.path.open("rb") as lines:
            before = ReadDump.of(lines)
        now = client_input.read_dump_of_now(engine, ReadDump.of)
    except Exception as error:  # noqa: BLE001 - whatever it is: what was not compared counts as different
        return Comparison(not_compared=[explain_not_compared(error)])
    return _compare_dumps(before, now, archive.version_tables | written_rows.version_tables, written)


def compare_definitions(engine: MariaDBSession, archive: Archive, written_rows: WrittenRows) -> list[str]:
    """Return how the definitions differ from those of a backup."""
    before, now = read_both_definitions(engine, archive)
    return _list_differences(before, now, archive.version_tables | written_rows.version_tables)


def read_both_definitions(engine: MariaDBSession, archive: Archive) -> tuple[Definitions, Definitions]:
    """Return what a backup defines, and what the database does now."""
    with archive.path.open("rb") as lines:
        before = parse_dump(lines)
    return before, parse_dump(client_input.read_definition_lines(engine))


def _list_differences(before: Definitions, now: Definitions, version_tables: frozenset[str]) -> list[str]:
    left_out = {name.rpartition(".")[2] for name in version_tables}
    return [words for words in describe_changed_definitions(before, now) if not _is_of(words, left_out)]


def _compare_dumps(
    before: ReadDump, now: ReadDump, version_tables: frozenset[str], written: WrittenTables
) -> Comparison:
    left_out = {name.rpartition(".")[2] for name in version_tables}
    both = sorted((before.definitions.tables.keys() & now.definitions.tables.keys()) - left_out)
    same = [name for name in both if before.definitions.tables[name] == now.definitions.tables[name]]
    differ = {name: f"rows of table {name} differ" for name in same if before.rows.get(name) != now.rows.get(name)}
    sequences = find_moved_sequences(before.definitions, now.definitions)
    differ |= {name: f"values of sequence {name} differ" for name in sequences}
    ours = written(before.definitions, now.definitions) if differ else set()
    rows = [words for name, words in differ.items() if ours is None or name in ours]
    others = [words for words in differ.values() if words not in rows]
    notes = describe_moved_counters(before.definitions, now.definitions, left_out)
    not_compared = [f"what is not understood: {words}" for words in now.definitions.not_understood]
    schema = _list_differences(before.definitions, now.definitions, version_tables)
    return Comparison(schema=schema, rows=rows, not_compared=not_compared, others=others, notes=notes)


def _is_of(words: str, tables: set[str]) -> bool:
    """Return whether a difference is that a version table is there, or is not."""
    return any(words in (f"table {name} is missing", f"table {name} was not there before") for name in tables)


def list_doubtful_rows(beside: Beside, own: OwnConnection, schema: str, version_tables: frozenset[str]) -> list[str]:
    """Return what a run has made, by a backup that is loaded beside, and in which there are rows or values."""
    columns = read_columns(own, schema)
    left_out = {name.rpartition(".")[2] for name in version_tables}
    made = beside.now.tables.keys() - beside.before.tables.keys() - left_out
    found = [f"table {name}" for name in sorted(made) if has_rows(own, schema, name)]
    for table in sorted(beside.before.tables.keys() & columns.keys()):
        known = beside.find_columns_before(table)
        found += [
            f"column {table}.{name}"
            for name, column in columns[table].items()
            if name not in known and has_values(own, schema, table, column)
        ]
    return found


def _list_columns(fingerprint: list[str]) -> set[tuple[str, str]]:
    """Return the tables and their columns, as (table, column), and as (table, "")."""
    found = set()
    for line in fingerprint:
        match = _LINE_OF_TABLE.fullmatch(line)
        if match:
            found.add((match["table"], (match["column"] or "").replace("``", "`")))
    return found


def list_doubtful_since(
    own: OwnConnection, schema: str, before: list[str], version_tables: frozenset[str]
) -> list[str]:
    """Return the same by the fingerprint of before the run, where no backup is loaded."""
    known = _list_columns(before)
    left_out = {name.rpartition(".")[2] for name in version_tables}
    now, found = read_columns(own, schema), []
    for table in read_tables(own, schema):
        if table in left_out or table not in now:
            continue
        if (table, "") not in known:
            found += [f"table {table}"] if has_rows(own, schema, table) else []
            continue
        found += [
            f"column {table}.{name}"
            for name, column in now[table].items()
            if (table, name) not in known and has_values(own, schema, table, column)
        ]
    return found
