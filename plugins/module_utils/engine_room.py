# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the verbs are done: a process under the virtualenv's Python, which reads a job and answers with data.

The job comes on standard input and the answer goes to what was standard output, so that neither secrets nor what
env.py prints can get between.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from .at_head import known_plans
from .errors import Refused
from .job import Job


def main() -> None:
    """Read a job, do it, answer."""
    options = json.load(sys.stdin)
    answer_to = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.chdir("/")
    try:
        answer = _done(Job.from_options(options.pop("verb"), options))
    except Refused as refusal:
        answer = {"refused": refusal.facts()}
    with os.fdopen(answer_to, "w") as handle:
        json.dump(answer, handle, default=str)


def _done(job: Job) -> dict[str, Any]:
    known = known_plans(job) if job.verb == "plan" else None
    if known is not None and len(known) == len(job.databases):
        return {"databases": [known[database.name] for database in job.databases]}
    # Alembic's import is most of what a short answer costs, so it waits until something needs it.
    from .work import do  # noqa: PLC0415

    return do(job, known)
