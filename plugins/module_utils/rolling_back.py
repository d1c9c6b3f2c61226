# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leading a database back from an earlier run, on purpose."""

from __future__ import annotations

from .account import Account
from .errors import Refused
from .job import Database, Job
from .journal import Journal, ending, moved, newest_first, read_events
from .lead_back import LeadBack, Result
from .progress import Progress


def rollback_database(database: Database, job: Job, journal: Journal, progress: Progress) -> Result:
    """Lead a database back from an earlier run, on purpose; from its own run it goes the way of the handler.

    Raises:
        Refused: its URL cannot be used.
    """
    account = Account.of(job.of_run, read_events(job.layout.journal(database.name, job.of_run)))
    obstacle = _moved_since(job, database.name)
    if obstacle:
        return {"name": database.name, "outcome": "refused", "changed": False, "error": obstacle.facts()}
    journal.write("planned", release=job.release, of_run=job.of_run)
    return LeadBack(database, job, journal, progress, account).run(on_purpose=job.run != job.of_run)


def _moved_since(job: Job, database: str) -> Refused | None:
    """Return why a run cannot be rolled back any more; a later run that was itself rolled back is no reason."""
    rolled_back: dict[str, str] = {}
    what = f"Run {job.of_run} cannot be rolled back in database {database!r}"
    for run, events in newest_first(job.layout.journals_of(database)):
        if run == job.of_run:
            by = rolled_back.get(run)
            return Refused(what, f"run {by} has rolled it back already") if by else None
        undone = ending(events, "rollback")
        if undone and moved(events):
            rolled_back[undone["result"]["of_run"]] = run
        elif run != job.run and moved(events) and run not in rolled_back:
            return Refused(
                what, f"run {run} has {moved(events)} it since", f"Roll that one back first: migrate_rollback_run={run}"
            )
    return None
