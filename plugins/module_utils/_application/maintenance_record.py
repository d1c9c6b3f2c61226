# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of a maintenance that goes on, by which the next run can end what a dead run has begun."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .._core.errors import Refused
from .._core.paths import Layout
from .._core.records import read_record as read_facts
from .._core.records import select_known_facts
from .._core.records import write_record as write_facts
from .._core.results import MaintenanceFacts
from .._journal.run_state import read_last_run_state

_KEEPS = ("running", "cut_short", "held")


@dataclass
class Maintenance:
    """The record of a maintenance that goes on."""

    since: str
    #: The last one is the run that it goes on for.
    runs: list[str] = field(default_factory=list)
    #: The databases that it goes on for.
    databases: list[str] = field(default_factory=list)
    #: What ran and was stopped, in that order.
    services: list[dict[str, Any]] = field(default_factory=list)
    #: The flag file, if it was not there before.
    file: str = ""
    pgbouncer: str = ""
    pools: list[str] = field(default_factory=list)
    #: Of both, what runs again already: the end reports all that was in maintenance.
    started: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)

    def list_blocking_databases(self, layout: Layout) -> list[dict[str, str]]:
        """Return the databases that one of its runs works on, or has left where no application may use them."""
        found = [read_last_run_state(layout, name) for name in self.databases]
        return [
            {"name": left.name, "state": left.state, "run": left.run}
            for left in found
            if left.state in _KEEPS and left.run in self.runs
        ]

    def as_facts(self, layout: Layout, ended: bool = False) -> MaintenanceFacts:
        """Return what there is to say of it; at its end, of all that it was about."""
        services = [service["name"] for service in self.services]
        return {
            "since": self.since,
            "run": self.runs[-1] if self.runs else "",
            "databases": list(self.databases),
            "services": [*services, *self.started] if ended else services,
            "file": self.file,
            "pools": [*self.pools, *self.resumed] if ended else list(self.pools),
            "seconds": round(
                max((datetime.now(timezone.utc) - datetime.fromisoformat(self.since)).total_seconds(), 0), 1
            ),
            "kept_by": self.list_blocking_databases(layout),
        }


def read_maintenance(root: str) -> MaintenanceFacts | None:
    """Return what is known of a maintenance that goes on, or None."""
    layout = Layout(Path(root))
    found = read_record(layout)
    return found.as_facts(layout) if found else None


def read_record(layout: Layout) -> Maintenance | None:
    """Return what is written down, or None.

    Raises:
        Refused: it cannot be read, or a later version has written it.
    """
    try:
        return Maintenance(**select_known_facts(Maintenance, read_facts(record_of(layout))))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        place = record_of(layout)
        raise Refused(
            f"{place} cannot be read",
            str(error),
            f"Start the application by hand and remove {place}",
            code="maintenance-record-unreadable",
        ) from error


def write_record(found: Maintenance, layout: Layout) -> None:
    """Write it down, durably: what is stopped next must be known after a power cut."""
    write_facts(record_of(layout), asdict(found))


def record_of(layout: Layout) -> Path:
    """Return where it is written down."""
    return layout.root / "maintenance.json"
