# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``config.attributes`` with a connection for the env.py that cannot do without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._engines.interface import Engine
from .._engines.migration_url import ASYNC_DRIVERS, build_own_url
from .._engines.sqlalchemy_import import sa

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class Attributes(dict[Any, Any]):
    """Empty, as on a command line. ``attributes["connection"]`` would be a KeyError there, and is a connection here.

    An env.py that only sees whether there is one finds none: what it does with one that others gave it is not ours to
    guess, and many call ``.connect()`` on it.
    """

    def __init__(self, open_connection: Callable[[], Connection | None]) -> None:
        super().__init__()
        self._open = open_connection

    def __missing__(self, key: Any) -> Any:
        connection = self._open() if key == "connection" else None
        if connection is None:
            raise KeyError(key)
        self[key] = connection
        return connection


def offer_connection(engine: Engine, opened: list[Connection]) -> Connection | None:
    """Open what env.py may take from ``config.attributes``; only a synchronous connection can be handed over."""
    url = build_own_url(engine.url)
    if url.get_driver_name() in ASYNC_DRIVERS:
        return None
    connection = sa.create_engine(url, poolclass=sa.pool.NullPool).connect()
    opened.append(connection)
    return connection
