# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Contracting: what the new application no longer needs goes only when every host is known to have been expanded."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import build_playbook_command
from ansible_collections.hosting.alembic.plugins.module_utils._core.revisions import CONTRACT, EXPAND

from . import manifest
from .manifest import Host, Manifest

_CONTRACTS = f"{CONTRACT}@head"
_EXPANDED = ("heads", f"{EXPAND}@head", _CONTRACTS)


def explain_refusal(made: Manifest, planned: list[str], fleet: list[str], folder: str) -> str:
    """Return why nothing may be contracted yet, or nothing.

    Args:
        made: the run, with what was found on its hosts.
        planned: the hosts of this play, whose databases were read.
        fleet: all hosts that belong together, also those that a limit leaves out.
        folder: where manifests of earlier runs are; they are read for the hosts that are not in this play.
    """
    targets = [made.target, *(entry.target for host in made.hosts.values() for entry in host.databases.values())]
    if _CONTRACTS not in targets:
        return ""
    missing = [f"{name}: {why}" for name in planned if (why := _explain_missing_upgrade(made.hosts[name]))]
    others = [name for name in fleet if name not in planned]
    verified = _list_verified(folder) if others else set()
    missing += [f"{name}: no manifest here says that it was expanded" for name in others if name not in verified]
    if not missing:
        return ""
    return (
        f"{_CONTRACTS} is refused until every host has verified {EXPAND}@head ({'; '.join(missing)}); before you "
        f"contract, deploy the application and expand:"
        f" {build_playbook_command('migrate', migrate_target=f'{EXPAND}@head')}"
    )


def _explain_missing_upgrade(host: Host) -> str:
    if host.is_bad:
        return f"it could not be planned ({host.why})"
    behind = [name for name, entry in host.databases.items() if entry.unexpanded]
    return f"{', '.join(behind)} not expanded" if behind else ""


def _list_verified(folder: str) -> set[str]:
    """Return the hosts of which the newest manifest that names them says that they were expanded."""
    found: dict[str, Host] = {}
    written = Path(folder).expanduser().glob("*.json") if folder else []
    for path in sorted(written, key=lambda each: each.stat().st_mtime):
        earlier = manifest.read(path)
        found.update(earlier.hosts if earlier else {})
    return {name for name, host in found.items() if _is_expanded(host)}


def _is_expanded(host: Host) -> bool:
    entries = host.databases.values()
    return bool(entries) and all(entry.outcome in manifest.GOOD and entry.target in _EXPANDED for entry in entries)
