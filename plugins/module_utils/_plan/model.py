# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans as data, without what makes them: a database at head is answered for without Alembic."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._core.errors import Refused
from .._core.results import PlanFacts, RestoreFacts
from .._core.revisions import Revision, Stream

#: The code of what was seen while a plan was made, which says nothing of the next one.
CHANGED_MEANWHILE = "changed-while-planned"


@dataclass
class Plan:
    """The plan of a database: what is known of it before anything is done to it."""

    name: str
    target: str
    engine: str = ""
    url: str = ""
    server: str = ""
    identity: str = ""
    #: Which of several servers with that identity it is, as long as the server runs; of a file its number.
    instance: str = ""
    can_be_shared: bool = False
    streams: list[Stream] = field(default_factory=list)
    obstacles: list[Refused] = field(default_factory=list)
    #: What is not as the journals say: files of applied revisions, revisions that no run of this host applied.
    changed_history: list[Refused] = field(default_factory=list)
    #: What a person has to know before the backup.
    notes: list[str] = field(default_factory=list)
    #: How a restore would be done, where one may be needed.
    restore: RestoreFacts | None = None
    #: What its last rehearsal or upgrade took, None without either, or where nothing is pending.
    expected_seconds: float | None = None

    @property
    def heads(self) -> dict[str, list[str]]:
        """Return the heads of each version table."""
        return {stream.table: list(stream.heads) for stream in self.streams}

    @property
    def pending(self) -> list[Revision]:
        """Return the revisions to apply, in order."""
        return [revision for stream in self.streams for revision in stream.pending]

    def as_facts(self) -> PlanFacts:
        """Return the plan as a result shows it."""
        return {
            "name": self.name,
            "engine": self.engine,
            "url": self.url,
            "server": self.server,
            "identity": self.identity,
            "instance": self.instance,
            "can_be_shared": self.can_be_shared,
            "target": self.target,
            # Without a version table that was read it is not known where the database is; "base" would be a guess.
            "current": sorted({head for heads in self.heads.values() for head in heads}) if self.streams else None,
            "heads": sorted({head for stream in self.streams for head in stream.goal}) if self.streams else None,
            "pending": [{"revision": revision.revision, "message": revision.message} for revision in self.pending],
            "obstacles": [obstacle.as_facts() for obstacle in self.obstacles],
            "notes": self.notes,
            "restore": self.restore,
            "expected_seconds": self.expected_seconds,
            "unexpanded": [revision for stream in self.streams for revision in stream.unexpanded],
            "changed_history": [finding.as_facts() for finding in self.changed_history],
        }
