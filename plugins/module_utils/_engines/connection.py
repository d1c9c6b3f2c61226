# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections of our own: never the application's, never env.py's, always in autocommit."""

from __future__ import annotations

import asyncio
import select
import threading
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from .._core.errors import Refused
from .migration_url import ASYNC_DRIVERS, DRIVERS, has_server
from .own_events import build_own_engine, remove_common_listeners
from .sql import convert_statement
from .sqlalchemy_import import sa

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

T = TypeVar("T")

#: True while a connection of our own is being opened, so that listeners for env.py's leave it alone.
OPENING_OWN: ContextVar[bool] = ContextVar("OPENING_OWN", default=False)

#: What PostgreSQL says of a lock that was not got in time.
LOCK_NOT_AVAILABLE = "55P03"

#: The same of MariaDB.
LOCK_WAIT_EXCEEDED = 1205

#: An execution option of every connection of our own.
OWN = "hosting_alembic_own"


class OwnConnection:
    """A connection in autocommit, driven the same way whether its driver is synchronous or not.

    An asynchronous driver gets an event loop in a thread of its own, because we are called from inside the loop that
    an asynchronous env.py runs. ``acting`` is active around whatever may open a file.
    """

    def __init__(
        self,
        url: URL,
        connect_args: dict[str, Any] | None = None,
        name: str = "",
        acting: Callable[[], Any] = nullcontext,
    ) -> None:
        self._name = name
        self._acting = acting
        #: Whether there is a server that may close it.
        self._has_server = has_server(url)
        token = OPENING_OWN.set(True)
        try:
            with acting():
                self._open(url, connect_args or {})
        finally:
            OPENING_OWN.reset(token)

    def _open(self, url: URL, connect_args: dict[str, Any]) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        options = {"poolclass": sa.pool.NullPool, "isolation_level": "AUTOCOMMIT", "connect_args": connect_args}
        options["execution_options"] = {OWN: True}
        if url.get_driver_name() in ASYNC_DRIVERS:
            # Imported only where it is needed: it wants greenlet, which a synchronous virtualenv need not have.
            from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
            self._thread.start()
            self._engine: Any = remove_common_listeners(create_async_engine(url, **options))
            try:
                self._connection: Any = self._wait_for(self._connect())
            except BaseException:
                self._stop()
                raise
        else:
            self._engine = build_own_engine(url, options)
            self._connection = self._engine.connect()

    async def _connect(self) -> Any:
        return await self._engine.connect()

    def _wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            raise TypeError("a synchronous driver has no loop to wait in")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _stop(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call ``function(connection, *args)`` with the synchronous face of the connection.

        Raises:
            Refused: others held a lock for longer than the connection waits.
        """
        try:
            if self._loop is None:
                with self._acting():
                    return function(self._connection, *args)
            answer: T = self._wait_for(self._connection.run_sync(function, *args))
            return answer
        except Refused:
            raise
        except Exception as error:
            if find_sqlstate(error) != LOCK_NOT_AVAILABLE and find_errno(error) != LOCK_WAIT_EXCEEDED:
                raise
            raise Refused(
                f"Database {self._name!r} could not be read",
                f"another session holds a lock on what is read: {describe_error(error)}",
                "End that session (pg_stat_activity or SHOW PROCESSLIST shows it), or raise migrate_lock_wait",
                code="read-lock-timeout",
            ) from error

    def query_rows(self, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Execute one statement and return its rows, none if it returns none."""
        return self.run(execute, statement, parameters)

    def is_broken(self) -> bool:
        """Return whether the server has closed the connection: then its socket can be read while no answer is due."""
        if not self._has_server:
            return False
        try:
            if self._loop is not None:  # its loop has read the socket already
                return bool(self.run(_is_closed))
            descriptor = self.run(_find_descriptor)
            if descriptor is None:  # nothing but an answer shows that it lives
                self.query_rows("select 1")
        except Exception:  # noqa: BLE001 - each driver says in its own way that its connection is closed
            return True
        if descriptor is None:
            return False
        return bool(select.select([descriptor], [], [], 0)[0])

    def close(self) -> None:
        """Close the connection; one that is broken already is not an error."""
        try:
            if self._loop is None:
                with self._acting():
                    self._connection.close()
            else:
                self._wait_for(self._connection.close())
        except Exception:  # noqa: BLE001 - as above
            self._connection = None
        finally:
            self._stop()

    def __enter__(self) -> OwnConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def execute(connection: Connection, statement: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Execute one statement on any SQLAlchemy connection and return its rows as tuples.

    The driver does it where it can, in a third of the time; a transaction is SQLAlchemy's to begin, except in ours.
    """
    ours, driver = connection.get_execution_options().get(OWN), connection.dialect.driver
    if (ours and driver in ("psycopg2", "pysqlite")) or (driver == "psycopg2" and connection.in_transaction()):
        return _execute_by_driver(connection, statement, parameters)
    result = connection.execute(sa.text(statement), parameters or {})
    return [tuple(row) for row in result] if result.returns_rows else []


def _execute_by_driver(
    connection: Connection, statement: str, parameters: dict[str, Any] | None
) -> list[tuple[Any, ...]]:
    driver = unwrap_connection(connection)
    cursor = driver.cursor()
    dialect: Any = connection.dialect
    try:
        cursor.execute(
            convert_statement(statement, dialect.driver, bool(parameters)), *([parameters] if parameters else [])
        )
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    except dialect.dbapi.Error as error:
        if getattr(driver, "closed", False):
            connection.invalidate()
        raise sa.exc.DBAPIError.instance(statement, parameters, error, dialect.dbapi.Error) from error
    finally:
        cursor.close()


def is_batch_atomic(connection: Connection) -> bool:
    """Return whether several statements that are sent as one are a transaction of their own on this connection."""
    if connection.dialect.driver != "psycopg2" or not connection.get_execution_options().get(OWN):
        return False
    return int(unwrap_connection(connection).info.transaction_status) == 0


def unwrap_connection(connection: Connection) -> Any:
    """Return the driver's own connection below SQLAlchemy's."""
    fairy = connection.connection
    return getattr(fairy, "driver_connection", None) or fairy.dbapi_connection


def choose_client_encoding(connection: Connection) -> str:
    """Return what to speak with a PostgreSQL server, by a name that Python knows too.

    A database in SQL_ASCII holds bytes of an unknown encoding. LATIN1 has a character for each byte, and
    the server converts none.
    """
    driver = unwrap_connection(connection)
    if hasattr(driver, "get_settings"):  # asyncpg
        encoding = driver.get_settings().server_encoding
    else:
        encoding = driver.info.parameter_status("server_encoding")
    return "LATIN1" if encoding == "SQL_ASCII" else "UTF8"


def speak(connection: Connection) -> None:
    """Speak so with a server that does not say what its bytes mean; drivers understand all others by themselves."""
    driver, encoding = unwrap_connection(connection), choose_client_encoding(connection)
    if encoding == "UTF8":
        return
    if hasattr(driver, "set_client_encoding"):  # psycopg2 does not hear of it otherwise
        driver.set_client_encoding(encoding)
    else:
        execute(connection, f"set client_encoding = '{encoding}'")


def list_modules(connection: Any) -> set[str]:
    """Return the modules that the classes of a driver's connection are from.

    One of env.py's may be of a class that it has derived from the driver's, or be wrapped in an object that shows the
    driver's class as its own, as tools do that trace statements.
    """
    shown = getattr(connection, "__class__", object)
    return {each.__module__ for kind in (type(connection), shown) for each in kind.__mro__}


def _find_descriptor(connection: Connection) -> int | None:
    driver = unwrap_connection(connection)
    if type(driver).__module__.startswith("pymysql"):
        driver = driver._sock
        if driver is None:
            raise OSError("the driver has closed it")
    return int(driver.fileno()) if hasattr(driver, "fileno") else None


def _is_closed(connection: Connection) -> bool:
    closed = getattr(unwrap_connection(connection), "is_closed", None)  # asyncpg
    if closed is None:
        execute(connection, "select 1")
        return False
    return bool(closed())


def _find_pg8000_code(error: Any) -> Any:
    fields = getattr(error, "args", None)
    return fields[0].get("C") if fields and isinstance(fields[0], dict) else None


def find_sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of a driver's error inside any wrapping, or an empty string."""
    wrapping: list[BaseException] = []
    inside: BaseException | None = error
    while inside is not None and inside not in wrapping:  # one that is raised again may be its own context
        for candidate in (inside, getattr(inside, "orig", None)):
            code = (
                getattr(candidate, "sqlstate", None)
                or getattr(candidate, "pgcode", None)
                or _find_pg8000_code(candidate)
            )
            if code:
                return str(code)
        wrapping.append(inside)
        inside = inside.__cause__ or inside.__context__
    return ""


def find_errno(error: BaseException) -> int:
    """Return the number of an error of MariaDB's server inside any wrapping, or 0."""
    seen: list[BaseException] = []
    inside: BaseException | None = error
    while inside is not None and inside not in seen:
        for candidate in (inside, getattr(inside, "orig", None)):
            package = type(candidate).__module__.partition(".")[0]
            number = getattr(candidate, "errno", None) or next(iter(getattr(candidate, "args", ())), None)
            if package in DRIVERS["mariadb"].packages.values() and isinstance(number, int):
                return number
        seen.append(inside)
        inside = inside.__cause__ or inside.__context__
    return 0


def describe_error(error: BaseException) -> str:
    """Return what an error says, without SQLAlchemy's appended statement and link."""
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__
