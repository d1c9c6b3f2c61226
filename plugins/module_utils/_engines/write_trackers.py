# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Of each kind of database what knows who wrote to it; it is loaded when it is asked for."""

from __future__ import annotations

from .interface import Engine
from .write_tracker import WriteTracker


def write_tracker_of(engine: Engine) -> WriteTracker:
    """Return the part of a database's engine that is what knows who wrote to it."""
    if engine.name == "postgresql":
        from .postgresql.write_tracker import PostgreSQLWriteTracker  # noqa: PLC0415 - its code is not for a host with files only

        return engine.part(PostgreSQLWriteTracker)
    from .sqlite.write_tracker import SQLiteWriteTracker  # noqa: PLC0415 - as above

    return engine.part(SQLiteWriteTracker)
