# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of env.py after the first: each in a process of its own, as every call of ``alembic`` is.

What an application keeps in its modules (an engine bound to an event loop, models that are registered once, threads)
does not survive a second run of env.py in the same process.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .._core.errors import Failed, Refused
from .._core.kernel import end_with_parent
from .._core.processes import Died, Overdue, redirect_descriptors
from .._core.progress import Progress
from .._engines.interface import Lock

_LOCK, _PHASE, _DETAIL, _ANSWER, _REFUSED = "lock", "phase", "detail", "answer", "refused"


class LockOfParent(Lock):
    """The lock on the database, held by the process that waits for this one."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def check(self) -> None:
        """Have the lock checked by the process that holds it.

        Raises:
            Failed: it was lost.
        """
        self._pipe.send((_LOCK, None))
        lost = self._pipe.recv()
        if lost is not None:
            raise lost

    def release(self) -> None:
        """Leave the lock to the process that holds it."""


class ProgressOfParent(Progress):
    """The progress that the process shows that waits for this one; here it has no thread and no file."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(Path(os.devnull))
        self._pipe = pipe

    def begin_phase(self, phase: str) -> None:
        """Begin a phase."""
        self._pipe.send((_PHASE, phase))

    def report(self, detail: str) -> None:
        """Report how far the phase is."""
        self._pipe.send((_DETAIL, detail))


#: Runs env.py for a request, and returns what can be pickled.
Task = Callable[[Any, LockOfParent, ProgressOfParent], Any]


class Standby:
    """A process that is forked before env.py has run in this one; each call runs the task in a fork of it."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._pid = 0

    def __enter__(self) -> Standby:
        self._pipe, theirs = multiprocessing.Pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _end_with(parent)
                # Sockets and locks of the process that waits would outlive it here.
                redirect_descriptors(theirs.fileno())
                _serve(theirs, self._task)
            finally:
                os._exit(1)
        theirs.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def call(self, request: Any, lock: Lock, progress: Progress, seconds: float = 0) -> Any:
        """Return what the task returns for a request; both must be picklable.

        Args:
            request: of the task.
            lock: on the database.
            progress: shows what the task does.
            seconds: how long it may take; 0 for ever. Later, this process is of no use any more.

        Raises:
            Refused: the task did.
            Died: its process ended without an answer.
        """
        self._pipe.send(request)
        try:
            return _answer_of(self._pipe, lock, progress, time.monotonic() + seconds if seconds else None)
        except Overdue:
            os.kill(self._pid, signal.SIGKILL)  # with what it has forked
            raise


def _serve(pipe: Connection, task: Task) -> None:
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        standby = os.getpid()
        answered = mmap.mmap(-1, 1)  # env.py may end its process with any exit code, 0 among them
        pid = os.fork()
        if pid == 0:
            try:
                _end_with(standby)
                _serve_requests(pipe, task, request)
                answered[0] = 1
                os._exit(0)
            finally:
                os._exit(1)
        _pid, status = os.waitpid(pid, 0)
        if not answered[0]:
            exited = os.WIFEXITED(status)
            how = f"with exit code {os.WEXITSTATUS(status)}" if exited else f"by signal {os.WTERMSIG(status)}"
            pipe.send((_ANSWER, Died(f"the process of env.py ended {how}")))


def _serve_requests(pipe: Connection, task: Task, request: Any) -> None:
    try:
        pipe.send((_ANSWER, task(request, LockOfParent(pipe), ProgressOfParent(pipe))))
    except Refused as refusal:
        pipe.send((_REFUSED, refusal))


def _answer_of(pipe: Connection, lock: Lock, progress: Progress, until: float | None) -> Any:
    while True:
        if until is not None and not pipe.poll(max(until - time.monotonic(), 0)):
            raise Overdue("it gave no answer in time and was ended")
        try:
            kind, value = pipe.recv()
        except EOFError:
            raise Died("the process of env.py ended without an answer") from None
        if kind == _LOCK:
            pipe.send(_check_lock(lock))
        elif kind == _PHASE:
            progress.begin_phase(value)
        elif kind == _DETAIL:
            progress.report(value)
        elif kind == _REFUSED or isinstance(value, Died):
            raise value
        else:
            return value


def _check_lock(lock: Lock) -> Failed | None:
    try:
        lock.check()
    except Failed as lost:
        return lost
    return None


def _end_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends: nothing is migrated that no process waits for."""
    end_with_parent()
    if os.getppid() != parent:
        os._exit(1)
