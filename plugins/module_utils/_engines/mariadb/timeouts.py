# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Timeouts through SQLAlchemy, the one way that every driver understands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..._core.job import Job, count_seconds_left
from ..connection import OPENING_OWN, list_modules, unwrap_connection
from ..sqlalchemy_import import register_listeners, sa
from .session import round_lock_timeout
from .statement_retry import StatementRetry

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_EVERY = 1.0  # seconds after which what is left of a window is set anew
_DRIVERS = ("pymysql", "MySQLdb", "mariadb", "asyncmy", "aiomysql")


def is_mariadb(connection: Any) -> bool:
    """Return whether a connection of a pool is one of a driver of MariaDB."""
    modules = list_modules(connection) | list_modules(getattr(connection, "_connection", connection))
    return any(part in _DRIVERS for module in modules for part in module.split("."))


def is_autocommit(connection: Connection) -> bool:
    """Return whether each statement of a connection is committed at once, as its driver knows without a query."""
    driver: Any = unwrap_connection(connection)
    driver = getattr(driver, "_connection", driver)
    for name in ("get_autocommit", "autocommit"):
        value = getattr(driver, name, None)
        if isinstance(value, bool) or (callable(value) and name == "get_autocommit"):
            return bool(value() if callable(value) else value)
    return False


@contextmanager
def watch(job: Job) -> Iterator[None]:
    """Set timeouts on every connection that is opened inside the block.

    What waits for the lock on a table makes all sessions wait that come after it, so it waits for a short time only.
    Where the window has an end, no statement lasts longer than what is left of it.
    """
    timeouts, retry = _Timeouts(job), StatementRetry(job)
    with register_listeners(
        (sa.pool.Pool, "connect", timeouts.set_timeouts),
        (sa.engine.Engine, "before_cursor_execute", timeouts.handle_before_execute),
        (sa.engine.Engine, "do_execute", retry.execute),
        (sa.engine.Engine, "do_execute_no_params", retry.execute_plain),
    ):
        yield


class _Timeouts:
    """The listeners that SQLAlchemy calls."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._set = time.monotonic()

    def set_timeouts(self, connection: Any, _record: object) -> None:
        """Set the timeouts of a new connection."""
        if OPENING_OWN.get() or not is_mariadb(connection):
            return
        cursor = connection.cursor()
        cursor.execute(self._build_settings())
        cursor.close()

    def handle_before_execute(self, connection: Any, cursor: Any, _statement: str, *_: Any) -> None:
        """Set them anew where they have become too long."""
        if connection.dialect.name not in ("mysql", "mariadb") or self._job.ends_at is None:
            return
        if time.monotonic() - self._set > _EVERY:
            cursor.execute(self._build_settings())

    def _build_settings(self) -> str:
        self._set = time.monotonic()
        seconds, statement_timeout = count_seconds_left(self._job), self._job.statement_timeout
        if seconds is not None:
            seconds = max(seconds, 0.001)  # zero would be for ever
            statement_timeout = min(statement_timeout, seconds) if statement_timeout else seconds
        lock_timeout = round_lock_timeout(self._job.lock_timeout)
        return (
            f"set session lock_wait_timeout = {lock_timeout}, innodb_lock_wait_timeout = {lock_timeout},"
            f" max_statement_time = {statement_timeout:.3f}"
        )
