# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backups of a host's databases, as people read them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused, first_of
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result
from ansible_collections.hosting.alembic.plugins.module_utils._core.revisions import heads_or_base

from .cells import moment
from .grouping import Column, View, listing, name_column
from .sizes import size
from .tables import table

#: Of each database so many are printed, the newest; the module's result has more.
_MOST = 20
_LONGEST_CELL = 60
_HEADINGS = ("DATABASE", "TAKEN (UTC)", "AGE", "SIZE", "REVISION", "RUN", "PROVEN", "SEALED", "COPIES")
_UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"))


def backup_lines(listed: Result, view: View) -> tuple[list[str], list[str]]:
    """Return a table of backups, grouped by database, and what could not be read.

    Of many databases, how many backups each has and when the newest was taken.
    """
    entries = listed.get("databases", [])
    problems = [line for entry in entries for line in _problems(entry)]
    if view.groups(len(entries)):
        lines = listing(_columns_of_many(), entries, view, _lacks_backup)
    else:
        rows = [[str(entry.get("host", "")), *row] for entry in entries for row in _rows(entry)]
        lines = table(("HOST", *_HEADINGS), rows)
    return lines, view.limit_lines(problems)


def _lacks_backup(entry: Result) -> bool:
    return not entry.get("backups") or bool(entry.get("problem")) or _newest(entry).get("proven") is False


def _columns_of_many() -> list[Column]:
    return [
        name_column(),
        Column("BACKUPS", _count),
        Column("NEWEST (UTC)", _render_taken, lambda entries: f"{min(map(_render_taken, entries))} or later"),
        Column("SIZE", lambda entry: size(_sizes(entry)), lambda entries: size(sum(map(_sizes, entries)))),
        *(Column(heading, partial(_cell, heading=heading)) for heading in ("REVISION", "PROVEN", "SEALED", "COPIES")),
    ]


def _newest(entry: Result) -> Result:
    return dict(entry["backups"][0]) if entry.get("backups") else {}


def _count(entry: Result) -> str:
    backups = entry.get("backups")
    return "unknown" if backups is None else str(len(backups) + (entry.get("more") or 0))


def _render_taken(entry: Result) -> str:
    return moment(_newest(entry).get("taken") or "")


def _sizes(entry: Result) -> int:
    return sum(backup.get("size") or 0 for backup in entry.get("backups") or [])


def _cell(entry: Result, heading: str) -> str:
    newest = _newest(entry)
    return dict(zip(_HEADINGS, _cells(newest)))[heading] if newest else ""


def _rows(entry: Result) -> Iterator[list[str]]:
    backups = entry.get("backups")
    if not backups:
        yield [entry["name"], "unknown" if backups is None else "none", *[""] * 7]
        return
    for number, backup in enumerate(backups[:_MOST]):
        yield ["" if number else entry["name"], *_cells(backup)[1:]]
    more = len(backups[_MOST:]) + (entry.get("more") or 0)
    if more:
        yield ["", f"and {more} more", *[""] * 7]


def _cells(backup: Result) -> list[str]:
    """Return the cells of one backup; the first is left to the name of its database."""
    return [
        "",
        _of(backup, "taken", moment),
        _of(backup, "age", age),
        _of(backup, "size", size),
        _of(backup, "revision", lambda heads: _shorten(heads_or_base(heads))),
        str(backup.get("run") or ""),
        _of(backup, "proven", _yes_or_no),
        _of(backup, "sealed", _yes_or_no),
        _of(backup, "copies", lambda copies: _shorten(first_of(sorted(copies), 3) or "none")),
    ]


def _of(backup: Result, key: str, in_words: Any) -> str:
    value = backup.get(key)
    return "unknown" if value is None else str(in_words(value))


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def age(seconds: float) -> str:
    """Return seconds in the largest unit of which there are at least two."""
    for length, unit in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _shorten(words: str) -> str:
    return words if len(words) <= _LONGEST_CELL else f"{words[: _LONGEST_CELL - 2]} …"


def _problems(entry: Result) -> Iterator[str]:
    for problem in [entry.get("problem"), *(backup.get("problem") for backup in entry.get("backups") or [])]:
        if problem:
            yield f"WARNING: {entry['name']}: {Refused.of(problem)}"
