# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a window, on the host: what may still be begun, and what is cancelled. Clocks differ; seconds do not."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

from .._core.errors import Failed, Refused
from .._core.job import Database, Job
from .._core.paths import Layout
from .._core.playbook_command import playbook_command
from .._journal.events import newest_first

#: What is cancelled gets so long to undo its transaction and to say so, before its process is ended.
GRACE = 2.0


def counted_from_now(job: Job) -> Job:
    """Return a job with the moment by this host's monotonic clock at which the time that it was given is over."""
    return job if job.time_left is None else replace(job, ends_at=monotonic() + job.time_left)


def left(job: Job) -> float | None:
    """Return the seconds that are left, less than nothing if the deadline is over, None if there is none."""
    return None if job.ends_at is None else job.ends_at - monotonic()


def is_over(job: Job) -> bool:
    """Tell whether there was a deadline and it has passed."""
    seconds = left(job)
    return seconds is not None and seconds <= 0


def obstacle(database: Database, job: Job) -> Refused | None:
    """Return why a database is not begun any more, or None if what it needs will fit."""
    seconds = left(job)
    if seconds is None:
        return None
    needed, source = _needed(database, job)
    if seconds > 0 and needed <= seconds:
        return None
    return Refused(
        f"Database {database.name!r} was not begun",
        f"{max(seconds, 0):.0f} s are left until the window closes at {job.deadline}, and {source} {needed:.0f} s",
        _REMEDY,
        code="window-too-short",
    )


def too_late(database: Database, job: Job) -> Refused:
    """Return why a database that was waiting, or had changed nothing yet, was left as it was."""
    return Refused(
        f"Database {database.name!r} was not migrated",
        f"the window closed at {job.deadline} before",
        _REMEDY,
        code="window-ended",
    )


def cancelled(what: str, job: Job) -> Failed:
    """Return the failure of what was still running."""
    return Failed(
        f"{what} was cancelled",
        f"the window closed at {job.deadline}",
        "Choose a longer window for it",
        code="window-cancelled",
    )


def _needed(database: Database, job: Job) -> tuple[float, str]:
    """Return how many seconds a database is expected to need, and who says so."""
    return known_seconds(job.layout, database.name) or (job.window_margin, "migrate_window_margin is")


def known_seconds(layout: Layout, name: str) -> tuple[float, str] | None:
    """Return what a database's last rehearsal or upgrade took, and which of them it was, or None without either."""
    folder = layout.journals_of(name)
    journals = [events for place in (folder, folder / "rehearsals") for _run, events in newest_first(place)]
    for events in sorted(journals, key=lambda found: str(found[0]["at"]), reverse=True):
        results = [event["result"] for event in events if event["event"] == "done"]
        for result in reversed(results):
            if result["outcome"] == "upgraded" and result.get("seconds") is not None:
                return float(result["seconds"]), "its last upgrade took"
            if result["outcome"] == "rehearsed" and result.get("expected_seconds") is not None:
                return float(result["expected_seconds"]), "by its rehearsal it takes"
    return None


_REMEDY = f"Run it in the next window: {playbook_command('migrate')}"
