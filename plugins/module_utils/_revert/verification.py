# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison of a database with its backup, and the undoing of a rollback that failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from .._backup.command import TOOL
from .._backup.manifest import Manifest, list_proven
from .._core.errors import Failed, Refused, describe_first
from .._core.progress import Progress
from .._engines.comparison import Comparison
from .._engines.connection import describe_error
from .._engines.data import ANY_TABLE, Restored
from .._engines.interface import Engine
from .._engines.parts import find_write_tracker
from .._journal.events import Journal
from .._migration.state import Position, list_differences_since, read_position
from .restore import bring_back
from .run_record import RunRecord

_MOST_NAMED = 5
_BY_COMMAND = "the rows: migrate_backup_command made the backup, and only its own restore can read it"


def find_backup(run_record: RunRecord) -> Manifest | None:
    """Return the backup that a run took before it began, if it is still there."""
    taken = list_proven(run_record.backup.parent) if run_record.backup else []
    return next((manifest for manifest in taken if manifest.run == run_record.run), None)


def compare_with(
    manifest: Manifest | None, engine: Engine, run_record: RunRecord, progress: Progress, limit: int
) -> Comparison:
    """Compare a database with a backup, where there is one of our own to compare with.

    Args:
        manifest: the backup.
        engine: the engine of the database.
        run_record: what the run has done.
        progress: says what is compared.
        limit: bytes of a table above which it is not compared.
    """
    if manifest is None or not engine.is_present():
        return Comparison()
    if manifest.tool == TOOL:
        return Comparison(not_compared=[_BY_COMMAND] if has_committed(run_record) else [])
    progress.begin_phase("compares with the backup")
    return find_write_tracker(engine).compare(
        manifest.as_archive(), run_record.collect_written_rows(manifest.activity), limit, progress.report
    )


def has_committed(run_record: RunRecord) -> bool:
    """Return whether a run has committed anything, or may have."""
    written_rows = run_record.collect_written_rows({})
    return bool(
        any(run_record.committed.values()) or written_rows.stayed or written_rows.unseen or written_rows.is_open
    )


def refuse_differences(found: Comparison, manifest: Manifest) -> None:
    """Raise where a database that was downgraded is not what its backup holds.

    Raises:
        Failed: it differs.
        Refused: nothing can compare it; a restore would not be proven better.
    """
    if found.is_equal:
        return
    if manifest.tool == TOOL:
        raise Refused(
            f"Database {manifest.database!r} was downgraded, and not compared with its backup of run {manifest.run}",
            f"its revision and its schema are as before; not compared: {found}",
            "Read its rows by hand, and restore the backup where they are not as before",
            code="downgrade-not-compared",
        )
    raise Failed(
        f"Database {manifest.database!r} differs from its backup of run {manifest.run}",
        str(found),
        code="downgrade-not-exact",
    )


def compare_rolled_back(
    manifest: Manifest | None, engine: Engine, run_record: RunRecord, downgrades: RunRecord, progress: Progress
) -> list[str]:
    """Compare the schema after a rollback with the backup that the upgrade took, and return notes about it.

    Args:
        manifest: the backup, if there still is one.
        engine: the engine of the database.
        run_record: what the upgrade has done.
        downgrades: what the rollback has done.
        progress: says what is compared.

    Raises:
        Failed: it is not the old schema, and only the run has changed it.
    """
    if manifest is None or manifest.tool == TOOL or not engine.is_present():
        return [f"the schema was compared with its fingerprint only: {_explain_missing_archive(manifest)}"]
    written_rows = run_record.collect_written_rows(manifest.activity)
    written_rows = replace(
        written_rows,
        transactions=written_rows.transactions | frozenset(downgrades.transactions),
        catalog_rows={**written_rows.catalog_rows, **downgrades.catalog_rows},
    )
    words, others = find_write_tracker(engine).compare_schema(manifest.as_archive(), written_rows, progress.report)
    if not words:
        return []
    named = "; ".join(words[:_MOST_NAMED])
    if not others:
        raise Failed("the downgrades did not bring the old schema back", named, code="downgrade-not-exact")
    return [f"the schema is not that of the backup of run {manifest.run}, and others have changed it since: {named}"]


def _explain_missing_archive(manifest: Manifest | None) -> str:
    return "the backup of the upgrade was made by a command" if manifest else "the backup of the upgrade is not there"


def describe_changed_rows(engine: Engine, backup: Manifest, wrote: dict[str, int], limit: int) -> str:
    """Return a note about tables whose rows the downgrades of a rollback changed; nothing if there is none.

    Args:
        engine: the engine of the database.
        backup: was taken just before the rollback.
        wrote: rows or statements by table, as the downgrades wrote them.
        limit: as for ``compare_with``.
    """
    if backup.tool == TOOL or not engine.is_present():
        return ""
    try:
        changed = find_write_tracker(engine).list_changed_by_downgrades(backup.as_archive(), wrote, limit)
    except Exception as error:  # noqa: BLE001 - a note is not a reason to hold what was rolled back
        return f"rows were not compared with the backup {backup.path} ({describe_error(error)})"
    if not changed:
        return ""
    named = describe_first(changed, _MOST_NAMED)
    return f"the downgrade changed rows of {named}; as they were before it, they are in the backup {backup.path}"


def list_notes(found: Comparison) -> list[str]:
    """Return what a result says of a comparison that counts as equal."""
    return [*found.notes, *(f"{words}: as far as is known, others and not the run" for words in found.others)]


def keep_positions(
    engine: Engine, journal: Journal, before: dict[str, Any], manifest: Manifest | None, run_record: RunRecord
) -> list[str]:
    """Take back no value of a sequence that others were given, and return notes about it.

    Args:
        engine: the engine of the database.
        journal: of the run.
        before: the positions before the downgrades.
        manifest: the backup that the upgrade took, if there still is one.
        run_record: what the run has done, its downgrades included.
    """
    archive = manifest.as_archive() if manifest and manifest.tool != TOOL else None
    notes = find_write_tracker(engine).keep_positions(
        before, archive, run_record.collect_written_rows(manifest.activity if manifest else {})
    )
    if notes:
        journal.write("set_forward", set_forward=sorted(notes))
    note_reads(engine, journal)
    return list(notes.values())


def note_reads(engine: Engine, journal: Journal) -> None:
    """Journal which sequences this process has read itself: a later one has to know it too."""
    used = find_write_tracker(engine).take_reads()
    if used:
        journal.write("read_sequences", used=used)


def find_backup_of_interrupted(journal: Journal) -> Manifest | None:
    """Return the backup that an interrupted rollback took, if it had begun to downgrade and the backup is there."""
    path = ""
    for event in journal.read_events_of_run():
        if event["event"] == "backed_up" and not path:
            path = event["path"]
        elif event["event"] == "downgrade_begun" and path:
            taken = list_proven(Path(path).parent)
            return next((manifest for manifest in taken if manifest.path == path), None)
    return None


def undo_rollback(
    engine: Engine,
    backup: Manifest,
    journal: Journal,
    progress: Progress,
    reason: str,
    limit: int,
    own_backup: bool = True,
) -> tuple[Position, Restored | None]:
    """Bring back what was there before a rollback that failed; nothing is restored where nothing has changed.

    Args:
        engine: the engine of the database.
        backup: was taken just before the rollback.
        journal: of the rollback.
        progress: says how far it is.
        reason: why it failed.
        limit: as for ``compare_with``.
        own_backup: this process took the backup, and the engine has noticed since then whether others write.

    Raises:
        Failed: it cannot be restored, or others have written since; the database is as the rollback left it.
    """
    run_record = RunRecord.of(backup.run, journal.read_events_of_run())
    # An interrupted rollback takes another backup when it goes on; this one is what is compared.
    run_record.before, run_record.since = Position(backup.heads, backup.fingerprint), backup.taken
    run_record.touched = frozenset({ANY_TABLE})  # it may have written into any
    run_record.cut_short = True  # what has changed in the schema since the backup is the rollback's own
    run_record.content = find_write_tracker(engine).read_content_state() if own_backup and engine.is_present() else None
    now = read_position(engine, list(backup.heads))
    if now.heads == backup.heads and not list_differences_since(engine, backup.fingerprint, now.fingerprint):
        found = compare_with(backup, engine, run_record, progress, limit)
        if found.is_equal and backup.tool != TOOL:
            return now, None
        reason = f"{reason}; {found}"
    try:
        restored, now = bring_back(engine, backup, run_record, journal, progress, reason)
    except Refused as refusal:
        # Not a refusal of the rollback, which has begun: a person decides what becomes of the database.
        raise Failed(refusal.what, f"{reason}; {refusal.why}", refusal.remedy, code=refusal.code) from refusal
    return now, restored
