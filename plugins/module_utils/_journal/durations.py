# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The durations of a database's migrations, from its journals."""

from __future__ import annotations

from .._core.paths import Layout
from .events import list_newest_first


def read_known_seconds(layout: Layout, name: str) -> tuple[float, str] | None:
    """Return what a database's last rehearsal or upgrade took, and which of them it was, or None without either."""
    folder = layout.locate_journals(name)
    journals = [events for place in (folder, folder / "rehearsals") for _run, events in list_newest_first(place)]
    for events in sorted(journals, key=lambda found: str(found[0]["at"]), reverse=True):
        results = [event["result"] for event in events if event["event"] == "done"]
        for result in reversed(results):
            if result["outcome"] == "upgraded" and result.get("seconds") is not None:
                return float(result["seconds"]), "its last upgrade took"
            if result["outcome"] == "rehearsed" and result.get("expected_seconds") is not None:
                return float(result["expected_seconds"]), "by its rehearsal it takes"
    return None
