# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schema of a MariaDB database as sorted lines, without the name of the database, which a copy has not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..connection import execute
from ..sql import escape_colons
from .dump_lines import split_definition
from .quoting import quote_name
from .same_name import TABLE_IS_HERE, TRIGGER_IS_HERE, match_name

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: Where the next row goes does not belong to the schema.
_COUNTER = re.compile(r" AUTO_INCREMENT=\d+")

#: Types of tables, as information_schema names them.
SEQUENCE, VERSIONED = "SEQUENCE", "SYSTEM VERSIONED"
TABLES = f"""
select table_name, table_type, engine from information_schema.tables
 where {TABLE_IS_HERE} and table_type <> 'VIEW' order by table_name
"""
_DATABASE = f"""
select concat('database: ', default_character_set_name, ' ', default_collation_name)
  from information_schema.schemata where {match_name("schema_name", "database()")}
"""
#: Views whose columns the server cannot say, because what they read is gone.
INVALID_VIEWS = f"""
select table_name from information_schema.views
 where {TABLE_IS_HERE}
   and binary table_name not in (select binary table_name from information_schema.columns where {TABLE_IS_HERE})
 order by 1
"""
#: Whether a view is_updatable follows from what it reads: it is empty where that is gone.
_VIEWS = f"""
select table_name,
       concat_ws(' ', 'view', table_name, 'by', definer, security_type, algorithm, check_option,
                 character_set_client, collation_connection, 'as', view_definition)
  from information_schema.views where {TABLE_IS_HERE}
"""
_TRIGGERS = f"""
select event_object_table, trigger_name,
       concat_ws(' ', 'trigger', trigger_name, 'on', event_object_table, 'by', definer, action_timing,
                 event_manipulation, action_order, sql_mode, character_set_client, collation_connection,
                 database_collation, 'as', action_statement)
  from information_schema.triggers where {TRIGGER_IS_HERE}
"""
_ROUTINES = f"""
select lower(routine_type), routine_name,
       concat_ws(' ', 'by', definer, security_type, is_deterministic, sql_data_access, sql_mode,
                 character_set_client, collation_connection, database_collation, 'returns', dtd_identifier,
                 'comment', routine_comment, 'as', routine_definition)
  from information_schema.routines where {match_name("routine_schema", "database()")}
"""
_PARAMETERS = f"""
select lower(routine_type), specific_name,
       concat_ws(' ', parameter_mode, parameter_name, dtd_identifier, collation_name)
  from information_schema.parameters
 where {match_name("specific_schema", "database()")} and ordinal_position > 0
 order by specific_name, routine_type, ordinal_position
"""
_EVENTS = f"""
select event_name, concat_ws(' ', 'event', event_name, 'by', definer, time_zone, event_type, 'at', execute_at, 'every',
                 interval_value, interval_field, 'from', starts, 'to', ends, status, on_completion, sql_mode,
                 character_set_client, collation_connection, database_collation, 'comment', event_comment,
                 'as', event_definition)
  from information_schema.events where {match_name("event_schema", "database()")}
"""
_MODE = "@hosting_alembic_sql_mode"


@dataclass(frozen=True)
class Line:
    """A line of the fingerprint, and what it is of.

    Two names that differ in their blanks only, or one that contains words of the line, make the text alone ambiguous.
    """

    text: str
    #: ``table``, ``view``, ``trigger``, ``event``, ``procedure``, ``function`` or another type of the server.
    kind: str
    name: str
    #: The table of a trigger; what the server shows of a part of a table.
    table: str = ""
    part: str = ""


@contextmanager
def fix_mode(connection: Connection) -> Iterator[None]:
    """Have the server word what it shows the same on every connection, inside the block."""
    execute(connection, f"set {_MODE} = @@session.sql_mode, session sql_mode = ''")
    try:
        yield
    finally:
        execute(connection, f"set session sql_mode = {_MODE}")


def read_fingerprint(connection: Connection, leave_out: frozenset[str]) -> list[str]:
    """Return the schema as sorted lines, without some tables (database.table) and their triggers."""
    return sorted(line.text for line in read_lines(connection, leave_out))


def read_lines(connection: Connection, leave_out: frozenset[str] = frozenset()) -> list[Line]:
    """Return the lines of ``read_fingerprint``, each with the object that it is of."""
    schema, lines = _read_lines(connection, leave_out)
    own = f"{quote_name(schema)}."
    return [replace(line, text=" ".join(line.text.replace(own, "").split())) for line in lines]


def read_exactly(connection: Connection) -> list[str]:
    """Return the schema as lines with all blanks, and with the name of the database."""
    return [line.text for line in _read_lines(connection, frozenset())[1]]


def _read_lines(connection: Connection, leave_out: frozenset[str]) -> tuple[str, list[Line]]:
    """Return the name of the database, and its lines in the server's own words."""
    with fix_mode(connection):
        schema = str(execute(connection, "select database()")[0][0])
        leave_out_names = {name[len(schema) + 1 :] for name in leave_out if name.startswith(f"{schema}.")}
        lines = [Line(str(text), "database", schema) for (text,) in execute(connection, _DATABASE)]
        for name, kind, _engine in execute(connection, TABLES):
            if name not in leave_out_names:
                lines += _read_table_lines(connection, str(name), str(kind))
        lines += [Line(str(text), "view", str(name)) for name, text in execute(connection, _VIEWS)]
        lines += [Line(str(text), "event", str(name)) for name, text in execute(connection, _EVENTS)]
        lines += _read_routine_lines(connection)
        lines += [
            Line(str(text), "trigger", str(name), str(table))
            for table, name, text in execute(connection, _TRIGGERS)
            if table not in leave_out_names
        ]
    return schema, lines


def _read_table_lines(connection: Connection, name: str, kind: str) -> list[Line]:
    """Return what the server would type to make a table, each line for itself: columns in any order are the same."""
    statement = f"show create {'sequence' if kind == SEQUENCE else 'table'} {quote_name(name)}"
    row: Any = execute(connection, escape_colons(statement))[0]
    head, *body = split_definition(_COUNTER.sub("", str(row[1])))
    if not body:
        return [Line(f"{kind.lower()} {name}: {head}", kind.lower(), name)]
    words = "table" if kind == "BASE TABLE" else kind.lower()
    parts = [line.strip().rstrip(",") for line in body]
    return [Line(f"{words} {name}", words, name)] + [
        Line(f"{words} {name}: {part}", words, name, name, part) for part in parts
    ]


def _read_routine_lines(connection: Connection) -> list[Line]:
    routines = execute(connection, _ROUTINES)
    parameters: dict[tuple[str, str], list[str]] = {}
    for kind, name, words in execute(connection, _PARAMETERS) if routines else ():
        parameters.setdefault((kind, name), []).append(str(words))
    return [
        Line(f"{kind} {name}({', '.join(parameters.get((kind, name), []))}) {words}", str(kind), str(name))
        for kind, name, words in routines
    ]
