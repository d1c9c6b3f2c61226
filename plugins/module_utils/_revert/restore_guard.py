# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The last word before a restore replaces a database: whether it would lose what others wrote."""

from __future__ import annotations

from collections.abc import Callable

from .._backup.command import TOOL
from .._backup.manifest import Manifest
from .._core.errors import Refused
from .._core.progress import Progress
from .._engines.data import Writes, WrittenRows
from .._engines.interface import Engine
from .._engines.parts import find_restorer, find_write_tracker
from .._journal.events import Journal
from .._migration.state import read_position
from .backup_tool import ReadWrites, find_writes_since, foresee_writes
from .other_applications import list_changed_by_others
from .run_record import RunRecord

_MOST_NAMED = 5


class RestoreGuard:
    """Reads what others wrote, once while they still may and once when they cannot any more."""

    def __init__(
        self, engine: Engine, manifest: Manifest, run_record: RunRecord, journal: Journal, progress: Progress
    ) -> None:
        self._engine = engine
        self._manifest = manifest
        self._run_record = run_record
        self._journal = journal
        self._written_rows = run_record.collect_written_rows(manifest.activity)
        #: Whether there was nothing in the database when no session could write any more.
        self.is_empty = False
        #: Schema changes of others, and rows by table that they wrote into what the run has made.
        self._changes: list[str] = []
        self._later: dict[str, int] = {}
        self._is_ours = manifest.tool != TOOL
        if find_restorer(engine).is_readable():
            found = list_changed_by_others(engine, run_record, read_position(engine, list(manifest.heads)))
            self._changes = [*run_record.others, *(change for change in found if change not in run_record.others)]
            self._later = find_write_tracker(engine).find_later_writes(self._written_rows).tables
            if self._is_ours:
                find_write_tracker(engine).compare_written(
                    manifest.as_archive(), self._written_rows, engine.job.compare_limit, progress.report
                )

    def __call__(self) -> None:
        """Check when no other session can write.

        Raises:
            Refused: others have written, or may have, and ``migrate_restore_loses_writes`` is not set.
        """
        writes = self._read_writes(find_writes_since, find_write_tracker(self._engine).find_writes_into_made)
        if writes:
            self._journal.write("writes", tables=writes.tables, unknown=writes.unknown)
        self._refuse(writes)

    def foresee(self) -> None:
        """Check while others are still at work, and leave no trace of it.

        Raises:
            Refused: as ``__call__``, as far as it can be read now.
        """
        if find_restorer(self._engine).is_readable():
            self._refuse(self._read_writes(foresee_writes, self._foresee_in_made))

    def _refuse(self, writes: Writes) -> None:
        if writes and not self._engine.job.restore_loses_writes:
            # The run's own rows are among those that were counted, and nothing says how many they are.
            unseen = self._written_rows.unseen
            doubt = f"; it is unknown which of it the run wrote itself ({unseen[0]})" if unseen else ""
            raise Refused(
                f"A restore of {self._engine.database.name!r} would lose what others wrote",
                f"{writes}{doubt}",
                "Set migrate_restore_loses_writes=true to restore all the same; what is replaced is retained",
                code="others-wrote",
            )

    def _foresee_in_made(self, written_rows: WrittenRows) -> Writes:
        # What is unknown may be known once the others were sent away.
        return Writes(find_write_tracker(self._engine).find_later_writes(written_rows).tables)

    def _read_writes(self, read: ReadWrites, read_made: Callable[[WrittenRows], Writes]) -> Writes:
        engine, run_record = self._engine, self._run_record
        self.is_empty = self._is_ours and find_restorer(engine).is_empty()
        if self.is_empty:
            return Writes()
        writes = read(engine, self._manifest, run_record.wrote, run_record.content)
        # Once more, now that no other session can write; what was seen before counts as well.
        made = read_made(self._written_rows)
        tables = {**self._later, **made.tables}
        parts = [str(each) for each in (writes, Writes(tables), Writes(unknown=made.unknown)) if each]
        unknown = "; ".join(parts) if writes.unknown or made.unknown else ""
        writes = Writes({**writes.tables, **tables}, unknown)
        strange = self._describe_other_database()
        if self._is_ours and not strange:
            strange = find_write_tracker(engine).list_changes_by_others(self._manifest.as_archive(), self._written_rows)
        if strange:
            writes = Writes(writes.tables, "; ".join([*([str(writes)] if writes else []), *strange]))
        if self._changes:
            changes = f"the schema was changed by others: {'; '.join(self._changes[:_MOST_NAMED])}"
            writes = Writes(writes.tables, f"{writes}; {changes}" if writes else changes)
        return writes

    def _describe_other_database(self) -> list[str]:
        """Say that the URL leads to another database than the one that was backed up."""
        identity = str(self._engine.read_own_identity())
        if identity == self._manifest.identity:
            return []
        return [f"the backup is of {self._manifest.identity}, and the url leads to {identity}"]
