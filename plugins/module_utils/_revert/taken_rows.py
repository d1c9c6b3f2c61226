# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows of others that a failed run may have taken for good, where no failure rolls it back: no restore has them."""

from __future__ import annotations

from .._backup.command import TOOL
from .._backup.manifest import Manifest
from .._core.errors import Refused, describe_first
from .._engines.interface import Engine
from .._engines.parts import find_write_tracker
from .run_record import RunRecord

_MOST_NAMED = 5


def refuse_taken(engine: Engine, manifest: Manifest | None, run_record: RunRecord) -> None:
    """Refuse to revert where the run may have taken what others had written, so that it is in no place any more.

    Args:
        engine: of the database.
        manifest: of the backup that the run took, if it is there.
        run_record: what the run has done.

    Raises:
        Refused: it may, and ``migrate_restore_loses_writes`` is not set.
    """
    if manifest is None or engine.job.restore_loses_writes or not engine.is_present():
        return
    archive = None if manifest.tool == TOOL else manifest.as_archive()
    written_rows = run_record.collect_written_rows(manifest.activity)
    tracker = find_write_tracker(engine)
    defined = tracker.list_redefined_by_others(written_rows, run_record.executed)
    if defined:
        raise Refused(
            f"Other sessions may have defined anew in database {engine.database.name!r} what run {run_record.run} has"
            " changed",
            f"they have defined objects of its kind while it ran: {describe_first(defined, _MOST_NAMED)}",
            "Compare the definitions with those of the revisions, then choose one of the commands below",
            code="others-wrote",
        )
    taken = tracker.list_taken_from_others(archive, written_rows)
    if taken:
        raise Refused(
            f"Run {run_record.run} may have taken from database {engine.database.name!r} what others wrote meanwhile",
            "what others had written into it before it was dropped, replaced or changed is unknown: "
            + describe_first(taken, _MOST_NAMED),
            "Find out whether the application wrote there, then choose one of the commands below",
            code="others-wrote",
        )
