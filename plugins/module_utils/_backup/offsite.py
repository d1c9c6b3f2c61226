# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of backups off the host: to a directory that is mounted here, by a command, or fetched by the controller.

The first two are made before the upgrade, which waits for them. The controller fetches after the run. Where backups
are encrypted, only what is sealed leaves the host.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._core.commands import name_program, run_command
from .._core.errors import Failed
from .._core.job import Job
from .._core.paths import build_key, find_unused_path, hash_file, make_private_directory, sync
from .._core.records import read_record, write_record
from .._journal.events import format_now
from .copy_place import CONTROLLER, COPY_COMMAND, copy_obstacles
from .manifest import COPIES, MANIFEST, Manifest, check_sealed, list_proven, select_copies

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Leaving:
    """One file of a backup that leaves the host."""

    name: str
    size: int
    sha256: str


def copy_off(manifest: Manifest, job: Job, report: Callable[[str], None]) -> list[str]:
    """Copy a backup to wherever it must be and is not yet, but for the controller, which comes for it.

    Args:
        manifest: the backup.
        job: says where to.
        report: is called with where it is copied to now.

    Returns:
        Where it was copied to.

    Raises:
        Refused: it cannot be copied.
        Failed: a copy failed, or is not what it should be.
    """
    made = []
    for to in _list_wanted(job):
        if to in read_copies(manifest):
            continue
        for obstacle in copy_obstacles(job):
            raise obstacle
        report(f"copies the backup of run {manifest.run} to {to}")
        if to == job.backup_copy_to:
            _copy_to_directory(manifest, Path(to))
        else:
            _copy_by_command(manifest, job)
        note_copy(manifest, to)
        made.append(to)
    return made


def list_missing_copies(manifest: Manifest, job: Job) -> list[str]:
    """Return where a backup should be and is not."""
    controller = [job.backup_copy_to] if job.backup_copy_to.startswith(CONTROLLER) else []
    return [to for to in [*_list_wanted(job), *controller] if to not in read_copies(manifest)]


def read_copies(manifest: Manifest) -> dict[str, str]:
    """Return where copies of a backup are, each with the time that it was made.

    Raises:
        LaterFormat: a later version has written it down in a format of its own.
    """
    try:
        return select_copies(read_record(Path(manifest.path) / COPIES))
    except (OSError, ValueError):
        return {}


def note_copy(manifest: Manifest, to: str) -> None:
    """Remember that there is a copy."""
    write_record(Path(manifest.path) / COPIES, {"copies": {**read_copies(manifest), to: format_now()}})


def list_leaving(manifest: Manifest) -> list[Leaving]:
    """Return the files that make a copy: the sealed archive if there is one, else the plain ones; the manifest last.

    Raises:
        Failed: what is sealed was damaged.
    """
    folder = Path(manifest.path)
    if manifest.sealed:
        check_sealed(manifest)
        files = [(manifest.sealed["file"], manifest.sealed["sha256"])]
    else:
        files = sorted(manifest.files.items())
    found = [Leaving(name, (folder / name).stat().st_size, sha256) for name, sha256 in files]
    content = (folder / MANIFEST).read_bytes()
    return [*found, Leaving(MANIFEST, len(content), hashlib.sha256(content).hexdigest())]


def read_chunk(manifest: Manifest, offset: int, length: int) -> str:
    """Return a part of the files that leave, as if they were one after another, in base64."""
    parts = []
    for file in list_leaving(manifest) if offset == 0 else _list_unchecked(manifest):
        if length and offset < file.size:
            with (Path(manifest.path) / file.name).open("rb") as handle:
                handle.seek(offset)
                parts.append(handle.read(min(length, file.size - offset)))
            length -= len(parts[-1])
            offset = file.size
        offset -= file.size
    return base64.b64encode(b"".join(parts)).decode()


def _list_unchecked(manifest: Manifest) -> list[Leaving]:
    """Return the same files without reading all of them again for each part; the receiver compares digests."""
    names = [manifest.sealed["file"]] if manifest.sealed else sorted(manifest.files)
    return [Leaving(name, (Path(manifest.path) / name).stat().st_size, "") for name in [*names, MANIFEST]]


def list_waiting_for_controller(job: Job) -> Iterator[tuple[str, Manifest]]:
    """Yield (database, backup) of each that the controller has not fetched; the plain ones are not for it to see."""
    for database in job.databases:
        for manifest in reversed(list_proven(job.layout.locate_backups(database.name))):
            plain = job.backup_encrypt_to and manifest.files and not manifest.sealed
            if job.backup_copy_to not in read_copies(manifest) and not plain:
                yield database.name, manifest


def _list_wanted(job: Job) -> list[str]:
    here = [job.backup_copy_to] if job.backup_copy_to and not job.backup_copy_to.startswith(CONTROLLER) else []
    return here + ([_name_place_of_command(job)] if job.backup_copy_command else [])


def _name_place_of_command(job: Job) -> str:
    """Name where a command copies to: another command is another place. Its words may hold a secret."""
    digest = hashlib.sha256(json.dumps(list(job.backup_copy_command)).encode()).hexdigest()[:12]
    return f"{name_program(job.backup_copy_command)} {digest}"


def _copy_to_directory(manifest: Manifest, to: Path) -> None:
    # One after the other: a user who may write to the folder of all copies could have put a link there.
    parent = make_private_directory(
        make_private_directory(to / build_key(socket.gethostname())) / build_key(manifest.database)
    )
    place = parent / manifest.run
    beside = parent / f".{manifest.run}.partial"
    try:
        shutil.rmtree(beside, ignore_errors=True)
        make_private_directory(beside)
        for file in list_leaving(manifest):
            _copy(Path(manifest.path) / file.name, beside / file.name, file.sha256)
        if place.exists():
            os.rename(place, find_unused_path(place.with_name(f"{place.name}.replaced")))
        os.rename(beside, place)
        sync(parent)
    except OSError as error:
        raise Failed(
            f"The backup of {manifest.database!r} could not be copied to {to}",
            str(error),
            "Check that directory, then run again; nothing of the database was changed",
            code="backup-copy-failed",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _copy(source: Path, target: Path, sha256: str) -> None:
    """Copy a file, flush it, and read it back.

    Raises:
        Failed: what arrived is not what was proven.
    """
    make_private_directory(target.parent)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with source.open("rb") as handle, os.fdopen(descriptor, "wb") as out:
        shutil.copyfileobj(handle, out, _CHUNK)
        out.flush()
        os.fsync(out.fileno())
    if hash_file(target) != sha256:
        raise Failed(
            f"The copy {target} is not what its manifest says",
            "",
            "Check both disks and run again",
            code="backup-copy-damaged",
        )


def _copy_by_command(manifest: Manifest, job: Job) -> None:
    key = build_key(manifest.database)
    with _stage_files(manifest) as folder:
        placeholders = {
            "path": str(folder),
            "name": f"{key}-{manifest.run}",
            "host": build_key(socket.gethostname()),
            "database": key,
            "run": manifest.run,
        }
        run_command(
            job.backup_copy_command,
            placeholders,
            {},
            f"The backup of {manifest.database!r} could not be copied off this host",
            f"Correct {COPY_COMMAND}, then run again",
            job.command_timeout,
        )


@contextmanager
def _stage_files(manifest: Manifest) -> Iterator[Path]:
    """Yield a folder with exactly what may leave: links to the same files, so it costs no disk."""
    place = Path(manifest.path)
    folder = place.with_name(f".{manifest.run}.leaving")
    shutil.rmtree(folder, ignore_errors=True)
    make_private_directory(folder)
    try:
        for file in list_leaving(manifest):
            make_private_directory((folder / file.name).parent)
            os.link(place / file.name, folder / file.name)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def describe_copies(database: str, manifest: Manifest) -> dict[str, Any]:
    """Return what the controller has to know to fetch a backup."""
    files = [{"name": file.name, "size": file.size, "sha256": file.sha256} for file in list_leaving(manifest)]
    return {"database": database, "run": manifest.run, "files": files}
