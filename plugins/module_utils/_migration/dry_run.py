# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running env.py only to read the revisions of a database: in a process that is thrown away, changing nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._core.errors import Refused
from .._core.processes import Died, run_in_processes
from .._engines.interface import Engine
from .explanations import explain_ended_process

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

#: Runs env.py, aimed at a copy if there is one.
Read = Callable[["URL | None"], Any]

#: Runs it in a process that is not forked here, given whether what it writes is to run; raises Died.
Elsewhere = Callable[[bool], "Found"]

#: What is left of the time that a plan may take to the process that waits for this process.
SHARE = 0.9


@dataclass
class Found:
    """The result of a process that read env.py, and how it ended."""

    value: Any = None
    refusal: Refused | None = None
    #: The statements that were kept from changing the database.
    writes: list[str] = field(default_factory=list)


class WritesBefore(Exception):
    """env.py writes before it migrates, so it has to be run once more, in another process."""


def run_here(engine: Engine, read: Read) -> Any:
    """Do what ``run_dry`` does in this process, which is thrown away soon.

    Raises:
        WritesBefore: it did.
        Refused: as ``run_dry``.
    """
    answer = read_env_py(engine, read, uncommitted=False)
    if answer.writes:
        raise WritesBefore
    engine.close_opened()
    if answer.refusal is not None:
        raise answer.refusal
    return answer.value


def run_dry(engine: Engine, name: str, seconds: float, read: Read, elsewhere: Elsewhere | None = None) -> Any:
    """Call ``read``, which runs env.py, in a process of its own, and return what it returns.

    An env.py that writes before it migrates is run a second time: in transactions that are never committed, or on a
    copy.

    Args:
        engine: keeps connections that are opened meanwhile from changing anything.
        name: of the database.
        seconds: how long it may take; 0 for ever.
        read: runs env.py, aimed at the copy if it is given one; its answer must be picklable.
        elsewhere: does so in a process that was forked before.

    Raises:
        Refused: it did, or did not finish.
    """

    def run(uncommitted: bool) -> Found:
        if elsewhere is None:
            return _read_in_process(engine, seconds, read, uncommitted=uncommitted)
        return elsewhere(uncommitted)

    try:
        answer = run(False)
        writes = answer.writes
        if writes:
            answer = run(True)
    except Died as death:
        raise build_no_end_refusal(name, seconds, death) from death
    if answer.refusal is None:
        return answer.value
    if writes and answer.writes:
        raise Refused(
            f"env.py changes database {name!r} before it runs migrations, so it cannot be planned without changing it",
            f"{answer.writes[0]}: {answer.refusal.why}",
            "Let env.py do so in a transaction of SQLAlchemy, or put it into a revision",
            code="env-py-writes",
        )
    raise answer.refusal


def _read_in_process(engine: Engine, seconds: float, read: Read, *, uncommitted: bool) -> Found:
    engine.read_own_identity()  # what is known before the fork need not be read there
    engine.prepare_fork()
    answers: list[Any] = []

    def run_task(_item: None) -> Found:
        engine.handle_fork()
        return read_env_py(engine, read, uncommitted=uncommitted)

    run_in_processes([None], 1, run_task, seconds * SHARE, lambda _item, answer: answers.append(answer))
    if isinstance(answers[0], Died):
        raise answers[0]
    found: Found = answers[0]
    return found


def read_env_py(engine: Engine, read: Read, *, uncommitted: bool) -> Found:
    """Return what env.py says in this process, and which writes of it were refused."""
    answer = Found()
    with engine.watch_connections(), engine.keep_read_only(answer.writes, uncommitted=uncommitted) as copy:
        try:
            answer.value = read(copy)
        except Refused as refusal:
            answer.refusal = refusal
            if engine.was_kept(refusal) and not answer.writes:  # past SQLAlchemy
                answer.writes.append("a statement of a connection that env.py opens by itself")
    return answer


def build_no_end_refusal(name: str, seconds: float, death: Died) -> Refused:
    """Return the refusal for an env.py in which its process ended, or had to be ended."""
    if death.is_late:
        return Refused(
            f"env.py did not finish within {seconds:g} s for {name!r}",
            "nothing was changed",
            "See what it waits for on the host, or raise migrate_plan_timeout",
            code="env-py-timeout",
        )
    return Refused(
        f"env.py ended its process for {name!r}",
        str(death),
        explain_ended_process(str(death)),
        code="env-py-ended",
    )
