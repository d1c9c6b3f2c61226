# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files in a database's folder, which a customer may write to: no link is followed, and no file of others is opened.

The folder is opened once, and every name is taken relative to it: a user who replaces the folder, or a name in it, by a
link gets nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..._core.access_list import OF_FILE, remove_lists
from ..._core.run_as import act_as_ourselves

if TYPE_CHECKING:
    from ..data import Archive

_BESIDE = ("-wal", "-shm")
_CAPABILITIES = "security.capability"
#: Bytes that the kernel copies at once, and that are read at once.
_PIECE, _BUFFER = 32 << 20, 1 << 18
#: Two file systems, of one that cannot, a kernel that does not know it, or one that is not allowed to.
_CANNOT_COPY = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.ETXTBSY)


class HeldFolder:
    """A folder that is held open."""

    def __init__(self, path: Path) -> None:
        #: For what is not a name in it.
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def __enter__(self) -> HeldFolder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def create(self, name: str) -> int:
        """Return the descriptor of a new file for its owner only; what had its name before is removed.

        Raises:
            OSError: another session made one meanwhile.
        """
        self.remove(name)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, 0o600, dir_fd=self.descriptor)

    def read_appearance(self, name: str) -> Appearance:
        """Return that of a file, without opening what a name may lead to.

        Raises:
            OSError: there is nothing, or it is not a regular file.
        """
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.descriptor)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(f"{name} is not a regular file")
            with act_as_ourselves():
                return Appearance.of(descriptor)
        finally:
            os.close(descriptor)

    def has_same_content(self, name: str, other: str) -> bool:
        """Return whether two names are regular files with the same bytes; neither a link nor a pipe is read.

        What is not there, or cannot be opened, is not the same.
        """
        with ExitStack() as stack:
            try:
                handles = [stack.enter_context(self._open(each)) for each in (name, other)]
            except OSError:
                return False
            found = [os.fstat(handle.fileno()) for handle in handles]
            if not all(stat.S_ISREG(each.st_mode) for each in found) or found[0].st_size != found[1].st_size:
                return False
            while chunk := handles[0].read(1 << 20):
                if chunk != handles[1].read(1 << 20):
                    return False
            return True

    def _open(self, name: str) -> BinaryIO:
        """Open a name to read, without following a link or waiting for the other end of a pipe.

        Raises:
            OSError: there is nothing, a folder or a link, or it may not be read.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return open(name, "rb", opener=lambda path, _flags: os.open(path, flags, dir_fd=self.descriptor))

    def remove(self, name: str) -> None:
        """Remove a name if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def link(self, name: str, other: str) -> None:
        """Give a file another name."""
        folder = self.descriptor
        os.link(name, other, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)

    def replace(self, name: str, other: str) -> None:
        """Put a file in the place of another one."""
        os.replace(name, other, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def move_with_log(self, name: str, other: str) -> None:
        """Rename a database file with what was not folded into it yet."""
        self.move_log(name, other)
        with suppress(FileNotFoundError):
            os.rename(name, other, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def move_log(self, name: str, other: str) -> None:
        """Rename what was not folded into a database file yet."""
        for suffix in _BESIDE:
            with suppress(FileNotFoundError):
                folder = self.descriptor
                os.rename(f"{name}{suffix}", f"{other}{suffix}", src_dir_fd=folder, dst_dir_fd=folder)

    def remove_log(self, name: str) -> None:
        """Remove what belongs to a file that was replaced, and would damage the one that took its place."""
        for suffix in _BESIDE:
            self.remove(f"{name}{suffix}")

    def sync(self) -> None:
        """Flush the names to the disk."""
        os.fsync(self.descriptor)


def copy_durably(source: Path, target: int) -> str:
    """Copy a file of ours into a new one, which is flushed to the disk, and return the SHA-256 of what is in that."""
    digest = hashlib.sha256()
    with act_as_ourselves():
        handle = source.open("rb")
    # One core reads what the kernel has copied while the other goes on, and while the disk takes it.
    with handle, ThreadPoolExecutor(max_workers=1) as other:
        computed = []
        begin = 0
        while count := copy_piece(handle.fileno(), target, begin):
            computed.append(other.submit(_add_piece, digest, target, begin, begin + count))
            begin += count
        os.fsync(target)
        for each in computed:
            each.result()
    return digest.hexdigest()


def copy_piece(source: int, target: int, begin: int) -> int:
    """Copy some bytes from one offset to the same one, and return how many; none at the end of the source.

    Where the kernel can, it copies them itself, or lets both files share them.
    """
    count = 0
    try:
        if hasattr(os, "copy_file_range"):  # some C libraries do not have it
            count = os.copy_file_range(source, target, _PIECE, begin, begin)
    except OSError as error:
        if error.errno not in _CANNOT_COPY:
            raise
    if count:
        return count
    # Some file systems say that there is nothing where there is something.
    chunk = os.pread(source, _BUFFER, begin)
    os.lseek(target, begin, os.SEEK_SET)
    write_all(target, chunk)
    return len(chunk)


def _add_piece(digest: hashlib._Hash, file: int, begin: int, end: int) -> None:
    buffer = memoryview(bytearray(_BUFFER))
    while begin < end:
        count = os.preadv(file, [buffer[: end - begin]], begin)
        if not count:
            raise OSError(errno.EIO, "the copy is shorter than what was copied")
        digest.update(buffer[:count])
        begin += count


def write_all(target: int, chunk: bytes) -> None:
    """Write all bytes, of which the kernel may take a part at a time."""
    view = memoryview(chunk)
    while view:
        view = view[os.write(target, view) :]


@dataclass(frozen=True)
class Appearance:
    """The owner, the permissions and the other attributes of a file."""

    uid: int
    gid: int
    #: Without the bits that lend the owner's rights: no database has use for them.
    mode: int
    attributes: dict[str, bytes]

    @classmethod
    def of(cls, descriptor: int) -> Appearance:
        """Return that of an open file, which may be open for nothing but this."""
        found = os.fstat(descriptor)
        return cls(found.st_uid, found.st_gid, found.st_mode & 0o777, _read_attributes(descriptor))

    @classmethod
    def from_archive(cls, folder: int, archive: Archive) -> Appearance:
        """Return what a file that is gone had when it was backed up, if it belonged to the owner of its folder.

        Otherwise, and in a backup of before this was kept, no other session may read it.
        """
        above, kept = os.fstat(folder), archive.activity.get("file") or {}
        if kept.get("uid") != above.st_uid:
            return cls(above.st_uid, above.st_gid, 0o600, {})
        lists = {OF_FILE: bytes.fromhex(kept["list"])} if kept["list"] else {}
        return cls(above.st_uid, kept["gid"], kept["mode"] & 0o777, lists)

    def as_facts(self) -> dict[str, Any]:
        """Return what a manifest keeps."""
        return {"uid": self.uid, "gid": self.gid, "mode": self.mode, "list": self.attributes.get(OF_FILE, b"").hex()}

    def give_to(self, descriptor: int) -> list[str]:
        """Give it to a new file, and return what could not be given.

        What the folder's default access control list has given to the file is taken from it first.
        """
        lost = []
        remove_lists(descriptor)
        found = os.fstat(descriptor)
        if (found.st_uid, found.st_gid) != (self.uid, self.gid):
            try:
                os.fchown(descriptor, self.uid, self.gid)
            except OSError:
                lost.append("the owner of the file")
        os.fchmod(descriptor, self.mode)
        for name, value in self.attributes.items():
            try:
                os.setxattr(descriptor, name, value)
            except OSError:
                lost.append(f"the extended attribute {name}")
        return lost


def _read_attributes(descriptor: int) -> dict[str, bytes]:
    """Return the extended attributes of a file, its access control list among them; what lends rights is not kept."""
    place = f"/proc/self/fd/{descriptor}"  # a descriptor of a path takes no other question
    with suppress(OSError):
        return {name: os.getxattr(place, name) for name in os.listxattr(place) if name != _CAPABILITIES}
    return {}
