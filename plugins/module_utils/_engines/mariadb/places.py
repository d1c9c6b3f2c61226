# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The places of a restore's tables: a schema of their own, or the database itself, under names of ours.

A user of one database may make no schema. Then each table gets a name that says what it is: what it belongs to, a
part of the table's own name, and a digest of it, as a name has 64 letters at most.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .content import Column, read_charset, read_columns_where, run_sql
from .quoting import qualify_name, quote_literal, quote_name
from .same_name import IN_SCHEMA, OURS, REFERS_TO_SCHEMA, SCHEMA_IS_NAMED, TABLE_IS_IN_SCHEMA, match_name

if TYPE_CHECKING:
    from ..connection import OwnConnection

STATE_TABLE = "hosting_alembic_state"
_STATE = "state"
#: How the prefixes begin of what was replaced.
_RETAINED = "hosting_alembic_old_"
#: With what is before it, and with what the server puts behind it for a foreign key without a name, below 64 letters.
_LONGEST_PART = 8
_DIGITS = 10

_TABLES = f"""
select table_name from information_schema.tables
 where {TABLE_IS_IN_SCHEMA} and table_type not like '%VIEW%'
   and not {match_name("table_name", ":state")} order by table_name
"""
_OUR_TABLES = f"""
select table_name from information_schema.tables where {IN_SCHEMA} and {OURS} and table_type not like '%VIEW%'
 order by table_name
"""
_HAS = f"select 1 from information_schema.tables where {IN_SCHEMA} and {match_name('table_name', ':name')}"
_SIZE = f"""
select sum(coalesce(data_length, 0) + coalesce(index_length, 0)) from information_schema.tables where {IN_SCHEMA}
"""
_BONDS = f"""
select distinct table_name, referenced_table_name from information_schema.key_column_usage
 where {IN_SCHEMA} and {REFERS_TO_SCHEMA}
"""
_BONDS_FROM_OUTSIDE = f"""
select distinct concat(table_schema, '.', table_name), referenced_table_name from information_schema.key_column_usage
 where {REFERS_TO_SCHEMA} and not {IN_SCHEMA}
"""
_PLAIN = f"select table_name from information_schema.tables where {IN_SCHEMA} and table_type = 'BASE TABLE'"


class Place(ABC):
    """A place for tables of a database."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Return what it is called in a state, in a report and by a person."""

    @property
    @abstractmethod
    def noted_as(self) -> str:
        """Return by what the host has it written down."""

    @property
    @abstractmethod
    def state(self) -> tuple[str, str]:
        """Return the schema and the name of the table that says what it is."""

    @abstractmethod
    def locate_table(self, table: str) -> tuple[str, str]:
        """Return the schema and the name of a table there."""

    @abstractmethod
    def make(self, own: OwnConnection, like: str) -> None:
        """Make it.

        Args:
            own: a connection of our own.
            like: the schema whose new tables get the same as those there.
        """

    @abstractmethod
    def drop(self, own: OwnConnection) -> None:
        """Drop it with all that is there, and what it says of itself at last."""

    @abstractmethod
    def read_tables(self, own: OwnConnection, expected: Iterable[str]) -> list[str]:
        """Return the tables and sequences that are there, by their own names.

        Args:
            own: a connection of our own.
            expected: the names that it may have; a place of its own returns others, too.
        """

    @abstractmethod
    def is_there(self, own: OwnConnection) -> bool:
        """Return whether there is anything of it."""

    @abstractmethod
    def read_columns(self, own: OwnConnection, expected: Iterable[str]) -> dict[str, dict[str, Column]]:
        """Return the columns of its tables, by their own names."""

    @abstractmethod
    def read_plain_tables(self, own: OwnConnection, expected: Iterable[str]) -> set[str]:
        """Return its tables that have rows and no history, by their own names."""

    @abstractmethod
    def read_foreign_keys(self, own: OwnConnection, expected: Iterable[str]) -> set[tuple[str, str]]:
        """Return the foreign keys within it, each as a pair of tables by their own names."""

    @abstractmethod
    def list_bound_from_outside(self, own: OwnConnection) -> list[str]:
        """Return the tables elsewhere that have a foreign key to one of it."""

    @abstractmethod
    def measure_size(self, own: OwnConnection) -> int:
        """Return how many bytes it takes."""

    def qualify_table(self, table: str) -> str:
        """Return the full name of a table there, in backquotes."""
        return qualify_name(*self.locate_table(table))

    def has_state(self, own: OwnConnection) -> bool:
        """Return whether there is a table that says what it is."""
        schema, name = self.state
        return bool(own.query_rows(_HAS, schema=schema, name=name))


@dataclass(frozen=True)
class SchemaPlace(Place):
    """A schema of its own."""

    schema: str

    @property
    def name(self) -> str:
        """Return the schema."""
        return self.schema

    @property
    def noted_as(self) -> str:
        """Return the schema."""
        return self.schema

    @property
    def state(self) -> tuple[str, str]:
        """Return the table in it."""
        return self.schema, STATE_TABLE

    def locate_table(self, table: str) -> tuple[str, str]:
        """Return the same name in the schema."""
        return self.schema, table

    def make(self, own: OwnConnection, like: str) -> None:
        """Make the schema."""
        charset, collation = read_charset(own, like) or ("utf8mb4", "utf8mb4_general_ci")
        run_sql(own, f"create database {quote_name(self.schema)} character set {charset} collate {collation}")

    def drop(self, own: OwnConnection) -> None:
        """Drop the schema; a table in it may refer to another one."""
        _run_without_key_checks(own, [f"drop database if exists {quote_name(self.schema)}"])

    def read_tables(self, own: OwnConnection, expected: Iterable[str] = ()) -> list[str]:
        """Return all but ours."""
        return [name for (name,) in own.query_rows(_TABLES, schema=self.schema, state=STATE_TABLE)]

    def is_there(self, own: OwnConnection) -> bool:
        """Return whether there is the schema."""
        return bool(
            own.query_rows(f"select 1 from information_schema.schemata where {SCHEMA_IS_NAMED}", schema=self.schema)
        )

    def read_columns(self, own: OwnConnection, expected: Iterable[str] = ()) -> dict[str, dict[str, Column]]:
        """Return those of the schema."""
        return read_columns_where(own, IN_SCHEMA, self.schema)

    def read_plain_tables(self, own: OwnConnection, expected: Iterable[str] = ()) -> set[str]:
        """Return those of the schema."""
        return {str(name) for (name,) in own.query_rows(_PLAIN, schema=self.schema)}

    def read_foreign_keys(self, own: OwnConnection, expected: Iterable[str] = ()) -> set[tuple[str, str]]:
        """Return those of the schema."""
        return {(str(table), str(other)) for table, other in own.query_rows(_BONDS, schema=self.schema)}

    def list_bound_from_outside(self, own: OwnConnection) -> list[str]:
        """Return those of other schemas."""
        return sorted({str(table) for table, _other in own.query_rows(_BONDS_FROM_OUTSIDE, schema=self.schema)})

    def measure_size(self, own: OwnConnection) -> int:
        """Return that of the schema."""
        return int(own.query_rows(_SIZE, schema=self.schema)[0][0] or 0)


@dataclass(frozen=True)
class PrefixPlace(Place):
    """Names with a prefix in the database itself."""

    schema: str
    prefix: str

    @property
    def name(self) -> str:
        """Return the prefix."""
        return self.prefix

    @property
    def noted_as(self) -> str:
        """Return the prefix, which is one of many databases."""
        return f"{self.prefix} in {self.schema}"

    @property
    def state(self) -> tuple[str, str]:
        """Return a name that no table gets."""
        return self.schema, f"{self.prefix}_{_STATE}"

    def locate_table(self, table: str) -> tuple[str, str]:
        """Return the name for a table."""
        part = re.sub(r"[^a-z0-9_]", "", table.lower())[:_LONGEST_PART]
        digest = hashlib.sha256(table.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
        return self.schema, f"{self.prefix}_{part}_{digest}"

    def make(self, own: OwnConnection, like: str) -> None:
        """Make nothing: the first table is what says what it is."""

    def drop(self, own: OwnConnection) -> None:
        """Drop the tables, and at last the one that shows that they are ours."""
        state = self.state[1]
        names = [name for name in self._list_there(own) if name != state] + [state]
        # One by one: a name in a list that is gone already would leave all behind it.
        statements = [f"drop table if exists {qualify_name(self.schema, name)}" for name in names]
        if not self.prefix.startswith(_RETAINED):
            _run_without_key_checks(own, statements)
            return
        # What was replaced has lost its keys; those of databases that this user does not see are only checked so.
        for statement in statements:
            run_sql(own, statement)

    def read_tables(self, own: OwnConnection, expected: Iterable[str]) -> list[str]:
        """Return those that were expected; another's name cannot be known from ours."""
        there = set(self._list_there(own))
        return sorted(table for table in set(expected) if self.locate_table(table)[1] in there)

    def is_there(self, own: OwnConnection) -> bool:
        """Return whether there is any table."""
        return bool(self._list_there(own))

    def read_columns(self, own: OwnConnection, expected: Iterable[str]) -> dict[str, dict[str, Column]]:
        """Return those of the tables that were expected."""
        found = read_columns_where(own, f"{IN_SCHEMA} and {OURS}", self.schema)
        return {table: found[here] for table, here in self._map_names(expected).items() if here in found}

    def read_plain_tables(self, own: OwnConnection, expected: Iterable[str]) -> set[str]:
        """Return those that were expected."""
        found = {str(name) for (name,) in own.query_rows(_PLAIN, schema=self.schema)}
        return {table for table, here in self._map_names(expected).items() if here in found}

    def read_foreign_keys(self, own: OwnConnection, expected: Iterable[str]) -> set[tuple[str, str]]:
        """Return those between tables that were expected."""
        known = {here: table for table, here in self._map_names(expected).items()}
        return {
            (known[table], known.get(other, other))
            for table, other in own.query_rows(_BONDS, schema=self.schema)
            if table in known
        }

    def list_bound_from_outside(self, own: OwnConnection) -> list[str]:
        """Return those of the database itself, and of other schemas."""
        there = set(self._list_there(own))
        found = list(own.query_rows(_BONDS_FROM_OUTSIDE, schema=self.schema))
        found += [pair for pair in own.query_rows(_BONDS, schema=self.schema) if pair[0] not in there]
        return sorted({str(table) for table, other in found if other in there})

    def measure_size(self, own: OwnConnection) -> int:
        """Return that of its tables."""
        names = set(self._list_there(own))
        statement = f"{_SIZE} and {match_name('table_name', ':name')}"
        return sum(int(own.query_rows(statement, schema=self.schema, name=name)[0][0] or 0) for name in names)

    def prepend_lock(self, script: Iterable[bytes]) -> Iterator[bytes]:
        """Yield a script that loads tables, behind what shows for how long its client is at work."""
        yield f"do get_lock({quote_literal(self.prefix)}, 0);\n".encode()
        yield from script

    def is_loaded_by_no_one(self, own: OwnConnection, patience: float) -> bool:
        """Wait until the client has ended that loads tables, and return whether it has.

        Args:
            own: a connection of our own.
            patience: seconds.
        """
        if not run_sql(own, f"select get_lock({quote_literal(self.prefix)}, {float(patience)})")[0][0]:
            return False
        run_sql(own, f"do release_lock({quote_literal(self.prefix)})")
        return True

    def is_unwritten(self, own: OwnConnection) -> bool:
        """Return whether there is the table for what it says of itself, with nothing in it, and no other."""
        if self._list_there(own) != [self.state[1]]:
            return False
        table = qualify_name(*self.state)
        # HANDLER reads tables only: a view might execute a function of another user with our rights.
        try:
            run_sql(own, f"handler {table} open as hosting_alembic_first")
        except Exception:  # noqa: BLE001 - what cannot be read is not known to be empty
            return False
        try:
            return not run_sql(own, "handler hosting_alembic_first read first")
        finally:
            run_sql(own, "handler hosting_alembic_first close")

    def _map_names(self, tables: Iterable[str]) -> dict[str, str]:
        return {table: self.locate_table(table)[1] for table in tables}

    def _list_there(self, own: OwnConnection) -> list[str]:
        """Return the names in the database that begin as ours do."""
        names = read_our_tables(own, self.schema)
        return [name for name in names if name.startswith(f"{self.prefix}_")]


def read_our_tables(own: OwnConnection, schema: str) -> list[str]:
    """Return the tables in a database that are none of its own: what restores have loaded or retained."""
    return [str(name) for (name,) in own.query_rows(_OUR_TABLES, schema=schema)]


def leave_out_ours(own: OwnConnection, schema: str) -> list[str]:
    """Return the options that let mariadb-dump go past what is ours in a database."""
    return [f"--ignore-table={schema}.{name}" for name in read_our_tables(own, schema)]


def list_prefix_places(own: OwnConnection, schema: str, begins: str) -> list[PrefixPlace]:
    """Return the places in a database that say of themselves what they are.

    Args:
        own: a connection of our own.
        schema: the database.
        begins: how their prefixes begin.
    """
    end = f"_{_STATE}"
    names = [name[: -len(end)] for name in read_our_tables(own, schema) if name.endswith(end)]
    return [PrefixPlace(schema, name) for name in names if name.startswith(begins)]


def _run_without_key_checks(own: OwnConnection, statements: list[str]) -> None:
    run_sql(own, "set foreign_key_checks = 0")
    try:
        for statement in statements:
            run_sql(own, statement)
    finally:
        run_sql(own, "set foreign_key_checks = 1")
