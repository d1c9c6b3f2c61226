# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The obstacles to a backup as it was requested: known before anything is done."""

from __future__ import annotations

from .._core.errors import Refused
from .._core.job import Job
from .command import list_command_obstacles
from .copy_place import copy_obstacles
from .encryption import read_recipient


def list_backup_obstacles(job: Job) -> list[Refused]:
    """Return whatever is missing for the commands, the encryption and the copies of backups."""
    found = list_command_obstacles(job) + copy_obstacles(job)
    if job.backup_encrypt_to:
        try:
            read_recipient(job.backup_encrypt_to)
        except Refused as refusal:
            found.append(refusal)
    return found
