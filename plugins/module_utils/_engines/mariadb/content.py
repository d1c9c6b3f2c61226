# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests of the rows of tables, computed by the server: a sum over all rows, the same in whatever order they come.

``CHECKSUM TABLE`` is a sum of 32 bits, which two tables may share. What a dump writes is what is compared: it writes
a FLOAT with six digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..connection import OwnConnection
from .quoting import qualify_name, quote_name
from .same_name import SCHEMA_IS_NAMED, TABLE_IS_IN_SCHEMA

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: The values of these may be long, so that the server would have to copy all of them to concatenate a row.
_LONG = {"tinytext", "text", "mediumtext", "longtext"}
_SHORT = {"char", "varchar", "enum", "set"}
_BYTES = {"binary", "varbinary", "bit"}
_LONG_BYTES = {
    "tinyblob",
    "blob",
    "mediumblob",
    "longblob",
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
}
_NUMBERS = {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "bit", "year"}

#: What new tables of a schema get.
CHARSET = f"""
select default_character_set_name, default_collation_name from information_schema.schemata where {SCHEMA_IS_NAMED}
"""
_COLUMNS = """
select table_name, column_name, data_type, is_nullable, column_default, extra,
       coalesce(generation_expression, '') <> '' or extra like '%GENERATED%'
  from information_schema.columns where {} order by table_name, ordinal_position
"""
#: Hexadecimal digits of a digest that are added up: 64 bits.
_DIGITS = 16
_UNREAD = 10**40


@dataclass(frozen=True)
class Column:
    """A column that a dump writes, or that is computed from others."""

    name: str
    data_type: str
    is_nullable: bool
    default: str | None
    extra: str
    is_generated: bool


def run_sql(own: OwnConnection, statement: str) -> list[tuple[Any, ...]]:
    """Execute one statement in which nothing is a parameter."""

    def execute(connection: Connection) -> list[tuple[Any, ...]]:
        result = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        return [tuple(row) for row in result] if result.returns_rows else []

    return own.run(execute)


def read_charset(own: OwnConnection, schema: str) -> tuple[str, str] | None:
    """Return the character set and the collation that new tables of a schema get, None where it is not there."""
    found = own.query_rows(CHARSET, schema=schema)
    return (str(found[0][0]), str(found[0][1])) if found else None


def read_columns(own: OwnConnection, schema: str) -> dict[str, dict[str, Column]]:
    """Return the columns of all tables of a schema but ours, by table and name."""
    return read_columns_where(own, TABLE_IS_IN_SCHEMA, schema)


def read_columns_where(own: OwnConnection, condition: str, schema: str) -> dict[str, dict[str, Column]]:
    """Return the columns of the tables of a schema for which a condition holds, by table and name."""
    found: dict[str, dict[str, Column]] = {}
    rows = own.query_rows(_COLUMNS.format(condition), schema=schema)
    for table, name, data_type, nullable, default, extra, generated in rows:
        column = Column(name, str(data_type).lower(), nullable == "YES", default, str(extra), bool(generated))
        found.setdefault(table, {})[name] = column
    return found


def hash_rows(own: OwnConnection, schema: str, table: str, columns: list[Column]) -> str:
    """Return the number of rows and the sum of their digests, by columns in the order that is given.

    Raises:
        ValueError: the server could not read a row, because it is longer than ``max_allowed_packet``.
    """
    count, total = run_sql(own, f"select {build_digest_columns(columns)} from {qualify_name(schema, table)}")[0]
    if int(total) >= _UNREAD:
        raise ValueError(f"rows of table {table} are longer than max_allowed_packet")
    return f"{count} {int(total)}"


def build_digest_columns(columns: list[Column]) -> str:
    """Return what selects the number of rows, and the sum of their digests."""
    row = f"sha2(concat({', '.join(map(_build_value, columns)) or repr('')}), 256)"
    # The digest of each row is computed once; one that could not be makes the sum larger than any other.
    number = f"coalesce(cast(conv(substr({row}, 1, {_DIGITS}), 16, 10) as unsigned), {_UNREAD})"
    return f"count(*), coalesce(sum({number}), 0)"


def _build_value(column: Column) -> str:
    name = quote_name(column.name)
    if column.data_type in _LONG:
        text = f"sha2(convert({name} using utf8mb4), 256)"
    elif column.data_type in _LONG_BYTES:
        text = f"sha2(hex({name}), 256)"
    elif column.data_type in _SHORT:
        text = f"convert({name} using utf8mb4)"
    elif column.data_type in _BYTES:
        text = f"hex({name})"
    else:
        text = f"cast({name} as char)"
    return f"if({name} is null, '-', concat(char_length({text}), '+', {text}))"


def list_shared_columns(before: dict[str, Column], now: dict[str, Column]) -> list[str]:
    """Return the names of the columns that both have and that hold values of their own."""
    return [name for name, column in before.items() if name in now and not column.is_generated]


def list_inexact_columns(own: OwnConnection, schema: str, table: str, columns: dict[str, Column]) -> list[str]:
    """Return the columns in which a dump has lost digits: it writes a FLOAT with six."""
    found = []
    for column in columns.values():
        if column.data_type != "float" or column.is_generated:
            continue
        name = quote_name(column.name)
        lost = f"{name} <> cast(cast({name} as char) as float)"
        if run_sql(own, f"select 1 from {qualify_name(schema, table)} where {lost} limit 1"):
            found.append(f"{table}.{column.name}")
    return found


def has_rows(own: OwnConnection, schema: str, table: str) -> bool:
    """Return whether there is any row in a table."""
    return bool(run_sql(own, f"select 1 from {qualify_name(schema, table)} limit 1"))


def has_values(own: OwnConnection, schema: str, table: str, column: Column) -> bool:
    """Return whether any row has something in a column that adding it has not put there, as far as that shows."""
    if column.is_generated or "auto_increment" in column.extra:
        return False
    name = quote_name(column.name)
    if column.is_nullable and column.default in (None, "NULL"):
        condition = f"{name} is not null"
    elif column.default is not None:
        condition = f"not ({name} <=> default({name}))"
    else:
        condition = f"{name} <> {0 if column.data_type in _NUMBERS else repr('')}"
    return bool(run_sql(own, f"select 1 from {qualify_name(schema, table)} where {condition} limit 1"))
