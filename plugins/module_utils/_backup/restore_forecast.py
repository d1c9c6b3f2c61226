# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The method by which a database would be restored, with the rights of now: read at the plan and at the backup."""

from __future__ import annotations

from .._core.errors import Refused
from .._core.results import RestoreFacts
from .._engines.interface import Engine
from .command import TOOL, choose_restore_method
from .manifest import Manifest


def forecast_restore(engine: Engine, manifest: Manifest | None = None) -> RestoreFacts:
    """Return how a restore would be done now, what it would not bring back, and what prevents it.

    Args:
        engine: of the database.
        manifest: a backup that was just taken.
    """
    try:
        method = choose_restore_method(engine, engine.job.backup_command)
        of_command = method.name == TOOL
        archive = manifest.as_archive() if manifest else None
        notes = [] if of_command else engine.list_restore_notes(method, archive)
    except Refused as refusal:  # whatever it is, a good backup does not fail for it
        return {"method": "", "not_restored": [], "obstacle": refusal.as_facts(), "notes": []}
    held = [f"after a failure it is held, not restored, because of {'; '.join(method.loses)}"] if method.loses else []
    return {**method.as_facts(), "notes": [*method.notes, *held, *notes]}
