# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A session of our own on a MariaDB server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..._core.errors import Refused
from ..connection import OwnConnection, describe_error, execute, find_errno, unwrap_connection
from ..data import Identity
from ..migration_url import build_own_url
from ..server_engine import ServerEngine
from ..sql import escape_colons
from .locks import NamedLock, describe_lost_lock, read_session
from .probe import CONNECT_TIMEOUT, IDENTITY, STARTED, connect_options_of, describe_server
from .quoting import qualify_name
from .same_name import TABLE_IS_HERE
from .sent_statements import SENT
from .server import Server, read_server
from .statement_retry import LOCK_TIMEOUTS

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

    from ..._core.job import Database, Job

_LONGEST_IDLE = 31536000  # seconds; the most that the server knows
_SHORTEST_LOCK_WAIT = 1  # seconds; what is less is none for the server
#: Tables whose rows one statement counts.
_COUNTED_AT_ONCE = 20

_SIZE = f"select coalesce(sum(data_length + index_length), 0) from information_schema.tables where {TABLE_IS_HERE}"
#: Those that have rows of their own, by name.
_TABLES = f"""
select table_name from information_schema.tables
 where {TABLE_IS_HERE} and table_type in ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE') order by table_name
"""


def round_lock_timeout(seconds: float) -> int:
    """Return a lock timeout as the server takes it: whole seconds, rounded up."""
    return max(-int(-seconds // 1), _SHORTEST_LOCK_WAIT)


def introduce(connection: Connection, seconds: int) -> None:
    """Set our own modes and timeouts in place of those for applications.

    Names are quoted as everywhere, and a session that holds a lock may idle.

    Args:
        connection: ours.
        seconds: that it waits for a lock; nothing of ours waits without a limit.
    """
    settings = {
        "sql_mode": "'ANSI_QUOTES'",
        "wait_timeout": _LONGEST_IDLE,
        "max_statement_time": 0,
        # A server may begin a transaction with each end of one; ours would then read what was before a migration.
        "completion_type": 0,
        "idle_transaction_timeout": 0,
        "idle_readonly_transaction_timeout": 0,
        "idle_write_transaction_timeout": 0,
        "lock_wait_timeout": seconds,
        "innodb_lock_wait_timeout": seconds,
        "time_zone": "'+00:00'",
    }
    execute(
        connection,
        "set session " + escape_colons(", ".join(f"{name} = {value}" for name, value in settings.items())),
    )


class MariaDBSession(ServerEngine):
    """The base of the engine: its own sessions on the server."""

    name = "mariadb"
    ddl_survives_rollback = True
    only_reads = "set session transaction read only"
    can_be_shared = True

    def __init__(self, database: Database, url: URL, job: Job) -> None:
        super().__init__(database, url, job)
        self.held: NamedLock | None = None
        #: The session in which all has to be done, 0 if another may be opened where it is lost.
        self._only_session = 0
        #: The sessions of all connections of our own.
        self.own_sessions: set[int] = set()
        #: What the server is, once a connection has been opened.
        self.server: Server | None = None
        #: Seconds that connections of our own wait for a lock.
        self._lock_timeout = round_lock_timeout(job.lock_wait)

    def is_present(self) -> bool:
        """Leave it to the connection, which changes nothing."""
        return True

    def open_own_connection(self) -> OwnConnection:
        """Return the connection of our own, opened again if it broke: not inside ``keep_session``."""
        if self._only_session and (self._own is None or self._own.is_broken()):
            raise describe_lost_lock(self.database.name)
        return super().open_own_connection()

    @contextmanager
    def keep_session(self) -> Iterator[None]:
        """Open no other connection of our own inside the block: it would have none of the locks of the first."""
        if self._only_session:
            yield
            return
        self._only_session = read_session(self.open_own_connection())
        try:
            yield
        finally:
            self._only_session = 0

    def check_locked(self) -> None:
        """Check, before what cannot be undone, that our session and the lock on the database are there still.

        Raises:
            Failed: one is not.
        """
        own = self.open_own_connection()
        if self._only_session and read_session(own) != self._only_session:
            raise describe_lost_lock(self.database.name)
        if self.held:
            self.held.check_through(own)

    def connect(self) -> OwnConnection:
        """Open a connection, without applications' timeouts."""
        if not self.url.database:
            raise Refused(
                f"The URL of database {self.database.name!r} names no database",
                "it ends behind the server",
                "Write the name of the database behind it",
                code="url-invalid",
            )
        try:
            own = OwnConnection(build_own_url(self.url), {"connect_timeout": CONNECT_TIMEOUT}, self.database.name)
        except Refused:
            raise
        except Exception as error:
            raise Refused(
                f"Database {self.database.name!r} cannot be reached",
                describe_error(error),
                "Check its URL and its password, and that the server lets this host in",
                code="database-unreachable",
            ) from error
        SENT.leave_out(own.run(unwrap_connection))
        try:
            self.server = own.run(read_server, self.database.name)
            self.own_sessions.add(self.server.session)
            own.run(introduce, self._lock_timeout)
        except BaseException:
            own.close()
            raise
        return own

    def read_identity(self, connection: Connection) -> Identity:
        """Return the server's name, port and folder, and the database's name there."""
        server, database = execute(connection, escape_colons(IDENTITY))[0]
        return Identity(str(server), str(database))

    def read_instance(self, connection: Connection) -> str:
        """Return when the server was started; clones of one image were not started in the same second."""
        return str(execute(connection, STARTED)[0][0])

    def build_connect_options(self) -> dict[str, Any] | None:
        """Return what the driver of our own connections is given."""
        return connect_options_of(build_own_url(self.url))

    def describe(self, connection: Connection) -> str:
        """Return the server's version and where it is."""
        version = str(execute(connection, "select version()")[0][0])
        return describe_server(version, self.url.query.get("unix_socket") or self.url.host, self.url.port)

    def find_schema(self, connection: Connection, schema: str | None, table: str) -> str:
        """Return the database that the connection uses."""
        return schema or str(execute(connection, "select database()")[0][0])

    def measure_size(self, connection: Connection) -> int:
        """Return what the server estimates for the tables and their indexes."""
        return int(execute(connection, _SIZE)[0][0])

    def read_tables(self, connection: Connection) -> list[str]:
        """Return the names of the tables that have rows of their own."""
        return [str(name) for (name,) in execute(connection, _TABLES)]

    def count_table_rows(self, connection: Connection, tables: list[str] | None = None) -> dict[str, int]:
        """Count the rows of every table, or of some; as database.table."""
        schema = self.find_schema(connection, None, "")
        names = self.read_tables(connection) if tables is None else tables
        counts: dict[str, int] = {}
        for first in range(0, len(names), _COUNTED_AT_ONCE):
            some = names[first : first + _COUNTED_AT_ONCE]
            each = ", ".join(f"(select count(*) from {qualify_name(schema, name)})" for name in some)
            found = execute(connection, escape_colons(f"select {each}"))[0]
            counts.update({f"{schema}.{name}": int(count) for name, count in zip(some, found)})
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
        """Set other lock timeouts on the connection of our own."""
        before, self._lock_timeout = self._lock_timeout, round_lock_timeout(seconds)
        if self._lock_timeout == before:
            yield
            return
        self._wait_for_locks(self._lock_timeout)
        try:
            yield
        finally:
            self._lock_timeout = before
            self._wait_for_locks(before)

    def _wait_for_locks(self, seconds: int) -> None:
        self.open_own_connection().query_rows(
            f"set session lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}"
        )

    def is_lock_timeout(self, error: BaseException) -> bool:
        """Recognise both by the number of the error."""
        return find_errno(error) in LOCK_TIMEOUTS

    @property
    def driver(self) -> str:
        """Return the driver of our own connections."""
        return str(build_own_url(self.url).get_driver_name())

    @property
    def name_on_server(self) -> str:
        """Return what the server calls the database, which the URL may write in other letters."""
        with suppress(Exception):  # where it cannot be reached, the URL's spelling is good enough for a message
            return self.read_own_identity().database
        return str(self.url.database)
