# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A session of our own on a PostgreSQL server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..connection import driver_connection, execute
from .preflight import major_version

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_IDLE_SESSION_TIMEOUT_SINCE = 14


def introduce(connection: Connection, application: str, lock_timeout: int) -> None:
    """Make a connection of our own known by name, and set our own timeouts in place of those for applications.

    Args:
        connection: ours.
        application: its name.
        lock_timeout: milliseconds that it waits for a lock; nothing of ours waits without a limit.
    """
    settings = {"application_name": application, "statement_timeout": "0", "lock_timeout": str(lock_timeout)}
    if major_version(connection) >= _IDLE_SESSION_TIMEOUT_SINCE:
        settings["idle_session_timeout"] = "0"
    calls = ", ".join(f"set_config('{name}', :{name}, false)" for name in settings)
    execute(connection, f"select {calls}", settings)


def is_postgresql(connection: Any) -> bool:
    """Return whether a connection of a pool is one of a driver of PostgreSQL."""
    return any(name in type(connection).__module__ for name in ("psycopg", "asyncpg", "pg8000"))


def make_read_only(connection: Any) -> None:
    """Make a new connection of a driver read-only, unless a transaction says something else."""
    cursor = connection.cursor()
    cursor.execute("set default_transaction_read_only = on")
    cursor.close()
    connection.commit()


def promised_pid(connection: Connection) -> int | None:
    """Return the process id that the server (or a pooler in its place) gave when the connection was opened."""
    driver = driver_connection(connection)
    if hasattr(driver, "get_server_pid"):
        return int(driver.get_server_pid())
    return int(driver.info.backend_pid)


def drop_index(connection: Connection, schema: str, name: str) -> None:
    """Drop an index without keeping writers out."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    connection.exec_driver_sql(f"drop index concurrently {quote(schema)}.{quote(name)}".replace("%", "%%"))
