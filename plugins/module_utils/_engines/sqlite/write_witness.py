# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check for writes of others to a SQLite file since the backup, without reading its rows.

``PRAGMA data_version`` changes on a connection when another connection commits, and not when its own does. Read on the
connection of env.py and on ours, from before the backup on, it covers a run without a gap.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Where the header of a database file has its change counter, which each commit outside of WAL mode raises.
_COUNTER = 24


@dataclass(frozen=True)
class Version:
    """The version of a file that one connection sees: the file itself, and its data_version."""

    file: tuple[int, int]
    number: int


class ChangeCounter:
    """The change counter of a file, read without a lock.

    Its descriptor is never closed: closing it would drop the locks that SQLite has on the file in this process.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)

    def read(self) -> int:
        """Return the counter."""
        (counter,) = struct.unpack(">I", self.read_bytes(4, _COUNTER).ljust(4, b"\0"))
        return int(counter)

    def measure_size(self) -> int:
        """Return the number of bytes in the file."""
        return os.fstat(self._descriptor).st_size

    def read_bytes(self, size: int, offset: int) -> bytes:
        """Return bytes of the file."""
        return os.pread(self._descriptor, size, offset)


def read_file_state(path: Path, counter: ChangeCounter) -> str:
    """Return what changes whenever a session commits to a file, also while this process does not have it open."""
    found = path.stat()
    try:
        log = os.stat(f"{path}-wal", follow_symlinks=False)
        written = f"{log.st_size} {log.st_mtime_ns}" if log.st_size else "0"
    except OSError:
        written = "0"
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {counter.read()} {written}"


class WriteWitness:
    """The record that only env.py has written since the backup. A version that differs means another session did."""

    def __init__(self) -> None:
        self._is_unshared = False
        self._ours: Version | None = None
        self._theirs: int | None = None
        self._counter: ChangeCounter | None = None
        self._count = 0

    def start(self, path: Path, ours: Version) -> None:
        """Begin right before the backup, with the version that our own connection sees."""
        self._is_unshared, self._ours, self._theirs = True, ours, None
        self._counter = ChangeCounter(path)
        # Read after the version: what is committed between the two is in the backup.
        self._count = self._counter.read()

    def note_write_start(self, ours: Version | None, theirs: int) -> None:
        """Compare when env.py is about to write on a new connection.

        Args:
            ours: None where env.py holds the file for itself already. Then no other session can write, and the change
                counter shows whether a session did since the backup.
            theirs: the data_version of its connection.
        """
        unchanged = ours == self._ours if ours else self._counter is not None and self._counter.read() == self._count
        self._is_unshared = self._is_unshared and unchanged
        self._theirs = theirs

    def compare_versions(self, read_ours: Callable[[], Version | None], read_theirs: Callable[[], int]) -> None:
        """Compare once more: ours has changed with what env.py committed, its own only with what others did.

        They are read in this order, so that a commit in between is seen by the one that is read last.
        """
        count = self._counter.read() if self._counter else 0
        ours = read_ours()
        self._is_unshared = self._is_unshared and read_theirs() == self._theirs
        if ours is None:
            return
        self._is_unshared = self._is_unshared and self._ours is not None and ours.file == self._ours.file
        self._ours, self._count = ours, count

    def resume(self, path: Path, ours: Version, state: str) -> None:
        """Begin with a state that another process has vouched for, if the file still is in it."""
        self.start(path, ours)
        self._is_unshared = False
        self._is_unshared = self.read_state(path) == state

    def stop_vouching(self) -> None:
        """Vouch for nothing from now on."""
        self._is_unshared = False

    def read_state(self, path: Path) -> str:
        """Return the state of the file, which ``starts`` has opened."""
        return read_file_state(path, self._counter) if self._counter else ""

    @property
    def is_unshared(self) -> bool:
        """Return whether no other session had written when the versions were last compared."""
        return self._is_unshared

    def can_vouch(self, ours: Version) -> bool:
        """Return whether no other session has written until now."""
        return self._is_unshared and ours == self._ours


def read_data_version(connection: Any) -> int:
    """Return the data_version of a driver's connection, past SQLAlchemy, which would begin a transaction for it."""
    cursor = connection.cursor()
    cursor.execute("pragma data_version")
    (number,) = cursor.fetchall()[0]
    cursor.close()
    return int(number)
