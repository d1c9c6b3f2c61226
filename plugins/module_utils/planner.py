# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""The plans of all databases of a job, and what any job needs before it begins."""

from __future__ import annotations

import os
from typing import Any

from .alembic_library import MISSING
from .at_head import known_plans
from .errors import Refused
from .job import Database, Job
from .layout import private_directory
from .planning import plan_database
from .plans import Plan
from .processes import Died, each_apart, silence
from .warming import warm

Answer = dict[str, Any]


def plan(job: Job, known: dict[str, Answer] | None = None) -> Answer:
    """Plan every database, those that are not known to be at head in a process of its own each.

    Args:
        job: names the databases.
        known: what ``known_plans`` has said already, if it was asked.

    Raises:
        Refused: as ``check``.
    """
    check(job)
    plans = known_plans(job) if known is None else dict(known)

    def task(database: Database) -> Answer:
        silence(os.devnull)
        return plan_database(database, job).facts()

    def answered(database: Database, answer: Any) -> None:
        plans[database.name] = _unanswered(database, job, answer) if isinstance(answer, Died) else answer

    unknown = [database for database in job.databases if database.name not in plans]
    warm(job, unknown)
    each_apart(unknown, job.workers, task, job.plan_timeout, answered)
    return {"databases": [plans[database.name] for database in job.databases]}


def _unanswered(database: Database, job: Job, death: Died) -> Answer:
    refusal = Refused(
        f"The process that planned database {database.name!r} came to no end",
        str(death),
        "See what env.py waits for on the host, or raise migrate_plan_timeout"
        if death.is_late
        else "Run `alembic current` on the host with the same URL and environment, and read what it prints",
    )
    return Plan(database.name, database.target or job.target, obstacles=[refusal]).facts()


def check(job: Job) -> None:
    """Make sure that the virtualenv has Alembic, and that the folders below the root are our own.

    Raises:
        Refused: it has not, or they are not.
    """
    if MISSING:
        raise Refused(
            "The virtualenv of the release cannot run migrations",
            MISSING,
            "Name alembic in the requirements or in migrate_packages",
        )
    private_directory(job.layout.root)
    for folder in (job.layout.backups, job.layout.journals, job.layout.workers):
        # The databases' own folders lie below these: a link planted here would lead all of them elsewhere.
        if folder.is_symlink():
            private_directory(folder)
