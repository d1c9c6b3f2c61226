# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handing backups over to the controller, part by part: the host's half. Needs no virtualenv."""

from __future__ import annotations

from typing import Any

from .._core.argument_specs import Options
from .._core.errors import Refused
from .._core.job import Database, Job
from .manifest import Manifest, list_proven
from .offsite import describe_copies, list_waiting_for_controller, note_copy, read_chunk


def list_waiting(options: Options) -> list[dict[str, Any]]:
    """Return the backups that the controller has not fetched yet.

    Raises:
        Failed: one is damaged.
    """
    return [
        describe_copies(database, manifest) for database, manifest in list_waiting_for_controller(_build_job(options))
    ]


def read_part(options: Options) -> str:
    """Return a part of a backup in base64.

    Raises:
        Refused: there is no such backup, or it may not leave in plain.
    """
    manifest = _find_manifest(options, options["database"], options["run"])
    if options["backup_encrypt_to"] and manifest.files and not manifest.sealed:
        raise Refused(
            f"The backup {manifest.path} is not encrypted",
            "it leaves this host encrypted only",
            "Run again: the next run encrypts it first",
            code="backup-not-encrypted",
        )
    return read_chunk(manifest, options["offset"], options["length"])


def remember(options: Options) -> None:
    """Remember which backups have arrived whole.

    Raises:
        Refused: there is no such backup.
    """
    for each in options["fetched"]:
        note_copy(_find_manifest(options, each["database"], each["run"]), options["backup_copy_to"])


def _find_manifest(options: Options, database: str, run: str) -> Manifest:
    for manifest in list_proven(_build_job(options).layout.locate_backups(database)):
        if manifest.run == run:
            return manifest
    raise Refused(
        f"There is no backup of run {run} of database {database!r} on this host",
        remedy="It was removed meanwhile; run again",
        code="backup-not-found",
    )


def _build_job(options: Options) -> Job:
    databases = tuple(Database(name, "") for name in options["databases"])
    known = {key: options[key] for key in ("root", "backup_copy_to", "backup_encrypt_to")}
    return Job("fetch_backups", databases=databases, **known)
