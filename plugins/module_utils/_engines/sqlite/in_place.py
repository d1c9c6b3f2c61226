# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore into the file that is there, page by page in one transaction of SQLite's.

The file stays the same one: its other names, a mount on it and a process that has it open see the restored content.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from ..._core.errors import HALF_WAY, REPLACED_NOTHING, Failed
from ..._core.run_as import act_as_ourselves
from .held_folder import write_all
from .probe import open_read_only
from .write_witness import ChangeCounter, read_data_version

#: So few that nothing is in the file yet when the first of them is checked.
_PAGES = 1
_AT_ONCE = 1 << 20
#: SQLITE_BUSY and SQLITE_LOCKED, which Python 3.9 does not name.
_BUSY = (5, 6)


def copy_locked_file(counter: ChangeCounter, target: int) -> None:
    """Copy a file that is locked, and has nothing left in its log, into another; both by descriptor."""
    offset = 0
    while chunk := counter.read_bytes(_AT_ONCE, offset):
        write_all(target, chunk)
        offset += len(chunk)
    os.fsync(target)
    size, expected = os.fstat(target).st_size, counter.measure_size()
    if size != expected:
        raise OSError(f"the copy of the file has {size:,} bytes in place of {expected:,}")


def fold_log(current: sqlite3.Connection) -> None:
    """Fold the write-ahead log into the file.

    Raises:
        sqlite3.OperationalError: others read from it.
    """
    busy, _log, _checkpointed = current.execute("pragma main.wal_checkpoint(truncate)").fetchone()
    if busy:
        raise sqlite3.OperationalError("the write-ahead log is locked by others")


def overwrite(path: Path, archive: Path, timeout: float, is_wal: bool, end_lock: Callable[[], object]) -> None:
    """Write a backup into a database file, if no session writes between a lock and the first page.

    Args:
        path: the file.
        archive: the backup.
        timeout: seconds to wait for others.
        is_wal: whether that is its journal mode. Then others read while a session writes; else the counter shows it.
        end_lock: gives a lock back that keeps others from writing until now.

    Raises:
        Failed: others wrote in that moment, or kept the file locked; it is as it was.
        sqlite3.Error: it could not be written, and is as it was.
    """
    name = f"file:{quote(str(path))}?mode=rw"
    deadline = time.monotonic() + max(timeout, 1)
    counter = ChangeCounter(path)
    with closing(sqlite3.connect(name, uri=True)) as target, closing(sqlite3.connect(name, uri=True)) as observer:

        def read_state() -> int:
            return read_data_version(observer) if is_wal else counter.read()

        before = read_state()
        begun = False

        def check(status: int, remaining: int, _total: int) -> None:
            nonlocal begun
            if status in _BUSY:
                if time.monotonic() > deadline:
                    raise _make_failure("The file is locked by others")
                return
            if not begun and not remaining:  # all is written and committed
                raise Failed("Whether others wrote while the restore began is not known", code=HALF_WAY)
            if not begun and read_state() != before:
                raise _make_failure("Others wrote while the restore began")
            begun = True

        with _open_padded_backup(archive) as source:
            end_lock()
            source.backup(target, pages=_PAGES, progress=check, sleep=0.05)


@contextmanager
def _open_padded_backup(archive: Path) -> Iterator[sqlite3.Connection]:
    """Open a backup; one of a single page, which would be committed before the first check, with a free page more."""
    with act_as_ourselves():
        opened = open_read_only(archive)
    with opened as source:
        if _count_pages(source) > _PAGES:
            yield source
            return
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as padded:
            source.backup(padded)
            padded.execute("create table free (a)")
            padded.execute("drop table free")
            if _count_pages(padded) <= _PAGES:
                raise _make_failure("A backup of a single page cannot be written into a file that others may have open")
            yield padded


def _count_pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma page_count").fetchone()[0])


def _make_failure(what: str) -> Failed:
    return Failed(what, "the file is as it was", "Stop what uses it", code=REPLACED_NOTHING)


@contextmanager
def suspend_log(current: sqlite3.Connection, mode: str) -> Iterator[None]:
    """Take a database that no other session has open out of WAL mode; put it back if it was not replaced.

    A process that has it open in that mode would go on writing, into a log that is no longer used. In the other modes
    SQLite finds that its file was moved, and refuses to write (SQLITE_READONLY_DBMOVED).
    """
    if mode == "wal":
        current.execute("pragma main.journal_mode = delete")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.OperationalError):  # the process that has it open now keeps it as it is
            current.execute("rollback")
        current.execute(f"pragma main.journal_mode = {mode}")
        raise
