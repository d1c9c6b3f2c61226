# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files in a database's folder, which a customer may write to: no link is followed, and no file of others is opened.

The folder is opened once, and every name is taken relative to it: whoever replaces the folder, or a name in it, by a
link gets nothing.
"""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

_BESIDE = ("-wal", "-shm")


class HeldFolder:
    """A folder that is held open."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def __enter__(self) -> HeldFolder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def create(self, name: str) -> int:
        """Return the descriptor of a new file that only we may read; what had its name before is removed.

        Raises:
            OSError: somebody else made one meanwhile.
        """
        self.remove(name)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, 0o600, dir_fd=self._descriptor)

    def status(self, name: str) -> os.stat_result:
        """Return what a name is, without following it.

        Raises:
            OSError: there is nothing, or it is no regular file.
        """
        found = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{name} is not a regular file")
        return found

    def remove(self, name: str) -> None:
        """Remove a name if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def link(self, name: str, other: str) -> None:
        """Give a file another name."""
        folder = self._descriptor
        os.link(name, other, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)

    def replace(self, name: str, other: str) -> None:
        """Put a file in the place of another one."""
        os.replace(name, other, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def move_with_log(self, name: str, other: str) -> None:
        """Rename a database file with what was not folded into it yet."""
        self.move_log(name, other)
        with suppress(FileNotFoundError):
            os.rename(name, other, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def move_log(self, name: str, other: str) -> None:
        """Rename what was not folded into a database file yet."""
        for suffix in _BESIDE:
            with suppress(FileNotFoundError):
                folder = self._descriptor
                os.rename(f"{name}{suffix}", f"{other}{suffix}", src_dir_fd=folder, dst_dir_fd=folder)

    def remove_log(self, name: str) -> None:
        """Remove what belongs to a file that was replaced, and would damage the one that took its place."""
        for suffix in _BESIDE:
            self.remove(f"{name}{suffix}")

    def sync(self) -> None:
        """Flush the names to the disk."""
        os.fsync(self._descriptor)


def copied(source: Path, target: int) -> str:
    """Copy a file of ours into a new one, and return the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    # One core computes the digest while the other copies.
    with source.open("rb") as handle, ThreadPoolExecutor(max_workers=1) as other:
        while chunk := handle.read(1 << 20):
            computed = other.submit(digest.update, chunk)
            write_all(target, chunk)
            computed.result()
    return digest.hexdigest()


def write_all(target: int, chunk: bytes) -> None:
    """Write all bytes, of which the kernel may take a part at a time."""
    view = memoryview(chunk)
    while view:
        view = view[os.write(target, view) :]


def dress(descriptor: int, like: os.stat_result, attributes: dict[str, bytes]) -> list[str]:
    """Give a new file the owner, the mode and the extended attributes of another; return what could not be given."""
    lost = []
    found = os.fstat(descriptor)
    if (found.st_uid, found.st_gid) != (like.st_uid, like.st_gid):
        try:
            os.fchown(descriptor, like.st_uid, like.st_gid)
        except OSError:
            lost.append("the owner of the file")
    os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
    for name, value in attributes.items():
        try:
            os.setxattr(descriptor, name, value)
        except OSError:
            lost.append(f"the extended attribute {name}")
    return lost


def attributes_of(path: Path) -> dict[str, bytes]:
    """Return the extended attributes of a file, its access control list among them."""
    with suppress(OSError):
        names = os.listxattr(path, follow_symlinks=False)
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    return {}
