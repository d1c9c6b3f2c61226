# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands to choose from where a database is held."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from .._backup.command import TOOL, find_restore_method, find_restore_rights
from .._backup.manifest import Manifest, check, list_proven
from .._core.errors import NOT_PERMITTED, Failed, Refused
from .._core.job import Database, Job
from .._core.playbook_command import build_playbook_command
from .._engines.interface import Engine
from .._engines.parts import find_restorer
from .backup_tool import run_of_replaced

_LOSES = {"migrate_restore_loses_writes": True}


def restore_commands(engine: Engine, manifest: Manifest, code: str) -> dict[str, str]:
    """Return the commands that restore a held database's backup, the one that keeps most as ``back``.

    A damaged backup is never put into a command; if there is an older one that is whole, that one is.

    Args:
        engine: of the database.
        manifest: of its backup.
        code: of the error that it is held for.
    """
    try:
        check(manifest)
    except Failed as damage:
        older = _describe_older_backup(engine.database.name, manifest)
        return {"back": f"not with the backup of this run ({damage.why}){older}"}
    except Refused as sealed:
        return {"back": sealed.remedy}
    by_user = _build_command_by_user(engine, manifest)
    return {"back": restore_command(engine, manifest, code), **({"back_by_user": by_user} if by_user else {})}


def _build_command_by_user(engine: Engine, manifest: Manifest) -> str:
    """Return a command for which no one has to be given a right, where our own needs one."""
    try:
        method = find_restore_method(engine, manifest)
        if method.obstacle is None or method.name == TOOL:
            return ""
        return find_restorer(engine).build_user_command(manifest.as_archive())
    except Refused:
        return ""  # the server may be what failed


def restore_command(engine: Engine, manifest: Manifest, code: str) -> str:
    """Return the command that restores a whole backup: our own, or by hand where that cannot be.

    Args:
        engine: of the database.
        manifest: of its backup.
        code: of the error that it is held for.
    """
    try:
        # What the server did not permit, it would not permit to our own command either.
        rights = None if code == NOT_PERMITTED else find_restore_rights(engine, manifest)
    except Refused:
        rights = "", {}  # the server may be what failed, and is back when the command is typed
    if rights is not None:
        first, variables = rights
        restore = build_command_for(
            engine.database.name, "restore", migrate_restore_run=manifest.run, **_LOSES, **variables
        )
        return f"{first} && {restore}" if first else restore
    return find_restorer(engine).build_manual_command(manifest.as_archive())


def _describe_older_backup(name: str, damaged: Manifest) -> str:
    """Return the command that restores an older backup, or that there is none."""
    for manifest in list_proven(Path(damaged.path).parent):
        if manifest.taken >= damaged.taken:
            continue
        with suppress(Refused):
            check(manifest)
            command = build_command_for(name, "restore", migrate_restore_backup=manifest.path, **_LOSES)
            return f"; an older one, of {manifest.taken[:19]} UTC: {command}"
    return ", and there is no older one on this host"


def build_command_for(name: str, verb: str, **what: Any) -> str:
    """Return what has a playbook do its verb to one database alone."""
    only = {f"migrate_{verb}_databases": [name]}
    return build_playbook_command(verb, **what, **only)


def list_ways_out_of(database: Database, job: Job, path: str, run: str) -> dict[str, str]:
    """Return the commands that lead out of a restore that stopped half-way.

    Args:
        database: the database.
        job: names the folders.
        path: the backup that was being restored.
        run: the run that was restoring it.
    """
    replaced = run_of_replaced(run)
    kept = [each.path for each in list_proven(job.layout.locate_backups(database.name)) if each.run == replaced]
    places = {"forward": path, **({"back": kept[0]} if kept else {})}
    return {
        way: build_command_for(database.name, "restore", migrate_restore_backup=place, **_LOSES)
        for way, place in places.items()
    }
