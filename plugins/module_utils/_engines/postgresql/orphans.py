# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backends that outlive their clients: they go on with their statement, and may still commit."""

from __future__ import annotations

import time

from ..._core.errors import Refused
from ..._core.playbook_command import playbook_command
from ..connection import OwnConnection
from ..interface import Tell
from . import catalog

_LOOK_EVERY = 0.2  # seconds
_TO_END = 10.0  # seconds that a backend may take to end once it was told


def wait_for_orphan(own: OwnConnection, key: int, name: str, patience: float, tell: Tell) -> None:
    """Come back when nobody holds the lock on the migrating connection any more.

    Args:
        own: a connection of our own, which holds nothing afterwards.
        key: the lock's.
        name: the database's, for words.
        patience: seconds until the backend is ended.
        tell: is called with who it is.

    Raises:
        Refused: it works on, and we may not end it, or it does not end.
    """
    deadline = time.monotonic() + patience
    told = False
    while not own.rows("select pg_try_advisory_lock(:key)", key=key)[0][0]:
        holders = own.rows(catalog.LOCK_HOLDER, key=key)
        who = f"{holders[0][0]} (pid {holders[0][1]})" if holders else "a session that has just ended"
        tell(f"waits for the backend of a dead run, {who}")
        if time.monotonic() >= deadline:
            if not told and holders:
                _end(own, holders[0][1], name, who)
                told, deadline = True, time.monotonic() + _TO_END
            elif told:
                raise _works_on(name, who, "it was told to end and has not")
        time.sleep(_LOOK_EVERY)
    own.rows("select pg_advisory_unlock(:key)", key=key)


def _end(own: OwnConnection, pid: int, name: str, who: str) -> None:
    try:
        own.rows("select pg_terminate_backend(:pid)", pid=pid)
    except Exception as error:
        raise _works_on(name, who, str(getattr(error, "orig", error)).strip()) from error


def _works_on(name: str, who: str, why: str) -> Refused:
    return Refused(
        f"A backend of a dead run still works in database {name!r}: {who}",
        why,
        f"Have it ended by pg_terminate_backend, then recover: {playbook_command('recover')}",
        code="backend-still-works",
    )
