# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Short waits for a lock, and many: all sessions wait behind one that waits for the lock on a table."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIRST_PAUSE = 0.5  # seconds
_LONGEST_PAUSE = 10.0


def retry_until_locked(patience: float, attempt: Callable[[], T], is_lock_timeout: Callable[[Exception], bool]) -> T:
    """Call ``attempt`` until it got its locks, with pauses in which other sessions go on, and return its result.

    Args:
        patience: seconds after which the last error is raised; what undoes a failure does not end with the window.
        attempt: waits for ``lock_timeout`` at most, and may be called again.
        is_lock_timeout: returns whether an error says that it did not get a lock.
    """
    deadline = time.monotonic() + patience
    pause = _FIRST_PAUSE
    while True:
        try:
            return attempt()
        except Exception as error:
            if not is_lock_timeout(error) or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
        pause = min(pause * 2, _LONGEST_PAUSE)
