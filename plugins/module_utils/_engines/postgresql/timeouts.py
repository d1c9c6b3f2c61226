# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Timeouts through SQLAlchemy, the one way that every driver and pooler understands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..._core.job import Job, count_seconds_left
from ..connection import OPENING_OWN
from ..sqlalchemy_import import register_listeners, sa
from .restore_statements import quote_literal
from .run_sessions import remember_pooled
from .scope import build_scope_setting
from .session import is_postgresql

_EVERY = 1.0  # seconds after which what is left of a window is set anew

#: Has a backend check now and then whether its client is still there, where the server can and it is not set yet.
_NOTICE = (
    "select set_config('client_connection_check_interval', '10000', false)"
    " where current_setting('client_connection_check_interval', true) = '0'"
)


@contextmanager
def watch(job: Job, application: str, schema: str) -> Iterator[None]:
    """Set timeouts on every connection that is opened inside the block.

    CONCURRENTLY is let wait for others: giving way would leave an INVALID index. Where the window has an end, no
    statement lasts longer than what is left of it. A connection for a schema is known to work for that one.
    """
    timeouts = _Timeouts(job, application, schema)
    with register_listeners(
        (sa.pool.Pool, "connect", timeouts.set_timeouts),
        (sa.engine.Engine, "before_cursor_execute", timeouts.handle_before_execute),
        (sa.engine.Engine, "after_cursor_execute", timeouts.handle_after_execute),
    ):
        yield


class _Timeouts:
    """The listeners that SQLAlchemy calls."""

    def __init__(self, job: Job, application: str, schema: str) -> None:
        self._job = job
        self._application = application
        self._schema = schema
        self._set = time.monotonic()

    def set_timeouts(self, connection: Any, record: object) -> None:
        """Set the timeouts of a new connection."""
        if OPENING_OWN.get() or not is_postgresql(connection):
            return
        remember_pooled(record)
        cursor = connection.cursor()
        cursor.execute(self._build_usual())
        cursor.execute(_NOTICE)
        if self._schema:
            cursor.execute(build_scope_setting(self._schema))
        cursor.close()
        connection.commit()

    def handle_before_execute(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        """Lift them for a statement that has to wait, and set them anew where they have become too long."""
        if connection.dialect.name != "postgresql":
            return
        words = statement.upper()
        if "CONCURRENTLY" in words:
            cursor.execute(self._build_settings(0, 0))
        # In a transaction that has failed nothing can be set.
        elif self._are_old() and not words.lstrip().startswith(("ROLLBACK", "RELEASE")):
            cursor.execute(self._build_usual())

    def handle_after_execute(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        """Set them again after a statement that had to wait."""
        if connection.dialect.name == "postgresql" and "CONCURRENTLY" in statement.upper():
            cursor.execute(self._build_usual())

    def _are_old(self) -> bool:
        return self._job.ends_at is not None and time.monotonic() - self._set > _EVERY

    def _build_usual(self) -> str:
        self._set = time.monotonic()
        return self._build_settings(self._job.lock_timeout, self._job.statement_timeout)

    def _build_settings(self, lock_timeout: float, statement_timeout: float) -> str:
        seconds = count_seconds_left(self._job)
        if seconds is not None:
            seconds = max(seconds, 0.001)  # zero would be for ever
            statement_timeout = min(statement_timeout, seconds) if statement_timeout else seconds
        return (
            f"select set_config('lock_timeout', '{int(lock_timeout * 1000)}', false),"
            f" set_config('statement_timeout', '{int(statement_timeout * 1000)}', false),"
            f" set_config('application_name', {quote_literal(self._application)}, false)"
        )
