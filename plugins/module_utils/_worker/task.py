# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The common base of verbs that work on one database, in a process of its own."""

from __future__ import annotations

import time

from .._core.job import Database, Job
from .._core.progress import Progress
from .._journal.events import Journal


class OneDatabase:
    """One database's part of a run, from when it began."""

    def __init__(self, database: Database, job: Job, journal: Journal, progress: Progress) -> None:
        self.database = database
        self.job = job
        self.journal = journal
        self.progress = progress
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return how long it has been at work."""
        return round(time.monotonic() - self._begun, 3)
