# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writes of others into what a run has made: a downgrade drops them, and no backup of the run has them.

What is another session's for certain holds the database. What may be is backed up before it is dropped. A rollback on
purpose backs up all of it, and does not go on where others have written there since.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._backup.command import TOOL
from .._backup.manifest import Manifest
from .._backup.take import take
from .._core.errors import Refused
from .._core.paths import find_unused_path
from .._core.progress import Progress
from .._engines.data import Writes, WrittenRows
from .._engines.interface import Engine
from .._engines.parts import find_write_tracker
from .._journal.events import Journal
from .._migration.env_messages import RemoteConnection, find_final_writes_on
from .._migration.state import Position
from .run_record import RunRecord

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class LaterWrites:
    """The search for them, before and within the downgrades of a run."""

    def __init__(
        self, engine: Engine, run_record: RunRecord, manifest: Manifest | None, journal: Journal, progress: Progress
    ) -> None:
        self._engine = engine
        self._run_record = run_record
        self._activity = manifest.activity if manifest else {}
        self._cleared: dict[str, Any] = {}
        #: What the engine had counted when all was last backed up, and the dump of a rollback on purpose.
        self._secured = self._activity
        self._kept_in: Path | None = None
        #: Whether it is one.
        self._is_rollback = False
        self._journal = journal
        self._progress = progress
        #: Whether a downgrade was refused for them, and whether one had been begun.
        self.refused = self.has_begun = False

    def keep(self, now: Position) -> str:
        """Back up what may be others', and return a note about it; nothing if there is none.

        Raises:
            Refused: it is others' for certain, or cannot be backed up.
        """
        later = find_write_tracker(self._engine).find_later_writes(self._collect_written_rows())
        self._refuse(later)
        # Nothing is downgraded where nothing was committed.
        touched = (
            find_write_tracker(self._engine).list_touched_by_others(self._collect_written_rows())
            if any(self._run_record.committed.values())
            else []
        )
        self._cleared = find_write_tracker(self._engine).count_cleared()
        reason = "; ".join([*([later.unknown] if later else []), *touched])
        if not reason:
            return ""
        taken = self._take_again(now)
        self._secured = taken.activity
        self._journal.write("secured", path=taken.path, dump=str(Path(taken.path) / taken.dump), reason=reason)
        return f"{reason}; all is in the backup {taken.path}, taken before the downgrade"

    def begin_rollback(self, now: Position) -> None:
        """Note what the engine has to compare with, right before a rollback on purpose backs up."""
        find_write_tracker(self._engine).note_rows(self._collect_written_rows(), now.fingerprint)

    def secure(self, backup: Manifest) -> None:
        """Search for what others have written since the backup of a rollback on purpose, not since that of the run."""
        self._secured, self._is_rollback = backup.activity, True
        self._kept_in = None if backup.tool == TOOL else Path(backup.path) / backup.dump

    def check(self, connection: Connection) -> None:
        """Search in the transaction of a downgrade, where no other session can write any more.

        Raises:
            Refused: others have written since ``keep`` read.
        """
        self._refuse(find_final_writes_on(self._engine, connection, self._collect_since_secured()))

    def check_written(self, connection: Connection, wrote: dict[str, int]) -> None:
        """Check what a downgrade has written, before it is committed.

        Raises:
            Refused: others have written there, and it was not known before that the downgrade would.
        """
        written_rows = self._collect_since_secured()
        if self._is_rollback:
            if isinstance(connection, RemoteConnection):
                return  # only what is locked before the step is read there
            # What was there at its backup was not made by it, and is counted from there.
            written_rows = WrittenRows(
                before=[],
                version_tables=written_rows.version_tables,
                activity=self._secured,
                secured=self._secured,
                transactions=written_rows.transactions,
            )
        self._refuse(find_write_tracker(self._engine).find_overwritten(connection, written_rows, wrote))

    def forget_locks(self) -> None:
        """Count no table as locked any more: a part of the downgrade is about to be committed."""
        find_write_tracker(self._engine).forget_locks()

    def describe(self, backup: Manifest) -> str:
        """Return a note about what a backup has kept of them already; nothing if there is none."""
        later = find_write_tracker(self._engine).find_later_writes(self._collect_written_rows())
        return f"{later}; all is in the backup {backup.path}" if later else ""

    def hand_over(self) -> dict[str, Any]:
        """Return what it remembers, for one in another process."""
        names = ("_activity", "_secured", "_kept_in", "_cleared", "_is_rollback", "refused", "has_begun")
        return {name: getattr(self, name) for name in names}

    def take_over(self, remembered: dict[str, Any]) -> None:
        """Go on from what another one remembers."""
        vars(self).update(remembered)

    def _collect_written_rows(self) -> WrittenRows:
        return self._run_record.collect_written_rows(self._activity)

    def _collect_since_secured(self) -> WrittenRows:
        # Once a downgrade has begun, the rows may differ from the dump by what it has written itself.
        kept_in = None if self.has_begun else self._kept_in
        return replace(self._collect_written_rows(), secured=self._secured, cleared=self._cleared, kept_in=kept_in)

    def _refuse(self, later: Writes) -> None:
        if later.tables:
            self.refused = True
            self._journal.write("writes", tables=later.tables, unknown=later.unknown)
            remedy = "Choose one of the commands below; the rollback backs these rows up first"
            raise Refused(
                f"A downgrade of {self._engine.database.name!r} would lose what others wrote",
                f"it went into what run {self._run_record.run} has made or the downgrade changes;"
                f" {Writes(later.tables)}",
                "Stop the application" if self._is_rollback else remedy,
                code="others-wrote",
            )

    def _take_again(self, now: Position) -> Manifest:
        """Back up under a name of its own: the run's backup is what the revert leads to."""
        job = self._engine.job
        folder = job.layout.locate_backups(self._engine.database.name)
        name = find_unused_path(folder / f"{self._run_record.run[:50]}-downgraded").name
        return take(self._engine, now.heads, replace(job, run=name), self._progress.report)
