# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups by a command of one's own: pgBackRest, a snapshot of the volume. A check command proves them.

What the database looked like is kept as for any backup, so a restore by a command is verified as any other. What it
replaces is backed up by the same command first. Whether others wrote since is unknown, which counts as if they had.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._core.commands import list_missing_program, run_command
from .._core.errors import Refused
from .._core.job import Job
from .._core.paths import build_key
from .._engines.data import Dump, RestoreMethod
from .._engines.interface import Engine, Report
from .._engines.parts import find_restorer
from .manifest import Manifest

#: The tool of a manifest whose backup a command made.
TOOL = "command"


_BACKUP = "migrate_backup_command"
_CHECK = "migrate_backup_check_command"
RESTORE_COMMAND = "migrate_restore_command"


def list_command_obstacles(job: Job) -> list[Refused]:
    """Return what would keep a backup from being made and proven by commands."""
    if not job.backup_command:
        return []
    found = list_missing_program(job.backup_command, _BACKUP) + list_missing_program(job.backup_check_command, _CHECK)
    found += list_missing_program(job.restore_command, RESTORE_COMMAND)
    if not job.backup_check_command:
        found.append(
            Refused(
                f"{_BACKUP} is set and {_CHECK} is not",
                "an exit code alone does not prove a backup",
                f"Set {_CHECK} to a command that fails unless the backup can be restored",
                code="backup-command-without-check",
            )
        )
    return found


def dump_by_command(engine: Engine, folder: Path, report: Report, run: str) -> Dump:
    """Have a backup made and proven; what the command writes into the folder belongs to it.

    Raises:
        Failed: one of the commands failed.
    """
    job = engine.job
    report(f"runs {job.backup_command[0]}")
    activity = engine.read_activity()
    what = f"The backup of {engine.database.name!r} by {_BACKUP} failed"
    run_backup_command(job.backup_command, engine, folder, run, what)
    check_by_command(engine, folder, run)
    return Dump(folder, TOOL, activity=activity)


def check_by_command(engine: Engine, folder: Path, run: str) -> None:
    """Have a backup proven.

    Raises:
        Failed: the check command failed.
    """
    run_backup_command(
        engine.job.backup_check_command, engine, folder, run, f"The backup of run {run} is not proven: {_CHECK} failed"
    )


def find_restore_method(engine: Engine, manifest: Manifest) -> RestoreMethod:
    """Return how a backup would be restored: what a command made, only a command brings back."""
    return choose_restore_method(engine, manifest.tool == TOOL)


def choose_restore_method(engine: Engine, made_by_command: object) -> RestoreMethod:
    """Return how a backup of a database would be restored, one that a command makes or one of our own."""
    if not made_by_command:
        return engine.choose_restore_method()
    missing = [
        name
        for name, command in ((RESTORE_COMMAND, engine.job.restore_command), (_CHECK, engine.job.backup_check_command))
        if not command
    ]
    if not missing and engine.job.backup_command:
        return RestoreMethod(TOOL)
    obstacle = Refused(
        f"Backups of {engine.database.name!r} are made by a command, and no command is set that restores one",
        f"{', '.join(missing) or _BACKUP} is empty; the backup command is needed to keep what a restore replaces",
        f"Set {_BACKUP}, {_CHECK} and {RESTORE_COMMAND}",
        code="backup-command-without-restore",
    )
    return RestoreMethod(TOOL, [], obstacle)


def find_restore_rights(engine: Engine, manifest: Manifest) -> tuple[str, dict[str, Any]] | None:
    """Return what to type so that a restore can be done, as its ``Restorer`` says; nothing where it can be."""
    method = find_restore_method(engine, manifest)
    if method.obstacle is None:
        return "", {}
    return None if method.name == TOOL else find_restorer(engine).find_restore_rights(manifest.as_archive())


def run_backup_command(command: Sequence[str], engine: Engine, folder: Path, run: str, what: str) -> None:
    name = engine.database.name
    placeholders = {"path": str(folder), "database": build_key(name), "run": run, "name": f"{build_key(name)}-{run}"}
    variables = {**engine.build_command_variables(), "HOSTING_ALEMBIC_RUN": run, "HOSTING_ALEMBIC_PATH": str(folder)}
    remedy = "Run the command by hand to see what is the matter"
    run_command(command, placeholders, variables, what, remedy, engine.job.command_timeout)
