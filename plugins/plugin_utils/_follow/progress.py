# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines that are printed while many databases are worked on: how many have ended, how long the rest will take.

The forks of all hosts write into one file, so that a run prints a line a second at most, however many hosts it has.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .._report.causes import build_cause_key, list_short_lines
from .._report.cells import format_seconds
from .._report.failures import BAD
from .._report.grouping import MOST_ROWS
from .._run import invocation

#: Seconds between two lines at least, so that they can be read.
SHORTEST_PAUSE = 1.0
#: A line is printed once so large a part more has ended: a run of a thousand databases is to be a screen.
_PART = 1 / 3
#: Else after so many seconds, or so large a part of the time so far: it still goes on.
_PAUSES = (60.0, 900.0)
_PART_OF_THE_TIME = 0.5
#: Seconds after which it is printed that a database waits for a session: a person may end that.
_WAITING = 30.0
_WAITS = "waits for"
_UNITS = ((3600, "h"), (60, "min"))


@dataclass
class Shared:
    """The facts that the hosts of a run share of one verb; times are of the controller's monotonic clock."""

    began: float
    #: How many databases had ended at the first poll, and when that was.
    first: tuple[float, int] | None = None
    shown_at: float = 0.0
    shown: int = 0
    #: For each host, how many databases it has, have ended, and have ended badly.
    hosts: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    #: The causes of failures of which a line was printed, as digests.
    causes: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Return how many databases are known."""
        return sum(total for total, _done, _bad in self.hosts.values())

    @property
    def done(self) -> int:
        """Return how many have ended."""
        return sum(done for _total, done, _bad in self.hosts.values())

    @property
    def bad(self) -> int:
        """Return how many have ended badly."""
        return sum(bad for _total, _done, bad in self.hosts.values())


class Progress:
    """The lines of one host's part of a verb.

    Args:
        verb: what is done.
        host: the host that does it.
        hosts: how many hosts the play has.
        expected: how many databases the run has as far as it is known; more may turn up.
        shows_all: whether each line of the host is printed.
        clock: returns seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        verb: str,
        host: str,
        *,
        hosts: int = 1,
        expected: int = 0,
        shows_all: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verb = verb
        self._host = host
        self._hosts = hosts
        self._expected = expected
        self._shows_all = shows_all
        self._clock = clock
        self._started = clock()
        self._known: set[str] = set()
        #: What was printed, for the result of the task.
        self.printed: list[str] = []

    def list_lines(self, results: Sequence[Result], total: int, details: Sequence[str]) -> list[str]:
        """Return what to print now.

        Args:
            results: of the databases that have ended.
            total: how many databases the host has.
            details: what happened in each of them, for where they are few.
        """
        each = (self._shows_all and details) or max(total, self._expected or total * self._hosts) <= MOST_ROWS
        lines = self._render_few(details) if each else self._render_many(results, total, details)
        self.printed += lines
        return lines

    def _render_few(self, details: Sequence[str]) -> list[str]:
        return [f"{self._host} | {line}" for line in details]

    def _render_many(self, results: Sequence[Result], total: int, details: Sequence[str]) -> list[str]:
        bad = [each for each in results if each.get("outcome") in BAD]
        new = [each for each in results if each["name"] not in self._known]
        now = self._clock()
        with invocation.hold_lock("progress"):
            shared = self._read(now)
            shared.hosts[self._host] = (total, len(results), len(bad))
            shared.first = shared.first or (now, shared.done)
            unheard = [cause for cause in self._list_causes(bad) if cause not in shared.causes]
            is_due = now - shared.shown_at >= SHORTEST_PAUSE and (
                unheard or self._is_due(shared, now, waits=any(_WAITS in line for line in details))
            )
            if is_due:
                shared.shown_at, shared.shown = now, shared.done
                shared.causes += unheard
            self._write(shared)
        if not is_due:
            return []
        self._known |= {each["name"] for each in results}
        which = self._describe_one(bad if unheard else new, details)
        return [self._format_line(shared, which, now)]

    def _is_due(self, shared: Shared, now: float, *, waits: bool) -> bool:
        if not shared.shown_at and shared.done:  # the first line says that there are others to come
            return True
        shortest, longest = _PAUSES
        pause = min(max(shortest, (now - shared.began) * _PART_OF_THE_TIME), longest)
        part = max(1, round(self._count_total(shared) * _PART))
        pause = min(pause, _WAITING) if waits else pause
        return shared.done - shared.shown >= part or now - max(shared.shown_at, shared.began) >= pause

    def _count_total(self, shared: Shared) -> int:
        return max(shared.total, self._expected)

    def _describe_one(self, ended: Sequence[Result], details: Sequence[str]) -> str:
        """Return what one database is about: the last that has ended, else what is being done, or waited for."""
        if ended:
            last = ended[-1]
            return f"{last['name']} {_describe_end(last)}"
        waiting = [line for line in details if _WAITS in line]
        return (waiting or list(details) or ["at work"])[-1]

    def _format_line(self, shared: Shared, which: str, now: float) -> str:
        where = f"{self._host} | " if self._hosts > 1 else ""
        bad = f", {shared.bad} need{'s' if shared.bad == 1 else ''} a person" if shared.bad else ""
        return f"[{shared.done}/{self._count_total(shared)}] {where}{which}{bad}{self._estimate_left(shared, now)}"

    def _estimate_left(self, shared: Shared, now: float) -> str:
        """Return an estimate of the time that is left, from the pace since the first poll; at that, since the call."""
        since, done_then = shared.first or (now, 0)
        if done_then == shared.done:
            since, done_then = self._started, 0
        done = shared.done - done_then
        rest = self._count_total(shared) - shared.done
        if done <= 0 or rest <= 0 or now - since < SHORTEST_PAUSE:
            return ""
        return f", about {format_duration(rest * (now - since) / done)} left"

    @staticmethod
    def _list_causes(bad: Sequence[Result]) -> list[str]:
        texts = {build_cause_key(str(Refused.of(each["error"])), each["name"]) for each in bad if each.get("error")}
        return [hashlib.sha256(text.encode()).hexdigest()[:16] for text in sorted(texts)]

    def _read(self, now: float) -> Shared:
        facts = invocation.read_shared("progress", self._verb)
        return Shared(**facts) if facts else Shared(began=now)

    def _write(self, shared: Shared) -> None:
        invocation.share_facts("progress", self._verb, asdict(shared))


def _describe_end(result: Result) -> str:
    """Return how a database has ended, in few words."""
    outcome = str(result["outcome"]).replace("_", " ")
    if result.get("error"):
        (cause, *_more) = list_short_lines([("", result["error"])])
        return f"{outcome}: {cause}"
    took = format_seconds(result.get("seconds"))
    return f"{outcome} in {took}" if took else outcome


def format_duration(value: float) -> str:
    """Return seconds in the largest unit of which there is at least one and a half."""
    for length, unit in _UNITS:
        if value >= 1.5 * length:
            return f"{value / length:.0f} {unit}"
    return f"{value:.0f} s"
