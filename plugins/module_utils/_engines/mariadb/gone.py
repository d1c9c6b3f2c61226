# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was there before a run and is gone, although no statement of the run takes it away: others have dropped it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .catalog import Line
from .named import Named

#: A line of the fingerprint in its parts; where a name contains what is behind it, the name is cut, and not found.
_LINES = (
    re.compile(r"(?P<kind>table|system versioned) (?P<name>.+?)(?:: (?P<part>.+))?"),
    re.compile(r"(?P<kind>sequence) (?P<name>.+?): .*"),
    re.compile(r"(?P<kind>view|event) (?P<name>.+?) by .*"),
    re.compile(r"(?P<kind>trigger) (?P<name>.+?) on (?P<table>.+?) by .*"),
    re.compile(r"(?P<kind>procedure|function|package body|package) (?P<name>.+?)\(.*"),
)
#: What a part of a table begins with, up to its name.
_HEAD = re.compile(
    r"(?:CONSTRAINT |(?:(?:UNIQUE|FULLTEXT|SPATIAL) )?KEY )?`(?:[^`]|``)+`|PRIMARY KEY|PERIOD|PARTITION|\)"
)
_QUOTED = re.compile(r"`((?:[^`]|``)+)`")


@dataclass(frozen=True)
class _Gone:
    text: str
    kind: str
    name: str
    table: str
    part: str

    @property
    def head(self) -> tuple[str, str, str]:
        """Return what stays where only what is behind it changes."""
        match = _HEAD.match(self.part)
        kind = "table" if self.kind == "system versioned" else self.kind
        return kind, self.name, match[0] if match else self.part


def gone_by_others(left: Iterable[str], lines: Iterable[Line], named: Named) -> list[tuple[str, str]]:
    """Return the lines of what others have dropped, each with the table that it belonged to.

    Args:
        left: the differences of fingerprints.
        lines: what there is now.
        named: what the run's statements name.
    """
    there = {
        _Gone("", line.kind, " ".join((line.table if line.part else line.name).split()), "", _blanks(line.part)).head
        for line in lines
    }
    gone = [each for line in left if line.startswith("-") for each in _read(line[1:])]
    taken = {each.name for each in gone if each.kind == "table" and not each.part and _is_dropped(each, named)}
    return [
        (each.text, each.table)
        for each in gone
        if each.head not in there and each.table not in taken and not _is_dropped(each, named)
    ]


def _read(text: str) -> Iterator[_Gone]:
    match = next((found for each in _LINES if (found := each.fullmatch(text))), None)
    if match is not None:
        names = match.groupdict()
        table = names.get("table") or (names["name"] if names["kind"] in ("table", "system versioned") else "")
        yield _Gone(text, names["kind"], names["name"], table, names.get("part") or "")


def _is_dropped(gone: _Gone, named: Named) -> bool:
    """Return whether a statement of the run takes it away, by its name or with all the columns that it is of."""
    if not gone.part:
        return named.drops(gone.kind, gone.name) or (bool(gone.table) and named.drops("table", gone.table))
    names = [name.replace("``", "`").casefold() for name in _QUOTED.findall(gone.part)]
    if not names or gone.part.startswith("PRIMARY KEY"):
        words = {gone.part.partition(" ")[0].casefold()}
        return named.changes(gone.table, words) or _all_change(named, gone.table, names)
    is_key = gone.part[0] != "`" and "FOREIGN KEY" not in gone.part
    return named.changes(gone.table, names[:1]) or (is_key and _all_change(named, gone.table, names[1:]))


def _all_change(named: Named, table: str, columns: list[str]) -> bool:
    return bool(columns) and all(named.changes(table, [column]) for column in columns)


def _blanks(text: str) -> str:
    return " ".join(text.split())
