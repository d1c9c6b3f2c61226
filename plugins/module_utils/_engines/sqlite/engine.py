# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQLite: a file, its online backup API, and a lock file beside it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from ..._core.errors import Refused
from ..._core.paths import sync
from .. import disk_space
from ..connection import OPENING_OWN, OWN, OwnConnection, describe_error, list_modules, unwrap_connection
from ..data import Dump, Identity
from ..interface import Lock, Report
from ..migration_url import build_own_url
from ..sqlalchemy_import import register_listeners, sa
from .birth import read_birth
from .catalog import (
    count_rows,
    list_table_lines,
    normalise_sql,
    prove_file,
    query_rows,
)
from .held_folder import HeldFolder
from .location import check_is_file, check_links, locate_file, locate_real_file
from .locks import FileLock, read_holder
from .probe import build_file_identity, describe_library, format_file_number, open_read_only
from .read_only import is_free, keep_read_only, restrict_changes
from .schema_states import SchemaStates
from .write_witness import Version, WriteWitness, read_data_version
from .written_tables import WrittenTables, is_refusal, list_attached

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

    from ..._core.job import Database, Job

T = TypeVar("T")

#: A backup counts free disk generously: SQLite may need as much again for its journal.
_SPACE_FACTOR = 1.1
#: The names of the two ways to restore.
FILE, IN_PLACE = "file", "in_place"
#: Seconds that our own reads wait for a lock of others.
PATIENCE = 5
STATE = "state of the file"
_ANY_READ = "select count(*) from sqlite_master"
_IS_WATCHED = "hosting_alembic_is_watched"

from ..data import RestoreMethod
from ..interface import Engine
from .across_processes import SQLiteAcrossProcesses


class SQLite(Engine, SQLiteAcrossProcesses):
    """One database file."""

    name = "sqlite"
    ddl_survives_rollback = True
    only_reads = "PRAGMA query_only = on"
    can_be_shared = False

    def __init__(self, database: Database, url: URL, job: Job) -> None:
        super().__init__(database, url, job)
        self.path = locate_real_file(url.database, database.name)
        self.write_witness = WriteWitness()
        #: The driver's connection of env.py, while it migrates.
        self.migrating: Any = None
        self.written = WrittenTables()
        self.schema_states = SchemaStates(self.written, self.path)
        #: What connections to other files were kept from changing, where they are.
        self._kept_here: list[str] | None = None
        #: The dump that this process has made, and the state of the database when it got the lock.
        self.dumped_file = (-1, -1)
        self.state_at_lock: dict[str, str] | None = None
        #: Holds the file for itself while it is replaced.
        self.replacing: sqlite3.Connection | None = None
        #: What env.py has opened, and may have kept open.
        self.opened: list[Any] = []
        #: The file that our own connection has opened.
        self._file = (0, 0)
        self._tables_known: dict[tuple[str, str], list[str]] = {}

    @classmethod
    def prepare(cls, job: Job) -> None:
        """Find nothing out: its library comes with Python."""

    def is_present(self) -> bool:
        """Return whether the file is there."""
        return self.path.is_file()

    def open_own_connection(self) -> OwnConnection:
        """Return the connection of our own, opened again where another file lies at the path by now."""
        there = read_file_id(self.path)
        if self._own is not None and there != self._file:
            self.close()
        known, own = self._own, super().open_own_connection()
        if own is not known:
            self._file = there
        return own

    def connect(self) -> OwnConnection:
        """Open the file that is there; never make one."""
        check_links(locate_file(self.url.database), self.database.name)
        if locate_real_file(self.url.database, self.database.name) != self.path:
            raise Refused(
                f"The URL of database {self.database.name!r} leads to another file than before",
                f"it led to {self.path}",
                "Find out who exchanges links on its way, or name the file itself in the URL",
                code="sqlite-file-exchanged",
            )
        check_is_file(str(self.path), self.database.name)
        url = build_own_url(self.url).set(database=f"file:{quote(str(self.path))}", query={"mode": "rw", "uri": "true"})
        try:
            own = OwnConnection(url, {"timeout": PATIENCE}, acting=self.act_as_owner)
            self.run_at_once(own, lambda connection: query_rows(connection, _ANY_READ))
        except Exception as error:
            raise Refused(
                f"Database {self.database.name!r} cannot be opened",
                f"{self.path}: {describe_error(error)}",
                "Check its URL, and that the user of this connection may read and write the file",
                code="database-unreachable",
            ) from error
        return own

    def read_identity(self, connection: Connection) -> Identity:
        """Return the file's real path, whatever links led to it."""
        files = {row[1]: row[2] for row in query_rows(connection, "pragma database_list")}
        return build_file_identity(os.path.realpath(files.get("main") or ":memory:"))

    def read_file_number(self) -> str:
        """Return the number of the file, which its hard links have as well."""
        return format_file_number(self.path.stat())

    def read_creation_id(self, connection: Connection) -> str:
        """Return what distinguishes the file from an earlier one at its path."""
        return read_birth(self.path)

    def read_own_identity(self) -> Identity:
        """Return the file that the URL names."""
        return build_file_identity(str(self.path))

    def build_connect_options(self) -> dict[str, Any]:
        """Return the file as the URL names it: a link may lead elsewhere by then."""
        return {"path": locate_file(self.url.database)}

    def describe(self, connection: Connection) -> str:
        """Return the version of the library."""
        return describe_library()

    def find_schema(self, connection: Connection, schema: str | None, table: str) -> str:
        """Return the attached database's name."""
        return schema or "main"

    def list_obstacles(self, own: OwnConnection, backup_space: Path, tables: Sequence[str] = ()) -> list[Refused]:
        """Return what would stop a backup and an upgrade: a file that cannot be written, no space."""
        found = []
        if not os.access(self.path, os.W_OK) or not os.access(self.path.parent, os.W_OK):
            found.append(
                Refused(
                    f"Database {self.database.name!r} cannot be written",
                    f"{self.path} or its folder is read-only for this user",
                    "Give its user write permission, or set ansible_become_user",
                    code="database-not-writable",
                )
            )
        size = self.path.stat().st_size
        needs = [disk_space.build_backup_need(self.job, backup_space, int(size * _SPACE_FACTOR))]
        needs += disk_space.build_restore_need(self.job, self.path.parent, size)
        return found + disk_space.list_shortages(self.database.name, needs)

    def measure_size(self, connection: Connection) -> int:
        """Return pages times page size."""
        return int(query_rows(connection, "pragma page_count")[0][0] * query_rows(connection, "pragma page_size")[0][0])

    def read_fingerprint(self, connection: Connection, leave_out: frozenset[str]) -> list[str]:
        """Return the schema from PRAGMAs, so that a table rebuilt in batch mode equals the one it replaced."""
        lines: list[str] = []
        statement = "select type, name, tbl_name, coalesce(sql, '') from sqlite_master"
        for kind, name, table, sql in query_rows(connection, statement):
            if f"main.{table}" in leave_out or name.startswith("sqlite_"):
                continue
            if kind == "table":
                # All lines about a table follow from its SQL, so it is read once for a step.
                if (name, sql) not in self._tables_known:
                    self._tables_known[name, sql] = list_table_lines(connection, name, sql)
                lines += self._tables_known[name, sql]
            else:
                lines.append(f"{kind} {name} on {table}: {normalise_sql(sql)}")
        return sorted(lines)

    def count_table_rows(self, connection: Connection) -> dict[str, int]:
        """Count every table: a batch rebuild with foreign keys on deletes the rows of others."""
        return count_rows(connection)

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(self.path.name + "-migrating")

    def try_lock(self) -> Lock | None:
        """Lock a file beside the database, named as SQLite names its own (-wal, -shm), and observe all later writes."""
        lock = FileLock.attempt(self._lock_path, f"run {self.job.run}", self.act_as_owner)
        if lock is not None and self.is_present():
            # A file that cannot be read is reported by the process that has to read it.
            with suppress(Refused, OSError), self.act_as_owner():
                self.write_witness.start(self.path, self.read_version())
                self.state_at_lock = {STATE: self.write_witness.read_state(self.path)}
        return lock

    def read_lock_holder(self) -> str:
        """Return what the lock's holder wrote into it."""
        return read_holder(self._lock_path) or "another run"

    def lock_migrating(self, connection: Connection, patience: float) -> None:
        """Lock nothing, since nothing of SQLite outlives its process; compare whether others wrote since the backup."""
        self.migrating, self._of_env = unwrap_connection(connection), connection.connection
        share_file(connection.connection)
        self.written.note_attached(list_attached(connection.connection))
        if self._reports:
            self._reports.report_write_start(read_data_version(connection.connection))
            return
        self.write_witness.note_write_start(self.try_read_version(), read_data_version(connection.connection))

    def try_read_version(self) -> Version | None:
        """Return what our own connection sees, or None where env.py's transaction keeps it from reading."""
        try:
            return self.read_version()
        except Exception as error:
            if not self.is_lock_timeout(error):
                raise
            return None

    def holds_transaction(self) -> bool:
        """Return whether env.py's connection has a transaction open: waiting for its lock would be waiting for ever."""
        try:
            return bool(self.migrating is not None and self.migrating.in_transaction)
        except Exception:  # noqa: BLE001 - each driver says in its own way that its connection is closed
            return False

    def run_at_once(self, own: OwnConnection, function: Callable[[Connection], T]) -> T:
        """Call a function with a connection of our own, without waiting for a lock that env.py's has."""
        if not self.holds_transaction():
            return own.run(function)
        own.run(query_rows, "pragma busy_timeout = 0")
        try:
            return own.run(function)
        finally:
            own.run(query_rows, f"pragma busy_timeout = {PATIENCE * 1000}")

    def read_version(self) -> Version:
        """Return what our own connection sees of the file that lies there now."""
        number = self.run_at_once(
            self.open_own_connection(), lambda connection: read_data_version(unwrap_connection(connection))
        )
        return Version(self._file, number)

    def end_migrating(self, patience: float, report: Report) -> None:
        """Do nothing, for the same reason."""

    def keep_read_only(self, writes: list[str], *, uncommitted: bool) -> AbstractContextManager[URL | None]:
        """Have SQLite refuse what writes, or let it write to a copy."""
        if not self.is_present():
            return nullcontext()
        self.written.is_deaf = True  # a connection has one authorizer
        return keep_read_only(self.path, self.url, self.job.layout.root, writes, with_copy=uncommitted)

    @contextmanager
    def restrict_changes(self) -> Iterator[None]:
        """Have SQLite refuse what writes to another file."""
        self._kept_here = []
        with restrict_changes(self.path, self._kept_here):
            yield

    @contextmanager
    def watch_connections(self) -> Iterator[None]:
        """Let statements wait for SQLite's own lock as long as lock_timeout says."""

        def handle_connect(connection: Any, record: Any) -> None:
            if any("sqlite" in module for module in list_modules(connection)):
                self._watch(connection, record.info)

        def handle_engine_connect(connection: Connection, *_: Any) -> None:
            # Of a connection that env.py has wrapped, only the dialect says what it is.
            if connection.dialect.name == "sqlite" and not connection.get_execution_options().get(OWN):
                self._watch(unwrap_connection(connection), connection.info)

        listeners = [
            (sa.pool.Pool, "connect", handle_connect),
            (sa.engine.Engine, "engine_connect", handle_engine_connect),
        ]
        listeners.append((sa.engine.Engine, "after_cursor_execute", self.written.learn_attached))
        with register_listeners(*listeners), self.schema_states.listen():
            yield

    def _watch(self, connection: Any, info: dict[Any, Any]) -> None:
        """Observe what a driver's connection writes, once; ``info`` is what SQLAlchemy keeps with it."""
        if _IS_WATCHED in info:
            return
        info[_IS_WATCHED] = True
        if not OPENING_OWN.get():
            self.opened.append(connection)
            # A connection has one authorizer, and one to another file has that already.
            if self._kept_here is None or is_free(list_attached(connection), self.path):
                self.written.listen(connection)
        cursor = connection.cursor()
        cursor.execute(f"pragma busy_timeout = {int(self.job.lock_timeout * 1000)}")
        cursor.close()

    def is_lock_timeout(self, error: BaseException) -> bool:
        """Recognise SQLITE_BUSY, which the driver reports as text only."""
        return "database is locked" in str(error)

    def choose_restore_method(self) -> RestoreMethod:
        """Return the way that keeps the file's other names and a mount on it, or else a file renamed into its place."""
        return RestoreMethod(IN_PLACE if self.path.is_file() and self.has_to_stay() else FILE)

    def has_to_stay(self) -> bool:
        """Return whether a restore has to leave the file the same one."""
        found = self.path.stat()
        return found.st_nlink > 1 or os.path.ismount(self.path) or found.st_dev != self.path.parent.stat().st_dev

    def close_env_connections(self) -> None:
        """Close what env.py has open in this process: it is done, and no session may have the file open meanwhile."""
        for connection in self.opened:
            with suppress(Exception):  # closed already, or by a thread of its own
                connection.close()
        self.opened.clear()

    def list_blockers(self, own: OwnConnection) -> list[str]:
        """Return nothing: SQLite does not show who holds its lock."""
        return []

    def dump(self, folder: Path, count_rows: bool, report: Report) -> Dump:
        """Copy by the online backup API, which is safe with a WAL and with open writers, and prove the copy."""
        target = folder / "database.sqlite3"
        if not self.is_present():
            return Dump(folder, f"sqlite3 {sqlite3.sqlite_version}", {})

        def report_progress(_status: int, remaining: int, total: int) -> None:
            report(f"copied {total - remaining:,} of {total:,} pages")

        with self.act_as_owner():
            self.write_witness.start(self.path, self.read_version())
        with closing(sqlite3.connect(target)) as copy, self.act_as_owner(), open_read_only(self.path) as source:
            # It is flushed once, when it is whole; a journal would be one of the file's owner in a folder of ours.
            copy.execute("pragma synchronous = off")
            copy.execute("pragma journal_mode = off")
            mode = str(source.execute("pragma journal_mode").fetchone()[0])
            source.backup(copy, pages=4096, progress=report_progress)
            kept: dict[str, Any] = {}
            with suppress(OSError), HeldFolder(self.path.parent) as held:  # a folder that cannot be listed, for one
                kept = held.read_appearance(self.path.name).as_facts()
        with closing(sqlite3.connect(target)) as copy:
            # The copy of a WAL database is one as well; a backup is a single file.
            copy.execute("pragma journal_mode = delete")
        os.chmod(target, 0o600)
        counts = prove_file(target, count_rows)
        sync(target)
        self.dumped_file = read_file_id(target)
        return Dump(target, f"sqlite3 {sqlite3.sqlite_version}", counts, {"journal_mode": mode, "file": kept})

    def explain_error(self, error: BaseException) -> BaseException:
        """Return why a statement was refused, if it was the authorizer."""
        if self._kept_here and is_refusal(error):
            return self.describe_refusal_elsewhere(error)
        return self.written.refusal if self.written.refusal and is_refusal(error) else error


def read_file_id(path: Path) -> tuple[int, int]:
    """Return which file lies at a path; a rename over it makes it another one."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


def share_file(connection: Any) -> None:
    """Let others read between the transactions of a driver's connection, whatever env.py has set for it.

    Our own connection reads what is committed. A file in WAL mode that was opened for one connection stays so.
    """
    cursor = connection.cursor()
    cursor.execute("pragma main.locking_mode")
    if [str(row[0]).lower() for row in cursor.fetchall()] == ["exclusive"]:
        cursor.execute("pragma main.locking_mode = normal")
        cursor.fetchall()
        cursor.execute("select count(*) from main.sqlite_master")  # the lock goes with the next one that is given back
        cursor.fetchall()
    cursor.close()
