# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our own connections without the listeners that an application registers for all engines of its process.

An env.py that has every connection begin with BEGIN EXCLUSIVE, or lock its file, means its own ones.
"""

from __future__ import annotations

from typing import Any

_OF_POOLS = ("first_connect", "connect", "checkout", "checkin", "reset", "close")


def without_common_listeners(engine: Any) -> Any:
    """Return an engine whose connections call none of the listeners of the classes Engine and Pool."""
    inner = getattr(engine, "sync_engine", engine)
    inner._has_events = False
    dispatch = inner.pool.dispatch
    for name in _OF_POOLS:
        # What SQLAlchemy itself has registered for this pool stays.
        getattr(dispatch, name).for_modify(dispatch).parent_listeners = ()
    return engine
