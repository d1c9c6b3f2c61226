# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The events of our own connections: without the listeners that an application registers for all engines.

An env.py that has every connection begin with BEGIN EXCLUSIVE, or lock its file, means its own ones.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from .sqlalchemy_import import sa

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

_OF_POOLS = ("first_connect", "connect", "checkout", "checkin", "reset", "close")


def remove_common_listeners(engine: Any) -> Any:
    """Return an engine whose connections call none of the listeners of the classes Engine and Pool."""
    inner = getattr(engine, "sync_engine", engine)
    inner._has_events = False
    dispatch = inner.pool.dispatch
    for name in _OF_POOLS:
        # What SQLAlchemy itself has registered for this pool stays.
        getattr(dispatch, name).for_modify(dispatch).parent_listeners = ()
    return engine


#: By URL and options; they hold no connection, only what SQLAlchemy has found out of the server.
_ENGINES: dict[tuple[str, str], Any] = {}


def build_own_engine(url: URL, options: dict[str, Any]) -> Any:
    """Return what opens connections; to make it, and its first connection, takes longer than a new connection."""
    key = url.render_as_string(hide_password=False), repr(options)
    if key not in _ENGINES:
        psycopg2 = url.get_driver_name() == "psycopg2"
        engine: Any = sa.create_engine(url, **options, **({"use_native_hstore": False} if psycopg2 else {}))
        if psycopg2:
            # SQLAlchemy's own five queries cost more than many of ours, and the driver knows the version already.
            engine.dialect.initialize = functools.partial(_set_version, engine.dialect)
        _ENGINES[key] = remove_common_listeners(engine)
    return _ENGINES[key]


def _set_version(dialect: Any, connection: Connection) -> None:
    pooled: Any = connection.connection
    # SQLAlchemy 1.4 hands the driver's own connection over here.
    version = getattr(pooled, "dbapi_connection", pooled).server_version
    dialect.server_version_info = (version // 10000, version % 10000)
