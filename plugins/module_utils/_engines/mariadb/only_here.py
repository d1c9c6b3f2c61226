# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections of env.py's on a copy: what would change something elsewhere is refused in clear words.

A session that uses another database is read-only. A statement on the copy that names the database itself, or another
one, is not sent. What is not understood here the server denies, see limited_user. For a process that is thrown away.
"""

from __future__ import annotations

import functools
import importlib
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..._core.errors import Failed
from ..connection import OPENING_OWN
from ..sqlalchemy_import import register_listeners, sa
from .full_names import find_named_database
from .read_only import READ_ONLY
from .same_name import EVENT_IS_IN_SCHEMA, ROUTINE_IS_IN_SCHEMA, SCHEMA_IS_NAMED, TABLE_IS_IN_SCHEMA
from .timeouts import is_mariadb

if TYPE_CHECKING:
    from ..connection import OwnConnection

_COMMENT = re.compile(r"hosting\.alembic rehearsal [0-9a-f]{64} of (?P<schema>.+)", re.DOTALL)
COMMENT_OF = f"select schema_comment from information_schema.schemata where {SCHEMA_IS_NAMED}"
_OBJECTS = f"""
select table_name from information_schema.tables where {TABLE_IS_IN_SCHEMA}
union select routine_name from information_schema.routines where {ROUTINE_IS_IN_SCHEMA}
union select event_name from information_schema.events where {EVENT_IS_IN_SCHEMA}
"""
#: What is not a schema that anything can be written into.
_OTHERS = """
select schema_name from information_schema.schemata
 where schema_name not in ('information_schema', 'performance_schema', 'sys')
"""
_GUARDED = "hosting_alembic_guarded"
_USES = 2  # the number of the command that chooses a database
_LONGEST = 200


def build_comment(schema: str) -> str:
    """Return what a copy of a database says of itself, as no other one does."""
    return f"hosting.alembic rehearsal {secrets.token_hex()} of {schema}"


def read_objects(own: OwnConnection, schema: str) -> list[str]:
    """Return the names of the tables, views, routines and events of a schema, as far as the user may see them."""
    return [str(name) for (name,) in own.query_rows(_OBJECTS, schema=schema)]


def read_other_schemas(own: OwnConnection, copy: str, database: str) -> list[str]:
    """Return the schemas that a copy's statements may not name: its database, and all others that the user may see."""
    found = {database, *(str(name) for (name,) in own.query_rows(_OTHERS))}
    return sorted(name for name in found if name.casefold() != copy.casefold())


def read_database(own: OwnConnection, name: str) -> str:
    """Return of which database a schema says to be a copy.

    Raises:
        Failed: of none.
    """
    rows = own.query_rows(COMMENT_OF, schema=name)
    found = _COMMENT.fullmatch(str(rows[0][0])) if rows else None
    if found is None:
        raise Failed(
            f"The schema {name!r} does not say of which database it is a copy",
            "a revision has changed the comment of its database, or has dropped it",
            "Take that out of the revision, and rehearse again",
            code="rehearsal-copy-failed",
        )
    return found["schema"]


class NamesDatabase(Exception):
    """A statement on a copy names the database itself, or another one."""


class Guard:
    """A guard that checks each connection and its statements."""

    def __init__(self, own: OwnConnection, copy: str) -> None:
        self._own = own
        self._copy = copy
        self._others = read_other_schemas(own, copy, read_database(own, copy))

    def note_opened(self, connection: Any) -> None:
        """Make a connection read-only, unless it uses the copy."""
        cursor = connection.cursor()
        cursor.execute("select database()")
        used = str(next(iter(cursor.fetchall()))[0] or "")
        if used.casefold() != self._copy.casefold():
            cursor.execute(READ_ONLY)
        cursor.close()

    def check(self, statement: object) -> None:
        """Refuse a statement that names the database itself, or another one.

        Raises:
            NamesDatabase: it does.
        """
        text = statement.decode("utf-8", "replace") if isinstance(statement, (bytes, bytearray)) else str(statement)
        found = find_named_database(text, self._others, lambda name: read_objects(self._own, name))
        if found:
            raise NamesDatabase(f"{' '.join(text.split())[:_LONGEST]} (database {found!r})")


def describe_unsent(error: NamesDatabase) -> Failed:
    """Return what to report of a statement that was not sent."""
    return Failed(
        "A statement names a database in full, and not the copy that it was to run on",
        f"{error}; it was not executed",
        "Leave the database's name out of it, or read it by op.get_bind().engine.url.database, then rehearse again",
        code="rehearsal-names-database",
    )


@contextmanager
def restrict_changes(guard: Guard) -> Iterator[None]:
    """Guard what is opened and executed inside the block; connections of our own are not guarded."""

    def handle_connect(connection: Any, _record: object) -> None:
        if not OPENING_OWN.get() and is_mariadb(connection):
            guard.note_opened(connection)

    def handle_before_execute(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if connection.dialect.name in ("mysql", "mariadb"):
            guard.check(statement)

    listeners = (
        (sa.pool.Pool, "connect", handle_connect),
        (sa.engine.Engine, "before_cursor_execute", handle_before_execute),
    )
    with register_listeners(*listeners), _guard_drivers(guard):
        yield


@contextmanager
def _guard_drivers(guard: Guard) -> Iterator[None]:
    """Guard what env.py does past SQLAlchemy."""
    replaced = []
    for module in sorted({each[0] for each in _METHODS}):
        # One that is first imported by a revision would not be guarded. What is broken there cannot be used either.
        with suppress(Exception):
            importlib.import_module(module)
    for module, kind, method, made in _METHODS:
        if module in sys.modules:
            place = getattr(sys.modules[module], kind)
            original = vars(place).get(method)
            if original is None:  # another version of the driver
                continue
            replaced.append((place, method, original))
            setattr(place, method, made(original, guard))
    try:
        yield
    finally:
        for place, method, original in replaced:
            setattr(place, method, original)


def _wrap_opener(original: Any, guard: Guard) -> Any:
    @functools.wraps(original)
    def open_guarded(connection: Any, *args: Any, **keywords: Any) -> Any:
        answer = original(connection, *args, **keywords)
        if not OPENING_OWN.get():
            guard.note_opened(connection)
            setattr(connection, _GUARDED, True)
        return answer

    return open_guarded


def _wrap_command(original: Any, guard: Guard) -> Any:
    """Guard PyMySQL's method that sends a command of a number."""

    @functools.wraps(original)
    def execute_guarded(connection: Any, command: int, sql: Any) -> Any:
        if getattr(connection, _GUARDED, False):
            guard.check(f"use {_quote_schema(sql)}" if command == _USES else sql)
        return original(connection, command, sql)

    return execute_guarded


def _wrap_query(original: Any, guard: Guard) -> Any:
    """Guard the method of mysqlclient that sends a statement."""

    @functools.wraps(original)
    def query_guarded(connection: Any, query: Any) -> Any:
        if getattr(connection, _GUARDED, False):
            guard.check(query)
        return original(connection, query)

    return query_guarded


def _quote_schema(sql: Any) -> str:
    text = sql.decode("utf-8", "replace") if isinstance(sql, (bytes, bytearray)) else str(sql)
    return "`" + text.replace("`", "``") + "`"


#: Module, class and method, and what takes the method's place.
_METHODS: tuple[tuple[str, str, str, Callable[[Any, Guard], Any]], ...] = (
    ("pymysql.connections", "Connection", "connect", _wrap_opener),
    ("pymysql.connections", "Connection", "_execute_command", _wrap_command),
    ("MySQLdb.connections", "Connection", "__init__", _wrap_opener),
    ("MySQLdb.connections", "Connection", "query", _wrap_query),
)
