# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of each engine that rehearses on copies of it; it is loaded when it is requested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .interface import Engine
from .rehearser import Rehearser


def rehearser_of(engine: Engine) -> Rehearser:
    """Return the part of a database's engine that rehearses on copies of it."""
    return engine.part(load_rehearser(engine.name))


def load_rehearser(name: str) -> Callable[[Any], Rehearser]:
    """Return what makes the part, for an engine of a name."""
    if name == "postgresql":
        from .postgresql.scratch import PostgreSQLRehearser  # noqa: PLC0415 - its code is not for a host with files only

        return PostgreSQLRehearser
    if name == "mariadb":
        from .mariadb.scratch import MariaDBRehearser  # noqa: PLC0415 - as above

        return MariaDBRehearser
    from .sqlite.scratch import SQLiteRehearser  # noqa: PLC0415 - as above

    return SQLiteRehearser
