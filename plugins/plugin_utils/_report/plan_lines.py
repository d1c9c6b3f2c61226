# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan says of one database."""

from __future__ import annotations

from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused

from .cells import heads


def plan_block(entry: dict[str, Any]) -> list[str]:
    """Return where a database would go, each revision on the way, and what is wrong; the first line lacks its name."""
    pending, obstacles = entry["pending"], entry["obstacles"]
    title = (
        f"{heads(entry['current'])} -> {heads(entry['heads'])}"
        if pending
        else f"{heads(entry['current'])}  {'refused' if obstacles else 'nothing to do'}"
    )
    found = [finding for finding in entry.get("changed_history", []) if finding not in obstacles]
    return [
        title,
        *(f"    {step['revision']}  {step['message']}" for step in pending),
        *(f"    REFUSED: {Refused.of(obstacle)}" for obstacle in obstacles),
        *(f"    WARNING: {Refused.of(finding)}" for finding in found),
    ]
