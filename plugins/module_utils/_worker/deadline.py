# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a window, on the host: what may still be begun, and what is cancelled. Clocks differ; seconds do not."""

from __future__ import annotations

from .._core.errors import Failed, Refused
from .._core.job import Database, Job, count_seconds_left
from .._core.playbook_command import build_playbook_command
from .._journal.durations import read_known_seconds

#: What is cancelled gets so long to undo its transaction and to say so, before its process is ended.
GRACE = 2.0


def find_deadline_obstacle(database: Database, job: Job) -> Refused | None:
    """Return why a database is not begun any more, or None if what it needs will fit."""
    seconds = count_seconds_left(job)
    if seconds is None:
        return None
    needed, source = _estimate_seconds(database, job)
    if seconds > 0 and needed <= seconds:
        return None
    return Refused(
        f"Database {database.name!r} was not begun",
        f"{max(seconds, 0):.0f} s are left until the window closes at {job.deadline}, and {source} {needed:.0f} s",
        _REMEDY,
        code="window-too-short",
    )


def build_too_late_refusal(database: Database, job: Job) -> Refused:
    """Return why a database that was waiting, or had changed nothing yet, was left as it was."""
    return Refused(
        f"Database {database.name!r} was not migrated",
        f"the window closed at {job.deadline} before",
        _REMEDY,
        code="window-ended",
    )


def describe_cancelled(what: str, job: Job) -> Failed:
    """Return the failure of what was still running."""
    return Failed(
        f"{what} was cancelled",
        f"the window closed at {job.deadline}",
        "Choose a longer window for it",
        code="window-cancelled",
    )


def _estimate_seconds(database: Database, job: Job) -> tuple[float, str]:
    """Return how many seconds a database is expected to need, and who says so."""
    return read_known_seconds(job.layout, database.name) or (job.window_margin, "migrate_window_margin is")


_REMEDY = f"Run it in the next window: {build_playbook_command('migrate')}"
