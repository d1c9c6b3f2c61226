# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disk space: what a backup and a restore will need, against what is free where they go."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .._core.errors import Refused

if TYPE_CHECKING:
    from .._core.job import Job


@dataclass(frozen=True)
class Need:
    """Bytes that something will take below a folder."""

    what: str
    place: Path
    size: int


def build_backup_need(job: Job, place: Path, size: int) -> Need:
    """Return what a backup of that size needs; one that is encrypted lies there twice until its run has ended."""
    return Need("a backup", place, size * 2 if job.backup_encrypt_to else size)


def build_restore_need(job: Job, place: Path, size: int) -> list[Need]:
    """Return what a restore needs, if a failure may be answered by one."""
    return [Need("a restore", place, size)] if job.on_failure in ("auto", "restore") and size else []


def list_shortages(database: str, needs: list[Need]) -> list[Refused]:
    """Return an obstacle for every disk that has too little for all that goes there."""
    found = []
    for disk in dict.fromkeys(need.place.stat().st_dev for need in needs):
        together = [need for need in needs if need.place.stat().st_dev == disk]
        needed, free = sum(need.size for need in together), shutil.disk_usage(together[0].place).free
        if free < needed:
            found.append(
                Refused(
                    f"There is too little disk for {' and '.join(need.what for need in together)} of {database!r}",
                    f"{needed:,} bytes are needed and {free:,} are free at {together[0].place}",
                    "Free disk space, or set migrate_root on a larger disk",
                    code="disk-too-small",
                )
            )
    return found
