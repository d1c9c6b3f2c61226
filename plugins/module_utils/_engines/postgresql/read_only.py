# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections of env.py's that change nothing: the server refuses what writes, or nothing is ever committed.

For a process that is thrown away: what is done to SQLAlchemy here is not undone for those who come later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..connection import OPENING_OWN, find_sqlstate
from ..read_only import commit_nothing, shorten_refused
from ..sqlalchemy_import import register_listeners, sa
from .guarded_drivers import guard_drivers
from .session import is_postgresql, make_read_only

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

#: read_only_sql_transaction, and active_sql_transaction: what wants a transaction of its own cannot be taken back.
_KEPT = ("25006", "25001")
_DRIVERS = ("psycopg2", "psycopg", "asyncpg", "pg8000")


@contextmanager
def keep_read_only(writes: list[str], *, uncommitted: bool) -> Iterator[URL | None]:
    """Keep connections that are opened inside the block from changing anything.

    Args:
        writes: receives the statements that the server refused.
        uncommitted: let what writes run by SQLAlchemy, in transactions that are never committed.
    """

    def handle_connect(connection: Any, _record: object) -> None:
        if not OPENING_OWN.get() and is_postgresql(connection):
            make_read_only(connection)

    def record_refused(context: Any) -> None:
        if context.original_exception is not None and find_sqlstate(context.original_exception) in _KEPT:
            writes.append(shorten_refused(context.statement))

    def handle_begin(connection: Any) -> None:
        if connection.dialect.name == "postgresql":
            cursor = connection.connection.cursor()
            cursor.execute("set transaction read write")
            cursor.close()

    listeners: list[tuple[Any, str, Any]] = [
        (sa.pool.Pool, "connect", handle_connect),
        (sa.engine.Engine, "handle_error", record_refused),
    ]
    if uncommitted:
        listeners.append((sa.engine.Engine, "begin", handle_begin))
        commit_nothing("sqlalchemy.dialects.postgresql", _DRIVERS, "READ COMMITTED")
    with register_listeners(*listeners), guard_drivers():
        yield None


@contextmanager
def restrict_changes(database: str) -> Iterator[None]:
    """Keep connections that are opened inside the block from changing another database than the one of this name."""

    def handle_connect(connection: Any, _record: object) -> None:
        if not OPENING_OWN.get() and is_postgresql(connection):
            make_read_only(connection, database)

    with register_listeners((sa.pool.Pool, "connect", handle_connect)), guard_drivers(database):
        yield


def is_kept(error: BaseException) -> bool:
    """Return whether the server refused a statement for what is set here."""
    return find_sqlstate(error) in _KEPT
