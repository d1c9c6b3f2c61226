# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections of our own: never the application's, never env.py's, always in autocommit."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import select
import threading
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from .._core.errors import Refused
from .._core.job import Database
from .._core.secrets import NOT_ENCODED, encoding_remedy
from .._core.urls import backend_of
from .mariadb.options import own_query
from .own_events import own_engine, without_common_listeners
from .postgresql.libpq_options import driver_query, with_defaults
from .sql import for_driver
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

# The drivers of each backend that can be used here, the ones to prefer for our own connections first.
_DRIVERS = {
    "postgresql": {"psycopg2": "psycopg2", "psycopg": "psycopg", "asyncpg": "asyncpg"},
    "mariadb": {
        "pymysql": "pymysql",
        "mysqldb": "MySQLdb",
        "mariadbconnector": "mariadb",
        "asyncmy": "asyncmy",
        "aiomysql": "aiomysql",
    },
    "sqlite": {"pysqlite": "sqlite3", "aiosqlite": "aiosqlite"},
}
_PORTS = {"postgresql": 5432, "mariadb": 3306}
_TO_INSTALL = {"postgresql": "psycopg2-binary", "mariadb": "PyMySQL"}
ASYNC_DRIVERS = {"asyncpg", "aiosqlite", "psycopg_async", "asyncmy", "aiomysql"}


def migration_url(database: Database, option: str = "url") -> URL:
    """Return the URL that migrations use: the direct one if there is one, with its password and its driver.

    A URL that names no driver gets one that is installed, because SQLAlchemy's own choice differs between
    releases (psycopg2 before 2.1, psycopg since) and need not be there.

    Args:
        database: the database.
        option: the option that its URL was given in.

    Raises:
        Refused: the URL cannot be parsed, or no driver for it is installed.
    """
    url = _parsed(database, option)
    if "password" in url.query:  # libpq takes it there too; in its own place it is kept out of whatever is shown
        url = url.set(password=str(url.query["password"])).difference_update_query(["password"])
    if "user" in url.query:  # which drivers take instead of the other
        url = url.set(username=str(url.query["user"])).difference_update_query(["user"])
    if database.password is not None:
        url = url.set(password=database.password)
    backend, _plus, driver = url.drivername.partition("+")
    kind = backend_of(url.drivername)
    if backend == "postgres":
        backend = "postgresql"
    if kind not in _DRIVERS:
        raise Refused(
            f"Unsupported database type {backend!r} in the URL of {database.name!r}",
            "supported are " + ", ".join(sorted(_DRIVERS)),
            code="database-type-unsupported",
        )
    url = url.set(drivername=f"{backend}+{driver or _installed(kind)[0]}")
    given = {name: value for name, value in database.environment.items() if "{url" not in value}
    return with_defaults(url, {**os.environ, **given}) if kind == "postgresql" else url


def _parsed(database: Database, option: str) -> URL:
    """Return the URL of a database as SQLAlchemy reads it.

    Raises:
        Refused: it cannot be parsed, or a password makes another server of it. No part of it is in the message.
    """
    text = database.direct_url or database.url
    option = "direct_url" if database.direct_url else option
    wrong = f"The {option} of database {database.name!r} cannot be parsed"
    try:
        url = sa.engine.make_url(text)
        why = _misread(url, text)
    except ValueError:
        why = "the port behind its host is not a number"
    except Exception as error:
        raise Refused(
            wrong,
            "it does not begin with a dialect and ://",
            "Write it as SQLAlchemy does, for example postgresql://user@server/name or sqlite:////srv/app.db, and its"
            " password into `password` beside it",
            code="url-invalid",
        ) from error
    if why:
        password = option.replace("direct_", "").replace("url", "password")
        raise Refused(wrong, f"{why}; {NOT_ENCODED}", encoding_remedy(password), code="url-invalid")
    return url


def _misread(url: URL, text: str) -> str:
    """Return what shows that a URL is not read as it was meant; a path of SQLite may hold anything."""
    if url.host is not None and "@" in url.host:
        return "its host would contain an @"
    if backend_of(url.drivername) == "sqlite":
        return ""
    # Behind a host, user:password@server or user@server/name: a / in a user name ended the host. Else it is a name.
    before, _at, behind = text.partition("://")[2].partition("?")[0].partition("/")[2].rpartition("@")
    ends_host = "/" in behind or (url.username is None and ":" in before)
    return "an @ is in it that does not end a user name or a password" if before and ends_host else ""


def url_for_env(database: Database, url: URL) -> URL:
    """Return the URL as env.py gets it: without a driver where none was named and SQLAlchemy's own choice is there.

    Many replace the beginning of such a URL, to name the driver themselves.
    """
    scheme = (database.direct_url or database.url).partition(":")[0]
    plain = url.set(drivername=url.get_backend_name())
    return plain if "+" not in scheme and plain.get_driver_name() == url.get_driver_name() else url


def own_url(url: URL) -> URL:
    """Return the same URL with the driver that suits our own connections, a synchronous one if any is there.

    Raises:
        Refused: no driver for it is installed.
    """
    backend = backend_of(url.drivername)
    drivers = _installed(backend)
    driver = url.get_driver_name()
    if driver in ASYNC_DRIVERS or driver not in drivers:
        driver = drivers[0]
    if backend == "mariadb":
        # SQLAlchemy's own dialect of that name refuses MySQL before it can be named.
        return url.set(drivername=f"mysql+{driver}", query=own_query(url, driver))
    query = driver_query(url, driver) if backend == "postgresql" else url.query
    return url.set(drivername=f"{backend}+{driver}", query=query)


def _installed(backend: str) -> list[str]:
    found = [driver for driver, package in _DRIVERS[backend].items() if importlib.util.find_spec(package)]
    if not found:
        raise Refused(
            f"No driver for {backend} is installed in the virtualenv of the release",
            "it needs one of " + ", ".join(_DRIVERS[backend]),
            f"Add one to the requirements or to migrate_packages, for example {_TO_INSTALL.get(backend, backend)}",
            code="driver-missing",
        )
    return found


def has_server(url: URL) -> bool:
    """Return whether a URL leads to a server, and not to a file."""
    return url.get_backend_name() != "sqlite"


def port_of(url: URL) -> int | None:
    """Return the port of a URL, its server's own where it names none."""
    return url.port or _PORTS.get(backend_of(url.drivername))


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
            self._engine: Any = without_common_listeners(create_async_engine(url, **options))
            try:
                self._connection: Any = self._wait_for(self._connect())
            except BaseException:
                self._stop()
                raise
        else:
            self._engine = own_engine(url, options)
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
            if sqlstate(error) != LOCK_NOT_AVAILABLE and errno_of(error) != LOCK_WAIT_EXCEEDED:
                raise
            raise Refused(
                f"Database {self._name!r} could not be read",
                f"another session holds a lock on what is read: {first_line(error)}",
                "End that session (pg_stat_activity or SHOW PROCESSLIST shows it), or raise migrate_lock_wait",
                code="read-lock-timeout",
            ) from error

    def rows(self, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Execute one statement and return its rows, none if it returns none."""
        return self.run(execute, statement, parameters)

    def is_broken(self) -> bool:
        """Return whether the server has closed the connection: then its socket can be read while no answer is due."""
        if not self._has_server:
            return False
        try:
            if self._loop is not None:  # its loop has read the socket already
                return bool(self.run(_is_closed))
            descriptor = self.run(_descriptor)
            if descriptor is None:  # nothing but an answer shows that it lives
                self.rows("select 1")
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
    driver = driver_connection(connection)
    cursor = driver.cursor()
    dialect: Any = connection.dialect
    try:
        cursor.execute(for_driver(statement, dialect.driver, bool(parameters)), *([parameters] if parameters else []))
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    except dialect.dbapi.Error as error:
        if getattr(driver, "closed", False):
            connection.invalidate()
        raise sa.exc.DBAPIError.instance(statement, parameters, error, dialect.dbapi.Error) from error
    finally:
        cursor.close()


def is_alone(connection: Connection) -> bool:
    """Return whether several statements that are sent as one are a transaction of their own on this connection."""
    if connection.dialect.driver != "psycopg2" or not connection.get_execution_options().get(OWN):
        return False
    return int(driver_connection(connection).info.transaction_status) == 0


def driver_connection(connection: Connection) -> Any:
    """Return the driver's own connection below SQLAlchemy's."""
    fairy = connection.connection
    return getattr(fairy, "driver_connection", None) or fairy.dbapi_connection


def client_encoding(connection: Connection) -> str:
    """Return what to speak with a PostgreSQL server, by a name that Python knows too.

    A database in SQL_ASCII holds bytes of an unknown encoding. LATIN1 has a character for each byte, and
    the server converts none.
    """
    driver = driver_connection(connection)
    if hasattr(driver, "get_settings"):  # asyncpg
        encoding = driver.get_settings().server_encoding
    else:
        encoding = driver.info.parameter_status("server_encoding")
    return "LATIN1" if encoding == "SQL_ASCII" else "UTF8"


def speak(connection: Connection) -> None:
    """Speak so with a server that does not say what its bytes mean; drivers understand all others by themselves."""
    driver, encoding = driver_connection(connection), client_encoding(connection)
    if encoding == "UTF8":
        return
    if hasattr(driver, "set_client_encoding"):  # psycopg2 does not hear of it otherwise
        driver.set_client_encoding(encoding)
    else:
        execute(connection, f"set client_encoding = '{encoding}'")


def _descriptor(connection: Connection) -> int | None:
    driver = driver_connection(connection)
    if type(driver).__module__.startswith("pymysql"):
        driver = driver._sock
        if driver is None:
            raise OSError("the driver has closed it")
    return int(driver.fileno()) if hasattr(driver, "fileno") else None


def _is_closed(connection: Connection) -> bool:
    closed = getattr(driver_connection(connection), "is_closed", None)  # asyncpg
    if closed is None:
        execute(connection, "select 1")
        return False
    return bool(closed())


def _of_pg8000(error: Any) -> Any:
    fields = getattr(error, "args", None)
    return fields[0].get("C") if fields and isinstance(fields[0], dict) else None


def sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of a driver's error inside any wrapping, or an empty string."""
    wrapping: list[BaseException] = []
    inside: BaseException | None = error
    while inside is not None and inside not in wrapping:  # one that is raised again may be its own context
        for candidate in (inside, getattr(inside, "orig", None)):
            code = getattr(candidate, "sqlstate", None) or getattr(candidate, "pgcode", None) or _of_pg8000(candidate)
            if code:
                return str(code)
        wrapping.append(inside)
        inside = inside.__cause__ or inside.__context__
    return ""


def errno_of(error: BaseException) -> int:
    """Return the number of an error of MariaDB's server inside any wrapping, or 0."""
    seen: list[BaseException] = []
    inside: BaseException | None = error
    while inside is not None and inside not in seen:
        for candidate in (inside, getattr(inside, "orig", None)):
            package = type(candidate).__module__.partition(".")[0]
            number = getattr(candidate, "errno", None) or next(iter(getattr(candidate, "args", ())), None)
            if package in _DRIVERS["mariadb"].values() and isinstance(number, int):
                return number
        seen.append(inside)
        inside = inside.__cause__ or inside.__context__
    return 0


def first_line(error: BaseException) -> str:
    """Return what an error says, without SQLAlchemy's appended statement and link."""
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__
