# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQLite: a file, its online backup API, and a lock file beside it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..connection import OwnConnection, first_line, own_url
from ..errors import Failed, Refused
from ..layout import sync, unused
from ..libraries import sa
from . import space
from .base import Guard, Lock, Tell
from .data import Archive, Aside, Dump, Glance, Identity, Restored, RestoreMethod, Writes
from .sqlite_catalog import (
    drop_table,
    normalised,
    proven,
    quoted,
    reading,
    rows_of,
    table_lines,
    tells_of,
    unfinished_batches,
)
from .sqlite_lock import FileLock
from .sqlite_scratch import WithScratch
from .sqlite_writes import Witness, changed_tables, content_of

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

    from ..job import Database, Job

#: A backup counts free disk generously: SQLite may need as much again for its journal.
_SPACE_FACTOR = 1.1


class SQLite(WithScratch):
    """One database file."""

    name = "sqlite"
    ddl_survives_rollback = True
    can_be_shared = False
    restores_quickly = True

    def __init__(self, database: Database, url: URL, job: Job) -> None:
        super().__init__(database, url, job)
        self.path = _absolute(url.database, database.name)
        #: Holds the file for itself while it is replaced.
        self._replacing: sqlite3.Connection | None = None
        self._witness = Witness()
        self._tables_known: dict[tuple[str, str], list[str]] = {}

    @classmethod
    def prepare(cls, job: Job) -> None:
        """Find nothing out: its library comes with Python."""

    def exists(self) -> bool:
        """Tell whether the file is there."""
        return self.path.is_file()

    def connect(self) -> OwnConnection:
        """Open the file that is there; never make one."""
        url = own_url(self.url).set(database=f"file:{quote(str(self.path))}", query={"mode": "rw", "uri": "true"})
        try:
            own = OwnConnection(url, {"timeout": 5})
            own.rows("select count(*) from sqlite_master")
        except Exception as error:
            raise Refused(
                f"Database {self.database.name!r} cannot be opened",
                f"{self.path}: {first_line(error)}",
                "Check its URL, and that the user of this connection may read and write the file",
            ) from error
        return own

    def identity(self, connection: Connection) -> Identity:
        """Return the file's real path, whatever links led to it."""
        files = {row[1]: row[2] for row in rows_of(connection, "pragma database_list")}
        return Identity("this host", os.path.realpath(files.get("main") or ":memory:"))

    def own_identity(self) -> Identity:
        """Return the file that the URL names."""
        return Identity("this host", str(self.path))

    def glance(self, table: str) -> Glance | None:
        """Read the file without SQLAlchemy; one that is not there is not made."""
        with reading(self.path) as reader:
            rows = reader.execute(f"select version_num from {'.'.join(map(quoted, table.rsplit('.', 1)))}")
            heads = sorted(row[0] for row in rows)
        return Glance(self.own_identity(), self._described, heads)

    def describe(self, connection: Connection) -> str:
        """Return the version of the library."""
        return self._described

    @property
    def _described(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def schema_of(self, connection: Connection, schema: str | None) -> str:
        """Return the attached database's name."""
        return schema or "main"

    def obstacles(self, own: OwnConnection, backup_space: Path) -> list[Refused]:
        """Return what would stop a backup and an upgrade: a file that cannot be written, no space."""
        found = []
        if not os.access(self.path, os.W_OK) or not os.access(self.path.parent, os.W_OK):
            found.append(
                Refused(
                    f"Database {self.database.name!r} cannot be written",
                    f"{self.path} or its folder is read-only for this user",
                    "Give its user write permission, or set ansible_become_user",
                )
            )
        size = self.path.stat().st_size
        needs = [space.backup(self.job, backup_space, int(size * _SPACE_FACTOR))]
        needs += space.restore(self.job, self.path.parent, size)
        return found + space.lacking(self.database.name, needs)

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
        statement = "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\'"
        names = [row[0] for row in rows_of(connection, statement)]
        return {name: rows_of(connection, f"select count(*) from {quoted(name)}")[0][0] for name in names}

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(self.path.name + "-migrating")

    def try_lock(self) -> Lock | None:
        """Lock a file beside the database, named as SQLite names its own (-wal, -shm)."""
        return FileLock.attempt(self._lock_path, f"run {self.job.run}")

    def lock_holder(self) -> str:
        """Return what the lock's holder wrote into it."""
        try:
            return self._lock_path.read_text(encoding="utf-8") or "another run"
        except OSError:
            return "another run"

    def lock_migrating(self, connection: Connection, patience: float) -> None:
        """Lock nothing, since nothing of SQLite outlives its process; see that nobody wrote since the dump."""
        self._witness.begins(self._version(), _data_version(connection))

    def look_around(self, connection: Connection) -> None:
        """Look at the two versions; our own first, so that whoever commits in between is seen by either."""
        self._witness.looks(self._version(), _data_version(connection))

    def content(self) -> dict[str, str] | None:
        """Read every table, if nobody but env.py has written since the dump and nobody does meanwhile."""
        if not self._witness.vouches(self._version()):
            return None
        with reading(self.path) as reader:
            digests = content_of(reader)
        return digests if self._witness.vouches(self._version()) else None

    def _version(self) -> int:
        return self.own().run(_data_version)

    def end_migrating(self, patience: float, tell: Tell) -> None:
        """Do nothing, for the same reason."""

    @contextmanager
    def watch_connections(self) -> Iterator[None]:
        """Let statements wait for SQLite's own lock as long as lock_timeout says."""
        timeout = int(self.job.lock_timeout * 1000)

        def listen(connection: Any, _record: object) -> None:
            if "sqlite" in type(connection).__module__:
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

        self._witness.starts(self._version())
        with reading(self.path) as source, closing(sqlite3.connect(target)) as copy:
            # It is flushed once, when it is whole.
            copy.execute("pragma synchronous = off")
            source.backup(copy, pages=4096, progress=progress)
            # The copy of a WAL database is one as well; a backup is a single file.
            copy.execute("pragma journal_mode = delete")
        os.chmod(target, 0o600)
        counts = proven(target, count_rows)
        sync(target)
        return Dump(target, f"sqlite3 {sqlite3.sqlite_version}", counts)

    def rows_in_transaction(self, connection: Connection) -> dict[str, int]:
        """Return nothing: SQLite does not count by table."""
        return {}

    def rows_changed(self, archive: Archive, ours: dict[str, int]) -> list[str]:
        """Compare with the backup: whoever changed them, they are not as they were."""
        if archive.path.is_dir():
            return []
        with reading(self.path) as reader:
            return changed_tables(reader, archive.path, archive.version_tables)

    def remove_unfinished(self, before: list[str]) -> list[str]:
        """Drop the tables of batch operations that did not come to their end, where the table they copy is whole."""
        own = self.own()
        removed = []
        for name in own.run(unfinished_batches):
            lines = [line for line in own.run(self.fingerprint, frozenset()) if tells_of(line, name)]
            if not set(lines) & set(before):
                own.run(drop_table, name)
                removed += lines
        return removed

    def writes_since(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Compare the rows with those at the time of the failure, or of the tables that the backup knows."""
        if archive.path.is_dir() or self._replacing is None:
            return Writes()  # there was no database before, so all that is in it now was made by the run
        if content is not None and content == content_of(self._replacing):
            return Writes()
        changed = changed_tables(self._replacing, archive.path, archive.version_tables)
        if changed:
            return Writes(unknown=f"rows differ from those of the backup in {', '.join(changed)}")
        return Writes()

    def restore_method(self) -> RestoreMethod:
        """Return the one way there is: a file beside, renamed into place."""
        return RestoreMethod("file")

    def restore(self, archive: Archive, run: str, tell: Tell, guard: Guard) -> Restored:
        """Put a proven copy in the file's place; the replaced file is kept beside it.

        A dump that is a folder stands for a file that was not there: then there is none again.
        """
        aside = unused(self.path.with_name(f"{self.path.name}.aside-{run}"))
        tell(f"the replaced file becomes {aside}")
        if archive.path.is_dir():
            guard()
            for suffix in ("-wal", "-shm", ""):  # they hold what was not checkpointed yet, and belong to it
                if os.path.exists(f"{self.path}{suffix}"):
                    os.rename(f"{self.path}{suffix}", f"{aside}{suffix}")
            sync(self.path.parent)
            self.close()
            return Restored(str(aside), "file")
        beside = self._beside
        try:
            self._copy(archive.path, beside)
            mode = self._replace_by(beside, aside, guard)
        except (OSError, sqlite3.OperationalError) as error:
            raise Failed(
                f"Database {self.database.name!r} is in use, so its file cannot be replaced"
                if "locked" in str(error)
                else f"The file of database {self.database.name!r} cannot be replaced",
                str(error),
                f"Stop what uses it, then: {self.command_by_hand(archive.path)}",
            ) from error
        finally:
            beside.unlink(missing_ok=True)
        self.close()  # our own connection would go on looking at the replaced file
        with closing(sqlite3.connect(self.path)) as restored:
            restored.execute(f"pragma journal_mode = {mode}")
        return Restored(str(aside), "file")

    def asides(self) -> list[Aside]:
        """Return the files that earlier restores have replaced."""
        prefix = f"{self.path.name}.aside-"
        found = [path for path in self.path.parent.glob("*.aside-*") if path.name.startswith(prefix)]
        return [
            Aside(str(path), path.name[len(prefix) :], _changed(path), path.stat().st_size)
            for path in sorted(found)
            # A restore that died between its two steps has replaced nothing: it left a second name of the same file.
            if not path.name.endswith(("-wal", "-shm")) and not (self.exists() and path.samefile(self.path))
        ]

    def drop_aside(self, aside: Aside) -> None:
        """Remove a replaced file and what belongs to it."""
        for suffix in ("", "-wal", "-shm"):
            Path(f"{aside.name}{suffix}").unlink(missing_ok=True)

    def _replace_by(self, beside: Path, aside: Path, guard: Guard) -> str:
        """Put a file in the place of the database while nobody else can use it, and return the old journal mode."""
        with closing(sqlite3.connect(self.path, timeout=self.job.lock_timeout, isolation_level=None)) as current:
            mode = str(current.execute("pragma journal_mode").fetchone()[0])
            if current.execute("pragma wal_checkpoint(truncate)").fetchone()[0]:
                raise sqlite3.OperationalError("its write-ahead log is locked by another process")
            current.execute("begin exclusive")
            self._replacing = current
            try:
                guard()
            finally:
                self._replacing = None
            os.link(self.path, aside)
            os.replace(beside, self.path)
            for suffix in ("-wal", "-shm"):  # they belong to the replaced file and would corrupt this one
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            sync(self.path.parent)
        return mode

    @property
    def _beside(self) -> Path:
        return self.path.with_name(f".{self.path.name}.restored")

    def _copy(self, dump: Path, beside: Path) -> None:
        """Copy a backup beside the database, proven and with its owner and mode."""
        shutil.copyfile(dump, beside)
        proven(beside, count_rows=False)
        shutil.copymode(self.path, beside)
        owner = self.path.stat()
        os.chown(beside, owner.st_uid, owner.st_gid)
        sync(beside)

    def command_by_hand(self, dump: Path) -> str:
        """Return what SQLite's own shell does: keep a copy aside, then restore; or a move of a file that was new."""
        aside = self.path.with_name(self.path.name + ".aside")
        if dump.is_dir():
            return f"mv {_shell(self.path)} {_shell(aside)}"
        steps = (_dot_command("backup", aside), _dot_command("restore", dump))
        return " && ".join(f"sqlite3 {_shell(self.path)} {_shell(step)}" for step in steps)


def _absolute(path: str | None, name: str) -> Path:
    plain = (path or "").removeprefix("file:")
    if not plain or plain == ":memory:" or not os.path.isabs(plain):
        raise Refused(
            f"The URL of database {name!r} names no absolute file",
            "a relative path would lie inside a release, and memory ends with the process",
            "Write four slashes: sqlite:////srv/app/app.db",
        )
    # Behind a link: the lock and the log lie beside the file itself, and it is the file that a restore replaces.
    return Path(os.path.realpath(plain))


def _data_version(connection: Connection) -> int:
    return int(rows_of(connection, "pragma data_version")[0][0])


def _changed(path: Path) -> str:
    """Return when a file's inode last changed, which is when it was moved aside."""
    return datetime.fromtimestamp(path.stat().st_ctime, timezone.utc).isoformat(timespec="seconds")


def _dot_command(name: str, path: Path) -> str:
    """Return a command of SQLite's shell, which reads a name in double quotes as a C string."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'.{name} "{escaped}"'


def _shell(word: object) -> str:
    return "'" + str(word).replace("'", "'\\''") + "'"
