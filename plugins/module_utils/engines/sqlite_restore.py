# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores of SQLite: a file beside, proven, renamed into the place of the database; what it replaces lies aside."""

from __future__ import annotations

import os
import shutil
import sqlite3
from abc import ABC
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .._engines.sqlite.rows import attach, changed_tables, is_attached
from ..errors import Failed
from ..layout import sync, unused
from .base import Guard, Tell
from .data import Archive, Aside, Restored, RestoreMethod, Writes
from .sqlite_catalog import proven
from .sqlite_scratch import WithScratch
from .sqlite_writes import content_of

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from ..job import Database, Job


class WithRestore(WithScratch, ABC):
    """The part of the engine that brings backups back."""

    def __init__(self, database: Database, url: URL, job: Job) -> None:
        super().__init__(database, url, job)
        #: Holds the file for itself while it is replaced.
        self._replacing: sqlite3.Connection | None = None
        #: What env.py has opened, and may have kept open.
        self._opened: list[Any] = []

    def writes_since(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Compare the rows with those at the time of the failure, or of the tables that the backup knows."""
        if archive.path.is_dir() or self._replacing is None:
            return Writes()  # there was no database before, so all that is in it now was made by the run
        if content is not None and content == content_of(self._replacing):
            return Writes()
        if not is_attached(self._replacing):  # until this connection is closed: its transaction keeps it
            attach(self._replacing, archive.path)
        changed = changed_tables(self._replacing, archive.version_tables)
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
            self._let_go()
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

    def _let_go(self) -> None:
        """Close all that this process has open: it is done, and nobody may have the file open while it is replaced."""
        self.close()
        for connection in self._opened:
            with suppress(Exception):  # closed already, or by a thread of its own
                connection.close()
        self._opened.clear()

    def _replace_by(self, beside: Path, aside: Path, guard: Guard) -> str:
        """Put a file in the place of the database while nobody else can use it, and return the old journal mode."""
        name = f"file:{quote(str(self.path))}?mode=rw"
        options: dict[str, Any] = {"uri": True, "timeout": self.job.lock_timeout, "isolation_level": None}
        with closing(sqlite3.connect(name, **options)) as current:
            mode = str(current.execute("pragma main.journal_mode").fetchone()[0])
            with _without_log(current, mode):
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


@contextmanager
def _without_log(current: sqlite3.Connection, mode: str) -> Iterator[None]:
    """Take a database out of WAL mode, for which nobody else may have it open; give it back if it was not replaced.

    Whoever has it open in that mode would go on writing, into a log that is nobody's any more. In the other modes
    SQLite finds that its file was moved, and refuses to write (SQLITE_READONLY_DBMOVED).
    """
    if mode == "wal":
        current.execute("pragma main.journal_mode = delete")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.OperationalError):  # whoever has it open now keeps it as it is
            current.execute("rollback")
        current.execute(f"pragma main.journal_mode = {mode}")
        raise


def _changed(path: Path) -> str:
    """Return when a file's inode last changed, which is when it was moved aside."""
    return datetime.fromtimestamp(path.stat().st_ctime, timezone.utc).isoformat(timespec="seconds")


def _dot_command(name: str, path: Path) -> str:
    """Return a command of SQLite's shell, which reads a name in double quotes as a C string."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'.{name} "{escaped}"'


def _shell(word: object) -> str:
    return "'" + str(word).replace("'", "'\\''") + "'"
