# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables that a run may have written, by what its statements have named: rather too many than too few.

A row that is written into a table may be written further by its triggers, by foreign keys that cascade, by the table
of a view, and by what these name. All count that the backup defines, or the database does now. What the run itself has
defined in between, its own statements have named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..data import ANY_TABLE
from .dump_text import Definition, Definitions
from .same_name import EVENT_IS_IN_SCHEMA, ROUTINE_IS_IN_SCHEMA, SCHEMA_IS_NAMED, TABLE_IS_IN_SCHEMA
from .statement_targets import Catalog, find_names_in

if TYPE_CHECKING:
    from ..connection import OwnConnection

_TABLES = f"""
select table_name, table_type, lower(engine) from information_schema.tables
 where {TABLE_IS_IN_SCHEMA} and table_type <> 'VIEW'
"""
_VIEWS = f"""
select table_name, view_definition from information_schema.views
 where {TABLE_IS_IN_SCHEMA}
"""
_ROUTINES = f"""
select routine_name from information_schema.routines where {ROUTINE_IS_IN_SCHEMA}
union select event_name from information_schema.events where {EVENT_IS_IN_SCHEMA}
"""
#: What is in information_schema can be read only.
_SCHEMAS = f"""
select schema_name from information_schema.schemata
 where not {SCHEMA_IS_NAMED}
   and schema_name <> 'information_schema'
"""
_FOREIGN_KEY = "FOREIGN KEY"
_ACTS = re.compile(r"CASCADE|SET NULL|SET DEFAULT")
_ENGINE = re.compile(r"ENGINE=(\w+)")
#: Storage engines that write nothing elsewhere.
_PLAIN_ENGINES = {"innodb", "myisam", "aria", "memory", "archive", "csv", "rocksdb", "sequence"}
#: The storage engine that takes back what is rolled back.
_ROLLS_BACK = "innodb"
#: What is before a column that a statement has dropped, in place of the name of an object.
_COLUMN = "column "


def read_catalog(own: OwnConnection, schema: str) -> Catalog:
    """Return the names in a database, and those of the others."""
    found = Catalog(schema=schema)
    for name, kind, engine in own.query_rows(_TABLES, schema=schema):
        (found.sequences if kind == "SEQUENCE" else found.tables).add(str(name))
        found.rolls_back &= kind == "SEQUENCE" or engine == _ROLLS_BACK
    found.views = {str(name): str(text or "") for name, text in own.query_rows(_VIEWS, schema=schema)}
    found.routines = {str(name) for (name,) in own.query_rows(_ROUTINES, schema=schema)}
    found.other_schemas = read_other_schemas(own, schema)
    return found


def read_other_schemas(own: OwnConnection, schema: str) -> set[str]:
    """Return the other databases that the user may see: into others he cannot write."""
    return {str(name) for (name,) in own.query_rows(_SCHEMAS, schema=schema)}


def build_column_name(table: str, column: str) -> str:
    """Return how a column that was dropped is journaled."""
    return f"{_COLUMN}{len(table)} {table} {column}"


def parse_column_name(name: str) -> tuple[str, str] | None:
    """Return the table and the column that a journaled name means, None where it is that of an object."""
    length, _space, rest = name.removeprefix(_COLUMN).partition(" ")
    if not name.startswith(_COLUMN) or not length.isdigit():
        return None
    return rest[: int(length)], rest[int(length) + 1 :]


def list_written_tables(
    touched: Iterable[str], before: Definitions, now: Definitions, elsewhere: set[str], schema: str
) -> set[str] | None:
    """Return the tables and sequences that a run may have written, None where these may be all.

    Args:
        touched: what its statements have named, and columns that they have dropped.
        before: what the backup defines.
        now: what the database defines.
        elsewhere: the names of other databases.
        schema: the database.
    """
    search = Search.of(before, now, elsewhere, schema)
    # A statement that drops a trigger does not name its table.
    for table in before.triggers.keys() | now.triggers.keys():
        if before.triggers.get(table, []) != now.triggers.get(table, []):
            search.add(table)
    for name in touched:
        if name == ANY_TABLE:
            return None
        found = parse_column_name(name)
        if found:
            # A column that the backup has not is the run's own, and so is what was in it.
            if has_column(before, *found):
                search.add(found[0])
        else:
            search.add(name)
    return search.found if search.run() else None


def has_column(before: Definitions, table: str, column: str) -> bool:
    """Return whether a table was defined with a column."""
    texts = [text for name, text in before.tables.items() if name.casefold() == table.casefold()]
    return any(f"\n  `{column.replace('`', '``')}` ".casefold() in text.casefold() for text in texts)


@dataclass
class _State:
    """The relations between names that a database defines at one moment; the names are those of the catalog."""

    catalog: Catalog
    tables: dict[str, str]
    triggers: dict[str, list[Definition]]
    #: The statements of views, routines and events.
    bodies: dict[str, list[str]] = field(default_factory=dict)
    #: By table, those that refer to it with an action.
    children: dict[str, set[str]] = field(default_factory=dict)
    #: Tables that a row of another database may change so.
    of_others: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, definitions: Definitions, elsewhere: set[str], schema: str) -> _State:
        routines = {_parse_routine_name(key) for key in definitions.routines}
        catalog = Catalog(
            set(definitions.tables),
            set(definitions.sequences),
            {name: view.text for name, view in definitions.views.items()},
            routines,
            other_schemas=elsewhere,
            schema=schema,
        )
        state = cls(catalog, definitions.tables, definitions.triggers)
        for name, text in catalog.views.items():
            state.bodies.setdefault(name, []).append(text)
        for key, routine in definitions.routines.items():
            state.bodies.setdefault(_parse_routine_name(key), []).append(routine.text)
        for child, text in definitions.tables.items():
            state._add_keys(child, text)
        return state

    def _add_keys(self, child: str, text: str) -> None:
        _columns, is_key, keys = text.partition(_FOREIGN_KEY)
        if not is_key or not _ACTS.search(keys):
            return
        if "`.`" in keys:
            self.of_others.add(child)
        for parent in find_names_in(keys, self.catalog.tables):
            self.children.setdefault(parent.casefold(), set()).add(child)

    def find_written_behind(self, name: str) -> set[str] | None:
        """Return what may be written where something is written through a name, None where it may be anything."""
        found = set(self.of_others)
        for table, text in self.tables.items():
            if table.casefold() != name:
                continue
            found |= self.children.get(name, set()) | find_names_in(text, self.catalog.sequences)
            engines = {engine.lower() for engine in _ENGINE.findall(text)}
            if not engines <= _PLAIN_ENGINES:
                return None
            for trigger in self.triggers.get(table, ()):
                if self.catalog.may_write_elsewhere(trigger.text):
                    return None
                found |= find_names_in(trigger.text, self.catalog.all_names)
        for body, texts in self.bodies.items():
            for text in texts if body.casefold() == name else ():
                if self.catalog.may_write_elsewhere(text):
                    return None
                found |= find_names_in(text, self.catalog.all_names)
        return found


class Search:
    """Follows names from one to the next."""

    def __init__(self, states: list[_State]) -> None:
        self._states = states
        self._waiting: set[str] = set()
        self._seen: set[str] = set()
        #: The tables and sequences that were found.
        self.found: set[str] = set()
        #: The names that no object has.
        self.unknown: set[str] = set()

    @classmethod
    def of(cls, before: Definitions, now: Definitions, elsewhere: set[str], schema: str) -> Search:
        """Return one through what a database defined before and what it does now."""
        return cls([_State.of(before, elsewhere, schema), _State.of(now, elsewhere, schema)])

    def add(self, name: str) -> None:
        """Add a name from which to go on."""
        if name.casefold() not in self._seen:
            self._seen.add(name.casefold())
            self._waiting.add(name.casefold())

    def run(self) -> bool:
        """Find all, and return whether that is all that it may be."""
        while self._waiting:
            name = self._waiting.pop()
            if not any(each.casefold() == name for state in self._states for each in state.catalog.all_names):
                self.unknown.add(name)
            for state in self._states:
                rows = state.catalog.tables | state.catalog.sequences
                self.found |= {each for each in rows if each.casefold() == name}
                behind = state.find_written_behind(name)
                if behind is None:
                    return False
                for each in behind:
                    self.add(each)
        return True


def _parse_routine_name(key: str) -> str:
    return key[13:] if key.startswith("package body ") else key.partition(" ")[2]
