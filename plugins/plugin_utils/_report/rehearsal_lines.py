# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the report of a rehearsal says of each revision."""

from __future__ import annotations

from typing import Any

from .cells import seconds
from .notes import note_lines
from .sizes import size

Result = dict[str, Any]

_MOST_REVISIONS = 30


def rehearsed_lines(entry: Result) -> list[str]:
    """Return a line for each revision, and below it what its downgrade does not bring back."""
    lines = []
    for step in entry.get("revisions", []):
        title = f"{entry['name']}: {step['revision']}  {step['message']}".rstrip()
        grown = f"  +{size(step['space'])}" if step["space"] else ""
        locks = ", ".join(f"{table} {mode.removesuffix('Lock')}" for table, mode in sorted(step["locks"].items()))
        lines.append(f"{title}  {seconds(step['seconds'])}{grown}{f'  locks {locks}' if locks else ''}")
        lines += [f"    {line}" for line in _verdict(step)]
    models = entry.get("models") or []
    lines += [f"{entry['name']}: differs from the models: {line}" for line in models[:_MOST_REVISIONS]]
    if len(models) > _MOST_REVISIONS:
        lines.append(f"{entry['name']}: and {len(models) - _MOST_REVISIONS} more differences from the models")
    return lines + note_lines(entry)


def _verdict(step: Result) -> list[str]:
    lines = [f"{step['verdict'].upper()}{': ' if step['why'] else ''}{step['why']}"]
    if step["verdict"] == "reversible" or (step["verdict"] == "unknown" and not step["why"]):
        lines = []
    for loss in step["losses"]:
        where = f"{loss['table']}.{loss['column']}" if loss["column"] else loss["table"]
        lines.append(f"{where} {loss['what']}")
    lines += [f"schema {line}" for line in step["schema"]]
    if step["again"] is False:
        lines.append(f"FAILS A SECOND TIME, after its downgrade: {step['again_error']}")
    return lines
