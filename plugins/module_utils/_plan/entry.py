# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""The entry to planning, without Alembic's import, most of what a short answer costs, until something needs it."""

from __future__ import annotations

from typing import Any

from .._core.job import Job
from .._core.serve import serve
from .._migration.spawner import SPAWNER
from .at_head import read_known_plans


def main() -> None:
    """Plan; runs under the virtualenv's Python."""
    serve(_plan_job, SPAWNER.start)


def _plan_job(job: Job) -> dict[str, Any]:
    known = read_known_plans(job)
    if len(known) == len(job.databases):
        return {"databases": [known[database.name] for database in job.databases]}
    from .host import plan  # noqa: PLC0415

    return plan(job, known)
