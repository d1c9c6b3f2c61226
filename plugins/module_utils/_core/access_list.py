# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Access control lists of POSIX, as the kernel packs them: acl(5)."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

OWNER, USER, GROUP, NAMED_GROUP, MASK, OTHERS = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
#: The number of an entry that names no user.
NO_ID = 0xFFFFFFFF

#: The extended attributes that the kernel keeps them in: a file's, and what is made in a folder gets by itself.
OF_FILE, OF_FOLDER = "system.posix_acl_access", "system.posix_acl_default"
_HEADER, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_VERSION = 2

#: What it is about, the rights as in a mode, and the number of a user or group.
Entry = tuple[int, int, int]


def read_entries(place: Path | int, name: str = OF_FILE) -> list[Entry]:
    """Return the entries of a path, whose last part is not followed, or of a descriptor; none if there is no list."""
    try:
        packed = os.getxattr(place, name, follow_symlinks=isinstance(place, int))
    except OSError:
        return []  # there is none, or the file system has none
    return list(_ENTRY.iter_unpack(packed[_HEADER.size :]))


def set_entries(descriptor: int, entries: Iterable[Entry]) -> None:
    """Give a file a list.

    Raises:
        OSError: its file system has none.
    """
    os.setxattr(descriptor, OF_FILE, _HEADER.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries))


def remove_lists(descriptor: int) -> None:
    """Take from a new file or folder of ours the lists that it got from the folder that it was made in."""
    for name in (OF_FILE, OF_FOLDER):
        with suppress(OSError):  # there is none, or the file system has none
            os.removexattr(descriptor, name)
