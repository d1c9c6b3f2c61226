# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies that killed rehearsals have left, found from journals and the locks of workers alone."""

from __future__ import annotations

from .._core.paths import Layout
from .events import list_newest_first
from .worker_lock import is_worker_alive

#: Events of a rehearsal's journal around the life of its copy.
MADE, DROPPED = "scratch_made", "scratch_dropped"


def list_abandoned(layout: Layout, name: str) -> list[str]:
    """Return the rehearsals of a database that are dead and have not recorded that their copy is gone, newest first."""
    found = []
    for run, events in list_newest_first(layout.locate_journals(name) / "rehearsals"):
        names = [event["event"] for event in events]
        if MADE in names and DROPPED not in names and not is_worker_alive(layout, run, "rehearse"):
            found.append(run)
    return found
