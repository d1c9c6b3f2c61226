# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQLite: a file, its online backup API, and a lock file beside it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from ..._core.errors import Failed, Refused
from ..._core.paths import sync
from .. import disk_space
from ..comparison import Comparison
from ..connection import OPENING_OWN, OwnConnection, driver_connection, first_line, own_url
from ..data import Archive, Counted, Deeds, Dump, Identity, Writes
from ..interface import Tell
from ..lock import Lock
from ..sqlalchemy_import import sa
from .birth import birth_of
from .catalog import (
    count_rows,
    drop_unfinished,
    normalised,
    proven,
    rows_of,
    table_lines,
)
from .compare import compare
from .held_folder import HeldFolder
from .kept_rows import unchanged_tables
from .known_rows import KnownRows, await_clock, has_log
from .location import check_is_file, check_links, path_of, real_path_of
from .locks import FileLock, read_holder
from .probe import described, file_identity, reading
from .read_only import only_reading
from .restore import WithRestore
from .row_authors import Imprint
from .rows import beside, changed_tables, columns_of
from .sequences import read_sequences, set_forward
from .write_witness import Version, WriteWitness, data_version
from .written_tables import ANY, WrittenTables, attached_to, is_refusal

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

    from ..._core.job import Database, Job

T = TypeVar("T")

#: A backup counts free disk generously: SQLite may need as much again for its journal.
_SPACE_FACTOR = 1.1
#: Seconds that our own reads wait for a lock of others.
_PATIENCE = 5
_STATE = "state of the file"
_ANY_READ = "select count(*) from sqlite_master"


class SQLite(WithRestore):
    """One database file."""

    name = "sqlite"
    ddl_survives_rollback = True
    only_reads = "PRAGMA query_only = on"
    can_be_shared = False
    restores_quickly = True
    restores_checked_copies = True

    def __init__(self, database: Database, url: URL, job: Job) -> None:
        super().__init__(database, url, job)
        self.path = real_path_of(url.database, database.name)
        self._witness = WriteWitness()
        #: The driver's connection of env.py, while it migrates.
        self._migrating: Any = None
        self._written = WrittenTables()
        #: The dump that this process has made, and the state of the database when it got the lock.
        self._dumped = (-1, -1)
        self._state_at_lock: dict[str, str] | None = None
        #: Whether nobody has written between the failure and then.
        self._resumed = False
        #: Tables that then had the rows of the backup, though the run had written to them.
        self._unchanged: frozenset[str] = frozenset()
        self._known_rows = KnownRows()
        #: The file that our own connection has opened.
        self._file = (0, 0)
        self._tables_known: dict[tuple[str, str], list[str]] = {}

    @classmethod
    def prepare(cls, job: Job) -> None:
        """Find nothing out: its library comes with Python."""

    def exists(self) -> bool:
        """Tell whether the file is there."""
        return self.path.is_file()

    def own(self) -> OwnConnection:
        """Return the connection of our own, opened again where another file lies at the path by now."""
        there = _file_of(self.path)
        if self._own is not None and there != self._file:
            self.close()
        known, own = self._own, super().own()
        if own is not known:
            self._file = there
        return own

    def connect(self) -> OwnConnection:
        """Open the file that is there; never make one."""
        check_links(path_of(self.url.database), self.database.name)
        if real_path_of(self.url.database, self.database.name) != self.path:
            raise Refused(
                f"The URL of database {self.database.name!r} leads to another file than before",
                f"it led to {self.path}",
                "Find out who exchanges links on its way, or name the file itself in the URL",
                code="sqlite-file-exchanged",
            )
        check_is_file(str(self.path), self.database.name)
        url = own_url(self.url).set(database=f"file:{quote(str(self.path))}", query={"mode": "rw", "uri": "true"})
        try:
            own = OwnConnection(url, {"timeout": _PATIENCE}, acting=self.acting)
            self._run_at_once(own, lambda connection: rows_of(connection, _ANY_READ))
        except Exception as error:
            raise Refused(
                f"Database {self.database.name!r} cannot be opened",
                f"{self.path}: {first_line(error)}",
                "Check its URL, and that the user of this connection may read and write the file",
                code="database-unreachable",
            ) from error
        return own

    def identity(self, connection: Connection) -> Identity:
        """Return the file's real path, whatever links led to it."""
        files = {row[1]: row[2] for row in rows_of(connection, "pragma database_list")}
        return file_identity(os.path.realpath(files.get("main") or ":memory:"))

    def made(self, connection: Connection) -> str:
        """Return what tells the file from an earlier one at its path."""
        return birth_of(self.path)

    def own_identity(self) -> Identity:
        """Return the file that the URL names."""
        return file_identity(str(self.path))

    def door(self) -> dict[str, Any]:
        """Return the file as the URL names it: a link may lead elsewhere by then."""
        return {"path": path_of(self.url.database)}

    def describe(self, connection: Connection) -> str:
        """Return the version of the library."""
        return described()

    def schema_of(self, connection: Connection, schema: str | None, table: str) -> str:
        """Return the attached database's name."""
        return schema or "main"

    def obstacles(self, own: OwnConnection, backup_space: Path, tables: Sequence[str] = ()) -> list[Refused]:
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
        needs = [disk_space.backup(self.job, backup_space, int(size * _SPACE_FACTOR))]
        needs += disk_space.restore(self.job, self.path.parent, size)
        return found + disk_space.lacking(self.database.name, needs)

    def size(self, connection: Connection) -> int:
        """Return pages times page size."""
        return int(rows_of(connection, "pragma page_count")[0][0] * rows_of(connection, "pragma page_size")[0][0])

    def fingerprint(self, connection: Connection, leave_out: frozenset[str]) -> list[str]:
        """Return the schema from PRAGMAs, so that a table rebuilt in batch mode equals the one it replaced."""
        lines: list[str] = []
        statement = "select type, name, tbl_name, coalesce(sql, '') from sqlite_master"
        for kind, name, table, sql in rows_of(connection, statement):
            if f"main.{table}" in leave_out or name.startswith("sqlite_"):
                continue
            if kind == "table":
                # All that is said of a table follows from its SQL, so it is read once, however often a step asks.
                if (name, sql) not in self._tables_known:
                    self._tables_known[name, sql] = table_lines(connection, name, sql)
                lines += self._tables_known[name, sql]
            else:
                lines.append(f"{kind} {name} on {table}: {normalised(sql)}")
        return sorted(lines)

    def row_counts(self, connection: Connection) -> dict[str, int]:
        """Count every table: a batch rebuild with foreign keys on deletes the rows of others."""
        return count_rows(connection)

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(self.path.name + "-migrating")

    def try_lock(self) -> Lock | None:
        """Lock a file beside the database, named as SQLite names its own (-wal, -shm), and witness all later writes."""
        lock = FileLock.attempt(self._lock_path, f"run {self.job.run}", self.acting)
        if lock is not None and self.exists():
            # A file that cannot be read is told of by whoever has to read it.
            with suppress(Refused, OSError), self.acting():
                self._witness.starts(self.path, self._version())
                self._state_at_lock = {_STATE: self._witness.state(self.path)}
        return lock

    def lock_holder(self) -> str:
        """Return what the lock's holder wrote into it."""
        return read_holder(self._lock_path) or "another run"

    def lock_migrating(self, connection: Connection, patience: float) -> None:
        """Lock nothing, since nothing of SQLite outlives its process; compare whether others wrote since the backup."""
        self._migrating, self._of_env = driver_connection(connection), connection.connection
        self._written.knows(attached_to(connection.connection))
        if self._reports:
            self._reports.begins_to_write(data_version(connection.connection))
            return
        self._witness.begins(self._version_now(), data_version(connection.connection))

    def look_around(self, connection: Connection) -> None:
        """Compare the versions that both connections see."""
        if self._reports:
            self._reports.compares_versions()
            return
        self._witness.compares(self._version_now, lambda: data_version(connection.connection))

    def can_read_now(self) -> bool:
        """Return whether env.py's transaction lets others read, which BEGIN EXCLUSIVE and a spilled cache do not."""
        return self._version_now() is not None

    def _version_now(self) -> Version | None:
        """Return what our own connection sees, or None where env.py's transaction keeps it from reading."""
        try:
            return self._version()
        except Exception as error:
            if not self.gave_way(error):
                raise
            return None

    def _holds_transaction(self) -> bool:
        """Return whether env.py's connection has a transaction open: waiting for its lock would be waiting for ever."""
        try:
            return bool(self._migrating is not None and self._migrating.in_transaction)
        except Exception:  # noqa: BLE001 - each driver says in its own way that its connection is closed
            return False

    def _run_at_once(self, own: OwnConnection, function: Callable[[Connection], T]) -> T:
        """Call a function with a connection of our own, without waiting for a lock that env.py's has."""
        if not self._holds_transaction():
            return own.run(function)
        own.run(rows_of, "pragma busy_timeout = 0")
        try:
            return own.run(function)
        finally:
            own.run(rows_of, f"pragma busy_timeout = {_PATIENCE * 1000}")

    def content(self) -> dict[str, str] | None:
        """Return the state of the file, if nobody but env.py has written since the dump."""
        own = self.own()
        own.run(rows_of, "pragma busy_timeout = 0")
        own.run(rows_of, "pragma main.wal_checkpoint(truncate)")
        own.run(rows_of, f"pragma busy_timeout = {_PATIENCE * 1000}")
        await_clock(self.path)
        state = {_STATE: self._witness.state(self.path)}
        return state if self._witness.vouches(self._version()) else None

    def resume(self, content: dict[str, str] | None, unchanged: Sequence[str] = ()) -> None:
        """Compare the state of the file when the run failed with the one when this process got the lock."""
        self._resumed = content is not None and content == self._state_at_lock
        self._unchanged = frozenset(unchanged)

    def hand_over(self) -> Any:
        """Return the state of the file, if nobody else has written until now, and the tables that env.py has."""
        known: dict[str, Any] = {"state": None, "wrote": self._written.facts()}
        with suppress(Exception):  # locked by somebody else: then it is not known
            known["state"] = self.content()
        return known

    def take_over(self, known: Any) -> None:
        """Witness all writes from now on; whoever has written since the state that was handed over is not known."""
        self._written.adds(known["wrote"])
        self._witness.doubts()
        with suppress(Exception), self.acting():  # locked by somebody else, or not there
            self._witness.continues(self.path, self._version(), str((known["state"] or {}).get(_STATE)))

    def _nobody_wrote(self, archive: Archive, content: dict[str, str] | None) -> bool:
        """Vouch since the dump, where this process has made it, or since a state that an earlier process has left."""
        known = self._dumped == _file_of(archive.path) or (content is not None and content == self._state_at_lock)
        return known and self._witness.vouches(self._version())

    def _written_only(self, ours: dict[str, int]) -> frozenset[str] | None:
        """Return the tables that may have changed since the backup, or None where others may have written to any."""
        wrote = {**ours, **self._written.counts}
        if ANY in wrote or not self._resumed or not self._witness.vouches(self._version()):
            return None
        return frozenset(wrote)

    def _version(self) -> Version:
        """Return what our own connection sees of the file that lies there now."""
        number = self._run_at_once(self.own(), lambda connection: data_version(driver_connection(connection)))
        return Version(self._file, number)

    def end_migrating(self, patience: float, tell: Tell) -> None:
        """Do nothing, for the same reason."""

    @contextmanager
    def only_reading(self, writes: list[str], *, uncommitted: bool) -> Iterator[URL | None]:
        """Have SQLite refuse what writes, or let it write to a copy."""
        if not self.exists():
            yield None
            return
        self._written.is_deaf = True  # a connection has one authorizer
        with only_reading(self.path, self.job.layout.root, writes, with_copy=uncommitted) as copy:
            yield self.url.set(database=str(copy)) if copy else None

    @contextmanager
    def watch_connections(self) -> Iterator[None]:
        """Let statements wait for SQLite's own lock as long as lock_timeout says."""
        timeout = int(self.job.lock_timeout * 1000)

        def listen(connection: Any, _record: object) -> None:
            if "sqlite" in type(connection).__module__:
                if not OPENING_OWN.get():
                    self._opened.append(connection)
                    self._written.listen(connection)
                cursor = connection.cursor()
                cursor.execute(f"pragma busy_timeout = {timeout}")
                cursor.close()

        sa.event.listen(sa.pool.Pool, "connect", listen)
        try:
            yield
        finally:
            sa.event.remove(sa.pool.Pool, "connect", listen)

    def gave_way(self, error: BaseException) -> bool:
        """Tell SQLITE_BUSY, which the driver reports in words only."""
        return "database is locked" in str(error)

    def blockers(self, own: OwnConnection) -> list[str]:
        """Return nothing: SQLite does not tell who holds its lock."""
        return []

    def dump(self, folder: Path, count_rows: bool, tell: Tell) -> Dump:
        """Copy by the online backup API, which is safe with a WAL and with open writers, and prove the copy."""
        target = folder / "database.sqlite3"
        if not self.exists():
            return Dump(folder, f"sqlite3 {sqlite3.sqlite_version}", {})

        def progress(_status: int, remaining: int, total: int) -> None:
            tell(f"copied {total - remaining:,} of {total:,} pages")

        with self.acting():
            self._witness.starts(self.path, self._version())
        with closing(sqlite3.connect(target)) as copy, self.acting(), reading(self.path) as source:
            # It is flushed once, when it is whole; a journal would be one of the file's owner in a folder of ours.
            copy.execute("pragma synchronous = off")
            copy.execute("pragma journal_mode = off")
            mode = str(source.execute("pragma journal_mode").fetchone()[0])
            source.backup(copy, pages=4096, progress=progress)
            kept: dict[str, Any] = {}
            with suppress(OSError), HeldFolder(self.path.parent) as held:  # a folder that cannot be listed, for one
                kept = held.appearance(self.path.name).facts()
        with closing(sqlite3.connect(target)) as copy:
            # The copy of a WAL database is one as well; a backup is a single file.
            copy.execute("pragma journal_mode = delete")
        os.chmod(target, 0o600)
        counts = proven(target, count_rows)
        sync(target)
        self._dumped = _file_of(target)
        return Dump(target, f"sqlite3 {sqlite3.sqlite_version}", counts, {"journal_mode": mode, "file": kept})

    def count_transaction(self, connection: Connection, held: bool = False) -> Counted:
        """Return the statements by table that env.py's connections have compiled until now."""
        return Counted(dict(self._written.counts))

    def compare(self, archive: Archive, deeds: Deeds, limit: int, tell: Tell) -> Comparison:
        """Compare with the backup, by what this process has written as well: downgrades, for one."""
        if not self.exists():
            return Comparison()
        tell("compares the file with its backup")
        deeds = replace(deeds, wrote={**deeds.wrote, **self._written.counts})
        known = self._known(archive)
        return compare(self.path, archive, deeds, limit, self.acting, self._written_only(deeds.wrote), known)

    def compare_schema(self, archive: Archive, deeds: Deeds, tell: Tell) -> tuple[list[str], list[str]]:
        """Compare the definitions with the backup's; who has changed a setting of the file, nothing tells.

        That excuses no definition that differs beside it.
        """
        if not self.exists():
            return [], []
        tell("compares the definitions with the backup")
        found = compare(self.path, archive, deeds, 0, self.acting, frozenset())
        if found.not_compared:
            why = "; ".join(found.not_compared)
            raise Failed("The schema cannot be compared with its backup", why, code="downgrade-not-compared")
        return [*found.settings, *found.schema], [] if found.schema else found.settings

    def compare_copy(
        self, before: Any, archive: Archive, leave_out: frozenset[str], in_full: bool, tell: Tell
    ) -> Comparison:
        """Compare with the backup that it is a copy of."""
        if not self.exists():
            return Comparison()
        tell("compares the copy with its backup")
        deeds = Deeds([], version_tables=leave_out, is_open=True)
        written: frozenset[str] | None = None if in_full else frozenset()
        return compare(self.path, archive, deeds, self.path.stat().st_size, self.acting, written, is_copy=True)

    def positions(self) -> dict[str, Any]:
        """Read where AUTOINCREMENT goes on."""
        if not self.exists():
            return {}
        return self.own().run(lambda connection: read_sequences(driver_connection(connection)))

    def keep_positions(self, before: dict[str, Any], archive: Archive | None, deeds: Deeds) -> dict[str, str]:
        """Set AUTOINCREMENT forward, unless nobody else has written."""
        if not self.exists() or (self._resumed and self._witness.vouches(self._version())):
            return {}
        return self.own().run(lambda connection: set_forward(driver_connection(connection), before))

    def explained(self, error: BaseException) -> BaseException:
        """Return why a statement was refused, if it was the authorizer."""
        return self._written.refusal if self._written.refusal and is_refusal(error) else error

    def imprint(self, deeds: Deeds) -> dict[str, Any]:
        """Read what the run has made; and whether nobody else has written meanwhile, so that all of it is the run's."""
        if not self.exists():
            return {}
        # Without it nothing is lost: then a way back takes a backup of its own.
        with suppress(sqlite3.Error), self.acting(), reading(self.path) as reader:
            return Imprint.of(reader, deeds).facts(alone=self._witness.vouches(self._version()))
        return {}

    def later_writes(self, deeds: Deeds) -> Writes:
        """Compare with what was read at the end of the run."""
        if not self.exists():
            return Writes()
        try:
            with self.acting(), nullcontext(self._replacing) if self._replacing else reading(self.path) as reader:
                return Imprint.of(reader, deeds).later_than(deeds.imprint)
        except sqlite3.Error as error:
            return Writes(unknown=f"what the run has made cannot be read ({error})")

    def unchanged_tables(self, archive: Archive) -> list[str]:
        """Compare them with the backup."""
        if not self.exists() or not self._witness.vouches(self._version()):
            return []
        return unchanged_tables(archive.path, self.path, self._written.counts, self._written.rows, self.acting)

    def touched_by_others(self, deeds: Deeds) -> list[str]:
        """Return that they may have written anywhere, unless nobody has."""
        if not self.exists() or self._written_only(deeds.wrote) is not None:
            return []
        return ["others may have written since the backup"]

    def still_writes(self, connection: Connection, deeds: Deeds) -> Writes:
        """Return nothing: a file has no lock that keeps others out and lets env.py in."""
        return Writes()

    def rows_changed(self, archive: Archive, ours: dict[str, int]) -> list[str]:
        """Compare with the backup: whoever changed them, they are not as they were."""
        if archive.path.is_dir():
            return []
        written = self._written_only(ours)
        if written is not None:
            written -= self._unchanged - self._written.counts.keys()
        known = self._known(archive)
        with beside(archive.path, self.path, self.acting) as connection:
            return changed_tables(connection, archive.version_tables, written, known)

    def rows_changed_by(self, archive: Archive, wrote: dict[str, int], limit: int) -> list[str]:
        """Compare the tables that it may have written with the backup, by the columns that they have in both."""
        if archive.path.is_dir():
            return []
        written = None if ANY in wrote else frozenset(wrote) & self._written.rows
        with beside(archive.path, self.path, self.acting) as connection:
            if written and self.path.stat().st_size > limit:
                return sorted(written)
            changed = changed_tables(connection, archive.version_tables, written)
            return [table for table in changed if columns_of(connection, "main", table)]

    def _known(self, archive: Archive) -> dict[str, bool]:
        """Return which tables have the rows of a backup, as far as that was read since anybody wrote."""
        await_clock(self.path)
        return self._known_rows.of(archive.path, "" if has_log(self.path) else self._witness.state(self.path))

    def remove_unfinished(self, before: list[str]) -> list[str]:
        """Drop the tables of batch operations that did not come to their end, where the table they copy is whole."""
        return self.own().run(drop_unfinished, self.fingerprint, before)


def _file_of(path: Path) -> tuple[int, int]:
    """Return which file lies at a path; whoever replaces it by a rename makes it another one."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_dev, found.st_ino)
