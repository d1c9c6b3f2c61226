# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of env.py in a rehearsal, which has many: each has a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._core.progress import Progress
from .._engines.interface import Lock
from .._migration.environment import Environment
from .._migration.interrupted import Interrupted
from .._migration.own_process import ProgressOfParent, Standby
from .._migration.reported_error import make_reportable
from .._migration.step import Step
from .observer import Traces


class _NoLock(Lock):
    """A copy of our own needs no lock."""

    def check(self) -> None:
        """It cannot be lost."""

    def release(self) -> None:
        """No process holds it."""


def run_watched(
    environment: Environment, watcher: Traces, progress: Progress, act: Callable[[], list[Step]]
) -> list[Step]:
    """Upgrade or downgrade in a process of its own, and return every step that was begun.

    Args:
        environment: of the copy.
        watcher: remembers afterwards what the one in the other process has seen.
        progress: shows the phases.
        act: runs Alembic, with the environment and the watcher.

    Raises:
        Interrupted: a revision failed, or env.py did.
    """
    if environment.in_own_process:
        return act()
    engine = environment.engine
    engine.prepare_fork()

    def run_task(_request: None, _lock: Lock, progress_of_parent: ProgressOfParent) -> tuple[Any, ...]:
        engine.handle_fork()
        watcher.show_in(progress_of_parent)
        interruption = None
        steps: list[Step] = []
        try:
            with engine.watch_connections(), engine.restrict_changes():
                steps = act()
        except Interrupted as caught:
            caught.cause = engine.explain_error(caught.cause) if caught.cause else None
            interruption = caught.as_portable()
        for step in steps:
            step.error = make_reportable(step.error)
        return environment.hand_over(), watcher.hand_over(), steps, interruption

    with Standby(run_task) as standby:
        of_environment, seen, steps, interruption = standby.call(None, _NoLock(), progress)
    environment.take_over(of_environment)
    watcher.take_over(seen)
    if interruption:
        raise interruption
    found: list[Step] = steps
    return found
