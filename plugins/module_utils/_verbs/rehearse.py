# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prove the plan of databases on copies of their backups."""

from __future__ import annotations

from .._backup.retention import prune_backups
from .._core.job import Job
from .._core.results import Answer
from .._rehearsal.rehearse import rehearse_database
from .._worker.worker import attend


def rehearse(job: Job) -> Answer:
    """Prove the plan of every database on a copy, in a worker that outlives the connection."""
    answer = attend(job, list(job.databases), rehearse_database)
    if answer["finished"]:
        prune_backups(job)
    return answer
