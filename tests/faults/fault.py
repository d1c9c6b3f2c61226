"""What a fault is: words for the table, the engines it applies to, how it may end, and how it is brought about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.faults.scene import Scene

#: Brings the fault about in a run that has ended when it yields; takes the fault away after that.
Inject = Callable[[Scene], Iterator[None]]

POSTGRESQL = ("postgresql",)
SQLITE = ("sqlite",)
MARIADB = ("mariadb",)
SERVERS = POSTGRESQL + MARIADB
ALL = (*POSTGRESQL, *SQLITE, *MARIADB)


@dataclass(frozen=True)
class Fault:
    """One entry of the suite."""

    part: str
    words: str
    inject: Inject
    #: Old, new, or held; "cut" where no process was left to revert the database, which the next run has to do. Several
    #: words where it depends on the moment, which the fault does not choose.
    ends: frozenset[str]
    engine: str


#: Filled by the modules of faults as they are imported; tests.faults.suite has imported all of them.
REGISTERED: list[Fault] = []


def fault(words: str, ends: str | dict[str, str], engines: tuple[str, ...] = ALL) -> Callable[[Inject], Inject]:
    """Register a fault in the suite; where engines end differently, ``ends`` says how each does."""

    def register(inject: Inject) -> Inject:
        part = inject.__module__.rpartition(".")[2]
        by_engine = ends if isinstance(ends, dict) else dict.fromkeys(engines, ends)
        for engine, words_of_it in by_engine.items():
            REGISTERED.append(Fault(part, words, inject, frozenset(words_of_it.split()), engine))
        return inject

    return register
