# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects that are missing since a run although none of its statements drops them: others have dropped them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .catalog import Line
from .ddl_names import Named, parse_quoted_names

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
        return _build_head(self.kind, self.name, self.part)


def list_dropped_by_others(gone_lines: Iterable[str], lines: Iterable[Line], named: Named) -> list[tuple[str, str]]:
    """Return the lines of what others have dropped, each with the table that it belonged to.

    Args:
        gone_lines: lines of the fingerprint from before that are gone.
        lines: what there is now.
        named: what the run's statements name.
    """
    there = {_build_head(line.kind, line.name, line.part) for line in lines}
    gone = [each for each in map(_read, gone_lines) if each is not None]
    taken = {each.name for each in gone if each.kind == "table" and not each.part and _is_dropped(each, named)}
    return [
        (each.text, each.table)
        for each in gone
        if each.head not in there and each.table not in taken and not _is_dropped(each, named)
    ]


def _build_head(kind: str, name: str, part: str) -> tuple[str, str, str]:
    name, part = (" ".join(text.split()) for text in (name, part))  # as a line of the fingerprint has them
    match = _HEAD.match(part)
    return "table" if kind == "system versioned" else kind, name, match[0] if match else part


def _read(text: str) -> _Gone | None:
    """Return what a line is of; None for one of the database itself, which is never gone."""
    match = next((found for each in _LINES if (found := each.fullmatch(text))), None)
    if match is None:
        return None
    names = match.groupdict()
    table = names.get("table") or (names["name"] if names["kind"] in ("table", "system versioned") else "")
    return _Gone(text, names["kind"], names["name"], table, names.get("part") or "")


def _is_dropped(gone: _Gone, named: Named) -> bool:
    """Return whether a statement of the run takes it away, by its name or with all the columns that it is of."""
    if not gone.part:
        return named.is_dropped(gone.kind, gone.name) or (bool(gone.table) and named.is_dropped("table", gone.table))
    names = parse_quoted_names(gone.part)
    if not names or gone.part.startswith("PRIMARY KEY"):
        words = {gone.part.partition(" ")[0].casefold()}
        return named.is_changed(gone.table, words) or _is_all_changed(named, gone.table, names)
    is_key = gone.part[0] != "`" and "FOREIGN KEY" not in gone.part
    return named.is_changed(gone.table, names[:1]) or (is_key and _is_all_changed(named, gone.table, names[1:]))


def _is_all_changed(named: Named, table: str, columns: list[str]) -> bool:
    return bool(columns) and all(named.is_changed(table, [column]) for column in columns)
