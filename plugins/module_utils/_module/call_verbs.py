# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""From a module to the virtualenv's process, where every verb can be done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .call import call_python


def call_verb(python: Path, verb: str, options: dict[str, Any]) -> dict[str, Any]:
    """Have a verb done and return its answer.

    Raises:
        Refused: the virtualenv's process refused, or could not start.
    """
    return call_python("_verbs.entry", python, verb, options)
