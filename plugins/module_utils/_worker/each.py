# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task for each database, in a process of its own, without a worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from .._core.job import Database, Job
from .._core.processes import redirect_output, run_in_processes
from .._engines.loaded import load_engines
from .._migration.preload import warm


def do_each(
    job: Job,
    databases: Sequence[Database],
    task: Callable[[Database, Job], Any],
    begin_until: float | None = None,
) -> dict[str, Any]:
    """Call a task for every database in a process of its own, and return the answer of each that was begun.

    Args:
        job: says how many are worked on at a time.
        databases: what to work on.
        task: what to do with each.
        begin_until: when, by the monotonic clock, no other is begun; None for never.
    """
    answers: dict[str, Any] = {}

    def run_work(database: Database) -> Any:
        redirect_output(os.devnull)
        try:
            return task(database, job)
        except Exception as error:  # noqa: BLE001 - the calling process reports it
            return error

    if databases:
        load_engines(databases)
        warm(job, databases)
    run_in_processes(
        databases,
        job.workers,
        run_work,
        0,
        lambda database, answer: answers.update({database.name: answer}),
        begin_until=begin_until,
    )
    return answers
