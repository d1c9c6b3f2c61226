# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forked processes, a few at a time, one for each database: what env.py does to its process stays there."""

from __future__ import annotations

import gc
import multiprocessing
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

# Forking keeps the imports, which are most of what an `alembic` call costs.
_FORK = multiprocessing.get_context("fork")

_PREPARED: list[Callable[[Any], Any]] = [lambda item: item]
_COLLECTED: list[bool] = []
_ENDS_AT_ONCE: list[bool] = []


class Died(Exception):
    """A process ended without an answer, or was ended because it took too long to give one."""

    is_late = False


class Overdue(Died):
    """A process was ended because it gave no answer in its time."""

    is_late = True


class Late(Died):
    """A process was ended, or not begun, because the time of all of them was over."""


def run_in_processes(
    items: Iterable[T],
    limit: int,
    task: Callable[[T], Any],
    patience: float,
    answered: Callable[[T, Any], None],
    until: float | None = None,
    begin_until: float | None = None,
) -> None:
    """Call ``task(item)`` in a process of its own for each item, at most ``limit`` at a time.

    Args:
        items: what to work on, in order.
        limit: how many processes there may be.
        task: runs in the process; its answer must be picklable.
        patience: seconds until a process is killed with all that it started; 0 for ever.
        answered: is called here with the item and its answer, or with Died.
        until: when, by the monotonic clock, what runs is killed and no more is begun; None for never.
        begin_until: when, by the same clock, nothing more is begun and what runs goes on; items that were not begun
            get no answer. The first ones are begun in any case.
    """
    waiting = list(items)
    begun_before = False
    _freeze()
    running: dict[Any, tuple[T, Any, Connection, float]] = {}
    while waiting or running:
        if begun_before and begin_until is not None and time.monotonic() >= begin_until:
            waiting.clear()
        while waiting and len(running) < max(limit, 1):
            begun_before = True
            item = waiting.pop(0)
            if until is not None and time.monotonic() >= until:
                answered(item, Late("it was not begun"))
                continue
            receiver, sender = _FORK.Pipe(duplex=False)
            process = _FORK.Process(target=_answer, args=(sender, task, item))
            process.start()
            sender.close()
            running[process.sentinel] = (item, process, receiver, time.monotonic())
        ready = wait([*running, *(entry[2] for entry in running.values())], timeout=0.2)
        for sentinel, (item, process, receiver, begun) in list(running.items()):
            late = patience and time.monotonic() - begun > patience
            over = until is not None and time.monotonic() >= until
            if over and process.is_alive() and not receiver.poll():
                _kill(process.pid)
                answered(item, Late("it was ended"))
            elif late and process.is_alive() and not receiver.poll():
                _kill(process.pid)
                answered(item, Overdue(f"it gave no answer within {patience:g} s and was ended"))
            elif sentinel not in ready and receiver not in ready:
                continue
            else:
                answered(item, _receive_answer(receiver, process))
            process.join()
            del running[sentinel]


def _freeze() -> None:
    """Never collect what is there already: reading it would copy its pages into every process."""
    if not _COLLECTED:  # a process that was forked here has few objects that are its own, and counting all takes long
        _COLLECTED.append(True)
        gc.collect()
    gc.freeze()


def prepare_each(prepare: Callable[[Any], Any]) -> None:
    """Have every process call this with its item first, and work on what it returns."""
    _PREPARED.append(prepare)


def _answer(sender: Connection, task: Callable[[Any], Any], item: Any) -> None:
    os.setsid()  # so that a dump that runs below can be ended with its parent
    gc.enable()  # the virtualenv's process has it off while it imports; a migration may go on for hours
    sender.send(task(_PREPARED[-1](item)))
    sender.close()
    if _ENDS_AT_ONCE:
        os._exit(0)


def end_at_once() -> None:
    """Have this process end when it has given its answer, without waiting for threads."""
    _ENDS_AT_ONCE.append(True)


def _kill(pid: int) -> None:
    """Kill a process and its group, and a command that it runs in a group of its own with that group."""
    listed = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    children = [int(child) for line in listed for child in line.split()]
    for leader in [pid, *children]:
        with suppress(ProcessLookupError):
            if os.getpgid(leader) == leader:
                os.killpg(leader, signal.SIGKILL)


def _receive_answer(receiver: Connection, process: Any) -> Any:
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        code = process.exitcode
        return Died(f"it ended by signal {-code}" if code and code < 0 else f"it ended with exit code {code}")


def redirect_output(path: Path | str) -> None:
    """Send standard output and error of this process to a file (or to nowhere), and read nothing."""
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    os.close(nothing)


def redirect_descriptors(*keep: int) -> None:
    """Point every inherited descriptor but a few at nothing: an open one would keep SSH waiting for this process.

    None is closed. Code that still had its number, a log's handler for one, would write into the file that is given
    that number next, and that may be a database.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor not in (*keep, nothing):
            os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


def has_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a process for a while; where Linux can report its end, return at once."""
    if hasattr(os, "pidfd_open"):
        descriptor = os.pidfd_open(process.pid)
        try:
            select.select([descriptor], [], [], seconds)
        finally:
            os.close(descriptor)
    else:
        time.sleep(min(seconds, 0.02))
    return process.poll() is not None
