# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The undoing of a failed revision's objects, statement by statement where that loses nothing.

A table, a column, an index, a key, a view, a trigger or a routine that was not there before, that a statement of the
run names, and that holds nothing is dropped, under a lock of its table. Rows that others write meanwhile stay, and so
does what others have defined. All that the revision has left is undone so, or nothing.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .catalog import Line, read_lines
from .content import has_rows, has_values, read_columns, run_sql
from .ddl_names import Named, parse_quoted_names
from .gone import list_dropped_by_others
from .lock_attempts import retry_until_locked
from .quoting import qualify_name, quote_name
from .same_name import REFERS_TO_SCHEMA, TABLE_IS_IN_SCHEMA

if TYPE_CHECKING:
    from ..connection import OwnConnection
    from .session import MariaDBSession

_NAME = r"`(?P<name>(?:[^`]|``)+)`"
#: Parts of a table that was there before, by what drops them, in the order in which they can be dropped.
_PARTS = {
    "drop foreign key": re.compile(rf"CONSTRAINT {_NAME} FOREIGN KEY .*", re.DOTALL),
    "drop constraint": re.compile(rf"CONSTRAINT {_NAME} CHECK .*", re.DOTALL),
    "drop key": re.compile(rf"(?:UNIQUE |FULLTEXT |SPATIAL )?KEY {_NAME} .*", re.DOTALL),
    "drop column": re.compile(rf"{_NAME} .*", re.DOTALL),
}
_OBJECTS = ("trigger", "view", "event", "procedure", "function")
_OPTIONS = re.compile(r"(\w+)=('(?:[^']|'')*'|\S+)")
_PARTITIONS = {"partition", "partitions"}
#: Options that a statement may name by each of these words.
_CHARACTER_SET = {"charset", "character", "collate"}
#: What a line of the fingerprint begins with; others are of rows.
_DEFINES = re.compile(r"\+(?:table|system versioned|sequence|package(?: body)?|" + "|".join(_OBJECTS) + r") ")
_BONDS = f"""
select distinct {TABLE_IS_IN_SCHEMA}, table_name, referenced_table_name, constraint_name
  from information_schema.key_column_usage
 where {REFERS_TO_SCHEMA}
"""


@dataclass
class LeftObjects:
    """The objects that a revision left: tables, parts of other tables as (table, what drops it, name), and others."""

    tables: list[str] = field(default_factory=list)
    parts: list[tuple[str, str, str]] = field(default_factory=list)
    objects: list[tuple[str, str]] = field(default_factory=list)
    #: Lines of the fingerprint of what no statement of the run names, and the tables that they belong to.
    of_others: list[str] = field(default_factory=list)
    tables_of_others: set[str] = field(default_factory=set)
    #: Lines of the fingerprint from before that are gone.
    gone: list[str] = field(default_factory=list)
    #: Whether each of the run's can be dropped.
    is_all: bool = True

    def add(self, line: Line, named: Named, new_tables: set[str]) -> None:
        """Add what a line is of."""
        if line.kind == "table" and line.name in new_tables:
            if not named.has("table", line.name):
                self._add_of_others(line)
            elif line.name not in self.tables:
                self.tables.append(line.name)
        elif line.part:
            self._add_part(line, named)
        elif not named.has(line.kind, line.name):
            self._add_of_others(line)
        elif line.kind in _OBJECTS:
            self.objects.append((f"drop {line.kind}", line.name))
        else:
            self.is_all = False

    def _add_part(self, line: Line, named: Named) -> None:
        found = ((words, match) for words, each in _PARTS.items() if (match := each.fullmatch(line.part)))
        words, match = next(found, ("", None))
        if match is None or line.kind != "table":
            named_by = self._list_words(line) if line.kind == "table" else {"versioning"}
            if named.is_changed(line.table, named_by):
                self.is_all = False
            else:
                self._add_of_others(line)
            return
        name = match["name"].replace("``", "`")
        if named.has_part(line.table, name):
            self.parts.append((line.table, words, name))
        else:
            self._add_of_others(line)

    def _list_words(self, line: Line) -> set[str]:
        """Return words of which one is in each statement that gives a table this part, which has no name.

        That is its primary key, its period, its partitions, or an option behind all of them.
        """
        part = line.part.casefold()
        if not part.startswith(")"):
            head = part.lstrip("(").split()[0]
            return {head, *parse_quoted_names(part), *(_PARTITIONS if head in _PARTITIONS else ())}
        before = next((text for text in self.gone if text.startswith(f"table {line.table}: )")), "")
        options = {name for name, _value in {*_OPTIONS.findall(part)} ^ {*_OPTIONS.findall(before.casefold())}}
        return {*options, *(_CHARACTER_SET if options & _CHARACTER_SET else ())}

    def _add_of_others(self, line: Line) -> None:
        self.of_others.append(line.text)
        self.tables_of_others.add(line.table or line.name)

    @property
    def changed_tables(self) -> set[str]:
        """Return the tables that are dropped or altered to undo it."""
        return {*self.tables, *(table for table, _words, _name in self.parts)}


@dataclass(frozen=True)
class Undone:
    """The undone lines of the fingerprint, and the lines of what others may have defined meanwhile."""

    lines: list[str]
    of_others: list[str]


def read_left(own: OwnConnection, left: list[str], executed: list[str]) -> LeftObjects:
    """Return what differences of fingerprints mean.

    The names come from the server: that of a view may hold all that a line of the fingerprint has behind it.
    """
    texts = {line[1:] for line in left if _DEFINES.match(line)}
    there = own.run(read_lines)
    lines = [line for line in there if line.text in texts]
    (schema, names_kind) = own.query_rows("select database(), @@lower_case_table_names")[0]
    named = Named(str(schema), is_exact=int(names_kind) == 0).add(executed)
    new_tables = {line.name for line in lines if line.kind == "table" and not line.part}
    gone = [line[1:] for line in left if line.startswith("-")]
    found = LeftObjects(gone=gone, is_all=all(_DEFINES.match(line) for line in left))
    for line in lines:
        found.add(line, named, new_tables)
    found.of_others += [line[1:] for line in left if line.startswith("+database: ") and not named.alters_database]
    for text, table in list_dropped_by_others(gone, there, named):
        found.of_others.append(text)
        found.tables_of_others.add(table)
    # Blanks in names are one in a fingerprint: which of two was there before cannot be known.
    objects = {(line.text, line.kind, line.name, line.part) for line in lines}
    found.is_all &= len(objects) == len({line.text for line in lines})
    return found


def undo(engine: MariaDBSession, left: list[str], executed: list[str]) -> Undone:
    """Drop all that a revision has left, nothing if anything would be lost; what is gone already counts as undone.

    Args:
        engine: of the database.
        left: what it has left, as differences of fingerprints.
        executed: its statements.
    """
    if not left:
        return Undone([], [])
    own = engine.open_own_connection()
    found = read_left(own, left, executed)
    if not found.is_all or found.changed_tables & found.tables_of_others:
        return Undone([], found.of_others)
    with engine.shorten_lock_timeout(engine.job.lock_timeout):
        if not _drop(engine, own, found):
            return Undone([], found.of_others)
        for words, name in found.objects:
            with suppress(Exception):  # its line is found again then
                _run_locked(engine, own, f"{words} if exists {quote_name(name)}")
    return Undone([line[1:] for line in left if line[1:] not in found.of_others], found.of_others)


def _drop(engine: MariaDBSession, own: OwnConnection, found: LeftObjects) -> bool:
    """Drop tables and parts of tables under a lock, and return whether it was done."""
    tables = sorted(found.changed_tables)
    try:
        if tables:
            _run_locked(engine, own, "lock tables " + ", ".join(f"{quote_name(table)} write" for table in tables))
        if _has_content(own, engine.name_on_server, found):
            return False
        for statement in _build_statements(engine.name_on_server, found):
            run_sql(own, statement)
    except Exception:  # noqa: BLE001 - what cannot be undone so is restored, or held
        return False
    finally:
        with suppress(Exception):
            run_sql(own, "unlock tables")
        with suppress(Exception):
            run_sql(own, "set foreign_key_checks = 1")
    return True


def _run_locked(engine: MariaDBSession, own: OwnConnection, statement: str) -> None:
    """Execute a statement that waits for others, without making them wait behind it for long."""
    retry_until_locked(engine.job.lock_wait, lambda: run_sql(own, statement), engine.is_lock_timeout)


def _has_content(own: OwnConnection, schema: str, found: LeftObjects) -> bool:
    """Return whether there is a row in a table that is new, a value in a column, or a foreign key from elsewhere."""
    columns = read_columns(own, schema)
    for is_here, child, parent, key in own.query_rows(_BONDS, schema=schema):
        is_ours = is_here and (child in found.tables or (child, "drop foreign key", key) in found.parts)
        if parent in found.tables and not is_ours:
            return True
    return any(has_rows(own, schema, table) for table in found.tables) or any(
        has_values(own, schema, table, columns[table][name])
        for table, words, name in found.parts
        if words == "drop column"
    )


def _build_statements(schema: str, found: LeftObjects) -> list[str]:
    changes: dict[str, list[str]] = {}
    for table, words, name in sorted(found.parts, key=lambda part: list(_PARTS).index(part[1])):
        changes.setdefault(table, []).append(f"{words} {quote_name(name)}")
    statements = [f"alter table {qualify_name(schema, table)} {', '.join(parts)}" for table, parts in changes.items()]
    if found.tables:
        # Tables that refer to each other; from elsewhere none does.
        statements.append("set foreign_key_checks = 0")
        statements.append("drop table " + ", ".join(qualify_name(schema, table) for table in found.tables))
    return statements
