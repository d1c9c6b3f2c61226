# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors that cross from one process into another: the class of an application's error need not load there."""

from __future__ import annotations

from typing import Any

from .._core.errors import Refused
from .._engines.connection import find_sqlstate


class Reported(Exception):
    """An error of another process, in a class of the same name: its text and its SQLSTATE."""

    sqlstate = ""
    orig: Exception | None = None


def make_reportable(error: BaseException | None) -> BaseException | None:
    """Return an error as it can be handed to another process: one of ours as it is, another one by its facts."""
    if error is None or isinstance(error, (Refused, Reported)):
        return error
    original = getattr(error, "orig", None)
    return _make_error(type(error).__name__, str(error), find_sqlstate(error), str(original) if original else "")


def _make_error(kind: str, text: str, state: str, original: str) -> Reported:
    def reduce(_self: Reported) -> tuple[Any, tuple[str, ...]]:
        return _make_error, (kind, text, state, original)

    made: Reported = type(kind, (Reported,), {"__reduce__": reduce})(text)
    made.sqlstate = state
    made.orig = Exception(original) if original else None
    return made
