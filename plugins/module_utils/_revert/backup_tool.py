# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup restored by what made it, our own engine or a command, and what others wrote since."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .._backup.command import RESTORE_COMMAND, TOOL, check_by_command, run_backup_command
from .._backup.manifest import Manifest
from .._backup.take import take
from .._core.errors import HALF_WAY, Failed
from .._engines.data import Restored, Writes
from .._engines.interface import Engine, Guard, Report
from .._engines.parts import find_restorer, find_write_tracker
from .._migration.state import read_position

_UNKNOWN = Writes(unknown="the backup was made by a command, so what others wrote since is unknown")


#: Reads what others wrote: by its engine, its backup, the rows of our own runs, and what these left.
ReadWrites = Callable[["Engine", Manifest, "dict[str, int]", "dict[str, str] | None"], Writes]


def find_writes_since(
    engine: Engine, manifest: Manifest, ours: dict[str, int], content: dict[str, str] | None
) -> Writes:
    """Return what others wrote since a backup."""
    if manifest.tool == TOOL:
        return _UNKNOWN
    return find_write_tracker(engine).find_writes_since(manifest.as_archive(), ours, content)


def foresee_writes(engine: Engine, manifest: Manifest, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
    """Return the same while others are still at work."""
    if manifest.tool == TOOL:
        return _UNKNOWN
    return find_write_tracker(engine).foresee_writes(manifest.as_archive(), ours, content)


def restore_backup(engine: Engine, manifest: Manifest, run: str, report: Report, guard: Guard) -> Restored:
    """Restore a backup by what made it.

    Raises:
        Refused: as ``Restorer.restore``.
        Failed: as ``Restorer.restore``; but a restore command that fails leaves the database as the command does, and
            what it replaced is in the backup that its message names.
    """
    if manifest.tool != TOOL:
        return find_restorer(engine).restore(manifest.as_archive(), run, report, guard)
    folder = Path(manifest.path)
    check_by_command(engine, folder, manifest.run)
    heads = read_position(engine, list(manifest.heads)).heads
    replaced = take(engine, heads, replace(engine.job, run=run_of_replaced(run)), report)
    guard()
    engine.close()
    report(f"runs {engine.job.restore_command[0]}")
    what = f"{RESTORE_COMMAND} failed; what it was to replace is in the backup {replaced.path}"
    try:
        run_backup_command(engine.job.restore_command, engine, folder, manifest.run, what)
    except Failed as failure:
        # What the database holds now, only that command knows.
        raise Failed(failure.what, failure.why, failure.remedy, code=HALF_WAY) from failure
    return Restored(replaced.path, TOOL)


def run_of_replaced(run: str) -> str:
    """Return the run id of the backup of what a run's restore replaces."""
    return f"{run[:50]}-replaced"
