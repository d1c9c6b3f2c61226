# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore into the file that is there, page by page in one transaction of SQLite's.

The file stays the same one: its other names, a mount on it and whoever has it open see the restored content.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from ...engines.sqlite_glance import reading
from ...errors import Failed
from .write_witness import ChangeCounter, data_version

#: So few that nothing is in the file yet when the first of them is checked.
_PAGES = 1
_AT_ONCE = 1 << 20
#: SQLITE_BUSY and SQLITE_LOCKED, which Python 3.9 does not name.
_BUSY = (5, 6)


def copy_of_locked(counter: ChangeCounter, target: int) -> None:
    """Copy a file that is locked, and has nothing left in its log, into another; both by descriptor."""
    offset = 0
    while chunk := counter.pread(_AT_ONCE, offset):
        os.write(target, chunk)
        offset += len(chunk)
    os.fsync(target)


def fold_log(current: sqlite3.Connection) -> None:
    """Fold the write-ahead log into the file.

    Raises:
        sqlite3.OperationalError: others read from it.
    """
    busy, _log, _checkpointed = current.execute("pragma main.wal_checkpoint(truncate)").fetchone()
    if busy:
        raise sqlite3.OperationalError("the write-ahead log is locked by others")


def overwrite(path: Path, archive: Path, timeout: float, is_wal: bool, end_lock: Callable[[], object]) -> None:
    """Write a backup into a database file, if nobody writes between a lock and the first page.

    Args:
        path: the file.
        archive: the backup.
        timeout: seconds to wait for others.
        is_wal: whether that is its journal mode. Then others read while somebody writes; else the counter tells.
        end_lock: gives a lock back that keeps others from writing until now.

    Raises:
        Failed: others wrote in that moment, or kept the file locked; it is as it was.
        sqlite3.Error: it could not be written, and is as it was.
    """
    name = f"file:{quote(str(path))}?mode=rw"
    deadline = time.monotonic() + max(timeout, 1)
    counter = ChangeCounter(path)
    with closing(sqlite3.connect(name, uri=True)) as target, closing(sqlite3.connect(name, uri=True)) as observer:

        def state() -> int:
            return data_version(observer) if is_wal else counter.read()

        before = state()
        begun = False

        def check(status: int, _remaining: int, _total: int) -> None:
            nonlocal begun
            if status in _BUSY:
                if time.monotonic() > deadline:
                    raise Failed("The file is locked by others", "it is as it was", "Stop what uses it")
                return
            if not begun and state() != before:
                raise Failed("Others wrote while the restore began", "the file is as it was", "Stop what uses it")
            begun = True

        end_lock()
        with reading(archive) as source:
            source.backup(target, pages=_PAGES, progress=check, sleep=0.05)
