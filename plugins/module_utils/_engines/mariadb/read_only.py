# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections of env.py's that change nothing: the server refuses what writes, or nothing is ever committed.

For a process that is thrown away: what is done to SQLAlchemy here is not undone for those who come later.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..connection import OPENING_OWN, find_errno
from ..read_only import commit_nothing, shorten_refused
from ..sqlalchemy_import import register_listeners, sa
from .statements import may_commit
from .timeouts import is_mariadb

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

READ_ONLY = "set session transaction read only"
#: Cannot execute statement in a READ ONLY transaction.
_KEPT = 1792
#: Transaction characteristics can't be changed while a transaction is in progress.
_IN_PROGRESS = 1568
_DIALECTS = ("pymysql", "mysqldb", "mariadbconnector", "asyncmy", "aiomysql")
#: What opens a connection of a driver, also where env.py does so past SQLAlchemy: module, class and method.
_OPENERS = (
    ("pymysql.connections", "Connection", "connect"),
    ("MySQLdb.connections", "Connection", "__init__"),
)


class CommitsAtOnce(Exception):
    """A statement before the migrations would be permanent, whatever is rolled back."""


@contextmanager
def keep_read_only(writes: list[str], *, uncommitted: bool) -> Iterator[URL | None]:
    """Keep connections that are opened inside the block from changing anything.

    Args:
        writes: receives the statements that were refused.
        uncommitted: let rows be written by SQLAlchemy, in transactions that are never committed. DDL is refused.
    """
    listener, engine = _Listener(writes), sa.engine.Engine
    listeners = [(sa.pool.Pool, "connect", listener.set_read_only), (engine, "handle_error", listener.note_failure)]
    if uncommitted:
        listeners += [
            (engine, "begin", listener.handle_begin),
            (engine, "before_cursor_execute", listener.handle_execute),
        ]
        commit_nothing("sqlalchemy.dialects.mysql", _DIALECTS, "REPEATABLE READ")
    with register_listeners(*listeners), _keep_drivers_read_only():
        yield None


class _Listener:
    """The listeners that SQLAlchemy calls."""

    def __init__(self, writes: list[str]) -> None:
        self._writes = writes

    def set_read_only(self, connection: Any, _record: object) -> None:
        """Make a new connection read-only."""
        if not OPENING_OWN.get() and is_mariadb(connection):
            _execute(connection, READ_ONLY)

    def note_failure(self, context: Any) -> None:
        """Note a statement that the server refused."""
        if context.original_exception is not None and is_kept(context.original_exception):
            self._writes.append(shorten_refused(context.statement))

    def handle_begin(self, connection: Any) -> None:
        """Let a transaction write."""
        if not _is_of_mariadb(connection):
            return
        try:
            _execute(connection.connection, "set transaction read write")
        except Exception as error:
            # The one before was not committed, so it goes on.
            if find_errno(error) != _IN_PROGRESS:
                raise

    def handle_execute(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        """Refuse what would commit.

        Raises:
            CommitsAtOnce: it would.
        """
        if _is_of_mariadb(connection) and may_commit(statement):
            self._writes.append(shorten_refused(statement))
            raise CommitsAtOnce("it would be committed at once")


def _is_of_mariadb(connection: Any) -> bool:
    return connection.dialect.name in ("mysql", "mariadb")


def is_kept(error: BaseException) -> bool:
    """Return whether a statement was refused for what is set here."""
    return find_errno(error) == _KEPT or isinstance(error, CommitsAtOnce)


def _execute(connection: Any, statement: str) -> None:
    cursor = connection.cursor()
    cursor.execute(statement)
    cursor.close()


@contextmanager
def _keep_drivers_read_only() -> Iterator[None]:
    """Make what a driver connects inside the block read-only; ours have loaded the one that is used here."""
    replaced = []
    for module, kind, method in _OPENERS:
        if module in sys.modules:
            place = getattr(sys.modules[module], kind)
            original = vars(place)[method]
            replaced.append((place, method, original))
            setattr(place, method, _wrap_opener(original))
    try:
        yield
    finally:
        for place, method, original in replaced:
            setattr(place, method, original)


def _wrap_opener(original: Any) -> Any:
    @functools.wraps(original)
    def open_connection(connection: Any, *args: Any, **keywords: Any) -> Any:
        answer = original(connection, *args, **keywords)
        if not OPENING_OWN.get():
            _execute(connection, READ_ONLY)
        return answer

    return open_connection
