# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs only because of what a run's statements name, although they do not name it themselves.

A key of a column that is renamed, a foreign key to a table that is renamed, a column whose table gets another character
set, a trigger whose place among the others is another one. Each was there before: what is new is not found here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .catalog import Line
from .named import Named

_IDENTIFIER = re.compile(r"`((?:[^`]|``)+)`(?:\(\d+\))?")
_SEPARATORS = re.compile(r"[\s,]+")
#: What a conversion to another character set changes in a column: that, and the type of a longer text.
_CHARACTERS = re.compile(r" (?:CHARACTER SET|COLLATE) \w+")
_TEXT = re.compile(r" (?:tiny|medium|long)?(?:text|blob)\b")
_BINARY = re.compile(r" (var)?binary\(")
_ORDER = re.compile(r" ((?:BEFORE|AFTER) (?:INSERT|UPDATE|DELETE)) \d+ ")


class Followed:
    """Finds what a run's statements have changed without naming it.

    Args:
        named: what they name.
        left: the differences of fingerprints.
        lines: what there is now.
    """

    def __init__(self, named: Named, left: Iterable[str], lines: Iterable[Line]) -> None:
        self._named = named
        self._lines = list(lines)
        self._gone = [line[1:] for line in left if line.startswith("-")]

    def has_part(self, line: Line, head: str) -> bool:
        """Return whether a part of a table was there before, and differs only in what statements name.

        So does one of a table that is made like another, or renamed, where that other one has a part of its name.

        Args:
            line: of the part, as it is now.
            head: what it begins with, up to its name.
        """
        sources, head = self._named.sources_of(line.table), _without_blanks(head)
        if any(part.startswith(head) for table in sources for part in self._parts_of(table, line.table)):
            return True
        before = next((part for part in self._gone_of(line.table) if part.startswith(head)), None)
        return before is not None and self._differs_by_names(before, _without_blanks(line.part), line.table)

    def has_trigger(self, line: Line) -> bool:
        """Return whether a trigger was there before, and only its place or the name of its table is another one."""
        if line.kind != "trigger":
            return False
        tables = {line.table, *self._named.sources_of(line.table)}
        now = _trigger(line.text, line.name, line.table)
        return now in {
            _trigger(text, line.name, table)
            for table in tables
            for text in self._gone
            if text.startswith(_trigger_head(line.name, table))
        }

    def _gone_of(self, table: str) -> Iterator[str]:
        head = f"table {_without_blanks(table)}: "
        return (text.removeprefix(head) for text in self._gone if text.startswith(head))

    def _parts_of(self, table: str, now: str) -> Iterator[str]:
        """Return the parts that a table had, and those that it has unless it is the one that may be others'."""
        yield from self._gone_of(table)
        if table != now:
            yield from (_without_blanks(line.part) for line in self._lines if line.table == table and line.part)

    def _differs_by_names(self, before: str, now: str, table: str) -> bool:
        names = _names_in(before), _names_in(now)
        known = self._named.words_of({table, *names[0], *names[1]})
        is_recoded = self._named.recodes(table)
        if not {name.casefold() for name in names[0] ^ names[1]} <= known:
            return False
        return _skeleton(before, is_recoded) == _skeleton(now, is_recoded)


def _names_in(text: str) -> set[str]:
    return {name.replace("``", "`") for name in _IDENTIFIER.findall(text)}


def _skeleton(text: str, is_recoded: bool) -> str:
    """Return what a part says without its names."""
    if is_recoded:
        text = _BINARY.sub(r" \1char(", _TEXT.sub(" text", _CHARACTERS.sub("", text)))
    return _SEPARATORS.sub("", _IDENTIFIER.sub("", text))


def _without_blanks(text: str) -> str:
    return " ".join(text.split())


def _trigger_head(name: str, table: str) -> str:
    return f"trigger {_without_blanks(name)} on {_without_blanks(table)} by "


def _trigger(text: str, name: str, table: str) -> str:
    return _ORDER.sub(r" \1 ", text.removeprefix(_trigger_head(name, table)), count=1)
