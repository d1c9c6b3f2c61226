"""What a fault is: words for the table, the engines it applies to, how it may end, and how it is brought about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.faults.scene import Scene

#: Brings the fault about in a run that has ended when it yields; takes the fault away after that.
Inject = Callable[[Scene], Iterator[None]]

BOTH = ("postgresql", "sqlite")
POSTGRESQL = ("postgresql",)
SQLITE = ("sqlite",)


@dataclass(frozen=True)
class Fault:
    """One entry of the suite."""

    part: str
    words: str
    inject: Inject
    #: Any of old, new, held; "cut" where nobody was left to lead the database back, which the next run has to do.
    ends: frozenset[str]
    engines: tuple[str, ...]


FAULTS: list[Fault] = []


def fault(words: str, ends: str, engines: tuple[str, ...] = BOTH) -> Callable[[Inject], Inject]:
    """Enter a fault into the suite."""

    def enter(inject: Inject) -> Inject:
        FAULTS.append(Fault(inject.__module__.rpartition(".")[2], words, inject, frozenset(ends.split()), engines))
        return inject

    return enter
