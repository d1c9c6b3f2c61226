# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other entries of a host that are the same database."""

from __future__ import annotations

from .._core.paths import Layout
from .._engines.interface import Engine
from .._journal.events import ending, journals_of_others


def made_by_other_entry(engine: Engine, layout: Layout, made: str, since: str) -> bool:
    """Return whether the journals of another entry say that its database was made so, by a restore of that entry.

    Args:
        engine: the engine of the database, which is the other entry's as well.
        layout: where the journals are.
        made: what ``Engine.made`` returns of it.
        since: when this entry's own journals knew another one.
    """
    identity = str(engine.own_identity())
    for journals in journals_of_others(layout, engine.database.name):
        done = [ending(events, "upgrade") for events in journals]
        if any(each and each["result"].get("identity") == identity for each in done) and any(
            event.get("made") == made and event["at"] >= since for events in journals for event in events
        ):
            return True
    return False
