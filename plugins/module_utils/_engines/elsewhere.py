# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes of env.py and its revisions to databases that are not the run's, which no backup of the run holds.

Each is reported before it lasts. Files of SQLite and connections of SQLAlchemy are known statement by statement, so
that what only reads is none. Of a connection that a revision opens by a driver itself it is not known what it writes.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.urls import find_backend
from .beside_files import FileWatch, find_main_file, locate_file
from .connection import OPENING_OWN, OWN, unwrap_connection
from .importing import AtImport
from .server_place import ServerPlace, find_argument_place, find_driver_place, find_url_place
from .sqlalchemy_import import register_listeners, sa
from .unseen_writes import PROGRAMS, may_write

if TYPE_CHECKING:
    from .interface import Engine

#: Is called with the other database, how it was written, and whether that is more than possible.
Report = Callable[[str, str, bool], None]

#: Where each driver opens a connection.
_CONNECTS = {
    "psycopg2": ("_connect",),
    "psycopg.generators": ("connect",),
    "asyncpg": ("connect",),
    "asyncpg.connection": ("connect",),
    "pg8000.core": ("CoreConnection.__init__",),
    "pymysql.connections": ("Connection.connect",),
    "MySQLdb.connections": ("Connection.__init__",),
    "mariadb": ("connect",),
    "mysql.connector": ("connect",),
}
#: What changes nothing, whatever commits it; a query that calls a function may.
_READS = re.compile(
    r"\s*\(*\s*(?:select|show|set|describe|desc|explain|begin|start|commit|end|rollback|savepoint|release|values|pragma"
    r"|discard|reset|with\b(?!.*\b(?:insert|update|delete|merge)\b))\b(?!.*\binto\s+(?:outfile|dumpfile)\b)",
    re.IGNORECASE | re.DOTALL,
)
_COMMITS = re.compile(r"\s*(?:commit|end)\b", re.IGNORECASE)
#: What MariaDB commits by itself, and PostgreSQL with the transaction.
_DEFINES = re.compile(r"\s*(?:create|alter|drop|truncate|rename|grant|revoke)\b", re.IGNORECASE)
_BY_DBLINK = re.compile(r"\bdblink_(?:exec|send_query)\s*\(", re.IGNORECASE)
_PENDING = "hosting_alembic_writes_elsewhere"
_PLACE = "hosting_alembic_place"
#: How far up SQLAlchemy is, where it is what opens a connection.
_FRAMES = 14
_WROTE = "wrote to it"
_NOT_KNOWN = "so what it wrote there is not known"

#: Arguments of sqlite3.connect before its factory.
_BEFORE_FACTORY = 5


class Elsewhere:
    """Reports, for one database of a run, what this process writes elsewhere."""

    def __init__(self) -> None:
        self._report: Report | None = None
        self._engine: Engine | None = None
        self._own_file = ""
        self._ours = Path()
        self._own_places: list[ServerPlace] = []
        self._reported: set[tuple[str, bool]] = set()
        self._is_importing = False
        self._opening_file_now = threading.local()

    @contextmanager
    def report_writes(self, engine: Engine, report: Report) -> Iterator[None]:
        """Report to a function inside of the block.

        Args:
            engine: of the run's database.
            report: is called once for each other database, and again where more is known.
        """
        self._report, self._engine = report, engine
        self._reported.clear()
        self._own_file = ""
        self._own_places = [find_url_place(engine.url)]
        if engine.url.get_backend_name() == "sqlite":
            self._own_file = os.path.realpath(engine.url.database or "")
        self._ours = Path(os.path.realpath(engine.job.layout.root))
        self._wrap_drivers()
        events = sa.engine.Engine
        try:
            with register_listeners(
                (events, "before_cursor_execute", self._handle_execute),
                (events, "commit", self._handle_commit),
                (events, "rollback", self._handle_rollback),
            ):
                yield
        finally:
            self._report = None

    def note_own_place(self, connection: Any) -> None:
        """Take where env.py's connection leads for a name of the run's database."""
        if connection.dialect.name != "sqlite":
            self._own_places.append(self._find_place(connection))

    def build_file_watch(self, connection: Any) -> FileWatch | None:
        """Return what knows the files that a driver's connection writes to, None where nothing is reported."""
        if self._report is None:
            return None
        with suppress(Exception):
            return FileWatch(find_main_file(connection), self._note_file_write)
        return None

    def note(self, place: str, how: str, is_seen: bool) -> None:
        """Report a write that another part has noticed."""
        if self._report is not None and (place, is_seen) not in self._reported and (place, True) not in self._reported:
            self._reported.add((place, is_seen))
            self._report(place, how, is_seen)

    def _note_file_write(self, path: str, how: str = _WROTE, is_seen: bool = True) -> None:
        found = os.path.realpath(path) if os.path.isabs(path) else path
        if found != self._own_file and self._ours not in Path(found).parents:
            self.note(found, how, is_seen)

    def _handle_execute(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if connection.dialect.name == "sqlite" or connection.get_execution_options().get(OWN):
            return
        if connection.dialect.name == "postgresql" and _BY_DBLINK.search(statement):
            self.note("a database to which dblink connects", _WROTE, True)
        if self._is_own(connection):
            return
        if _COMMITS.match(statement):
            self._handle_commit(connection)
        elif not _READS.match(statement):
            connection.info[_PENDING] = True
            lasts = connection.dialect.name in ("mysql", "mariadb") and _DEFINES.match(statement)
            if lasts or _is_autocommit(connection):
                self._handle_commit(connection)

    def _handle_commit(self, connection: Any) -> None:
        with suppress(Exception):  # one that the server has closed commits nothing
            if connection.dialect.name == "sqlite" or connection.get_execution_options().get(OWN):
                return
            if connection.info.pop(_PENDING, False) and not self._is_own_by_another_name(connection):
                self.report_commit(connection)

    def report_commit(self, connection: Any) -> None:
        """Report that a connection of SQLAlchemy to another database commits what it has written."""
        self.note(str(self._find_place(connection)), _WROTE, True)

    def _handle_rollback(self, connection: Any) -> None:
        with suppress(Exception):
            connection.info.pop(_PENDING, None)

    def _is_own(self, connection: Any) -> bool:
        place = self._find_place(connection)
        return any(place.is_same(own) for own in self._own_places)

    def _is_own_by_another_name(self, connection: Any) -> bool:
        """Query the server, which is worth it before something was written only."""
        engine = self._engine
        if engine is None or find_backend(connection.dialect.name) != engine.name:
            return False
        with suppress(Exception):
            if engine.read_identity(connection) == engine.read_own_identity():
                self._own_places.append(self._find_place(connection))
                return True
        return False

    def _find_place(self, connection: Any) -> ServerPlace:
        found = connection.info.get(_PLACE)
        if found is None:
            found = find_driver_place(unwrap_connection(connection)) or find_url_place(connection.engine.url)
            connection.info[_PLACE] = found
        return found  # type: ignore[no-any-return]

    # Connections past SQLAlchemy

    def _wrap_drivers(self) -> None:
        """Hear of what drivers open from now on: once in a process, and never taken away again."""
        for owner in (sqlite3, sqlite3.dbapi2):
            if not hasattr(owner.connect, _PLACE):
                owner.connect = self._wrap_file_connect(owner.connect)  # type: ignore[attr-defined]
        for name in _CONNECTS.keys() & sys.modules.keys():
            self._wrap(sys.modules[name])
        if not self._is_importing:
            self._is_importing = True
            sys.addaudithook(self._hear_event)
            sys.meta_path.insert(0, AtImport(_CONNECTS, self._wrap))

    def _wrap(self, module: Any) -> None:
        for words in _CONNECTS[module.__name__]:
            first, _dot, name = words.rpartition(".")
            owner = getattr(module, first, None) if first else module
            original = vars(owner).get(name) if owner is not None else None
            if original is not None and not hasattr(original, _PLACE):
                setattr(owner, name, self._wrap_connect(original))

    def _wrap_file_connect(self, original: Any) -> Any:
        @functools.wraps(original)
        def connect(*arguments: Any, **keywords: Any) -> Any:
            self._opening_file_now.is_so = True
            try:
                connection = original(*arguments, **keywords)
            finally:
                self._opening_file_now.is_so = False
            if self._report is not None and not OPENING_OWN.get():
                # A factory may make anything, and may have an authorizer of its own, of which there is one.
                if len(arguments) > _BEFORE_FACTORY or keywords.get("factory"):
                    self._hear_event("sqlite3.connect", arguments or (keywords.get("database"),))
                    return connection
                with suppress(Exception):
                    watch = self.build_file_watch(connection)
                    if watch is not None:
                        connection.set_authorizer(watch.authorize)
            return connection

        setattr(connect, _PLACE, True)
        return connect

    def _wrap_connect(self, original: Any) -> Any:
        @functools.wraps(original)
        def connect(*arguments: Any, **keywords: Any) -> Any:
            opened = original(*arguments, **keywords)
            if self._report is not None and not OPENING_OWN.get() and not _is_by_sqlalchemy():
                with suppress(Exception):
                    subject = opened if opened is not None else arguments[0]
                    is_later = inspect.isawaitable(subject) or inspect.isgenerator(subject)
                    place = None if is_later else find_driver_place(subject)
                    self._report_opened(place or _find_called_place(arguments, keywords))
            return opened

        setattr(connect, _PLACE, True)
        return connect

    def _hear_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Hear of a file that is opened without the function that was replaced: by the class of its connections."""
        if event != "sqlite3.connect" or self._report is None or OPENING_OWN.get():
            return
        if not getattr(self._opening_file_now, "is_so", False) and may_write(arguments[0]):
            self._note_file_write(
                locate_file(arguments[0]), f"opened it past SQLAlchemy, {_NOT_KNOWN}", PROGRAMS.note is not None
            )

    def _report_opened(self, place: ServerPlace | None) -> None:
        if place is not None and any(place.is_same(own) for own in self._own_places):
            return
        # A plan has run what env.py does outside of revisions, and nothing there could write.
        is_in_step = PROGRAMS.note is not None
        name = str(place) if place is not None else "a database that its driver has opened"
        self.note(name, f"opened a connection to it past SQLAlchemy, {_NOT_KNOWN}", is_in_step)


def _find_called_place(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> ServerPlace | None:
    found = find_argument_place(arguments, keywords)
    if found is None and arguments and isinstance(arguments[0], str):  # options of libpq
        options = dict(word.split("=", 1) for word in arguments[0].split() if "=" in word)
        if "dbname" in options:
            found = ServerPlace.of(options["dbname"].strip("'"), options.get("host"), options.get("port"))
    return found


def _is_by_sqlalchemy() -> bool:
    frame: Any = sys._getframe(2)
    for _number in range(_FRAMES):
        if frame is None:
            return False
        if str(frame.f_globals.get("__name__", "")).startswith("sqlalchemy."):
            return True
        frame = frame.f_back
    return False


def _is_autocommit(connection: Any) -> bool:
    with suppress(Exception):
        if str(connection.get_execution_options().get("isolation_level", "")).upper() == "AUTOCOMMIT":
            return True
        own = connection.connection.dbapi_connection
        found = getattr(own, "autocommit", False)
        if callable(found):  # PyMySQL sets it by a call
            return bool(own.get_autocommit())
        return bool(found)
    return True


ELSEWHERE = Elsewhere()
