# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The copy of a rehearsal as pg_dump prints it: right after it was filled, and once every revision was undone."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import OTHER_COPY, Failed
from ..comparison import Comparison
from ..interface import Report
from . import client_tools
from .content import Contents, list_differing_objects, stream_output
from .content_verification import RestoredContent
from .psql import Contents as Listing
from .schema_entries import Entry, compare_entries, parse
from .session import read_major_version

if TYPE_CHECKING:
    from ..data import Archive
    from .session import PostgreSQLSession

#: Milliseconds: only env.py works in a copy, and its processes have ended.
_LOCK_WAIT = 10_000


@dataclass(frozen=True)
class CopyState:
    """The content of a copy: its schema, and the content of its tables where that was read."""

    entries: list[Entry]
    contents: Contents | None


def check_copy(engine: PostgreSQLSession, archive: Archive, report: Report) -> None:
    """Compare the rows of a copy that was just filled with the archive.

    Raises:
        Failed: something did not arrive.
    """
    found = _choose_tools(engine, archive)
    listing = Listing.of(found, archive.path, report)
    with tempfile.TemporaryDirectory() as folder:
        content = RestoredContent(found, archive.path, engine.url, engine.application, report)
        try:
            content.refuse_differences(listing, Path(folder), engine.database.name)
        except Failed as failure:
            if failure.code != "restore-not-exact":
                raise
            what = f"The copy of database {engine.database.name!r} does not hold what its backup holds"
            raise Failed(what, failure.why, OTHER_COPY, code="rehearsal-copy-failed") from failure


def read_copy(
    engine: PostgreSQLSession, archive: Archive, leave_out: frozenset[str], in_full: bool, report: Report
) -> CopyState:
    """Return what a copy holds now.

    Args:
        engine: of the copy.
        archive: what it was filled from.
        leave_out: version tables, as schema.table.
        in_full: also read the rows.
        report: is called with what is being read.
    """
    program = str(_choose_tools(engine, archive).folder / "pg_dump")
    words = [
        "--no-password",
        f"--lock-wait-timeout={_LOCK_WAIT}",
        f"--dbname={client_tools.build_conninfo(engine.url)}",
    ]
    variables = client_tools.build_environment(engine.url, engine.application)
    report("reads the copy's schema")
    script = client_tools.run_tool(
        [program, "--schema-only", *words], variables, archive.path, report, "reads the schema"
    )
    entries = [entry for entry in parse(script) if not entry.is_of_any(leave_out)]
    if not in_full:
        return CopyState(entries, None)
    contents = Contents()
    with stream_output([program, "--data-only", "--blobs", *words], variables) as stream:
        contents.read(stream, report)
    return CopyState(entries, contents)


def compare_copy(before: CopyState, now: CopyState, leave_out: frozenset[str]) -> Comparison:
    """Return how a copy differs from what it was; a sequence that has moved on is only worth a note."""
    schema, notes = compare_entries(before.entries, now.entries)
    if before.contents is None or now.contents is None:
        return Comparison(schema, notes=notes)
    old, new = before.contents, now.contents
    rows = [
        f"rows of table {table} differ"
        for table in sorted({*old.tables, *new.tables})
        if table.replace('"', "") not in leave_out and old.tables.get(table) != new.tables.get(table)
    ]
    rows += list_differing_objects(old.large_objects, new.large_objects)
    notes += [
        f"sequence {name} is at {new.sequences[name][0]} after the downgrades, and was at {value}"
        for name, (value, given) in sorted(old.sequences.items())
        if name in new.sequences and new.sequences[name] != (value, given)
    ]
    return Comparison(schema, rows, notes=notes)


def _choose_tools(engine: PostgreSQLSession, archive: Archive) -> client_tools.Tools:
    return client_tools.choose_tools(
        engine.job.pg_bin, engine.database.name, engine.open_own_connection().run(read_major_version), archive.path
    )
