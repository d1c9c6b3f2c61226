# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of a file that have the rows of a backup, kept until a session writes to the file.

A revert compares them twice in a row: whether the downgrades changed what they had no reason to, and whether the file
is what the backup holds.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_CLOCK_TICK = 20_000_000  # nanoseconds


def await_clock(path: Path) -> None:
    """Wait until whatever is written from now on has another time of change, however coarse the kernel's clock is."""
    # A time that is still to come is another one anyhow.
    while 0 <= time.time_ns() - path.stat().st_mtime_ns < _CLOCK_TICK:
        time.sleep(_CLOCK_TICK / 1e9)


def has_log(path: Path) -> bool:
    """Return whether there is something in the write-ahead log: then a commit may write over its older half."""
    with suppress(OSError):
        return os.stat(f"{path}-wal", follow_symlinks=False).st_size > 0
    return False


class KnownRows:
    """The tables known to have the rows of one backup, for one state of the file."""

    def __init__(self) -> None:
        self._key: tuple[Path, str] | None = None
        self._same: dict[str, bool] = {}

    def of(self, backup: Path, state: str) -> dict[str, bool]:
        """Return what is known by table, to be added to.

        Args:
            backup: that the file is compared with.
            state: of the file; nothing where a commit may leave it as it is.
        """
        if not state or self._key != (backup, state):
            self._key, self._same = (backup, state), {}
        return self._same
