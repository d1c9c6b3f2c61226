# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups: a dump plus a manifest, written beside and renamed into place once proven."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .._core.errors import Failed
from .._core.job import Job
from .._core.paths import hash_file, make_private_directory, sync
from .._journal.events import format_later
from . import encryption
from .command import dump_by_command
from .manifest import (
    Manifest,
    list_proven,
    write_manifest,
)
from .offsite import copy_off
from .preflight import list_backup_obstacles

if TYPE_CHECKING:
    from .._engines.interface import Engine, Report


def take(engine: Engine, heads: dict[str, list[str]], job: Job, report: Report) -> Manifest:
    """Back a database up and return the manifest of the proven backup.

    Args:
        engine: the database's engine.
        heads: its revisions.
        job: names the run, the folders and the tools' options.
        report: is called with how far the dump is.

    Raises:
        Failed: the dump failed or could not be proven; nothing of it is left. Or it could not be copied off the host,
            where it has to be: then it lies here and does not count.
        Refused: the server cannot be reached, or such a backup cannot be made here.
    """

    for obstacle in list_backup_obstacles(job):
        raise obstacle
    place = make_private_directory(job.layout.locate_backups(engine.database.name)) / job.run
    beside = job.layout.locate_partial_backup(engine.database.name, job.run)
    _clear(place.parent, beside, everything=bool(job.backup_encrypt_to))
    make_private_directory(beside)
    begun = time.monotonic()
    try:
        own = engine.open_own_connection() if engine.is_present() else None
        small = own is not None and own.run(engine.measure_size) <= job.row_counts_limit
        by_hand = job.backup_command and own is not None
        dump = dump_by_command(engine, beside, report, job.run) if by_hand else engine.dump(beside, small, report)
        manifest = Manifest(
            database=engine.database.name,
            run=job.run,
            # The newest is the one that is never removed, and the one that is restored.
            taken=format_later(max((each.taken for each in list_proven(place.parent)), default="")),
            engine=engine.name,
            server=own.run(engine.describe) if own else "not there yet",
            identity=str(engine.read_own_identity()),
            tool=dump.tool,
            dump=str(dump.path.relative_to(beside)),
            heads=heads,
            size=sum(path.stat().st_size for path in _list_files(beside)),
            files={str(path.relative_to(beside)): hash_file(path) for path in _list_files(beside)},
            fingerprint=own.run(engine.read_fingerprint, frozenset(heads)) if own else [],
            row_counts=dump.row_counts,
            activity=dump.activity,
            # The last, so that the proof counts.
            seconds=round(time.monotonic() - begun, 3),
        )
        if job.backup_encrypt_to and manifest.files:
            report("encrypts")
            manifest.sealed = encryption.seal(beside, sorted(manifest.files), job.backup_encrypt_to).as_facts()
        write_manifest(manifest, beside)
        shutil.rmtree(place, ignore_errors=True)
        os.rename(beside, place)
    except OSError as error:
        raise Failed(
            f"The backup of {engine.database.name!r} could not be written",
            str(error),
            f"Free disk space at {place.parent}; nothing of the database was changed",
            code="backup-failed",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync(place.parent)
    manifest.path = str(place)
    copy_off(manifest, job, report)
    return manifest


def _clear(folder: Path, beside: Path, *, everything: bool) -> None:
    """Remove what this run left before; where backups are encrypted, also what others left in plain and unproven.

    The lock on the database is held, so no other run writes a backup of it now.
    """
    for path in folder.glob(".*.partial") if everything else [beside]:
        shutil.rmtree(path, ignore_errors=True)


def _list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
