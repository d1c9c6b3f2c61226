# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database compared with the archive of its backup: the schema to the letter, the content where it may have changed.

A table is untouched only when its number, its file, the types of its columns and all counters of all sessions say so,
and the run is not known to have written to it. Every other table is read in full and compared with the archive's data.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import Failed, Refused, describe_first
from ..comparison import Comparison
from ..data import Archive, WrittenRows
from ..interface import Report
from . import client_tools
from .content import Contents, TableContent, stream_output
from .psql import Contents as Listing
from .psql import use_list
from .relations import Relation, has_same_columns, measure_size, read_relations
from .run_sessions import close_sessions_of_run
from .schema_entries import (
    VIEW_DATA,
    Entry,
    compare_entries,
    list_filled_differently,
    list_one_sided,
    list_unprinted,
    parse,
    read_dump_versions,
)
from .scope import render_schema_options
from .sequences import find_used_by_others, is_behind, list_used_by_dump, read_positions
from .session import read_major_version
from .write_counters import LARGE_OBJECTS, explain_untrusted_counters, read_activity

if TYPE_CHECKING:
    from .session import PostgreSQLSession

#: A command line has space for many patterns, but not for any number.
_AT_ONCE = 200
#: A table at the backup and now, and its rows then and now; none where a table has no data of its own.
Pair = tuple[Relation, Relation, "TableContent | None", "TableContent | None"]
#: What is named as schema.object, each in quotes where it has to be.
_QUALIFIED = re.compile(r'("(?:[^"]|"")+"|[\w$]+)\.("(?:[^"]|"")+"|[\w$]+)')
_ON_TABLE = re.compile(r"(?:index|policy|trigger) .*? on ", re.IGNORECASE)
_FOREIGN = "select oid::regclass::text from pg_class where relkind = 'f' order by 1"
_MOST_NAMED = 5
_FILLED = """
select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'm' and c.relispopulated
"""


@dataclass
class _Found:
    """The differences that were found so far."""

    rows: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, words: str, by_others: bool) -> None:
        (self.others if by_others else self.rows).append(words)


class ArchiveComparison:
    """One comparison."""

    def __init__(
        self, engine: PostgreSQLSession, archive: Archive, written_rows: WrittenRows, limit: int, report: Report
    ) -> None:
        self._engine = engine
        self._archive = archive
        self._written_rows = written_rows
        self._limit = limit
        self._report = report
        self._tools = client_tools.choose_tools(
            engine.job.pg_bin, engine.database.name, engine.open_own_connection().run(read_major_version), archive.path
        )
        self._found = _Found()

    def compare(self) -> Comparison:
        """Compare and return the result; a tool that fails makes it one that was not made."""
        try:
            schema, notes = self._compare_schema()
        except Failed as failure:
            schema, notes = [], []
            self._found.not_compared.append(f"the schema: {failure.what}: {failure.why}")
        try:
            with tempfile.TemporaryDirectory() as folder:
                self._compare_content(Path(folder))
        except Failed as failure:
            self._found.not_compared.append(f"the content: {failure.what}: {failure.why}")
        found = self._found
        notes += self._describe_foreign()
        return Comparison(schema, found.rows, found.not_compared, found.others, notes + found.notes)

    def _describe_foreign(self) -> list[str]:
        """Return a note about tables whose rows are in other databases, where the run has committed anything."""
        if not self._written_rows.stayed and not self._written_rows.unseen:
            return []
        names = [str(name) for (name,) in self._engine.open_own_connection().query_rows(_FOREIGN)]
        named = describe_first(names, _MOST_NAMED)
        return [f"the rows of foreign tables are in other databases, and were not compared: {named}"] if names else []

    def compare_schema(self) -> list[str]:
        """Compare the schema alone and return how it differs.

        Raises:
            Failed: it could not be read.
        """
        return self._compare_schema()[0]

    # The schema

    def _compare_schema(self) -> tuple[list[str], list[str]]:
        self._report("compares the schema with the backup")
        # Only with --create it prints what is of the database itself.
        what = ["--schema-only", *([] if self._engine.database.schema else ["--create"])]
        before = self._print(["pg_restore", *what, "--file=-", str(self._archive.path)], own=True)
        schemas = render_schema_options(self._engine.database.schema)
        dump = ["pg_dump", *what, "--no-password", *self._lock_wait(), *schemas]
        now = self._print([*dump, f"--dbname={client_tools.build_conninfo(self._engine.url)}"], own=False)
        made = self._list_made_version_tables(before)
        old, new = self._parse_entries(before, made), self._parse_entries(now, made)
        filled = list_filled_differently(
            old, new, ((str(row[0]), str(row[1])) for row in self._engine.open_own_connection().query_rows(_FILLED))
        )
        old = [entry for entry in old if entry.kind != VIEW_DATA]
        if read_dump_versions(before) != read_dump_versions(now):
            return list_one_sided(old, new, list_unprinted(before, now)) + filled, []
        words, notes = compare_entries(old, new)
        return words + filled, notes

    def _list_made_version_tables(self, archived: str) -> set[str]:
        """Return the version tables that were not there: Alembic makes them, and no downgrade drops them."""
        there = {f"{entry.schema}.{entry.name}".replace('"', "") for entry in parse(archived) if entry.kind == "TABLE"}
        return set(self._written_rows.version_tables | self._archive.version_tables) - there

    def _print(self, command: list[str], *, own: bool) -> str:
        variables = (
            client_tools.build_plain_environment()
            if own
            else client_tools.build_environment(self._engine.url, self._engine.application)
        )
        words = [str(self._tools.folder / command[0]), *command[1:]]
        return client_tools.run_tool(words, variables, self._archive.path, self._report, "compares the schema")

    def _parse_entries(self, script: str, leave_out: set[str]) -> list[Entry]:
        before = self._archive.fingerprint
        changed = list_changed_names(
            set(before) ^ set(self._engine.convert_fingerprint(before, self._written_rows.before))
        )
        return [
            entry
            for entry in parse(script)
            if not entry.is_own and not entry.is_of_any(leave_out) and not entry.is_of_any(changed)
        ]

    def _lock_wait(self) -> list[str]:
        return [f"--lock-wait-timeout={int(self._engine.job.backup_lock_wait * 1000)}"]

    # The content

    def _compare_content(self, folder: Path) -> None:
        own = self._engine.open_own_connection()
        before = self._archive.activity
        # First: a session hands in what it has counted at its end for certain, and before that when it likes.
        doubt = self._explain_doubt(close_sessions_of_run(self._engine))
        now = own.run(read_relations)
        if doubt:
            self._found.notes.append(f"all tables were compared: {doubt}")
        leave_out = self._written_rows.version_tables | self._archive.version_tables
        known: dict[str, Relation] = {
            oid: Relation(*facts) for oid, facts in before.get("files", {}).items() if facts[0] not in leave_out
        }
        named = {each.name: each for each in now.values()}
        wanted: list[tuple[Relation, Relation]] = []
        for oid, was in known.items():
            # Two tables may have swapped their names, and one that was made anew under the old name has another number.
            here = named.get(was.name) or now.get(oid)
            if here is None:
                self._found.rows.append(f"table {was.name} is gone")
            elif not doubt and here.oid == was.oid and self._is_untouched(was, here):
                continue
            elif self._is_small(was, here):
                wanted.append((was, here))
        if "files" not in before:
            self._found.not_compared.append("the rows: the backup does not say which tables there were")
        listing = Listing.of(self._tools, self._archive.path, self._report)
        self._compare_tables(folder, listing, wanted)
        self._compare_large_objects(folder, listing, bool(doubt) or self._is_written(LARGE_OBJECTS))
        self._compare_sequences(folder, listing)

    def _explain_doubt(self, open_sessions: str) -> str:
        """Return why the counters do not show which tables were written; nothing if they do."""
        if self._written_rows.unseen:
            return f"the run may have written where nothing counted it ({self._written_rows.unseen[0]})"
        return open_sessions or self._engine.open_own_connection().run(
            explain_untrusted_counters, self._archive.activity
        )

    def _is_untouched(self, was: Relation, here: Relation) -> bool:
        """Return whether nothing has written to a table since; columns may have come and gone behind those of then."""
        if self._is_written(was.name, here.name) or replace(here, row_type=was.row_type) != was:
            return False
        return self._has_same_columns(was, here)

    def _is_written(self, *names: str) -> bool:
        """Return whether the run has written to a table, whatever is counted for it."""
        return any(name in self._written_rows.stayed or self._written_rows.wrote.get(name) for name in names)

    def _is_small(self, was: Relation, here: Relation) -> bool:
        """Return whether a table is to be read; note it if not."""
        try:
            size = self._engine.open_own_connection().run(measure_size, here.oid)
        except Refused as refusal:
            self._found.not_compared.append(f"table {was.name}: {refusal.why}")
            return False
        if size > self._limit:
            self._found.not_compared.append(
                f"table {was.name}: it has {size:,} bytes, and migrate_compare_limit is {self._limit:,}"
            )
        return size <= self._limit

    def _compare_tables(self, folder: Path, listing: Listing, wanted: list[tuple[Relation, Relation]]) -> None:
        pairs = sorted(wanted, key=lambda pair: pair[1].name)
        for was, here, old, new in self._read_rows(folder, listing, pairs, only_archived=False):
            self._compare_rows(was, here, old, new)

    def read_archived_rows(self, folder: Path, pairs: list[tuple[Relation, Relation]]) -> Iterator[Pair]:
        """Yield tables with what the archive and the database hold of them, by the columns that the archive has."""
        listing = Listing.of(self._tools, self._archive.path, self._report)
        yield from self._read_rows(folder, listing, pairs, only_archived=True)

    def _read_rows(
        self, folder: Path, listing: Listing, pairs: list[tuple[Relation, Relation]], *, only_archived: bool
    ) -> Iterator[Pair]:
        for start in range(0, len(pairs), _AT_ONCE):
            part = pairs[start : start + _AT_ONCE]
            chosen = [
                line
                for line in listing.select_lines(["TABLE DATA"])
                if any(_is_data_of(line, was) for was, _here in part)
            ]
            before = self._read_archive(folder, chosen)
            columns = {}
            if only_archived:
                columns = {
                    here.quoted: before.tables[was.quoted].columns for was, here in part if was.quoted in before.tables
                }
            now = self._read_dump(["--data-only", *(f"--table={here.quoted}" for _was, here in part)], columns)
            self._engine.sequence_reads.update(self._engine.open_own_connection().run(list_used_by_dump))
            for was, here in part:
                yield was, here, before.tables.get(was.quoted), now.tables.get(here.quoted)

    def _compare_rows(self, was: Relation, here: Relation, old: TableContent | None, new: TableContent | None) -> None:
        if old is None and new is None:
            return
        if old is not None and new is not None and old == new:
            return
        counts = f"{old.rows if old else 'no'} rows in the backup, {new.rows if new else 'no'} now"
        if old and new and old.columns != new.columns:
            counts = "it has other columns"
        elif old and new and old.rows == new.rows:
            counts = "other values"
        self._found.add(f"rows of table {was.name} differ ({counts})", self._is_of_others(was, here))

    def _is_of_others(self, was: Relation, here: Relation) -> bool:
        """Return whether the run has provably not written a table, and others provably have."""
        if self._written_rows.unseen or was.name in self._written_rows.stayed or here.name in self._written_rows.stayed:
            return False
        if here.oid != was.oid or not self._has_same_columns(was, here):
            return False
        if here.file != was.file:
            return here.file not in self._written_rows.files
        return here.count - was.count > self._written_rows.wrote.get(was.name, 0)

    def _has_same_columns(self, was: Relation, here: Relation) -> bool:
        columns = self._archive.activity["relations"].get(here.oid, 0)
        return was.row_type == here.row_type or self._engine.open_own_connection().run(
            has_same_columns, here.oid, was, columns
        )

    def _compare_large_objects(self, folder: Path, listing: Listing, doubt: bool) -> None:
        if self._engine.database.schema:
            return  # they lie in no schema
        before = self._archive.activity.get("large_objects")
        now = self._engine.open_own_connection().run(read_activity)["large_objects"]
        if not doubt and before == now:
            return
        chosen = listing.select_lines(
            ["BLOBS", "BLOB", "BLOB METADATA", "COMMENT - LARGE OBJECT", "ACL - LARGE OBJECT"]
        )
        old = self._read_archive(folder, chosen) if chosen else Contents()
        new = self._read_dump(["--data-only", "--blobs", "--exclude-table=*.*"])
        changed = {number for number, _digest in set(old.large_objects.items()) ^ set(new.large_objects.items())}
        if changed or old.made != new.made:
            named = ", ".join(sorted(changed, key=int)[:5]) or "their owners, privileges or comments"
            by_run = self._written_rows.stayed & {LARGE_OBJECTS, f"{LARGE_OBJECTS}_metadata"}
            by_others = not self._written_rows.unseen and not by_run
            self._found.add(f"large objects differ: {named}", by_others and before != now)

    def _compare_sequences(self, folder: Path, listing: Listing) -> None:
        chosen = listing.select_lines(["SEQUENCE SET"])
        if not chosen:
            return
        before = self._read_archive(folder, chosen).sequences
        close_sessions_of_run(self._engine)
        try:
            used = self._engine.open_own_connection().run(
                find_used_by_others, self._archive, self._written_rows, self._engine.sequence_reads
            )
            now = read_positions(self._engine)
        except Refused as refusal:
            self._found.not_compared.append(f"the sequences: {refusal.why}")
            return
        for name, (value, given) in sorted(before.items()):
            if name not in now:
                continue  # the schema says that it is gone, or it belongs to a version table
            here = now[name]
            if here is None:
                self._found.not_compared.append(f"sequence {name}: it cannot be read")
            elif here[:2] != (value, given):
                words = f"sequence {name} is at {here[0]}, and at {value} in the backup"
                # What others have moved on is ahead for good; nothing takes a value back that was given out.
                is_ahead = not is_behind(here[:2], (value, given), here[3])
                self._found.add(words, not self._written_rows.unseen and name in used and is_ahead)

    def read_sequence_positions(self, folder: Path) -> dict[str, tuple[int, bool]]:
        """Return the positions of the archive's sequences."""
        listing = Listing.of(self._tools, self._archive.path, self._report)
        return self._read_archive(folder, listing.select_lines(["SEQUENCE SET"])).sequences

    def _read_archive(self, folder: Path, lines: list[str]) -> Contents:
        found = Contents()
        if not lines:
            return found
        chosen = use_list(folder, "chosen", lines)
        command = [str(self._tools.folder / "pg_restore"), f"--use-list={chosen}", "--file=-", str(self._archive.path)]
        with stream_output(command, client_tools.build_plain_environment()) as stream:
            found.read(stream, self._report)
        return found

    def _read_dump(self, words: list[str], columns: dict[str, list[bytes]] | None = None) -> Contents:
        found = Contents(columns=columns or {})
        command = [str(self._tools.folder / "pg_dump"), "--no-password", *self._lock_wait(), *words]
        command += [f"--dbname={client_tools.build_conninfo(self._engine.url)}"]
        with stream_output(
            command, client_tools.build_environment(self._engine.url, self._engine.application)
        ) as stream:
            found.read(stream, self._report)
        return found


def read_archived_positions(engine: PostgreSQLSession, archive: Archive) -> dict[str, tuple[int, bool]]:
    """Return the positions of the sequences that an archive holds, by quoted name."""
    comparison = ArchiveComparison(engine, archive, WrittenRows([]), 0, lambda _words: None)
    with tempfile.TemporaryDirectory() as folder:
        return comparison.read_sequence_positions(Path(folder))


def list_changed_names(lines: set[str]) -> set[str]:
    """Return the names of what lines of a fingerprint are about, without quotes: schema.name."""
    found = set()
    for line in lines:
        on_table = _ON_TABLE.match(line)
        name = _QUALIFIED.search(line, on_table.end() if on_table else 0)
        if name:
            found.add(".".join(_unquote_name(part) for part in name.groups()))
    return found


def _is_data_of(line: str, table: Relation) -> bool:
    name = _QUALIFIED.match(table.quoted)
    words = " ".join(_unquote_name(part) for part in name.groups()) if name else table.name.replace(".", " ", 1)
    return f" TABLE DATA {words} " in line.replace("\n", " ")


def _unquote_name(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
