# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check for other processes with a file open. In journal modes MEMORY and OFF they would go on writing to it."""

from __future__ import annotations

import os
from pathlib import Path

_PROCESSES = Path("/proc")


def may_be_open_elsewhere(path: Path) -> bool:
    """Return whether another process has a file open, or whether that cannot be read."""
    there = path.stat()
    if not (_PROCESSES / "self" / "fd").is_dir():
        return True
    numbers = [entry.name for entry in _PROCESSES.iterdir() if entry.name.isdigit()]
    return any(_has_open(number, there) for number in numbers if int(number) != os.getpid())


def _has_open(process: str, there: os.stat_result) -> bool:
    try:
        descriptors = os.listdir(_PROCESSES / process / "fd")
    except FileNotFoundError:
        return False  # it has ended
    except OSError:
        return True
    for descriptor in descriptors:
        try:
            found = os.stat(_PROCESSES / process / "fd" / descriptor)
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (there.st_dev, there.st_ino):
            return True
    return False
