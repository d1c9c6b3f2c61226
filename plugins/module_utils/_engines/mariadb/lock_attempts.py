# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Short waits for a lock, and many: all sessions wait behind one that waits for the lock on a table."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ..._core.job import left

if TYPE_CHECKING:
    from ..._core.job import Job

T = TypeVar("T")

_FIRST_PAUSE = 0.5  # seconds
_LONGEST_PAUSE = 10.0


def until_locked(job: Job, attempt: Callable[[], T], is_lock_timeout: Callable[[Exception], bool]) -> T:
    """Call ``attempt`` until it got its locks, with pauses in which other sessions go on, and return its result.

    Args:
        job: ``lock_wait`` and the end of its window are the limits; its last error is raised then.
        attempt: waits for ``lock_timeout`` at most, and may be called again.
        is_lock_timeout: returns whether an error says that it did not get a lock.
    """
    deadline = time.monotonic() + min(job.lock_wait, left(job) or job.lock_wait)
    pause = _FIRST_PAUSE
    while True:
        try:
            return attempt()
        except Exception as error:
            if not is_lock_timeout(error) or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
        pause = min(pause * 2, _LONGEST_PAUSE)
