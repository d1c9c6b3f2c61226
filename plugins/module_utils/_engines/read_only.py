# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard that keeps env.py's connections from changing a server's databases, the same for all of them.

For a process that is thrown away: what is done to SQLAlchemy here is not undone for those who come later.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from .connection import OPENING_OWN

_LONGEST = 200


def shorten_refused(statement: object) -> str:
    """Return a statement that was refused, on one line."""
    return " ".join(str(statement or "a statement").split())[:_LONGEST]


def commit_nothing(dialects: str, drivers: Iterable[str], level: str) -> None:
    """Take the commit from dialects, and autocommit, which would be one after each statement.

    Args:
        dialects: the package of SQLAlchemy's that has them.
        drivers: the module of each in it; one that this version does not have is left out.
        level: the isolation level in place of autocommit.
    """
    for driver in drivers:
        try:
            dialect = importlib.import_module(f"{dialects}.{driver}").dialect
        except ImportError:
            continue
        dialect.do_commit = lambda _self, _connection: None
        dialect.set_isolation_level = _build_level_setter(dialect.set_isolation_level, level)


def _build_level_setter(original: Any, usual: str) -> Any:
    def set_isolation_level(self: Any, connection: Any, level: str) -> None:
        if level.upper() == "AUTOCOMMIT" and not OPENING_OWN.get():
            level = usual
        original(self, connection, level)

    return set_isolation_level
