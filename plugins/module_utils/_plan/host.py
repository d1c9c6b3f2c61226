# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""The plans of all databases of a job, and what any job needs before it begins."""

from __future__ import annotations

import mmap
import os
from functools import partial
from time import monotonic
from typing import Any

from .._core.errors import Refused
from .._core.job import Database, Job
from .._core.paths import make_private_directory
from .._core.processes import Died, end_at_once, redirect_output, run_in_processes
from .._core.results import Answer, PlanFacts
from .._migration.alembic_import import MISSING
from .._migration.dry_run import WritesBefore, build_no_end_refusal
from .._migration.explanations import explain_ended_process
from .._migration.preload import warm
from .at_head import read_known_plans
from .database import plan_database
from .model import Plan

#: A plan of no more databases is made in one call, however long it takes.
_ONE_CALL = 12


def plan(job: Job, known: dict[str, PlanFacts] | None = None) -> Answer:
    """Plan every database, those that are not known to be at head in a process of its own each.

    Where a job limits the time in which databases are begun, those that were not are missing.

    Args:
        job: names the databases.
        known: what ``read_known_plans`` has returned already, if it was called.

    Raises:
        Refused: as ``check``.
    """
    check(job)
    plans = read_known_plans(job) if known is None else dict(known)

    unknown = [database for database in job.databases if database.name not in plans]
    warm(job, unknown)
    # What ends a process in env.py cannot say so itself.
    in_env_py = mmap.mmap(-1, len(unknown) + 1)
    places = {database.name: place for place, database in enumerate(unknown)}
    again: list[Database] = []

    def plan_first(database: Database) -> PlanFacts | None:
        redirect_output(os.devnull)
        end_at_once()  # whatever threads env.py has left
        try:
            return plan_database(database, job, partial(in_env_py.__setitem__, places[database.name])).as_facts()
        except WritesBefore:
            return None

    def handle_answer(database: Database, answer: Any) -> None:
        if answer is None:
            again.append(database)
        elif isinstance(answer, Died):
            plans[database.name] = _describe_unanswered(database, job, answer, in_env_py[places[database.name]] == 1)
        else:
            plans[database.name] = answer

    def plan_again(database: Database) -> PlanFacts:
        redirect_output(os.devnull)
        in_env_py[places[database.name]] = 0
        return plan_database(database, job).as_facts()

    run_in_processes(
        unknown, job.workers, plan_first, job.plan_timeout, handle_answer, begin_until=end_of_part(job, len(unknown))
    )
    run_in_processes(list(again), job.workers, plan_again, job.plan_timeout, handle_answer)
    return {"databases": [plans[database.name] for database in job.databases if database.name in plans]}


def end_of_part(job: Job, count: int) -> float | None:
    """Return when, by the monotonic clock, no other of so many databases is begun in this call; None for never."""
    return monotonic() + job.begin_for if job.begin_for and count > _ONE_CALL else None


def _describe_unanswered(database: Database, job: Job, death: Died, in_env_py: bool) -> PlanFacts:
    refusal = (
        build_no_end_refusal(database.name, job.plan_timeout, death)
        if in_env_py
        else Refused(
            f"Planning database {database.name!r} {'timed out' if death.is_late else 'ended without an answer'}",
            str(death),
            "Type `journalctl --since -10min` on the host, or raise migrate_plan_timeout"
            if death.is_late
            else explain_ended_process(str(death)),
            code="plan-timeout" if death.is_late else "plan-failed",
        )
    )
    return Plan(database.name, database.target or job.target, obstacles=[refusal]).as_facts()


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
            code="alembic-missing",
        )
    make_private_directory(job.layout.root)
    for folder in (job.layout.backups, job.layout.journals, job.layout.workers):
        # The databases' own folders lie below these: a link planted here would lead all of them elsewhere.
        if folder.is_symlink():
            make_private_directory(folder)
