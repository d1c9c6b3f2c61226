"""What a kind of object is: how it is made and dropped, and how a revision may change it and change it back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Statements = tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """What one revision does to one object, and what its downgrade does, which need not be the exact reverse."""

    words: str
    forward: Statements
    backward: Statements
    #: It has to be the only statement of its transaction, as CREATE INDEX CONCURRENTLY.
    single: bool = False


@dataclass(frozen=True)
class Kind:
    """One kind of object; ``{n}`` in its statements is the name of the one that is meant."""

    name: str
    make: Statements
    drop: Statements
    changes: tuple[Change, ...] = ()
    #: Only a superuser makes it.
    superuser: bool = False

    def all_changes(self) -> tuple[Change, ...]:
        """What a revision may do to an object that is there."""
        lossy = Change("is dropped, and made anew by the downgrade", self.drop, self.make)
        return (*self.changes, lossy)

    def addition(self) -> Change:
        """What a revision does that brings a new object."""
        return Change("is made", self.make, self.drop)


def words(statements: str | Iterable[str]) -> Statements:
    return (statements,) if isinstance(statements, str) else tuple(statements)


def change(
    text: str, forward: str | Iterable[str], backward: str | Iterable[str] = (), *, single: bool = False
) -> Change:
    return Change(text, words(forward), words(backward), single)


def kind(name: str, make: str | Iterable[str], drop: str | Iterable[str], *changes: Change) -> Kind:
    return Kind(name, words(make), words(drop), changes)


def named(statements: Iterable[str], name: str) -> Statements:
    """Return statements with the name of the object that is meant."""
    return tuple(statement.replace("{n}", name) for statement in statements)
