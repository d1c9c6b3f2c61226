# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a revision failed: its file, the line and the statement."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

#: What is quoted in a statement is data, and data may be secret.
_QUOTED = re.compile(r"'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$", re.DOTALL)
_LONGEST = 160


def failing_place(error: BaseException | None) -> str:
    """Return the file and line of the revision in which an error was raised, and its statement; empty if unknown."""
    if error is None:
        return ""
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if {"revision", "down_revision"} <= set(frame.f_globals):
            path = Path(frame.f_code.co_filename)
            found = f"{path.parent.name}/{path.name}:{line}"
    statement = _statement(error)
    return f"{found}: {statement}" if found and statement else found or statement


def _statement(error: BaseException) -> str:
    text = getattr(error, "statement", None)
    if not isinstance(text, str):
        return ""
    line = " ".join(_QUOTED.sub("'…'", text).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
