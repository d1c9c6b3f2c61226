# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The place where copies of backups go, and the obstacles on the way there."""

from __future__ import annotations

import os

from .._core.commands import list_missing_program
from .._core.errors import Refused
from .._core.job import Job

#: What the place of copies begins with that the controller fetches.
CONTROLLER = "controller:"
COPY_COMMAND = "migrate_backup_copy_command"


def copy_obstacles(job: Job) -> list[Refused]:
    """Return what would keep a backup from being copied off this host."""
    found = list_missing_program(job.backup_copy_command, COPY_COMMAND)
    to = job.backup_copy_to
    if to and not to.startswith(CONTROLLER) and not (os.path.isabs(to) and os.access(to, os.W_OK | os.X_OK)):
        found.append(
            Refused(
                f"Backups cannot be copied to {to}",
                "it is not a directory on this host that this user may write to",
                f"Mount it, or write {CONTROLLER}/some/directory for one on the controller",
                code="backup-copy-not-possible",
            )
        )
    return found
