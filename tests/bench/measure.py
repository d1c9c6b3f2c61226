"""Taking turns at a clock: contenders run one after the other, several times over, and their medians are compared."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..lab import PROJECT

BIN = Path(sys.executable).parent

#: Python keeps compiled files by default, ours and Alembic's alike.
_LEFT_OUT = {"PYTHONDONTWRITEBYTECODE"}


@dataclass
class Contender:
    """One way of doing the work. ``prepare`` is not timed; both are given the number of the turn."""

    name: str
    #: Returns the seconds that count, where they are not all of its own: a task's, without the start of Ansible.
    run: Callable[[int], float | None]
    prepare: Callable[[int], None] = lambda _turn: None
    #: How many times the work the others do; a slow loop does a slice of it, and its time is scaled up.
    share: float = 1
    seconds: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Return the median of all turns, in seconds for the whole work."""
        return statistics.median(self.seconds) / self.share

    @property
    def median_of_whole(self) -> float:
        """Return the median of all turns with what does not count."""
        return statistics.median(self.whole) / self.share

    def reported(self) -> str:
        """Return the median, and the whole where not all of it counts."""
        whole = self.median_of_whole
        total = f" ({whole:.2f} s in all)" if whole > self.median else ""
        return f"{self.name} {self.median:.2f} s{total}"


@dataclass
class Comparison(ABC):
    """Our time beside another's. Without a limit it is given and not judged."""

    meaning: str
    ours: Contender
    theirs: Contender
    limit: float | None = None

    @property
    @abstractmethod
    def value(self) -> float:
        """Return what is judged."""

    @staticmethod
    @abstractmethod
    def shown(value: float) -> str:
        """Return a value with its unit."""

    @property
    def kept(self) -> bool:
        """Return whether the value is within its limit."""
        return self.limit is None or self.value <= self.limit

    def reported(self) -> str:
        """Return the value, its meaning, and the times behind it."""
        verdict = "kept" if self.kept else "MISSED"
        judged = f"  at most {self.shown(self.limit)}: {verdict}" if self.limit else ""
        return (
            f"{self.shown(self.value):>8}{judged}\n          {self.meaning}\n"
            f"          {self.ours.reported()}, {self.theirs.reported()}"
        )


class Ratio(Comparison):
    """Our time divided by another's."""

    @property
    def value(self) -> float:
        """Return the ratio of the medians."""
        return self.ours.median / self.theirs.median

    @staticmethod
    def shown(value: float) -> str:
        """Return a number, below one as a fraction."""
        return f"1/{1 / value:.3g}" if value < 1 else f"{value:.3g}"


@dataclass
class RatioBeyond(Ratio):
    """Our time divided by another's, but for the seconds that it may take however little there is to do."""

    allowance: float = 0

    @property
    def value(self) -> float:
        """Return the ratio of the medians, ours without the allowance."""
        return max(self.ours.median - self.allowance, 0.01) / self.theirs.median


class Difference(Comparison):
    """Our time less another's."""

    @property
    def value(self) -> float:
        """Return the difference of the medians."""
        return self.ours.median - self.theirs.median

    @staticmethod
    def shown(value: float) -> str:
        """Return seconds."""
        return f"{value:+.2f} s"


@dataclass
class Limited:
    """A figure that is judged by itself."""

    meaning: str
    value: float
    unit: str
    limit: float

    @property
    def kept(self) -> bool:
        """Return whether it is within its limit."""
        return self.value <= self.limit

    def reported(self) -> str:
        """Return the figure and its meaning."""
        verdict = "kept" if self.kept else "MISSED"
        return f"{self.value:>6.2f} {self.unit}  at most {self.limit:g}: {verdict}\n          {self.meaning}"


def take_turns(contenders: Sequence[Contender], turns: int) -> None:
    """Let each contender run once a turn, so that whatever else the machine does falls on all of them."""
    for turn in range(turns):
        for contender in contenders:
            contender.prepare(turn)
            begun = time.perf_counter()
            counted = contender.run(turn)
            contender.whole.append(time.perf_counter() - begun)
            contender.seconds.append(contender.whole[-1] if counted is None else counted)
            print(f"  {contender.name}, turn {turn + 1}: {contender.seconds[-1]:.2f} s", file=sys.stderr, flush=True)


def _environment() -> dict[str, str]:
    """Return this process's environment without what a developer may have set to change what is measured."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_") and name not in _LEFT_OUT
    }


def must(argv: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path = PROJECT) -> str:
    """Run a command that has to succeed; return what it printed.

    Raises:
        RuntimeError: it failed; a time without work behind it means nothing.
    """
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**_environment(), **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


@dataclass
class Played:
    """What a playbook printed, and how long each of its tasks took."""

    output: str
    tasks: dict[str, float]

    def seconds(self, task: str) -> float:
        """Return the time of the task whose name holds some words."""
        [seconds] = [seconds for name, seconds in self.tasks.items() if task in name]
        return seconds


def playbook(name: Path | str, inventory: Path, env: Mapping[str, str] | None = None, **variables: str) -> Played:
    """Run a playbook with the checkout's settings, as a person would."""
    extra = [word for key, value in variables.items() for word in ("--extra-vars", f"{key}={value}")]
    with tempfile.TemporaryDirectory() as folder:
        times = Path(folder) / "times.json"
        settings = {
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "times",
            "HOSTING_ALEMBIC_TIMES": str(times),
            **(env or {}),
        }
        output = must([BIN / "ansible-playbook", "--inventory", inventory, *extra, name], settings)
        return Played(output, json.loads(times.read_text()))
