# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two applications may share a database: what has changed in its schema that is not a run's own.

A run that came to its end has written down what it left, so all that differs since is others'. Of one that was cut
short it is unknown what it left. Then the journals of the other entries of the same database show what is theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .._engines.interface import Engine
from .._journal.events import Event, find_ending, read_journals_of_others
from .._migration.state import Position, list_differences, list_differences_since, read_fingerprint
from .run_record import RunRecord


def list_changed_by_others(engine: Engine, run_record: RunRecord, now: Position) -> list[str]:
    """Return what others have changed in the schema since a run, as differences of fingerprints.

    Args:
        engine: the engine of the database.
        run_record: what the run did.
        now: the revisions of the database, without the version tables of the run.
    """
    if not run_record.cut_short:
        return list_differences_since(engine, run_record.after.fingerprint, now.fingerprint)
    before = fingerprint = run_record.before.fingerprint
    tables = set(now.heads)
    for events in _read_events_of_others(engine, run_record.since):
        seen = [event for event in events if "fingerprint" in event]
        tables.update(*(event["heads"] for event in seen))
        first, last = (engine.convert_fingerprint(before, seen[place]["fingerprint"]) for place in (0, -1))
        fingerprint = with_changes(fingerprint, list_differences(first, last))
    if tables - set(now.heads) and engine.is_present():
        # No journal's fingerprint has the version tables of its own.
        without = set(
            engine.convert_fingerprint(before, read_fingerprint(engine, engine.open_own_connection(), sorted(tables)))
        )
        there = engine.convert_fingerprint(before, now.fingerprint)
        fingerprint = sorted({*fingerprint, *(line for line in there if line not in without)})
    return list_differences(before, fingerprint)


def with_changes(fingerprint: Iterable[str], changes: Iterable[str]) -> list[str]:
    """Return a fingerprint as it is after changes."""
    lines = set(fingerprint)
    for change in changes:
        if change.startswith("+"):
            lines.add(change[1:])
        else:
            lines.discard(change[1:])
    return sorted(lines)


def _read_events_of_others(engine: Engine, since: str) -> Iterator[list[Event]]:
    """Yield the journals of runs in which other entries of this host upgraded the same database, the first first."""
    identity, found = str(engine.read_own_identity()), []
    for journals in read_journals_of_others(engine.job.layout, engine.database.name):
        for events in journals:
            done = find_ending(events, "upgrade")
            backed_up = next((event for event in events if event["event"] == "backed_up"), None)
            if done and backed_up and backed_up["at"] >= since and done["result"].get("identity") == identity:
                found.append(events)
    yield from sorted(found, key=lambda events: str(events[0]["at"]))
