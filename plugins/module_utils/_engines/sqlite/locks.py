# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock on a SQLite database: a file beside it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ..._core.errors import Refused
from ..._core.paths import try_lock
from ..interface import Lock

_LONGEST = 200

Acting = Callable[[], AbstractContextManager[None]]


def read_holder(path: Path) -> str:
    """Return what the lock's holder wrote into it; a link is not followed, for a customer may have planted it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as handle:
        words = handle.read(_LONGEST).decode(errors="replace")
    return "".join(character for character in words if character.isprintable())


class FileLock(Lock):
    """A lock file that exists only while a session holds it."""

    def __init__(self, path: Path, descriptor: int, acting: Acting) -> None:
        self._path = path
        self._acting = acting
        self._descriptor = descriptor

    @classmethod
    def attempt(cls, path: Path, holder: str, acting: Acting = nullcontext) -> FileLock | None:
        """Return the lock, or None while another process has it.

        Args:
            path: where the file is made.
            holder: what it says.
            acting: gives the rights with which it is made and removed.

        Raises:
            Refused: the file cannot be made.
        """
        try:
            with acting():
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refused(
                "The database cannot be locked",
                str(error),
                "Its folder must exist, and its user must be allowed to write there",
                code="lock-file-not-made",
            ) from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise Refused(
                    "The database cannot be locked",
                    f"{path} is not a regular file",
                    "Remove it",
                    code="sqlite-file-not-regular",
                )
            # Its last holder may have removed the file between our open and our lock.
            is_ours = try_lock(descriptor) and os.fstat(descriptor).st_ino == os.stat(path).st_ino
        except FileNotFoundError:
            is_ours = False
        if not is_ours:
            os.close(descriptor)
            return None
        os.truncate(descriptor, 0)
        os.write(descriptor, holder.encode())
        return cls(path, descriptor, acting)

    def check(self) -> None:
        """A file lock cannot be lost while its holder lives."""

    def release(self) -> None:
        """Remove the file and give the lock back."""
        with self._acting():
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
