# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of each engine that knows who wrote to it; it is loaded when it is requested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .interface import Engine
from .write_tracker import WriteTracker


def write_tracker_of(engine: Engine) -> WriteTracker:
    """Return the part of a database's engine that knows who wrote to it."""
    return engine.part(load_write_tracker(engine.name))


def load_write_tracker(name: str) -> Callable[[Any], WriteTracker]:
    """Return what makes the part, for an engine of a name."""
    if name == "postgresql":
        from .postgresql.write_tracker import PostgreSQLWriteTracker  # noqa: PLC0415 - its code is not for a host with files only

        return PostgreSQLWriteTracker
    if name == "mariadb":
        from .mariadb.write_tracker import MariaDBWriteTracker  # noqa: PLC0415 - as above

        return MariaDBWriteTracker
    from .sqlite.write_tracker import SQLiteWriteTracker  # noqa: PLC0415 - as above

    return SQLiteWriteTracker
