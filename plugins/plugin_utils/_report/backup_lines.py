# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backups of a host's databases, as people read them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused, describe_first
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result
from ansible_collections.hosting.alembic.plugins.module_utils._core.revisions import describe_heads

from .cells import format_moment
from .grouping import Column, View, build_name_column, render_listing
from .sizes import format_size
from .tables import render_table

#: Of each database so many are printed, the newest; the module's result has more.
_MOST = 20
_LONGEST_CELL = 60
_HEADINGS = ("DATABASE", "TAKEN (UTC)", "AGE", "SIZE", "REVISION", "RUN", "PROVEN", "SEALED", "COPIES")
_UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"))


def render_backups(listed: Result, view: View) -> tuple[list[str], list[str]]:
    """Return a table of backups, grouped by database, and what could not be read.

    Of many databases, how many backups each has and when the newest was taken.
    """
    entries = listed.get("databases", [])
    problems = [line for entry in entries for line in _list_problems(entry)]
    if view.needs_groups(len(entries)):
        lines = render_listing(_build_columns_of_many(), entries, view, _lacks_backup)
    else:
        rows = [[str(entry.get("host", "")), *row] for entry in entries for row in _list_rows(entry)]
        lines = render_table(("HOST", *_HEADINGS), rows)
    return lines, view.limit_lines(problems)


def _lacks_backup(entry: Result) -> bool:
    return not entry.get("backups") or bool(entry.get("problem")) or _find_newest(entry).get("proven") is False


def _build_columns_of_many() -> list[Column]:
    return [
        build_name_column(),
        Column("BACKUPS", _count),
        Column("NEWEST (UTC)", _render_taken, lambda entries: f"{min(map(_render_taken, entries))} or later"),
        Column(
            "SIZE",
            lambda entry: format_size(_sum_sizes(entry)),
            lambda entries: format_size(sum(map(_sum_sizes, entries))),
        ),
        *(
            Column(heading, partial(_format_cell, heading=heading))
            for heading in ("REVISION", "PROVEN", "SEALED", "COPIES")
        ),
    ]


def _find_newest(entry: Result) -> Result:
    return dict(entry["backups"][0]) if entry.get("backups") else {}


def _count(entry: Result) -> str:
    backups = entry.get("backups")
    return "unknown" if backups is None else str(len(backups) + (entry.get("more") or 0))


def _render_taken(entry: Result) -> str:
    return format_moment(_find_newest(entry).get("taken") or "")


def _sum_sizes(entry: Result) -> int:
    return sum(backup.get("size") or 0 for backup in entry.get("backups") or [])


def _format_cell(entry: Result, heading: str) -> str:
    newest = _find_newest(entry)
    return dict(zip(_HEADINGS, _list_cells(newest)))[heading] if newest else ""


def _list_rows(entry: Result) -> Iterator[list[str]]:
    backups = entry.get("backups")
    if not backups:
        yield [entry["name"], "unknown" if backups is None else "none", *[""] * 7]
        return
    for number, backup in enumerate(backups[:_MOST]):
        yield ["" if number else entry["name"], *_list_cells(backup)[1:]]
    more = len(backups[_MOST:]) + (entry.get("more") or 0)
    if more:
        yield ["", f"and {more} more", *[""] * 7]


def _list_cells(backup: Result) -> list[str]:
    """Return the cells of one backup; the first is left to the name of its database."""
    return [
        "",
        _of(backup, "taken", format_moment),
        _of(backup, "age", format_age),
        _of(backup, "size", format_size),
        _of(backup, "revision", lambda heads: _shorten(describe_heads(heads))),
        str(backup.get("run") or ""),
        _of(backup, "proven", _format_yes_or_no),
        _of(backup, "sealed", _format_yes_or_no),
        _of(backup, "copies", lambda copies: _shorten(describe_first(sorted(copies), 3) or "none")),
    ]


def _of(backup: Result, key: str, in_words: Any) -> str:
    value = backup.get(key)
    return "unknown" if value is None else str(in_words(value))


def _format_yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def format_age(seconds: float) -> str:
    """Return seconds in the largest unit of which there are at least two."""
    for length, unit in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _shorten(words: str) -> str:
    return words if len(words) <= _LONGEST_CELL else f"{words[: _LONGEST_CELL - 2]} …"


def _list_problems(entry: Result) -> Iterator[str]:
    for problem in [entry.get("problem"), *(backup.get("problem") for backup in entry.get("backups") or [])]:
        if problem:
            yield f"WARNING: {entry['name']}: {Refused.of(problem)}"
