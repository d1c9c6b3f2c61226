# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A short lock timeout and many attempts: a migration that waits for a lock makes every session behind it wait."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from .._core.errors import Failed
from .._core.progress import Progress
from .._engines.connection import OwnConnection, describe_error
from .._engines.interface import ITSELF, Engine
from .._journal.events import Journal
from .interrupted import Interrupted

T = TypeVar("T")

_FIRST_PAUSE = 0.5  # seconds
_LONGEST_PAUSE = 10.0


class Blockers:
    """Read which sessions keep the migration waiting, over a connection that is opened for the first read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._own: OwnConnection | None = None
        #: The last sessions that blocked it.
        self.last: list[str] = []

    def __call__(self) -> list[str]:
        """Return one line a session; runs in the thread that reports the progress."""
        if self._own is None:
            self._own = self._engine.connect()
        found = self._engine.list_blockers(self._own)
        self.last = found or self.last
        return found


def retry_on_lock(
    engine: Engine,
    journal: Journal,
    progress: Progress,
    attempt: Callable[[], T],
    may_repeat: Callable[[Interrupted], bool],
    again: Callable[[], T],
) -> T:
    """Call ``attempt`` until it no longer fails for a lock that it did not get.

    Args:
        engine: sets the timeouts, and knows their errors.
        journal: gets each pause.
        progress: says who is waited for.
        attempt: runs Alembic in this process, the first time.
        may_repeat: returns whether an interrupted attempt left nothing behind that the next one would meet.
        again: runs Alembic in another process, in which env.py has not run yet.

    Raises:
        Interrupted: it failed for another reason, or ``lock_wait`` is over.
    """
    blockers = Blockers(engine)
    progress.waits_for = blockers
    deadline = min(time.monotonic() + engine.job.lock_wait, engine.job.ends_at or float("inf"))
    pause = _FIRST_PAUSE
    begun = False
    while True:
        try:
            if begun:
                return again()
            begun = True
            with engine.watch_connections():
                return attempt()
        except Interrupted as interruption:
            cause = interruption.cause
            hopeful = cause is not None and engine.is_lock_timeout(cause) and time.monotonic() < deadline
            if cause is None or not hopeful or not may_repeat(interruption):
                raise
            if blockers.last and all(line.startswith(ITSELF) for line in blockers.last):
                raise Interrupted(
                    _build_self_wait_failure(engine, interruption, blockers.last), interruption.steps
                ) from None
            held = f"; it is held by {'; '.join(blockers.last)}" if blockers.last else ""
            journal.write("waits", reason=f"{describe_error(cause)}{held}")
        progress.begin_phase(f"waits {pause:.1f} s for a lock, then tries again")
        time.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
        pause = min(pause * 2, _LONGEST_PAUSE)


def _build_self_wait_failure(engine: Engine, interruption: Interrupted, blockers: list[str]) -> Failed:
    """Return the failure of a revision whose second connection waits for its first; no other attempt will help."""
    step = interruption.steps[-1] if interruption.steps else None
    revision = f"Revision {step.revision} ({step.message})" if step else "env.py"
    return Failed(
        f"{revision} in database {engine.database.name!r} waits for a lock that it holds itself",
        f"a second connection waited for {'; '.join(blockers)}",
        "Let it use the connection of op.get_bind() for all that it does",
        code="waits-for-itself",
    )
