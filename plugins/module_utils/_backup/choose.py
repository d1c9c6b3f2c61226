# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The choice of the databases that have the backup that was requested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._core.errors import Refused
from .._core.paths import Layout
from .._core.playbook_command import build_playbook_command
from .._journal.history import refuse_unlisted
from .manifest import Manifest, list_proven


def list_backed_up(root: str, databases: list[dict[str, Any]], run: str, path: str, only: list[str]) -> list[str]:
    """Return the databases that have a backup of a run, at a path, or any; ``only`` those that are named.

    Raises:
        Refused: one that is named is not in the inventory, or has no such backup; or two of them are one database.
    """
    layout = Layout(Path(root))
    names = [entry["name"] for entry in databases]
    answering = {
        name: [manifest for manifest in list_proven(layout.locate_backups(name)) if manifest.is_of(run, path)]
        for name in names
    }
    found = {name: manifests[0] for name, manifests in answering.items() if manifests}
    for name in only:
        refuse_unlisted(name, names)
        if name not in found:
            raise Refused(
                f"There is no such backup of database {name!r} on this host",
                f"none of run {run}" if run else f"none at {path}" if path else "there is none at all",
                f"This lists what there is: {build_playbook_command('backups')}",
                code="backup-not-found",
            )
    wanted = {name: manifest for name, manifest in found.items() if not only or name in only}
    _refuse_one_twice(wanted)
    return list(wanted)


def _refuse_one_twice(wanted: dict[str, Manifest]) -> None:
    """Refuse to restore a database twice that has several entries: each restore replaces all of it."""
    by_identity: dict[str, list[str]] = {}
    for name, manifest in wanted.items():
        by_identity.setdefault(manifest.identity, []).append(name)
    for identity, names in by_identity.items():
        if len(names) > 1:
            oldest = min(names, key=lambda name: wanted[name].taken)
            command = build_playbook_command(
                "restore", migrate_restore_backup=wanted[oldest].path, migrate_restore_databases=[oldest]
            )
            raise Refused(
                f"{' and '.join(map(repr, names))} are one database: {identity}",
                "a restore replaces all that is in it, so the second would take back what the first brought",
                f"Restore one of them; the oldest of the backups is restored by: {command}",
                code="database-listed-twice",
            )
