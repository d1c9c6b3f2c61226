# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Of each kind of database what restores it; it is loaded when it is asked for."""

from __future__ import annotations

from .interface import Engine
from .restorer import Restorer


def restorer_of(engine: Engine) -> Restorer:
    """Return the part of a database's engine that is what restores it."""
    if engine.name == "postgresql":
        from .postgresql.restorer import PostgreSQLRestorer  # noqa: PLC0415 - its code is not for a host with files only

        return engine.part(PostgreSQLRestorer)
    from .sqlite.restore import SQLiteRestorer  # noqa: PLC0415 - as above

    return engine.part(SQLiteRestorer)
