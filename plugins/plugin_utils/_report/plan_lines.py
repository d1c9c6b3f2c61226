# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines of a plan about one database."""

from __future__ import annotations

from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused

from .causes import build_cause_key, describe_or_name_host
from .cells import format_heads
from .grouping import View


def plan_block(entry: dict[str, Any], view: View) -> list[str]:
    """Return where a database would go, each revision on the way, and what is wrong; the first line lacks its name."""
    pending, obstacles = entry["pending"], entry["obstacles"]
    title = (
        f"{format_heads(entry['current'])} -> {format_heads(entry['heads'])}"
        if pending
        else f"{format_heads(entry['current'])}  {'refused' if obstacles else 'nothing to do'}"
    )
    found = [finding for finding in entry.get("changed_history", []) if finding not in obstacles]
    steps = [f"    {step['revision']}  {step['message']}" for step in pending]
    refused = [Refused.of(obstacle) for obstacle in obstacles]
    keys = [build_cause_key(str(each), entry["name"]) for each in refused]
    if steps and keys and view.first_on("\n".join([*keys, *steps])):
        steps = [f"    {len(steps)} revision{'s' if len(steps) > 1 else ''}"]  # each is printed where the cause is
    return [
        title,
        *steps,
        *(f"    REFUSED: {describe_or_name_host(each, entry['name'], view.first_on)}" for each in refused),
        *(f"    WARNING: {Refused.of(finding)}" for finding in found),
    ]
