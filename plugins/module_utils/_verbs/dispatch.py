# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a job to its verb, which takes the job and returns an answer as plain data."""

from __future__ import annotations

from importlib import import_module

from .._core.job import Job
from .._core.results import Answer
from .._plan.host import check, plan

#: The file of each verb; its function is called like the verb.
_FILES = {
    "backup": "backup",
    "downgrade": "downgrade",
    "foresee_backup": "foreseen_rollback",
    "foresee_restore": "foreseen_restore",
    "foresee_rollback": "foreseen_rollback",
    "health": "health",
    "prune": "prune",
    "recover": "recover",
    "rehearse": "rehearse",
    "restore": "restore",
    "rollback": "rollback",
    "status": "status",
    "upgrade": "upgrade",
}


def do(job: Job) -> Answer:
    """Do a job and return its answer.

    Raises:
        Refused: it cannot be done.
    """
    check(job)
    if job.verb == "plan":
        return plan(job)
    # One verb's code is loaded, and whole, since its worker may find the archive gone.
    verb = import_module(f"{__package__}.{_FILES[job.verb]}")
    return dict(getattr(verb, job.verb)(job))
