# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of copies that lie on the controller: parts are fetched, put together, and compared."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ansible_collections.hosting.alembic.plugins.module_utils._backup.copy_place import CONTROLLER
from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed, Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import (
    build_key,
    check_run_id,
    make_private_directory,
    sync,
)
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .answers import PART

#: Calls the module on the host and returns its answer.
Call = Callable[[Result], Result]

#: The bytes that backups of a host may have together by default.
LIMIT = 1 << 40

_MOST_OF_A_DISK = 0.95

_MAKE_SPACE = (
    f"Make space there, or name another folder in migrate_backup_copy_to: {CONTROLLER}/…; the next run fetches it"
)
#: The remedy where an answer is not what this collection sends.
_NOT_OURS = "Check that host: nothing of its answer was kept"


def fetch(host: str, options: Result, call: Call) -> Result:
    """Fetch every backup that waits, and return which came and what went wrong; nothing is raised.

    Args:
        host: names the folder.
        options: root, databases, backup_copy_to and backup_encrypt_to, as the module takes them; backup_fetch_limit.
        call: calls the module, and returns an answer that was reduced to what is declared.
    """
    done: Result = {"fetched": [], "problems": []}
    left = int(options.get("backup_fetch_limit") or LIMIT)
    options = {name: value for name, value in options.items() if name != "backup_fetch_limit"}
    answer = call(options)
    if answer.get("failed"):
        done["problems"].append(f"The backups of this host could not be fetched: {answer.get('msg')}")
    for backup in answer.get("waiting", []):
        try:
            left -= _read_announced_size(backup)
            if left < 0:
                raise Refused(
                    "It is larger than what may be fetched from one host",
                    f"it has {_read_announced_size(backup):,} bytes",
                    "Raise migrate_backup_fetch_limit if that is right",
                    code="fetch-refused",
                )
            _fetch_one(host, backup, options, call)
            done["fetched"].append({"database": backup["database"], "run": backup["run"]})
        except (Refused, OSError, ValueError, KeyError) as error:
            done["problems"].append(f"{backup['database']}: the backup of run {backup['run']} was not fetched: {error}")
    if done["fetched"]:
        call({**options, "fetched": done["fetched"]})
    return done


def _read_announced_size(backup: Result) -> int:
    sizes = [file["size"] for file in backup["files"]]
    if any(size < 0 for size in sizes) or not sizes:
        raise Refused("The host announces files without a size", "", _NOT_OURS, code="fetch-refused")
    return int(sum(sizes))


def _refuse_if_full(folder: Path, size: int, files: int) -> None:
    disk = os.statvfs(folder)
    left = disk.f_favail - int((1 - _MOST_OF_A_DISK) * disk.f_files)
    if disk.f_files and files > left:
        raise Refused(
            f"The file system of {folder} takes too few further files",
            f"the backup has {files:,}, and {max(left, 0):,} may be made",
            _MAKE_SPACE,
            code="controller-disk-too-small",
        )
    free = disk.f_bavail * disk.f_frsize - int((1 - _MOST_OF_A_DISK) * disk.f_blocks * disk.f_frsize)
    if size > free:
        raise Refused(
            f"The disk of {folder} is too small",
            f"the backup has {size:,} bytes, and {max(free, 0):,} may be used",
            _MAKE_SPACE,
            code="controller-disk-too-small",
        )


def _fetch_one(host: str, backup: Result, options: Result, call: Call) -> None:
    to = Path(options["backup_copy_to"].removeprefix(CONTROLLER)).expanduser()
    if not to.is_absolute():
        raise Refused(f"{to} is not an absolute path", "", f"Write {CONTROLLER}/a/directory", code="path-not-absolute")
    parent = make_private_directory(to / build_key(host) / build_key(backup["database"]))
    place = parent / check_run_id(backup["run"])
    if place.exists():
        return  # it came before, and only its host does not remember
    _refuse_if_full(parent, _read_announced_size(backup), len(backup["files"]))
    beside = parent / f".{place.name}.partial"
    shutil.rmtree(beside, ignore_errors=True)
    os.mkdir(beside, 0o700)  # nothing may be there, a link least of all
    try:
        parts = _Parts(backup, options, call)
        for file in backup["files"]:
            _receive(beside / _refuse_outside(file["name"]), file, parts)
        os.rename(beside, place)
        sync(parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _refuse_outside(name: str) -> PurePosixPath:
    """Return a name that leads nowhere else, whatever a host says."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise Refused(
            "The host names a file that would lie outside of the backup's folder",
            remedy=_NOT_OURS,
            code="fetch-refused",
        )
    return path


class _Parts:
    """The bytes of all files of a backup, one after another, requested as they are needed."""

    def __init__(self, backup: Result, options: Result, call: Call) -> None:
        self._options = {**options, "database": backup["database"], "run": backup["run"], "length": PART}
        self._call = call
        self._offset = 0
        self._left = _read_announced_size(backup)
        self._there = b""

    def take(self, length: int) -> bytes:
        """Return the next bytes, as many as are requested or fewer."""
        if not self._there:
            answer = self._call({**self._options, "offset": self._offset})
            if answer.get("failed") or not answer.get("data"):
                raise Failed(
                    "The host handed nothing over", str(answer.get("msg", "")), _NOT_OURS, code="fetch-refused"
                )
            self._there = base64.b64decode(answer["data"], validate=True)
            # Else it could have the controller call for ever, a byte at a time.
            if len(self._there) != min(PART, self._left):
                raise Failed(
                    "The host hands over more or less than was requested", remedy=_NOT_OURS, code="fetch-refused"
                )
            self._offset += len(self._there)
            self._left -= len(self._there)
        taken, self._there = self._there[:length], self._there[length:]
        return taken


def _receive(path: Path, file: Result, parts: _Parts) -> None:
    make_private_directory(path.parent)
    digest, left = hashlib.sha256(), int(file["size"])
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while left:
            part = parts.take(left)
            digest.update(part)
            out.write(part)
            left -= len(part)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != file["sha256"]:
        why = "its sha256 is not what the host says"
        raise Failed(f"{file['name']} arrived damaged", why, "The next run fetches it again", code="fetch-damaged")
