# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Revert what the upgrade of a run left unfinished."""

from __future__ import annotations

import time

from .._core.errors import CORRECT_IT, Failed
from .._core.job import Database, Job
from .._core.progress import Progress
from .._core.results import Answer, DatabaseResult
from .._journal.events import Journal, find_ending, needs_revert, read_events, reject
from .._revert.revert import Revert
from .._revert.run_record import RunRecord
from .._worker.follow import is_alive
from .._worker.worker import attend


def downgrade(job: Job) -> Answer:
    """Revert what the upgrade of this run left unfinished, once its worker has ended."""
    deadline = time.monotonic() + job.follow
    while is_alive(job, "upgrade"):
        if time.monotonic() > deadline:
            return {"finished": False, "results": [], "lines": ["the upgrade still runs"], "cursor": job.cursor}
        time.sleep(0.1)
    if job.rejected:
        error = Failed(
            "The upgrade was verified and then rejected", job.rejected, CORRECT_IT, code="upgrade-rejected"
        ).as_facts()
        for database in job.databases:
            reject(Journal(job.layout.locate_journal(database.name, job.run), "upgrade"), error)
    failed = [
        database
        for database in job.databases
        if needs_revert(read_events(job.layout.locate_journal(database.name, job.run)))
    ]
    return attend(job, failed, downgrade_database)


def downgrade_database(database: Database, job: Job, journal: Journal, progress: Progress) -> DatabaseResult:
    """Revert a database from what this run did to it.

    Raises:
        Refused: its URL cannot be used.
    """
    events = journal.read_events_of_run()
    done = find_ending(events, "downgrade")
    if done and done["result"]["outcome"] != "failed":
        reverted: DatabaseResult = done["result"]
        return {**reverted}  # another controller has reverted it meanwhile
    return Revert(database, job, journal, progress, RunRecord.of(job.run, events)).run(on_purpose=False)
