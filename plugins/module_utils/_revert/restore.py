# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing a backup back: never silently over what others have written since, and never over the replaced database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .._backup.command import TOOL, find_restore_method
from .._backup.manifest import Manifest, check
from .._core.errors import HALF_WAY, REPLACED_NOTHING, Failed, Refused
from .._core.job import Database, Job
from .._core.progress import Progress
from .._engines.data import Restored
from .._engines.interface import Engine
from .._engines.parts import find_restorer
from .._journal.events import Journal, list_newest_first
from .._migration.state import Position, list_differences, read_position
from .backup_tool import restore_backup
from .restore_guard import RestoreGuard
from .run_record import RunRecord


def bring_back(
    engine: Engine,
    manifest: Manifest,
    run_record: RunRecord,
    journal: Journal,
    progress: Progress,
    reason: str,
    may_lose: bool = False,
) -> tuple[Restored, Position]:
    """Restore a proven backup and return what became of it, and the revisions of the database.

    Args:
        engine: the engine of the database.
        manifest: the backup.
        run_record: what our own runs have done since the backup.
        journal: gets an event before anything is replaced, and after.
        progress: says how far it is.
        reason: why, for the journal.
        may_lose: an operator wants it, and knows what would not come back.

    Raises:
        Refused: it cannot be done, or others have written since; the database is as it was.
        Failed: the backup is damaged, or a step failed.
    """
    method = find_restore_method(engine, manifest)
    if method.obstacle:
        raise method.obstacle
    if method.loses and not may_lose:
        raise Refused(
            f"A restore of {engine.database.name!r} would not bring everything back",
            "; ".join(method.loses),
            "Make them again after it",
            code="restore-loses",
        )
    # A copy that is compared with the manifest while it is made need not be read before as well.
    try:
        check(manifest, content=manifest.tool == TOOL or not find_restorer(engine).restores_checked_copies)
    except Failed as damage:
        raise Failed(damage.what, damage.why, damage.remedy, code=REPLACED_NOTHING) from damage
    guard = RestoreGuard(engine, manifest, run_record, journal, progress)
    progress.begin_phase("restores")
    journal.write("restore_begun", path=manifest.path, method=method.name, reason=reason)
    restored = restore_backup(engine, manifest, journal.path.stem, progress.report, guard)
    now = read_position(engine, list(manifest.heads))
    if now.heads != manifest.heads:
        raise Failed("the restore did not lead to the revision of the backup", f"it is at {now}", code=HALF_WAY)
    there = engine.convert_fingerprint(manifest.fingerprint, now.fingerprint)
    changed = list_differences(engine.select_dumped_lines(manifest.fingerprint), engine.select_dumped_lines(there))
    if changed:
        raise Failed("the restore did not bring the schema of the backup", "; ".join(changed[:5]), code=HALF_WAY)
    if guard.is_empty:
        restored = _drop_empty(engine, restored, journal.path.stem)
    journal.write("restored", path=manifest.path, retained=restored.retained, method=restored.method, **now.as_facts())
    return restored, now


def _drop_empty(engine: Engine, restored: Restored, run: str) -> Restored:
    """Drop what a restore has kept of a database in which there was nothing."""
    for retained in find_restorer(engine).list_retained():
        if retained.run == run:
            find_restorer(engine).drop_retained(retained)
    return replace(restored, retained="")


def collect_written_rows(database: Database, job: Job, manifest: Manifest) -> RunRecord:
    """Return what our own runs have done since a backup was taken."""
    left = Position(manifest.heads, manifest.fingerprint)
    run_record = RunRecord(
        manifest.run, before=left, after=left, cut_short=False, on_purpose=True, since=manifest.taken
    )
    run_record.backup = Path(manifest.path)
    for _run, events in reversed(list(list_newest_first(job.layout.locate_journals(database.name)))):
        since = [event for event in events if event["at"] >= manifest.taken]
        run_record.add_written_rows(since)
        run_record.follow(since)
    return run_record
