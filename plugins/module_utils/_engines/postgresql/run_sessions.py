# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sessions that env.py has opened: closed before what the server has counted is read.

A session that idles keeps its counts, for a second or for as long as it idles, and hands them in when it ends. A pool
of env.py keeps its sessions open for as long as the process lives.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .write_counters import await_counters

if TYPE_CHECKING:
    from .session import PostgreSQLSession

_PATIENCE = 5.0
_EVERY = 0.05

_OPEN = """
select pid from pg_stat_activity
 where datname = current_database() and backend_type = 'client backend' and application_name = :application
"""

#: Records of SQLAlchemy's pools, each with the process that has opened its connection.
_pooled: list[tuple[int, Any]] = []


def remember_pooled(record: Any) -> None:
    """Remember the record of a pool whose connection was opened, to close it later."""
    _pooled.append((os.getpid(), record))


def close_pooled() -> None:
    """Close the connections of env.py's pools that are idle; a forked process leaves those of its parent alone."""
    for pid, record in _pooled:
        connection = record.dbapi_connection if hasattr(record, "dbapi_connection") else record.connection
        if pid != os.getpid() or record.in_use or connection is None:
            continue
        # An asynchronous one cannot be closed outside of its loop.
        with suppress(Exception):
            getattr(connection, "terminate", connection.close)()
    _pooled.clear()


def close_sessions_of_run(engine: PostgreSQLSession) -> str:
    """Close what env.py has left open, and wait until it has ended and what it counted can be read.

    Return why it has not ended, or nothing.
    """
    close_pooled()
    deadline = time.monotonic() + _PATIENCE
    while True:
        rows = engine.open_own_connection().query_rows(_OPEN, application=engine.application)
        others = [pid for (pid,) in rows if pid not in engine.own_pids]
        if not others:
            engine.open_own_connection().run(await_counters)
            return ""
        if time.monotonic() >= deadline:
            return f"sessions of the run are still open: {', '.join(f'pid {pid}' for pid in others[:5])}"
        time.sleep(_EVERY)
