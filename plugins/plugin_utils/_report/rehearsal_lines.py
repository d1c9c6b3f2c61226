# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's lines about each rehearsed revision."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import describe_first
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .causes import MOST_NAMED
from .cells import format_seconds
from .grouping import View
from .notes import note_lines
from .sizes import format_size

_MOST_REVISIONS = 30


def render_rehearsal(entries: Sequence[Result], view: View) -> list[str]:
    """Return a line for each revision, and below it what its downgrade does not bring back; of many databases once."""
    entries = [
        {**entry, "name": f"{entry['name']} on {entry['host']}"} if entry.get("host") else entry for entry in entries
    ]
    if view.shows_all or not (view.names_hosts or view.needs_groups(len(entries))):
        return [line for entry in entries for line in _of_one(entry)]
    found: dict[tuple[str, ...], list[tuple[str, Result]]] = {}
    for entry in entries:
        for step in entry.get("revisions", []):
            found.setdefault((step["revision"], *_describe_verdict(step)), []).append((entry["name"], step))
    lines = [line for (_revision, *verdict), taken in found.items() for line in _of_many(taken, verdict)]
    differences = [line for entry in entries for line in _list_differences(entry)]
    return view.limit_lines(lines) + view.limit_lines(
        [*differences, *(line for entry in entries for line in note_lines(entry))]
    )


def _of_many(taken: Sequence[tuple[str, Result]], verdict: Sequence[str]) -> list[str]:
    """Return one revision of several databases in which it did the same."""
    _name, step = taken[0]
    name, slowest = max(taken, key=lambda each: each[1]["seconds"] or 0)
    count = f"{len(taken)} database{'' if len(taken) == 1 else 's'}"
    which = f" ({describe_first([each for each, _step in taken], MOST_NAMED)})" if verdict else ""
    title = f"{step['revision']}  {step['message']}".rstrip()
    return [
        f"{title}: {count}{which}, at most {format_seconds(slowest['seconds'])} ({name}){_describe_locks(step)}",
        *(f"    {line}" for line in verdict),
    ]


def _of_one(entry: Result) -> list[str]:
    lines = []
    for step in entry.get("revisions", []):
        title = f"{entry['name']}: {step['revision']}  {step['message']}".rstrip()
        grown = f"  +{format_size(step['space'])}" if step["space"] else ""
        lines.append(f"{title}  {format_seconds(step['seconds'])}{grown}{_describe_locks(step)}")
        lines += [f"    {line}" for line in _describe_verdict(step)]
    return [*lines, *_list_differences(entry), *note_lines(entry)]


def _describe_locks(step: Result) -> str:
    locks = ", ".join(f"{table} {mode.removesuffix('Lock')}" for table, mode in sorted(step["locks"].items()))
    return f"  locks {locks}" if locks else ""


def _list_differences(entry: Result) -> list[str]:
    models = entry.get("models") or []
    lines = [f"{entry['name']}: differs from the models: {line}" for line in models[:_MOST_REVISIONS]]
    if len(models) > _MOST_REVISIONS:
        lines.append(f"{entry['name']}: and {len(models) - _MOST_REVISIONS} more differences from the models")
    return lines


def _describe_verdict(step: Result) -> list[str]:
    lines = [f"{step['verdict'].upper()}{': ' if step['why'] else ''}{step['why']}"]
    if step["verdict"] == "reversible" or (step["verdict"] == "unknown" and not step["why"]):
        lines = []
    for loss in step["data_loss"]:
        where = f"{loss['table']}.{loss['column']}" if loss["column"] else loss["table"]
        lines.append(f"{where} {loss['what']}")
    lines += [f"schema {line}" for line in step["schema"]]
    if step["again"] is False:
        lines.append(f"FAILS A SECOND TIME, after its downgrade: {step['again_error']}")
    return lines
