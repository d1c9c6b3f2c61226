# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a failed revision has left, undone statement by statement where that loses nothing.

A table, a column, an index, a key, a view, a trigger or a routine that was not there before and holds nothing is
dropped, under a lock of its table. Rows that others write meanwhile stay. All that the revision has left is undone so,
or nothing.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .content import columns_of, has_rows, has_values, run_sql
from .quoting import qualified, quoted

if TYPE_CHECKING:
    from ..connection import OwnConnection
    from .session import MariaDBSession

_NAME = r"`(?P<name>(?:[^`]|``)+)`"
_TABLE = re.compile(r"table (?P<table>[^:]+)")
#: Parts of a table that was there before, by what drops them, in the order in which they can be dropped.
_PARTS = {
    "drop foreign key": re.compile(rf"table (?P<table>[^:]+): CONSTRAINT {_NAME} FOREIGN KEY .*", re.DOTALL),
    "drop constraint": re.compile(rf"table (?P<table>[^:]+): CONSTRAINT {_NAME} CHECK .*", re.DOTALL),
    "drop key": re.compile(rf"table (?P<table>[^:]+): (?:UNIQUE |FULLTEXT |SPATIAL )?KEY {_NAME} .*", re.DOTALL),
    "drop column": re.compile(rf"table (?P<table>[^:]+): {_NAME} .*", re.DOTALL),
}
#: Other objects, by what drops them.
_OBJECTS = {
    "drop trigger": re.compile(r"trigger (?P<name>.+?) on .+ by .*", re.DOTALL),
    "drop view": re.compile(r"view (?P<name>.+?) by .*", re.DOTALL),
    "drop event": re.compile(r"event (?P<name>.+?) by .*", re.DOTALL),
    "drop procedure": re.compile(r"procedure (?P<name>.+?)\(.*", re.DOTALL),
    "drop function": re.compile(r"function (?P<name>.+?)\(.*", re.DOTALL),
}
_BONDS = """
select distinct table_name, referenced_table_name, constraint_name from information_schema.key_column_usage
 where referenced_table_schema = :schema
"""


@dataclass
class Left:
    """What a revision has left: tables, parts of other tables as (table, what drops it, name), and other objects."""

    tables: list[str] = field(default_factory=list)
    parts: list[tuple[str, str, str]] = field(default_factory=list)
    objects: list[tuple[str, str]] = field(default_factory=list)


def read_left(left: list[str]) -> Left | None:
    """Return what differences of fingerprints mean, None where more than new objects is among them."""
    if not all(line.startswith("+") for line in left):
        return None
    lines = [line[1:] for line in left]
    found = Left([match["table"] for line in lines if (match := _TABLE.fullmatch(line))])
    for line in lines:
        if _TABLE.fullmatch(line) or any(line.startswith(f"table {table}: ") for table in found.tables):
            continue
        part = next(((words, match) for words, each in _PARTS.items() if (match := each.fullmatch(line))), None)
        other = next(((words, match) for words, each in _OBJECTS.items() if (match := each.fullmatch(line))), None)
        if part:
            found.parts.append((part[1]["table"], part[0], part[1]["name"].replace("``", "`")))
        elif other:
            found.objects.append((other[0], other[1]["name"]))
        else:
            return None
    return found


def undo(engine: MariaDBSession, left: list[str]) -> list[str]:
    """Drop all that a revision has left, and return its lines of the fingerprint; nothing if anything would be lost.

    Args:
        engine: of the database.
        left: what it has left, as differences of fingerprints.
    """
    found = read_left(left)
    if found is None or not left:
        return []
    own = engine.own()
    tables = sorted({*found.tables, *(table for table, _words, _name in found.parts)})
    try:
        if tables:
            run_sql(own, "lock tables " + ", ".join(f"{quoted(table)} write" for table in tables))
        if _holds_something(own, engine.name_on_server, found):
            return []
        for statement in _statements(engine.name_on_server, found):
            run_sql(own, statement)
    except Exception:  # noqa: BLE001 - what cannot be undone so is restored, or held
        return []
    finally:
        with suppress(Exception):
            run_sql(own, "unlock tables")
        with suppress(Exception):
            run_sql(own, "set foreign_key_checks = 1")
    for words, name in found.objects:
        with suppress(Exception):  # its line is found again then
            run_sql(own, f"{words} if exists {quoted(name)}")
    return [line[1:] for line in left]


def _holds_something(own: OwnConnection, schema: str, found: Left) -> bool:
    """Return whether there is a row in a table that is new, a value in a column, or a foreign key from elsewhere."""
    columns = columns_of(own, schema)
    for child, parent, key in own.rows(_BONDS, schema=schema):
        is_ours = child in found.tables or (child, "drop foreign key", key) in found.parts
        if parent in found.tables and not is_ours:
            return True
    return any(has_rows(own, schema, table) for table in found.tables) or any(
        has_values(own, schema, table, columns[table][name])
        for table, words, name in found.parts
        if words == "drop column"
    )


def _statements(schema: str, found: Left) -> list[str]:
    changes: dict[str, list[str]] = {}
    for table, words, name in sorted(found.parts, key=lambda part: list(_PARTS).index(part[1])):
        changes.setdefault(table, []).append(f"{words} {quoted(name)}")
    statements = [f"alter table {qualified(schema, table)} {', '.join(parts)}" for table, parts in changes.items()]
    if found.tables:
        # Tables that refer to each other; from elsewhere none does.
        statements.append("set foreign_key_checks = 0")
        statements.append("drop table " + ", ".join(qualified(schema, table) for table in found.tables))
    return statements
