# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The retention of backups: which ones are kept, and for how long."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

from .._core.job import Job
from .._core.records import LaterFormat
from .._journal.events import find_net_outcome, list_newest_first
from .manifest import list_proven


def remove_old_backups(folder: Path, keep: int, keep_days: int, needed: frozenset[str] = frozenset()) -> list[str]:
    """Remove backups beyond a number or an age, never the newest nor one that a revert needs; return their paths."""
    oldest = (datetime.now(timezone.utc) - timedelta(days=keep_days)).isoformat()
    removed = []
    for index, manifest in enumerate(list_proven(folder)):
        surplus = index >= keep or manifest.taken < oldest
        if index and surplus and manifest.run not in needed:
            shutil.rmtree(manifest.path)
            removed.append(manifest.path)
    return removed


def prune_backups(job: Job) -> None:
    """Remove the old backups of each database of a job."""
    for database in job.databases:
        try:
            runs = list_newest_first(job.layout.locate_journals(database.name))
            last_changed = next((run for run, events in runs if find_net_outcome(events)), "")
        except LaterFormat:
            continue  # what a revert of that version needs is not known
        folder = job.layout.locate_backups(database.name)
        remove_old_backups(folder, job.backup_keep, job.backup_keep_days, frozenset({last_changed}))
