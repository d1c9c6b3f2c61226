# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data that a run removed and no downgrade brings back: a column that is made again is empty.

A downgrade restores the schema. Whether it restores the rows as well, is unknown from outside; what a run may have
lost is known: columns and tables that are gone, rows that are fewer, and tables whose rows have changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .._backup.command import TOOL
from .._backup.manifest import Manifest
from .._engines.interface import Engine
from .._engines.parts import find_write_tracker
from .._migration.state import Position, find_lost_rows
from .run_record import RunRecord


@dataclass(frozen=True)
class DataLoss:
    """The data that a downgrade would not bring back: for certain, and perhaps."""

    certain: list[str] = field(default_factory=list)
    #: Tables whose rows have changed since the backup.
    changed: list[str] = field(default_factory=list)

    @property
    def possible(self) -> list[str]:
        """Return what a downgrade may leave as it is, in words."""
        return [f"rows in {table} have changed since the backup" for table in self.changed]

    def __str__(self) -> str:
        return "; ".join(self.certain + self.possible)


def find_data_loss(engine: Engine, manifest: Manifest | None, run_record: RunRecord, now: Position) -> DataLoss:
    """Return what a run has taken from a database or may have changed in it.

    Args:
        engine: the engine of the database.
        manifest: the backup that the run took.
        run_record: what the run did.
        now: the revisions of the database, with its rows counted if the backup counted them.
    """
    present = set(map(_parse_object, now.fingerprint))
    gone = sorted({_parse_object(line) for line in run_record.before.fingerprint} - present)
    certain = [f"{name} is gone" for name in gone if name]
    fewer = find_lost_rows(manifest.row_counts if manifest else None, now.row_counts)
    is_there = manifest is not None and engine.is_present()
    tracker = find_write_tracker(engine)
    if fewer and manifest is not None and is_there and manifest.tool != TOOL:
        of_others = tracker.list_untouched(
            manifest.as_archive(), run_record.collect_written_rows(manifest.activity), fewer
        )
        fewer = {table: counts for table, counts in fewer.items() if table not in of_others}
    certain += [f"table {table} had {before} rows and has {after}" for table, (before, after) in sorted(fewer.items())]
    if manifest is None or not is_there:
        return DataLoss(certain)
    return DataLoss(certain, tracker.list_changed_by_run(manifest.as_archive(), run_record.wrote))


def _parse_object(line: str) -> str:
    """Return the kind and the name that a line of a fingerprint begins with, of what holds rows; else nothing."""
    kind, _space, rest = line.partition(" ")
    return f"{kind} {rest.split(' ')[0]}" if kind in ("table", "column") else ""
