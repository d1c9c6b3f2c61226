# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shapes of values from a host. Each returns the value reduced to it, or raises ``Unfit``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.printable import escape_unprintable

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")

#: What 10,000 databases with a few thousand characters each take.
LONGEST_ANSWER = 64 << 20


class Unfit(Exception):
    """A value is not what was declared; its text names the place and never the value."""

    def __init__(self, problem: str, place: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.place = place

    def with_key(self, key: str) -> Unfit:
        """Return the same, one level further up."""
        return Unfit(self.problem, f"{key}.{self.place}" if self.place else key)

    def __str__(self) -> str:
        return f"{self.place or 'it'} {self.problem}"


def check_total(value: Any) -> None:
    """Make sure that an answer is not too long as a whole, be it long texts in long lists.

    Raises:
        Unfit: it is.
    """
    characters, rest = 0, [value]
    while rest:
        each = rest.pop()
        if isinstance(each, Mapping):
            rest += [*each, *each.values()]
        elif isinstance(each, (list, tuple)):
            rest += each
        characters += len(each) if isinstance(each, str) else 1
        if characters > LONGEST_ANSWER:
            raise Unfit(f"is longer than {LONGEST_ANSWER} characters")


class Shape:
    """A shape that a value may have; null is always allowed."""

    def reduce(self, value: Any) -> Any:
        """Return the value as declared.

        Raises:
            Unfit: it is something else.
        """
        return None if value is None else self.reduce_value(value)

    def reduce_value(self, value: Any) -> Any:
        """Return a value that is not null as declared."""
        raise NotImplementedError


@dataclass(frozen=True)
class Text(Shape):
    """Printable text, cut where it is too long."""

    longest: int = 20_000
    lines: bool = True

    def reduce_value(self, value: Any) -> str:
        """Return the text with everything written out that a terminal would act on."""
        if not isinstance(value, str):
            raise Unfit("is not text")
        kept = escape_unprintable(value[: self.longest], lines=self.lines)
        return kept if len(value) <= self.longest else f"{kept} … ({len(value) - self.longest} characters more)"


@dataclass(frozen=True)
class Choice(Shape):
    """One of some words, all of them our own."""

    words: tuple[str, ...]

    def reduce_value(self, value: Any) -> str:
        """Return our own copy of the word."""
        for word in self.words:
            if isinstance(value, str) and value == word:
                return word
        raise Unfit("is none of the words that are known here")


@dataclass(frozen=True)
class Match(Shape):
    """Text of a pattern; it is never cut."""

    pattern: re.Pattern[str]

    def reduce_value(self, value: Any) -> str:
        """Return the text."""
        if not isinstance(value, str) or not self.pattern.fullmatch(value):
            raise Unfit("is not of the form that it must have")
        return str(value)


@dataclass(frozen=True)
class Either(Shape):
    """One of two kinds of things; the second reports what is wrong."""

    first: Shape
    second: Shape

    def reduce_value(self, value: Any) -> Any:
        """Return the value as the first declares it, else as the second."""
        try:
            return self.first.reduce_value(value)
        except Unfit:
            return self.second.reduce_value(value)


@dataclass(frozen=True)
class Base64(Shape):
    """Bytes in base64, at most so many of them."""

    longest: int

    def reduce_value(self, value: Any) -> str:
        """Return the text, not decoded."""
        if not isinstance(value, str) or len(value) > self.longest * 4 // 3 + 4 or not _BASE64.fullmatch(value):
            raise Unfit(f"is not base64 of at most {self.longest} bytes")
        return str(value)


@dataclass(frozen=True)
class Flag(Shape):
    """True or false."""

    def reduce_value(self, value: Any) -> bool:
        """Return it."""
        if not isinstance(value, bool):
            raise Unfit("is not true or false")
        return value


@dataclass(frozen=True)
class Number(Shape):
    """A number that is one: not infinite, not absurdly large."""

    whole: bool = False

    def reduce_value(self, value: Any) -> float:
        """Return it."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            raise Unfit("is not a number")
        if not abs(value) < 1 << 62:
            raise Unfit("is too large a number")
        return value


@dataclass(frozen=True)
class Items(Shape):
    """A list of one kind of thing."""

    of: Shape
    most: int = 10_000

    def reduce_value(self, value: Any) -> list[Any]:
        """Return each reduced."""
        if not isinstance(value, (list, tuple)) or len(value) > self.most:
            raise Unfit(f"is not a list of at most {self.most}")
        made = []
        for number, item in enumerate(value):
            try:
                made.append(self.of.reduce(item))
            except Unfit as unfit:
                raise unfit.with_key(str(number)) from None
        return made


@dataclass(frozen=True)
class Table(Shape):
    """Values of one kind under names of their own."""

    of: Shape
    name: Shape = field(default_factory=lambda: Text(1000, lines=False))
    most: int = 100_000

    def reduce_value(self, value: Any) -> dict[str, Any]:
        """Return names and values reduced."""
        if not isinstance(value, Mapping) or len(value) > self.most:
            raise Unfit(f"is not a dictionary of at most {self.most}")
        made = {}
        for name, item in value.items():
            kept = self.name.reduce(name)
            try:
                made[kept] = self.of.reduce(item)
            except Unfit as unfit:
                raise unfit.with_key(str(kept)) from None
        return made


@dataclass(frozen=True)
class Record(Shape):
    """A dictionary of which only what is declared is kept."""

    fields: Mapping[str, Shape]

    def reduce_value(self, value: Any) -> dict[str, Any]:
        """Return the declared fields that are there, reduced."""
        if not isinstance(value, Mapping):
            raise Unfit("is not a dictionary")
        made = {}
        for key, shape in self.fields.items():
            if key in value:
                try:
                    made[key] = shape.reduce(value[key])
                except Unfit as unfit:
                    raise unfit.with_key(key) from None
        return made

    def list_unknown_keys(self, value: Mapping[str, Any]) -> list[str]:
        """Return the keys of a dictionary that are not kept."""
        return [key for key in value if key not in self.fields]


@dataclass(frozen=True)
class Whole(Record):
    """A dictionary with all that is declared: text that is missing or null is empty."""

    def reduce_value(self, value: Any) -> dict[str, Any]:
        """Return all declared fields."""
        made = super().reduce_value(value)
        return {key: "" if made.get(key) is None else made[key] for key in self.fields}


@dataclass(frozen=True)
class Named(Items):
    """A list of dictionaries, each with a name that no other one has."""

    def reduce_value(self, value: Any) -> list[Any]:
        """Return each reduced."""
        made = super().reduce_value(value)
        names = [entry["name"] for entry in made if entry and entry.get("name") is not None]
        if len(names) < len(made) or len({*names}) < len(names):
            raise Unfit("is not a list in which each has a name of its own")
        return made


@dataclass(frozen=True)
class Opaque(Shape):
    """Plain data that goes back to the host it came from, and nowhere else."""

    longest: int = 4 << 20

    def reduce_value(self, value: Any) -> Any:
        """Return a copy, as JSON holds it."""
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise Unfit("is not plain data") from None
        if len(text) > self.longest:
            raise Unfit(f"is longer than {self.longest} characters")
        return json.loads(text)
