# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison of the journals with what the release holds and what the database has now.

The rule: a file counts as changed if a journal of this host holds another sha256 of it. A revision counts as unknown
if it is applied, no journal of this host has applied it, and it was not there yet when a run of this host last read it
before or after an upgrade. So what a database brought along when it was first migrated from here is not reported,
and a run that goes ahead takes what it found as known; a backup alone does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .._core.errors import Refused
from .._core.paths import Layout
from .._core.playbook_command import build_playbook_command
from .._engines.interface import Engine
from .._journal.events import Event, find_ending, list_newest_first, read_journals_of_others
from .._migration.version_table import read_heads

if TYPE_CHECKING:
    from .._core.revisions import Stream
    from .._migration.environment import Environment

_MOST_NAMED = 10
_REMEDY = "or let one run go ahead with migrate_on_changed_history=warn"


#: The code of the finding that a database is not the one that the journals are about.
MADE_ANEW = "database-made-anew"
UNKNOWN_REVISIONS = "revisions-of-unknown-origin"


@dataclass(frozen=True)
class Applied:
    """One revision as a run applied it; an early journal has no digest."""

    run: str
    at: str
    sha256: str


@dataclass
class History:
    """The content of all journals of one database together, the oldest run first."""

    #: By (version table, revision): what a run applied and none has undone since.
    applied_now: dict[tuple[str, str], Applied] = field(default_factory=dict)
    #: What a run may have undone or not: neither missed nor called unknown.
    uncertain: set[tuple[str, str]] = field(default_factory=set)
    #: By version table: each head that an upgrade or a revert has seen.
    seen: dict[str, set[str]] = field(default_factory=dict)
    #: When an event named what ``Engine.read_creation_id`` returned, by which run, and what; the last one.
    made: tuple[str, str, str] | None = None
    _backed_up: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> History:
        """Read the journals of a database."""
        history = cls()
        for run, events in reversed(list(list_newest_first(folder))):
            for event in events:
                history._take(run, event)
        return history

    def _take(self, run: str, event: Event) -> None:
        if event.get("made"):
            found = (event["at"], run, event["made"])
            self.made = max(self.made or found, found)
        elif "fingerprint" in event:
            self.made = None  # it was not there then, or an early journal does not say which it was
        kind = event["event"]
        place = (str(event.get("table", "")), str(event.get("revision", "")))
        if kind == "committed":
            self.applied_now[place] = Applied(run, event["at"], event.get("sha256", ""))
            self.uncertain.discard(place)
        elif kind == "downgrade_ran" and place in self.applied_now:
            del self.applied_now[place]
            self.uncertain.add(place)
        elif kind == "downgraded":
            self.uncertain.clear()
        elif kind == "backed_up":
            self._backed_up[event["path"]] = event["at"]
        elif kind == "restored":
            self._forget_restored(event)
        if event["verb"] != "backup":
            for table, heads in (event.get("heads") or {}).items():
                self.seen.setdefault(table, set()).update(heads)

    def _forget_restored(self, event: Event) -> None:
        """Forget what was applied after the backup that was brought back; what another one held is unknown."""
        since = self._backed_up.get(event.get("path", ""))
        for place, applied in list(self.applied_now.items()):
            if since is None:
                self.uncertain.add(place)
            if since is None or applied.at > since:
                del self.applied_now[place]


def find_changed_history(environment: Environment, streams: Iterable[Stream], history: History) -> list[Refused]:
    """Return what is not as the journals of a database say, one finding of each kind.

    Args:
        environment: the release's, aimed at the database.
        streams: the revisions of the database.
        history: what its journals say.
    """
    if not history.applied_now:
        return []
    changed: list[str] = []
    gone: list[str] = []
    unknown: list[str] = []
    for stream in streams:
        mine = {
            revision: applied for (table, revision), applied in history.applied_now.items() if table == stream.table
        }
        if not mine:
            continue
        there = environment.list_applied(stream.heads)
        for revision in sorted(mine):
            if not environment.has_revision(revision):
                gone.append(f"{revision} (by run {mine[revision].run})")
            elif revision in there and _is_different(environment, revision, mine[revision]):
                changed.append(f"{revision} (applied on {mine[revision].at[:10]} by run {mine[revision].run})")
        known = set(mine) | {revision for table, revision in history.uncertain if table == stream.table}
        known |= environment.list_applied_below(history.seen.get(stream.table, ()))
        unknown += sorted(there - known)
    return _describe(environment.database.name, changed, gone, unknown)


def check_made_anew(database: str, history: History, made: str | None) -> list[Refused]:
    """Return that a database is not the one that the journals are about, though it has its name.

    Args:
        database: its name.
        history: what its journals say.
        made: what ``Engine.read_creation_id`` returns of it; None where it is not there.
    """
    if history.made is None:
        return []
    at, run, known = history.made
    if made in (known, "") or (made is not None and _parse_kind(made) != _parse_kind(known)):
        return []
    on = f"on {at[:10]} "
    if made is None:
        what, why = "is gone", on + "it was there, and an upgrade would make an empty one"
    else:
        what = "was made anew"
        why = on + "another one lay there, and the journals are about that one; a copy put in its place counts as new"
    return [Refused(f"Database {database!r} {what} since run {run}", why, _restore_of(database), code=MADE_ANEW)]


def _parse_kind(made: str) -> str:
    """Return what distinguished a database from others; what was read otherwise cannot be compared."""
    return made.rpartition(" ")[0]


def _restore_of(database: str) -> str:
    command = build_playbook_command("restore", migrate_restore_databases=[database])
    return f"If that was not meant, do not migrate it. This brings it back from its newest backup: {command}"


def find_applied_elsewhere(environment: Environment, streams: Iterable[Stream], history: History) -> list[Refused]:
    """Return why revisions must not be applied: they are, under a version table that env.py does not keep any more.

    Args:
        environment: the release's, aimed at the database.
        streams: the revisions of the database.
        history: what its journals say.
    """
    streams = list(streams)
    found = []
    for table in sorted({table for table, _revision in history.applied_now} - {each.table for each in streams}):
        heads = read_heads(environment.engine.open_own_connection(), table)
        there = environment.list_applied_below(heads)
        for stream in streams:
            again = [revision.revision for revision in stream.pending if revision.revision in there]
            if again:
                found.append(_describe_twice(environment.database.name, stream.table, table, heads, again))
    return found


def _describe_twice(name: str, now: str, before: str, heads: Iterable[str], again: list[str]) -> Refused:
    return Refused(
        f"Revisions would be applied to database {name!r} a second time: {_join_revisions(again)}",
        f"version table {before} is at {', '.join(heads)}, and env.py keeps {now} instead",
        f"Let env.py keep {before}, or move its rows to {now} by hand",
        code="revision-applied-twice",
    )


def is_unknown(finding: Refused) -> bool:
    """Return whether a finding is about a revision that no journal knows; a run that goes ahead knows it."""
    return finding.code == UNKNOWN_REVISIONS


def _is_different(environment: Environment, revision: str, applied: Applied) -> bool:
    return bool(applied.sha256) and environment.hash_revision(revision) != applied.sha256


def _describe(name: str, changed: list[str], gone: list[str], unknown: list[str]) -> list[Refused]:
    found = []
    if changed:
        found.append(
            Refused(
                f"Files of revisions have changed since they were applied to database {name!r}",
                _join_revisions(changed),
                f"Put them back as they were and write a new revision for what is to change, {_REMEDY}",
                code="revision-files-changed",
            )
        )
    if gone:
        found.append(
            Refused(
                f"Files of revisions are gone that were applied to database {name!r}",
                _join_revisions(gone),
                f"Put them back, {_REMEDY}",
                code="revision-files-missing",
            )
        )
    if unknown:
        found.append(
            Refused(
                f"No journal of this host knows who applied revisions of database {name!r}",
                _join_revisions(unknown),
                f"Find out who did: another host, or alembic by hand, {_REMEDY}",
                code=UNKNOWN_REVISIONS,
            )
        )
    return found


def _join_revisions(revisions: list[str]) -> str:
    more = len(revisions) - _MOST_NAMED
    return ", ".join(revisions[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def was_made_by_other_entry(engine: Engine, layout: Layout, made: str, since: str) -> bool:
    """Return whether the journals of another entry say that its database was made so, by a restore of that entry.

    Args:
        engine: the engine of the database, which is the other entry's as well.
        layout: where the journals are.
        made: what ``Engine.read_creation_id`` returns of it.
        since: when this entry's own journals knew another one.
    """
    identity = str(engine.read_own_identity())
    for journals in read_journals_of_others(layout, engine.database.name):
        done = [find_ending(events, "upgrade") for events in journals]
        if any(each and each["result"].get("identity") == identity for each in done) and any(
            event.get("made") == made and event["at"] >= since for events in journals for event in events
        ):
            return True
    return False
