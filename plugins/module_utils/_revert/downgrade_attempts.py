# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The attempts of a revert's downgrades: each after the first runs env.py in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core.progress import Progress
from .._engines.interface import Lock
from .._engines.parts import find_write_tracker
from .._journal.events import Journal
from .._migration.environment import Environment
from .._migration.interrupted import Interrupted
from .._migration.lock_retry import retry_on_lock
from .._migration.own_process import LockOfParent, ProgressOfParent, Standby
from .._migration.state import read_applied
from .downgrade_journal import DowngradeJournal
from .later_writes import LaterWrites

if TYPE_CHECKING:
    from .run_record import RunRecord


def list_still_applied(environment: Environment, run_record: RunRecord) -> dict[str, list[str]]:
    """Return, of what a run committed, what is applied, by version table."""
    applied = read_applied(environment, environment.engine.open_own_connection(), list(run_record.committed))
    return {
        table: [revision for revision in revisions if revision in applied[table]]
        for table, revisions in run_record.committed.items()
    }


class DowngradeAttempts:
    """Made before the database is locked, while this process has no connection that a fork could meddle with."""

    def __init__(self, environment: Environment, journal: Journal, progress: Progress, run_record: RunRecord) -> None:
        self._environment = environment
        self._engine = environment.engine
        self._journal = journal
        self._progress = progress
        self._run_record = run_record
        self._standby = Standby(self._retry_in_process)

    def __enter__(self) -> DowngradeAttempts:
        self._standby.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._standby.__exit__()

    def run(self, lock: Lock, watcher: DowngradeJournal, later: LaterWrites | None) -> None:
        """Downgrade what is applied of what the run committed.

        Raises:
            Interrupted: a downgrade failed.
        """
        retry_on_lock(
            self._engine,
            self._journal,
            self._progress,
            lambda: self._run_attempt(watcher),
            lambda _interruption: True,
            lambda: self._try_again(lock, watcher, later),
        )

    def _run_attempt(self, watcher: DowngradeJournal) -> None:
        # An attempt that ended by a lock timeout may have undone some of them already.
        applied = list_still_applied(self._environment, self._run_record)
        if any(applied.values()):
            self._environment.downgrade(applied, watcher)

    def _try_again(self, lock: Lock, watcher: DowngradeJournal, later: LaterWrites | None) -> None:
        if self._environment.in_own_process:
            self._run_attempt(watcher)
            return
        known = (self._environment.hand_over(), find_write_tracker(self._engine).hand_over(), watcher.hand_over())
        request = (*known, vars(self._run_record), later.hand_over() if later else None)
        of_environment, of_engine, of_watcher, run_record, of_later, interruption = self._standby.call(
            request, lock, self._progress
        )
        self._environment.take_over(of_environment)
        find_write_tracker(self._engine).take_over(of_engine)
        watcher.take_over(of_watcher)
        vars(self._run_record).update(run_record)
        if later:
            later.take_over(of_later)
        if interruption:
            raise interruption

    def _retry_in_process(self, request: Any, _lock: LockOfParent, progress: ProgressOfParent) -> tuple[Any, ...]:
        of_environment, of_engine, of_watcher, run_record, of_later = request
        self._environment.take_over(of_environment)
        find_write_tracker(self._engine).take_over(of_engine)
        vars(self._run_record).update(run_record)
        journal = Journal(self._journal.path, self._journal.verb)
        if self._environment.outside:
            self._environment.outside.start(journal)
        later = LaterWrites(self._engine, self._run_record, None, journal, progress) if of_later else None
        if later:
            later.take_over(of_later)
        watcher = DowngradeJournal(journal, progress, self._run_record, later)
        watcher.take_over(of_watcher)
        interruption = None
        try:
            with self._engine.watch_connections():
                self._run_attempt(watcher)
        except Interrupted as caught:
            interruption = caught.as_portable()
        known = (self._environment.hand_over(), find_write_tracker(self._engine).hand_over(), watcher.hand_over())
        return (*known, vars(self._run_record), later.hand_over() if later else None, interruption)
