# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reverting a database from an earlier run, on purpose."""

from __future__ import annotations

from .._core.job import Database, Job
from .._core.progress import Progress
from .._core.results import Answer, DatabaseResult
from .._journal.events import Journal, read_events
from .._journal.history import find_later_move, list_to_roll_back
from .._revert.revert import Revert
from .._revert.run_record import RunRecord
from .._worker.worker import attend


def roll_back_database(database: Database, job: Job, journal: Journal, progress: Progress) -> DatabaseResult:
    """Revert a database from an earlier run, on purpose; from its own run it is reverted as by the handler.

    Raises:
        Refused: its URL cannot be used.
    """
    run_record = RunRecord.of(job.of_run, read_events(job.layout.locate_journal(database.name, job.of_run)))
    obstacle = find_later_move(job.layout, database.name, job.run, job.of_run)
    if obstacle:
        return {"name": database.name, "outcome": "refused", "changed": False, "error": obstacle.as_facts()}
    journal.write("planned", release=job.release, of_run=job.of_run)
    return Revert(database, job, journal, progress, run_record).run(on_purpose=job.run != job.of_run)


def rollback(job: Job) -> Answer:
    """Revert every database that an earlier run upgraded, or those that are named."""
    names = [database.name for database in job.databases]
    chosen = list_to_roll_back(job.root, job.run, job.of_run, names, job.only, attach=job.attach)
    return attend(job, [database for database in job.databases if database.name in chosen], roll_back_database)
