# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of each engine that restores it; it is loaded when it is requested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .interface import Engine
from .restorer import Restorer


def restorer_of(engine: Engine) -> Restorer:
    """Return the part of a database's engine that restores it."""
    return engine.part(load_restorer(engine.name))


def load_restorer(name: str) -> Callable[[Any], Restorer]:
    """Return what makes the part, for an engine of a name."""
    if name == "postgresql":
        from .postgresql.restorer import PostgreSQLRestorer  # noqa: PLC0415 - its code is not for a host with files only

        return PostgreSQLRestorer
    if name == "mariadb":
        from .mariadb.restorer import MariaDBRestorer  # noqa: PLC0415 - as above

        return MariaDBRestorer
    from .sqlite.restore import SQLiteRestorer  # noqa: PLC0415 - as above

    return SQLiteRestorer
