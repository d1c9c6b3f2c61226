# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""From a module to where plans are made: it is called more often than all else, and carries only what plans take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .call import call_python


def call_plan(python: Path, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the plan of each database.

    Raises:
        Refused: as ``call_verb``.
    """
    return list(call_python("_plan.entry", python, "plan", options)["databases"])
