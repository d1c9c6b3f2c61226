# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's lines about a maintenance: how long it was, or why it goes on and how to end it."""

from __future__ import annotations

from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import build_playbook_command
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .._run.results import has_failed
from .cells import format_moment

#: What a report may be given, each with what is known of a maintenance.
_GIVEN = ("maintenance", "plan", "status")

_BECAUSE = {
    "held": "is held",
    "cut_short": "was left half-way",
    "running": "is still worked on",
}


def render_maintenance(results: Result) -> list[str]:
    """Return what there is to say, from the first result that knows."""
    for name in _GIVEN:
        known = results.get(name) or {}
        if known.get("maintenance"):
            return _list_lines(known["maintenance"])
    return []


def render_maintenance_failure(results: Result) -> list[str]:
    """Return why a maintenance could not be ended, if it could not."""
    found = results.get("maintenance") or {}
    return str(found.get("msg", "It could not be ended.")).splitlines() if has_failed(found) else []


def _list_lines(maintenance: Result) -> list[str]:
    parts = [*maintenance["services"], *(f"pool {pool}" for pool in maintenance["pools"])]
    parts += [maintenance["file"]] if maintenance["file"] else []
    what = ", ".join(parts) or "nothing"
    if maintenance.get("ended"):
        return [f"In maintenance for {maintenance['seconds']:.1f} s since {_format_moment(maintenance)}: {what}"]
    lines = [f"WARNING: in maintenance since {_format_moment(maintenance)}, run {maintenance['run']}: {what}"]
    for keeper in maintenance["kept_by"]:
        because = _BECAUSE[keeper["state"]]
        lines.append(f"  It goes on because {keeper['name']} {because} since run {keeper['run']}.")
    if maintenance["kept_by"]:
        lines.append(
            f"  It ends once that is recovered, by the next run or by: {build_playbook_command('recover')};"
            f" this starts the application all the same:"
            f" {build_playbook_command('recover', migrate_end_maintenance='true')}"
        )
    else:
        lines.append(f"  A run that is dead has left it; this ends it: {build_playbook_command('recover')}")
    return lines


def _format_moment(maintenance: Result) -> str:
    return f"{format_moment(maintenance['since'])} UTC"
