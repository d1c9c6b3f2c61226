# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The databases of a run, counted; and each cause of a failure once, with the databases that it stopped."""

from __future__ import annotations

from collections.abc import Container

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import describe_first

from .._report.causes import MOST_NAMED, build_cause_key, describe_cause_line, strip_name
from .._report.failures import REVERTED
from .._report.tally import tally
from .manifest import GOOD, Database, Host, Manifest

_OUTCOMES = {
    "upgraded": "upgraded",
    "unchanged": "at head",
    "waiting": "not begun",
    "deferred": "deferred",
    "held": "held",
    "refused": "refused",
}
#: What needs no person.
FINE = ("upgraded", "to upgrade", "at head", "not begun", "deferred")


def tally_of_run(manifest: Manifest, *, check_mode: bool) -> str:
    """Return the last line of a run."""
    return tally(
        name_outcome(host, entry, check_mode=check_mode)
        for host in manifest.hosts.values()
        for entry in host.databases.values()
    )


def list_causes_of_run(manifest: Manifest, reported: Container[tuple[str, str]] = ()) -> list[str]:
    """Return a line for each cause that needs a person.

    Args:
        manifest: the run.
        reported: hosts and databases that are described elsewhere.
    """
    found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    of_hosts: dict[str, list[str]] = {}
    for name, host in manifest.hosts.items():
        if host.is_bad and host.why:
            of_hosts.setdefault(host.why, []).append(name)
        for database, entry in host.databases.items():
            is_reported = (name, database) in reported or entry.outcome in (*GOOD, "waiting")
            if not is_reported and entry.why and (host.is_bad or entry.outcome in ("held", "deferred")):
                kind = "HELD " if entry.outcome == "held" else ""
                place = (name, database, strip_name(entry.why, database))
                found.setdefault((kind, build_cause_key(entry.why, database)), []).append(place)
    is_only_host = len(manifest.hosts) == 1
    lines = [f"{_format_hosts(names)}: {why}" for why, names in of_hosts.items()]
    for (kind, _key), places in sorted(found.items(), key=lambda cause: not cause[0][0]):
        hosts = [] if is_only_host else [host for host, *_rest in places]
        lines.append(f"{kind}{describe_cause_line([name for _host, name, _text in places], places[0][2], hosts)}")
    return lines


def _format_hosts(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} hosts ({describe_first(names, MOST_NAMED)})"


def name_outcome(host: Host, entry: Database, *, check_mode: bool) -> str:
    """Return how a database has ended, as it is counted."""
    if host.state == "lost" and entry.outcome == "waiting":
        return "unknown"  # the work may go on there
    if check_mode and entry.outcome in ("upgraded", "waiting"):
        return "to upgrade"
    if entry.outcome in REVERTED:
        return "failed" if host.is_bad else "rolled back"
    return _OUTCOMES.get(entry.outcome, "failed")
