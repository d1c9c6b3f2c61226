# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mark that distinguishes a file from an earlier one at its path: when it was made, else its number.

A file system gives a number away again at once, and some give another one after each mount. Python's own stat does not
return the birth of a file on Linux.
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

_AT_FDCWD, _AT_SYMLINK_NOFOLLOW = -100, 0x100
_BIRTH = 0x800  # STATX_BTIME
_SIZE = 256
_SECONDS_AT = 80  # stx_btime in struct statx


def read_birth(path: Path) -> str:
    """Return what distinguishes the file at a path from another one, or nothing where there is none."""
    try:
        inode = os.stat(path, follow_symlinks=False).st_ino
    except OSError:
        return ""
    made = _read_birth_time(path)
    return f"born {made}" if made else f"inode {inode}"


def _read_birth_time(path: Path) -> str:
    """Return when a file was made, or nothing where the system or the file system does not keep it."""
    statx = getattr(ctypes.CDLL(None), "statx", None)
    if statx is None:
        return ""
    answer = ctypes.create_string_buffer(_SIZE)
    failed = statx(_AT_FDCWD, os.fsencode(path), _AT_SYMLINK_NOFOLLOW, _BIRTH, answer)
    (mask,) = struct.unpack_from("=I", answer)
    if failed or not mask & _BIRTH:
        return ""
    seconds, nanoseconds = struct.unpack_from("=qI", answer, _SECONDS_AT)
    return f"{seconds}.{nanoseconds:09}"
