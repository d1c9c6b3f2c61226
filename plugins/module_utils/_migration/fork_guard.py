# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that env.py or a revision forks: they inherit what is ours and must not keep it, nor go on as a second run.

Locks on files belong to all who hold the descriptor: a child that lives on would look like the worker.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: The descriptors that were open before env.py ran, by the process that runs it; empty while it does not.
_OURS: dict[int, list[int]] = {}


@contextmanager
def guard_forks() -> Iterator[None]:
    """Let every process that is forked inside the block let go of the descriptors that were open before it."""
    pid = os.getpid()
    if not _GUARDED:
        os.register_at_fork(after_in_child=_release_guard)
        _GUARDED.append(True)
    _OURS[pid] = [descriptor for descriptor in map(int, os.listdir("/proc/self/fd")) if descriptor > 2]
    try:
        yield
    finally:
        _end_copy(pid)
        _OURS.pop(pid, None)


def end_copies(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a revision's function: a process that was forked in it and comes out of it ends there."""
    pid = os.getpid()

    @functools.wraps(function)
    def call_and_end(*args: Any, **keywords: Any) -> Any:
        try:
            return function(*args, **keywords)
        finally:
            _end_copy(pid)

    return call_and_end


_GUARDED: list[bool] = []


def _end_copy(pid: int) -> None:
    if os.getpid() != pid:
        code = 0 if sys.exc_info()[0] is None else 1
        os._exit(code)


def _release_guard() -> None:
    descriptors = _OURS.pop(os.getppid(), [])
    _OURS.clear()
    if not descriptors:
        return
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        if descriptor != nothing:
            try:
                os.fstat(descriptor)
            except OSError:
                continue  # it was the listing's own
            os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)
