# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The content of a rehearsal's copy, as mariadb-dump writes it: after it was filled, and once all was undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._core.errors import OTHER_COPY, Failed
from ..comparison import Comparison
from . import client_input
from .beside import describe_changed_definitions, describe_moved_counters, find_moved_sequences
from .dump_rows import ReadDump
from .dump_text import Definitions, parse_dump
from .fill_copy import replace_sequences
from .only_here import read_database

if TYPE_CHECKING:
    from ..data import Archive
    from ..interface import Report
    from .session import MariaDBSession

_MOST_NAMED = 5


@dataclass(frozen=True)
class CopyState:
    """The definitions of a copy, and its rows by table, None where they were not read."""

    definitions: Definitions
    rows: dict[str, tuple[int, int]] | None


def read_copy(engine: MariaDBSession, in_full: bool, report: Report) -> CopyState:
    """Return what a copy holds now.

    Args:
        engine: of the copy.
        in_full: also read the rows.
        report: is called with what is being read.
    """
    report("reads the copy")
    if not in_full:
        return CopyState(parse_dump(client_input.read_definition_lines(engine)), None)
    found = client_input.read_dump_of_now(engine, ReadDump.of)
    return CopyState(found.definitions, found.rows)


def refuse_differences(engine: MariaDBSession, archive: Archive, found: CopyState) -> None:
    """Compare a copy that was just filled with the dump.

    Args:
        engine: of the copy.
        archive: the backup.
        found: what the copy holds.

    Raises:
        Failed: it does not hold what that holds.
    """
    with archive.path.open("rb") as lines:
        dump = ReadDump.of(lines)
    before, now = dump.definitions, found.definitions
    database = read_database(engine.open_own_connection(), engine.name_on_server)
    tables = {name: replace_sequences(text, engine.name_on_server, database) for name, text in now.tables.items()}
    wrong = [f"table {name}" for name in before.tables.keys() ^ now.tables.keys()]
    wrong += [f"table {name}" for name, text in tables.items() if before.tables.get(name, text) != text]
    wrong += [f"sequence {name}" for name in before.sequences.keys() ^ now.sequences.keys()]
    wrong += [f"view {name}" for name in before.views.keys() ^ now.views.keys()]
    wrong += [f"triggers of {name}" for name in before.triggers.keys() ^ now.triggers.keys()]
    wrong += [key for key in before.routines.keys() ^ now.routines.keys() if not key.startswith("event ")]
    rows = found.rows if found.rows is not None else dump.rows
    wrong += [f"rows of {name}" for name in dump.rows.keys() | rows.keys() if dump.rows.get(name) != rows.get(name)]
    if wrong:
        raise Failed(
            f"The copy of database {engine.database.name!r} does not hold what its backup holds",
            ", ".join(sorted(wrong)[:_MOST_NAMED]),
            OTHER_COPY,
            code="rehearsal-copy-failed",
        )


def compare(before: CopyState, now: CopyState, version_tables: set[str]) -> Comparison:
    """Return how a copy differs from what it was; where AUTO_INCREMENT goes on is only worth a note.

    Args:
        before: what it held when it was filled.
        now: what it holds now.
        version_tables: names of tables that are not compared.
    """
    left_out = {f"table {name} {words}" for name in version_tables for words in ("is missing", "was not there before")}
    schema = [
        words for words in describe_changed_definitions(before.definitions, now.definitions) if words not in left_out
    ]
    rows = [f"values of sequence {name} differ" for name in find_moved_sequences(before.definitions, now.definitions)]
    if before.rows is not None and now.rows is not None:
        tables = sorted({*before.rows, *now.rows} - version_tables)
        rows += [f"rows of table {name} differ" for name in tables if before.rows.get(name) != now.rows.get(name)]
    notes = describe_moved_counters(before.definitions, now.definitions, version_tables, " after the downgrades")
    return Comparison(schema, rows, notes=notes)
