# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The databases of a run, counted; and each cause of a failure once, with the databases that it stopped."""

from __future__ import annotations

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import first_of

from .._report.causes import MOST_NAMED, without_name
from .._report.tally import tally
from .manifest import GOOD, Database, Host, Manifest

_OUTCOMES = {
    "upgraded": "upgraded",
    "unchanged": "at head",
    "waiting": "not begun",
    "deferred": "not begun",
    "held": "held",
    "refused": "refused",
}
_UNDONE = ("downgraded", "restored", "untouched")


def tally_of_run(manifest: Manifest, *, check_mode: bool) -> str:
    """Return the last line of a run."""
    return tally(
        _word(host, entry, check_mode=check_mode)
        for host in manifest.hosts.values()
        for entry in host.databases.values()
    )


def causes_of_run(manifest: Manifest) -> list[str]:
    """Return a line for each cause that a person has to look at."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    lines = []
    for name, host in manifest.hosts.items():
        if host.is_bad and host.why:
            lines.append(f"{name}: {host.why}")
        for database, entry in host.databases.items():
            if entry.outcome not in (*GOOD, "waiting") and entry.why and (host.is_bad or entry.outcome == "held"):
                kind = "HELD " if entry.outcome == "held" else ""
                found.setdefault((kind, without_name(entry.why, database)), []).append((name, database))
    return lines + [f"{kind}{_whose(places)}: {cause}" for (kind, cause), places in found.items()]


def _whose(places: list[tuple[str, str]]) -> str:
    """Return the databases of one cause, and their hosts."""
    hosts = list(dict.fromkeys(host for host, _name in places))
    if len(places) == 1:
        return f"{places[0][1]} on {hosts[0]}"
    names = list(dict.fromkeys(name for _host, name in places))
    return f"{len(places)} databases ({first_of(names, MOST_NAMED)}) on {first_of(hosts, MOST_NAMED)}"


def _word(host: Host, entry: Database, *, check_mode: bool) -> str:
    if host.state == "lost" and entry.outcome == "waiting":
        return "unknown"  # the work may go on there
    if check_mode and entry.outcome in ("upgraded", "waiting"):
        return "to upgrade"
    if entry.outcome in _UNDONE:
        return "failed" if host.is_bad else "rolled back"
    return _OUTCOMES.get(entry.outcome, "failed")
