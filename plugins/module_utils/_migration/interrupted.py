# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a run of Alembic that does not finish."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import Any

from .._engines.connection import describe_error
from .reported_error import make_reportable
from .step import Step

#: From here on a statement may hold data, and data may be secret. Nothing behind it is taken for anything else: whether
#: a quote ends a literal depends on the server's settings.
_DATA = re.compile(r"['$]|--|/\*|\bpassword\b", re.IGNORECASE)
_DATA_OF_ROWS = re.compile(r"[('\"$=]|--|/\*|\b(?:values|set|where|select)\b", re.IGNORECASE)
#: What has nothing but data behind its first word.
_IS_DATA = re.compile(r"\s*(?:select|values)\b", re.IGNORECASE)
_DEFINES = re.compile(r"\s*(?:create|alter|drop|truncate|comment|grant|revoke|reindex)\b", re.IGNORECASE)
_LONGEST = 160


class Interrupted(Exception):
    """Alembic did not finish. ``steps`` are those begun, ``cause`` is None if env.py hid the error.

    ``place`` is where in its revision the cause was raised, as far as that is known.
    """

    def __init__(self, cause: BaseException | None, steps: list[Step], place: str = "") -> None:
        super().__init__(str(cause) if cause else "env.py ended without running its migrations to their end")
        self.cause = cause
        self.steps = steps
        self.place = place or find_failing_place(cause)

    def describe(self, cause: BaseException | None, failed: Step | None) -> str:
        """Return the cause, as its engine explains it, and where in the revision that failed it was raised."""
        why = f"{type(cause).__name__}: {describe_error(cause)}" if cause else str(self)
        return f"{why}, {self.place}" if failed and self.place else why

    def as_portable(self) -> Interrupted:
        """Return the same for another process, where classes of the application need not load."""
        for step in self.steps:
            step.error = make_reportable(step.error)
        return Interrupted(make_reportable(self.cause), self.steps, self.place)

    def __reduce__(self) -> tuple[Any, ...]:
        return Interrupted, (self.cause, self.steps, self.place)


def find_failing_place(error: BaseException | None) -> str:
    """Return the file and line of the revision in which an error was raised, and its statement; empty if unknown."""
    if error is None:
        return ""
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if {"revision", "down_revision"} <= set(frame.f_globals):
            path = Path(frame.f_code.co_filename)
            found = f"{path.parent.name}/{path.name}:{line}"
    statement = _find_statement(error)
    return f"{found}: {statement}" if found and statement else found or statement


def _find_statement(error: BaseException) -> str:
    text = getattr(error, "statement", None)
    if not isinstance(text, str):
        return ""
    if _IS_DATA.match(text):
        return ""
    found = (_DATA if _DEFINES.match(text) else _DATA_OF_ROWS).search(text)
    line = " ".join(text[: found.start() if found else None].split())
    cut = line[:_LONGEST]
    return f"{cut} …" if line and (found or cut != line) else line
