# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores of SQLite: a file beside, proven, renamed into the place of the database; what it replaces is retained."""

from __future__ import annotations

import errno
import os
import sqlite3
from datetime import datetime, timezone
from pathlib import Path

from ..._core.errors import ANOTHER_BACKUP, HALF_WAY, REPLACED_NOTHING, Failed, Refused
from ..._core.paths import find_unused_path, hash_file
from ..._core.run_as import act_as_ourselves
from .. import disk_space
from ..connection import unwrap_connection
from ..data import Archive, Restored, RetainedCopy
from ..interface import Guard, Report
from ..restorer import TIME_TYPED, Restorer
from .catalog import drop_unfinished, prove_file
from .engine import FILE, IN_PLACE, SQLite
from .held_folder import Appearance, HeldFolder, copy_durably
from .in_place import copy_locked_file, fold_log, overwrite, suspend_log
from .open_files import may_be_open_elsewhere
from .write_witness import ChangeCounter

#: A mount on the file itself, or a file system without links.
_NO_RENAME = (errno.EXDEV, errno.EBUSY, errno.EPERM, errno.ENOTSUP)


class SQLiteRestorer(Restorer):
    """Puts a proven copy in the file's place, or writes it there."""

    restores_quickly = True
    restores_checked_copies = True
    #: A file that is written in place is copied before.
    retained_means_replaced = False

    def __init__(self, engine: SQLite) -> None:
        self.engine = engine
        #: From here on a failure says nothing of what lies in the file's place.
        self._has_replaced = False

    def foresee_obstacles(self, archive: Archive) -> list[Refused]:
        """Find out whether there is space for the copy, and whether a session writes now."""
        copies = 2 if self.engine.choose_restore_method().name == IN_PLACE else 1
        size = archive.path.stat().st_size * copies if archive.path.is_file() else 0
        return (
            disk_space.list_shortages(
                self.engine.database.name, [disk_space.Need("a restore", self.engine.path.parent, size)]
            )
            + self._list_use_obstacles()
        )

    def _list_use_obstacles(self) -> list[Refused]:
        if not self.is_readable():
            return []
        current: sqlite3.Connection = self.engine.open_own_connection().run(unwrap_connection)
        try:
            with self.engine.act_as_owner():
                current.execute(f"pragma busy_timeout = {int(self.engine.job.lock_timeout * 1000)}")
                current.execute("begin immediate")
                current.execute("rollback")
        except sqlite3.OperationalError as error:
            what = f"Database {self.engine.database.name!r} is in use, so its file cannot be replaced"
            return [Failed(what, str(error), "Stop what uses it", code="database-in-use")]
        return []

    def restore(self, archive: Archive, run: str, report: Report, guard: Guard) -> Restored:
        """Put a proven copy in the file's place, or write it there; what it replaces is kept beside it.

        A dump that is a folder means a file that was not there: then there is none again. All names in the folder
        are a customer's to exchange, so they are taken with his rights; only what is open already is changed with ours.
        """
        # The word stays in the name: what older versions retained is recognised by it.
        retained = find_unused_path(self.engine.path.with_name(f"{self.engine.path.name}.aside-{run}"))
        report(f"the replaced file becomes {retained}")
        name = self.engine.path.name
        self._has_replaced, was_missing = False, archive.path.is_dir()
        try:
            with self.engine.act_as_owner(), HeldFolder(self.engine.path.parent) as folder:
                if was_missing:
                    self._run_guard(guard)
                    self._has_replaced = True
                    folder.move_with_log(name, retained.name)
                    folder.sync()
                    restored = Restored(str(retained), FILE)
                elif self.is_readable():
                    self.engine.close_env_connections()
                    restored = self._replace(folder, archive, retained, guard)
                else:
                    restored = self._put_back(folder, archive, retained)
        except (OSError, sqlite3.OperationalError) as error:
            raise Failed(
                f"Database {self.engine.database.name!r} is in use, so its file cannot be replaced"
                if "locked" in str(error)
                else f"The file of database {self.engine.database.name!r} cannot be replaced",
                str(error),
                f"Stop what uses it, then: {self.build_manual_command(archive)}",
                code=HALF_WAY if self._has_replaced else REPLACED_NOTHING,
            ) from error
        self.engine.close()  # our own connection would go on reading the replaced file
        return restored

    def is_readable(self) -> bool:
        """Return whether there is a file that SQLite can open."""
        if not self.engine.is_present():
            return False
        try:
            self.engine.open_own_connection()
        except Refused as refusal:
            if "not a database" in refusal.why or "malformed" in refusal.why:
                return False
            raise
        return True

    def _put_back(self, folder: HeldFolder, archive: Archive, retained: Path) -> Restored:
        """Restore a file that is gone or damaged; nothing in it can be compared, and what is left of it is kept."""
        was_there = self.engine.is_present()
        lost = self._copy(folder, archive, None)
        self._has_replaced = True
        if was_there:
            try:
                # There is a file at each moment, so that a restore that dies leaves the old one or the new one.
                folder.link(self.engine.path.name, retained.name)
                folder.move_log(self.engine.path.name, retained.name)
            except OSError as error:
                if error.errno not in _NO_RENAME:
                    raise
                folder.move_with_log(self.engine.path.name, retained.name)
        else:
            folder.move_log(self.engine.path.name, retained.name)
        folder.replace(self._beside, self.engine.path.name)
        folder.sync()
        return Restored(str(retained) if was_there else "", FILE, lost)

    def drop_unused_retained(self, run: str) -> None:
        """Remove the copy that a restore made before it died, if nothing in the file was replaced."""
        with self.engine.act_as_owner(), HeldFolder(self.engine.path.parent) as folder:
            for retained in self.list_retained():
                if retained.run == run and folder.has_same_content(Path(retained.name).name, self.engine.path.name):
                    self.drop_retained(retained)

    def list_retained(self) -> list[RetainedCopy]:
        """Return the files that earlier restores have replaced."""
        prefix = f"{self.engine.path.name}.aside-"
        with self.engine.act_as_owner():
            found = [path for path in self.engine.path.parent.glob("*.aside-*") if path.name.startswith(prefix)]
            return [
                RetainedCopy(str(path), path.name[len(prefix) :], _read_change_time(path), path.stat().st_size)
                for path in sorted(found)
                # A restore that died between its two steps has replaced nothing: it left another name of the same file.
                if path.is_file() and not path.name.endswith(("-wal", "-shm")) and not self._is_that(path)
            ]

    def _is_that(self, path: Path) -> bool:
        return self.engine.is_present() and path.samefile(self.engine.path)

    def drop_retained(self, copy: RetainedCopy) -> None:
        """Remove a replaced file and what belongs to it."""
        with self.engine.act_as_owner():
            for suffix in ("", "-wal", "-shm"):
                Path(f"{copy.name}{suffix}").unlink(missing_ok=True)

    def _replace(self, folder: HeldFolder, archive: Archive, retained: Path, guard: Guard) -> Restored:
        """Replace the file while no other session can use it."""
        # The connection that has heard of all writes until now, so that none falls between.
        current: sqlite3.Connection = self.engine.open_own_connection().run(unwrap_connection)
        current.execute(f"pragma busy_timeout = {int(self.engine.job.lock_timeout * 1000)}")
        if self.engine.has_to_stay() or self._may_be_open_elsewhere():
            return self._overwrite(folder, archive, retained, guard, current)
        mode = str(current.execute("pragma main.journal_mode").fetchone()[0])
        if self._copy(folder, archive, mode):
            # What a new file cannot be given, the file that is there keeps.
            folder.remove(self._beside)
            return self._overwrite(folder, archive, retained, guard, current)
        try:
            with suspend_log(current, mode):
                self._run_guard_locked(current, "begin exclusive", guard)
                if self._may_be_open_elsewhere():  # since the backup was copied, which may have taken long
                    raise OSError(errno.EBUSY, "others have opened the file")
                folder.link(self.engine.path.name, retained.name)
                folder.replace(self._beside, self.engine.path.name)
                self._has_replaced = True
                folder.remove_log(self.engine.path.name)
                folder.sync()
        except OSError as error:
            if error.errno not in _NO_RENAME:
                raise
            return self._overwrite(folder, archive, retained, guard, current)
        finally:
            folder.remove(self._beside)
        return Restored(str(retained), FILE)

    def _may_be_open_elsewhere(self) -> bool:
        with act_as_ourselves():  # the descriptors of other users' processes are shown to root only
            return may_be_open_elsewhere(self.engine.path)

    def _overwrite(
        self, folder: HeldFolder, archive: Archive, retained: Path, guard: Guard, current: sqlite3.Connection
    ) -> Restored:
        """Write the backup into the file, with a copy of the file as it was beside it."""
        _prove(archive)
        is_wal = current.execute("pragma main.journal_mode").fetchone() == ("wal",)
        if is_wal:
            fold_log(current)
        kept = folder.create(self._kept)
        try:
            self._run_guard_locked(current, "begin immediate" if is_wal else "begin exclusive", guard)
            if is_wal and os.path.getsize(f"{self.engine.path}-wal"):
                raise sqlite3.OperationalError("the write-ahead log is locked by others, who have just written")
            copy_locked_file(ChangeCounter(self.engine.path), kept)
            self._give(kept, folder.read_appearance(self.engine.path.name))
            # What has the name of a retained file is whole.
            folder.replace(self._kept, retained.name)
            folder.sync()
            overwrite(self.engine.path, archive.path, self.engine.job.lock_timeout, is_wal, current.rollback)
            self._has_replaced = True
        except BaseException as error:
            folder.remove(self._kept)
            if getattr(error, "code", "") != HALF_WAY:
                folder.remove(retained.name)
            if current.in_transaction:
                current.execute("rollback")
            raise
        finally:
            os.close(kept)
        folder.sync()
        return Restored(str(retained), IN_PLACE)

    def _run_guard_locked(self, current: sqlite3.Connection, lock: str, guard: Guard) -> None:
        current.execute(lock)
        self.engine.replacing = current
        try:
            self._run_guard(guard)
        finally:
            self.engine.replacing = None

    def _run_guard(self, guard: Guard) -> None:
        with act_as_ourselves():  # what it reads and writes of the run is ours
            guard()

    def _give(self, descriptor: int, appearance: Appearance) -> list[str]:
        """Give a file that was just made in the folder an owner, who is the one that it was opened for."""
        expected = self.engine.find_run_owner()
        if expected not in (None, appearance.uid):
            raise OSError(f"the file belongs to user id {appearance.uid}, and belonged to {expected} before")
        with act_as_ourselves():
            return appearance.give_to(descriptor)

    @property
    def _beside(self) -> str:
        return f".{self.engine.path.name}.restored"

    @property
    def _kept(self) -> str:
        return f".{self.engine.path.name}.kept"

    def _copy(self, folder: HeldFolder, archive: Archive, mode: str | None) -> list[str]:
        """Copy a backup beside the database, with its owner, mode and attributes; return what it could not be given.

        Args:
            folder: the database's.
            archive: the backup.
            mode: the journal mode of the database, None where there is none.
        """
        mode = archive.activity.get("journal_mode", mode)
        if not archive.sha256:
            _prove(archive)
        target = folder.create(self._beside)
        try:
            digest = copy_durably(archive.path, target)
            _refuse_damage(archive, digest)
            if mode == "wal":
                os.pwrite(target, b"\x02\x02", 18)  # how the header of a file says so
            name = self.engine.path.name
            known = (
                folder.read_appearance(name)
                if self.engine.is_present()
                else Appearance.from_archive(folder.descriptor, archive)
            )
            lost = self._give(target, known)
            os.fsync(target)
        except BaseException:
            folder.remove(self._beside)
            raise
        finally:
            os.close(target)
        return lost

    def build_manual_command(self, archive: Archive) -> str:
        """Return what SQLite's own shell does: keep a copy, then restore; or a move of a file that was new."""
        path, retained = _quote_word(self.engine.path), f"{self.engine.path}.aside."
        if archive.path.is_dir():
            return f"mv {path} {_quote_word(retained)}{TIME_TYPED}"
        steps = (_build_dot_command("backup", retained, TIME_TYPED), _build_dot_command("restore", archive.path))
        return " && ".join(f"sqlite3 {path} {step}" for step in steps)

    def remove_unfinished(self, before: list[str], left: list[str], executed: list[str]) -> list[str]:
        """Drop the tables of batch operations that did not come to their end, where the table they copy is whole."""
        return self.engine.open_own_connection().run(drop_unfinished, self.engine.read_fingerprint, before)


def _prove(archive: Archive) -> None:
    with act_as_ourselves():
        if archive.sha256:
            _refuse_damage(archive, hash_file(archive.path))
        else:
            prove_file(archive.path, count_rows=False)


def _refuse_damage(archive: Archive, digest: str) -> None:
    if archive.sha256 not in ("", digest):
        why = f"{archive.path.name} is not what its manifest says"
        raise Failed(f"The backup {archive.path.parent} is damaged", why, ANOTHER_BACKUP, code=REPLACED_NOTHING)


def _read_change_time(path: Path) -> str:
    """Return when a file's inode last changed, which is when it was moved away."""
    return datetime.fromtimestamp(path.stat().st_ctime, timezone.utc).isoformat(timespec="seconds")


def _build_dot_command(name: str, path: object, behind: str = "") -> str:
    """Return a command of SQLite's shell as a word of a shell; the former reads a name in double quotes as a C string.

    Args:
        name: of the command.
        path: its argument.
        behind: what the shell puts behind the path.
    """
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return _quote_word(f'.{name} "{escaped}') + behind + _quote_word('"')


def _quote_word(word: object) -> str:
    return "'" + str(word).replace("'", "'\\''") + "'"
