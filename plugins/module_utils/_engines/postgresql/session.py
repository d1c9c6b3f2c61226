# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A session of our own on a PostgreSQL server."""

from __future__ import annotations

import hashlib
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..._core.errors import Refused
from ..connection import (
    LOCK_NOT_AVAILABLE,
    OWN,
    OwnConnection,
    describe_error,
    execute,
    find_sqlstate,
    is_batch_atomic,
    list_modules,
    speak,
    unwrap_connection,
)
from ..data import Identity
from ..migration_url import build_own_url
from ..server_engine import ServerEngine
from ..sql import escape_colons, quote_name
from . import catalog_queries, row_authors
from .libpq_options import build_libpq_options
from .locks import AdvisoryLock
from .older_server import convert_fingerprint
from .probe import connect_options_of, describe_server
from .rendering import fix_rendering, normalise_line, render_as_restored, render_fixed_settings
from .scope import IS_OF_SCHEMA, SET_SCHEMA

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

    from ..._core.job import Database, Job

READ_ONLY = "default_transaction_read_only"
#: Those that end a statement or a session, and since when there are such: a lost connection is a lost lock.
_TIMEOUTS = {
    "statement_timeout": 0,
    "idle_in_transaction_session_timeout": 0,
    "idle_session_timeout": 14,
    "transaction_timeout": 17,
}
_CONNECT_TIMEOUT = 10
#: Tables whose rows one statement counts.
_COUNTED_AT_ONCE = 20
#: The variables that libpq reads, by the options that they set.
_VARIABLES = {
    "PGHOST": "host",
    "PGHOSTADDR": "hostaddr",
    "PGPORT": "port",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGPASSFILE": "passfile",
    "PGDATABASE": "dbname",
    "PGOPTIONS": "options",
    "PGSSLMODE": "sslmode",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCRL": "sslcrl",
    "PGTARGETSESSIONATTRS": "target_session_attrs",
}
#: The statement of a fingerprint on a connection of our own: to plan it takes the server longer than to execute it.
_PREPARED = "hosting_alembic_fingerprint"
#: What a connection of our own has read of its server, which stays as it is as long as the connection.
_OF_SERVER = "hosting_alembic_of_server"
_LOCK_TIMEOUT_STATES = (LOCK_NOT_AVAILABLE, "40P01")
_SHORTEST_LOCK_WAIT = 1000


def introduce(connection: Connection, application: str, lock_timeout: int, schema: str) -> None:
    """Make a connection of our own known by name, and set our own timeouts in place of those for applications.

    Args:
        connection: ours.
        application: its name.
        lock_timeout: milliseconds that it waits for a lock; nothing of ours waits without a limit.
        schema: the one that it works for, none for all.
    """
    settings = {"application_name": application, "lock_timeout": str(lock_timeout)}
    if schema:
        execute(connection, SET_SCHEMA, {"schema": schema})
        connection.info[IS_OF_SCHEMA] = True
    since = [name for name, version in _TIMEOUTS.items() if version <= read_major_version(connection)]
    settings.update(dict.fromkeys(since, "0"))
    calls = ", ".join(f"set_config('{name}', :{name}, false)" for name in settings)
    execute(connection, f"select {calls}", settings)


def is_postgresql(connection: Any) -> bool:
    """Return whether a connection of a pool is one of a driver of PostgreSQL."""
    modules = list_modules(connection)
    return any(name in module for module in modules for name in ("psycopg", "asyncpg", "pg8000"))


def read_only_statement(but: str = "") -> str:
    """Return what makes a session read-only, unless a transaction says something else.

    Args:
        but: the name of a database whose sessions stay as they are, without anything to be quoted.
    """
    if not but:
        return f"set {READ_ONLY} = on"
    kept = f"case current_database() when '{but}' then current_setting('{READ_ONLY}') else 'on' end"
    return f"select set_config('{READ_ONLY}', {kept}, false)"


def make_read_only(connection: Any, but: str = "") -> None:
    """Execute that statement on a new connection of a driver."""
    cursor = connection.cursor()
    cursor.execute(read_only_statement(but))
    cursor.close()
    connection.commit()


def read_promised_pid(connection: Connection) -> int | None:
    """Return the process id that the server (or a pooler in its place) gave when the connection was opened."""
    driver = unwrap_connection(connection)
    if hasattr(driver, "get_server_pid"):
        return int(driver.get_server_pid())
    return int(driver.info.backend_pid)


def drop_index(connection: Connection, schema: str, name: str) -> None:
    """Drop an index without keeping writers out."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    connection.exec_driver_sql(f"drop index concurrently {quote(schema)}.{quote(name)}".replace("%", "%%"))


def _build_application_name(job: Job, schema: str) -> str:
    """Return the name of the sessions of one entry in one run; those of another schema are not its own."""
    of_schema = f" {hashlib.sha256(schema.encode()).hexdigest()[:8]}" if schema else ""
    return f"hosting.alembic {job.run or job.verb}{of_schema} {socket.gethostname()}"[:63]


class PostgreSQLSession(ServerEngine):
    """The base of the engine: its own sessions on the server."""

    name = "postgresql"
    ddl_survives_rollback = False
    only_reads = "SET default_transaction_read_only = on"
    can_be_shared = True

    def __init__(self, database: Database, url: URL, job: Job) -> None:
        super().__init__(database, url, job)
        self.application = _build_application_name(job, database.schema)
        self.held: AdvisoryLock | None = None
        #: The backends of all connections of our own.
        self.own_pids: set[int] = set()
        #: How often our own programs have read sequences, by number.
        self.sequence_reads: Counter[str] = Counter()
        #: Rows of catalogs that attempts of a restore wrote which failed, by catalog.
        self.attempts_wrote: Counter[str] = Counter()
        #: Reads in the session that has locked all tables, while one of ours has.
        self.read_locked: row_authors.Read | None = None
        #: Bytes, as they were read last.
        self.last_size: int | None = None
        #: Milliseconds that connections of our own wait for a lock.
        self._lock_timeout = max(int(job.lock_wait * 1000), _SHORTEST_LOCK_WAIT)

    def is_present(self) -> bool:
        """Leave it to the connection, which changes nothing."""
        return True

    def connect(self, to: URL | None = None) -> OwnConnection:
        """Open a connection, to another database if it is named, without applications' timeouts."""
        url = build_own_url(to or self.url)
        key = "timeout" if url.get_driver_name() == "asyncpg" else "connect_timeout"
        try:
            own = OwnConnection(url, {key: _CONNECT_TIMEOUT}, self.database.name)
        except Refused:
            raise
        except Exception as error:
            raise Refused(
                f"Database {self.database.name!r} cannot be reached",
                describe_error(error),
                "Check its URL and its password, and that the server lets this host in",
                code="database-unreachable",
            ) from error
        try:
            # First of all: what is set through a pooler leaks to its other clients.
            self._check_directness(own)
            own.run(speak)
            own.run(introduce, self.application, self._lock_timeout, self.database.schema)
        except BaseException:
            own.close()
            raise
        return own

    def read_identity(self, connection: Connection) -> Identity:
        """Return the server's own number and the database's name there, with the schema if it is one."""
        return Identity(*execute(connection, catalog_queries.IDENTITY)[0]).with_schema(self.database.schema)

    def read_instance(self, connection: Connection) -> str:
        """Return the cluster's number, port and start; clones of one image share only the first."""
        return _read_of_server(connection, catalog_queries.INSTANCE)

    def read_creation_id(self, connection: Connection) -> str | None:
        """Return the number that a database gets when it is made, with that of its schema if an entry means one."""
        number = execute(connection, catalog_queries.MADE)[0][0]
        return None if number is None else str(number)

    def build_connect_options(self) -> dict[str, Any] | None:
        """Return what the driver of our own connections is given."""
        return connect_options_of(build_own_url(self.url))

    def describe(self, connection: Connection) -> str:
        """Return the server's version and where it is."""
        options = build_libpq_options(self.url)
        return describe_server(
            _read_of_server(connection, "show server_version"), options.get("host"), options.get("port")
        )

    def find_schema(self, connection: Connection, schema: str | None, table: str) -> str:
        """Return where the search_path leads to it: it need not lie in the first schema, where it would be made."""
        return schema or str(execute(connection, catalog_queries.SCHEMA_OF, {"name": table})[0][0])

    def _check_directness(self, own: OwnConnection) -> None:
        promised, pid = own.run(read_promised_pid), own.query_rows("select pg_backend_pid()")[0][0]
        self.own_pids.add(pid)
        if promised is not None and promised != pid:
            raise Refused(
                f"Database {self.database.name!r} is behind a connection pooler",
                "locks and settings would leak between its clients",
                "Name the server itself in direct_url",
                code="connection-pooler",
            )

    def measure_size(self, connection: Connection) -> int:
        """Return what the server counts for the database, or for its schema, indexes included."""
        self.last_size = int(execute(connection, catalog_queries.SIZE)[0][0])
        return self.last_size

    def read_fingerprint(self, connection: Connection, leave_out: frozenset[str]) -> list[str]:
        """Return catalog facts, without the version tables and all that hangs on them."""
        if is_batch_atomic(connection):
            if not connection.info.get(_PREPARED):
                execute(connection, f"{render_fixed_settings()} prepare {_PREPARED} as {catalog_queries.FINGERPRINT}")
                connection.info[_PREPARED] = True
            rows = execute(connection, f"{render_fixed_settings()} execute {_PREPARED}")
        else:
            with fix_rendering(connection):
                rows = execute(connection, catalog_queries.FINGERPRINT)
        return sorted(normalise_line(line) for table, line in rows if table not in leave_out)

    def select_dumped_lines(self, fingerprint: list[str]) -> list[str]:
        """Return all lines but those of INVALID indexes."""
        return render_as_restored(fingerprint)

    def convert_fingerprint(self, before: list[str], now: list[str]) -> list[str]:
        """Return a fingerprint without what came with a later major version."""
        return convert_fingerprint(before, now)

    def count_table_rows(
        self, connection: Connection, tables: Sequence[tuple[str, str]] | None = None
    ) -> dict[str, int]:
        """Count every table that has rows of its own: a partitioned one has those of its partitions.

        A foreign one has its rows elsewhere, where no backup and no migration of this database goes.
        """
        if tables is None:
            tables = list(execute(connection, catalog_queries.TABLES_WITH_ROWS))
        counts: dict[str, int] = {}
        for first in range(0, len(tables), _COUNTED_AT_ONCE):
            some = tables[first : first + _COUNTED_AT_ONCE]
            each = ", ".join(
                f"(select count(*) from {quote_name(schema)}.{quote_name(table)})" for schema, table in some
            )
            found = execute(connection, escape_colons(f"select {each}"))[0]
            counts.update({f"{schema}.{table}": int(count) for (schema, table), count in zip(some, found)})
        return counts

    def close(self) -> None:
        """Close the connection of our own, unless it holds the lock: that goes on, and the next read opens another."""
        if self.held and self.held.is_on(self._own):
            self._own = None
        super().close()

    def prepare_fork(self) -> None:
        """Keep the connection: the forked process leaves it alone."""

    @contextmanager
    def shorten_lock_timeout(self, seconds: float = 1) -> Iterator[None]:
        """Set another lock_timeout on the connection of our own."""
        before, self._lock_timeout = self._lock_timeout, max(int(seconds * 1000), 1)
        if self._lock_timeout == before:
            yield
            return
        self.open_own_connection().query_rows(f"set lock_timeout = {self._lock_timeout}")
        try:
            yield
        finally:
            self._lock_timeout = before
            self.open_own_connection().query_rows(f"set lock_timeout = {before}")

    def read_at_once(self, statement: str) -> list[tuple[Any, ...]]:
        """Set the limit in the same round trip, where the driver sends several statements in one."""
        own = self.open_own_connection()
        if not own.run(is_batch_atomic):
            return super().read_at_once(statement)
        return own.query_rows("set local lock_timeout = 1000; " + escape_colons(statement))

    def is_lock_timeout(self, error: BaseException) -> bool:
        """Recognise lock_not_available and deadlock_detected."""
        return find_sqlstate(error) in _LOCK_TIMEOUT_STATES

    def build_command_variables(self) -> dict[str, str]:
        """Add those that libpq reads, so that psql and pgBackRest connect by themselves."""
        options = build_libpq_options(self.url)
        named = {name: options[key] for name, key in _VARIABLES.items() if key in options}
        return {**super().build_command_variables(), **named}

    @property
    def name_on_server(self) -> str:
        """Return what the server calls the database, which need not be what the inventory calls it."""
        return str(self.url.database)

    def lock_pid(self) -> int:
        """Return the backend that holds this process's lock on the database, 0 if there is none."""
        return self.held.read_pid() if self.held else 0

    def suspend_lock(self) -> None:
        """Close the lock's connection while the database is renamed, which refuses others meanwhile."""
        if self.held:
            self.held.suspend()

    def take_lock_again(self) -> None:
        """Take the lock on what has the database's name now.

        Raises:
            Failed: another session has it.
        """
        if self.held and self.held.is_suspended:
            self.held.take(self.connect())


def _read_of_server(connection: Connection, statement: str) -> str:
    """Return what a statement says of the server, which is read once on a connection of our own."""
    if not connection.get_execution_options().get(OWN):
        return str(execute(connection, statement)[0][0])
    known: dict[str, str] = connection.info.setdefault(_OF_SERVER, {})
    if statement not in known:
        known[statement] = str(execute(connection, statement)[0][0])
    return known[statement]


def read_major_version(connection: Connection) -> int:
    """Return the server's major version, which SQLAlchemy reads as soon as it connects."""
    return int((connection.dialect.server_version_info or (0,))[0])
