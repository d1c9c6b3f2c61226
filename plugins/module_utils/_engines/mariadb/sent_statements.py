# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every statement that env.py's process sends to a server of MariaDB, before it is sent.

PyMySQL sends everything in one method, so that what SQLAlchemy does not hear of is heard there. Of other drivers, and
of other programs, it is not known what they send.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from ..connection import OWN
from ..sqlalchemy_import import sa
from .session_counters import Sessions

DRIVER = "pymysql"
_STARTS_PROGRAM = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"}
#: Drivers whose statements are not heard.
_OTHER_DRIVERS = {
    *("MySQLdb", "_mysql", "mariadb", "asyncmy", "aiomysql", "mysql", "_mysql_connector", "cymysql", "oursql"),
    *("pyodbc", "turbodbc", "adbc_driver_manager", "pypyodbc", "jaydebeapi", "jpype"),
}
#: Libraries by which one sends them that is not known by its name.
_LIBRARIES = re.compile(r"lib(?:mysqlclient|mariadb|(?:ma|my)?odbc|jvm)[^/\n]*$", re.MULTILINE)
_MAPPED = "/proc/self/maps"
_INIT_DB, _QUERY = 2, 3
#: What changes nothing: to quit, to list columns, to count, to end sessions, to ping.
_HARMLESS = {1, 4, 9, 12, 14}
_EVENTS = ("do_execute", "do_executemany", "do_execute_no_params")

#: Is called with a statement that is about to be sent, and whether its session commits each by itself.
Hear = Callable[[str, bool], None]
#: Is called with the reason why what is written is unknown.
Doubt = Callable[[str], None]


class _Sent:
    """Hears what the driver sends, until the process ends: a thread of env.py's may write on after its end."""

    def __init__(self) -> None:
        self._hear: Hear = _ignore
        self._doubt: Doubt = _ignore
        self._sessions = Sessions()
        self._schema = ""
        self._has_capitals = False
        #: Whether env.py is running: the forks of the process itself are none of its.
        self._runs = False
        self._is_hooked = False
        #: The beginning of what SQLAlchemy has a connection of the driver execute now, which was heard already.
        self._expected: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        #: Has ``is_driver`` in a thread in which the driver connects.
        self._connecting = threading.local()
        #: The driver's connections that are ours.
        self._own: WeakSet[Any] = WeakSet()

    def leave_out(self, own: Any) -> None:
        """Hear nothing of a connection of our own."""
        with suppress(TypeError):  # another driver's may not be kept so; it is not heard anyway
            self._own.add(own)

    @contextmanager
    def listen(
        self, schema: str, hear: Hear, doubt: Doubt, sessions: Sessions, has_capitals: bool = False
    ) -> Iterator[None]:
        """Hear what is sent while env.py runs in the block, and after it.

        Args:
            schema: the database.
            hear: gets each statement.
            doubt: gets why some may have been sent that are not heard.
            sessions: get to know each connection that is opened, and when it rests.
            has_capitals: whether the server knows databases apart by them.
        """
        self._hear, self._doubt, self._schema = hear, doubt, schema
        self._sessions, self._has_capitals = sessions, has_capitals
        self._hook_drivers()
        ran, self._runs = self._runs, True
        self._find_libraries()
        try:
            yield
        finally:
            self._runs = ran
            self._find_drivers()
            self._find_libraries()

    def _hook_drivers(self) -> None:
        if self._is_hooked:
            return
        self._is_hooked = True
        connections = importlib.import_module("pymysql.connections")
        original = connections.Connection._execute_command
        connections.Connection._execute_command = self._wrap_execute_command(original)
        connections.Connection.connect = self._wrap_connect(connections.Connection.connect)
        connections.Connection.close = self._wrap_close(connections.Connection.close)
        sa.event.listen(sa.pool.Pool, "checkin", self._handle_checkin)
        self._hook_programs()
        loader = importlib.machinery.ExtensionFileLoader
        loader.exec_module = self._wrap_load(loader.exec_module)  # type: ignore[method-assign]
        sys.addaudithook(self._audit)
        for name in ("do_execute", "do_executemany"):
            sa.event.listen(sa.engine.Engine, name, self._handle_execute)
        sa.event.listen(sa.engine.Engine, "do_execute_no_params", self._handle_plain_execute)
        sa.event.listen(sa.engine.Engine, "after_cursor_execute", self._note_executed)
        sa.event.listen(sa.engine.Engine, "handle_error", self._note_failed)

    def _hook_programs(self) -> None:
        """Hear of the programs that multiprocessing starts, for which there is no audit event."""
        for module, name in (("_posixsubprocess", "fork_exec"), ("multiprocessing.util", "spawnv_passfds")):
            found = importlib.import_module(module)
            setattr(found, name, self._wrap_start(getattr(found, name)))

    def _wrap_start(self, original: Any) -> Any:
        @functools.wraps(original)
        def start(*arguments: Any, **more: Any) -> Any:
            self._audit("subprocess.Popen", ())
            return original(*arguments, **more)

        return start

    def _wrap_load(self, original: Any) -> Any:
        @functools.wraps(original)
        def load(*arguments: Any, **more: Any) -> Any:
            try:
                return original(*arguments, **more)
            finally:
                if self._runs:
                    self._find_libraries()

        return load

    def _wrap_connect(self, original: Any) -> Any:
        @functools.wraps(original)
        def connect(*arguments: Any, **more: Any) -> Any:
            before = getattr(self._connecting, "is_driver", False)
            self._connecting.is_driver = True
            try:
                done = original(*arguments, **more)
                self._sessions.note_opened(arguments[0])
                return done
            finally:
                self._connecting.is_driver = before

        return connect

    def _wrap_close(self, original: Any) -> Any:
        @functools.wraps(original)
        def close(connection: Any) -> Any:
            if connection.open:
                self._handle_checkin(connection)
            return original(connection)

        return close

    def _handle_checkin(self, connection: Any, *_: Any) -> None:
        if connection is not None and connection not in self._own:
            self._sessions.note_released(connection)

    def _wrap_execute_command(self, original: Any) -> Any:
        @functools.wraps(original)
        def execute_command(connection: Any, command: int, sql: Any) -> Any:
            if connection not in self._own and command not in _HARMLESS:
                self._handle_command(connection, command, sql)
            return original(connection, command, sql)

        return execute_command

    def _handle_command(self, connection: Any, command: int, sql: Any) -> None:
        text = sql.decode(connection.encoding, "surrogateescape") if isinstance(sql, (bytes, bytearray)) else str(sql)
        if command == _INIT_DB and self._is_schema(text):
            return
        schema = connection.db.decode() if isinstance(connection.db, bytes) else connection.db
        if command != _QUERY or (schema and not self._is_schema(str(schema))):
            self._doubt("it has used a connection to another database")
            return
        expected = self._expected.get(connection)
        if not expected or not text.startswith(expected):
            self._note_statement(text, _is_autocommit(connection))

    def _is_schema(self, name: str) -> bool:
        return name == self._schema or (not self._has_capitals and name.casefold() == self._schema.casefold())

    def _handle_execute(self, cursor: Any, statement: str, _parameters: Any, context: Any) -> None:
        self._handle_plain_execute(cursor, statement, context)

    def _handle_plain_execute(self, cursor: Any, statement: str, context: Any) -> None:
        """Hear a statement without its parameters, which may hold any word."""
        connection = context.root_connection
        if connection.dialect.name not in ("mysql", "mariadb") or connection.get_execution_options().get(OWN):
            return
        if connection.dialect.driver != DRIVER:
            self._doubt(f"what the driver {connection.dialect.driver} sends is not heard")
            return
        self._note_statement(statement, _is_autocommit(cursor.connection))
        # While a pool opens its first connection, SQLAlchemy 1.4 has the driver's own one in place of its wrapper.
        self._expected[cursor.connection] = statement.partition("%")[0]

    def _note_executed(self, connection: Any, cursor: Any, *_: Any) -> None:
        if connection.dialect.driver == DRIVER:
            self._expected.pop(cursor.connection, None)

    def _note_failed(self, _context: Any) -> None:
        self._expected.clear()

    def _note_statement(self, statement: str, stays: bool) -> None:
        self._find_drivers()
        self._hear(statement, stays)
        if "%%" in statement:  # SQLAlchemy doubles those of names
            self._hear(statement.replace("%%", "%"), stays)

    def _find_drivers(self) -> None:
        for name in _OTHER_DRIVERS & sys.modules.keys():
            # PyMySQL may be known by the name of another one, which it replaces.
            if getattr(sys.modules[name], "__name__", "") != DRIVER:
                self._doubt(f"what the driver {name} sends is not heard")

    def _find_libraries(self) -> None:
        try:
            with open(_MAPPED, encoding="utf-8", errors="surrogateescape") as mapped:
                found = _LIBRARIES.search(mapped.read())
        except OSError:
            return
        if found:
            self._doubt(f"what {found[0]} sends is not heard")

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._runs:
            return
        if event in _STARTS_PROGRAM:
            self._doubt("it has started another program")
        elif event == "socket.connect" and not getattr(self._connecting, "is_driver", False):
            self._doubt("it has connected to another server, or by another driver")
        elif event == "ctypes.dlopen" and _LIBRARIES.search(str(arguments[0])):
            self._doubt(f"what {arguments[0]} sends is not heard")


def _ignore(_words: str, _stays: bool = True) -> None:
    """Hear nothing."""


def _is_autocommit(connection: Any) -> bool:
    """Return whether a connection of the driver is in autocommit, as its last answer had it."""
    try:
        return bool(connection.get_autocommit())
    except Exception:  # noqa: BLE001 - one that is being opened, or is none of the driver's
        return True


SENT = _Sent()
