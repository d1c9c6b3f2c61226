# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The locks on a whole MariaDB database: names of GET_LOCK, which belong to the server, held by connections."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from ..._core.errors import Failed, Refused
from ..._core.playbook_command import build_playbook_command
from ..connection import OwnConnection, execute, find_errno
from ..interface import Lock, Report

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..._core.job import Database

#: Part of the protocol between versions of this collection: another name would let two runs meet.
DATABASE, MIGRATING = "hosting.alembic database", "hosting.alembic migrating"
_DIGITS = 32  # a name has 64 characters at the most, and the server takes a longer one for an error

_TO_END = 10.0  # seconds that a session may take to end after KILL
_POLL_INTERVAL = 0.2  # seconds

_NO_SUCH_THREAD = 1094


def lock_name(kind: str, schema: str) -> str:
    """Return the name of a lock on one database of the server."""
    return f"{kind} {hashlib.sha256(schema.encode()).hexdigest()[:_DIGITS]}"


def try_lock(connection: Connection, name: str) -> bool:
    """Try a lock at once; a connection that has it already has it twice then."""
    return bool(execute(connection, "select get_lock(:name, 0) = 1", {"name": name})[0][0])


def read_holder(own: OwnConnection, name: str) -> int:
    """Return the session that holds a lock, 0 if none does."""
    return int(own.query_rows("select is_used_lock(:name)", name=name)[0][0] or 0)


def read_session(own: OwnConnection) -> int:
    """Return the number of a connection's session."""
    return int(own.query_rows("select connection_id()")[0][0])


def describe_lost_lock(name: str) -> Failed:
    """Return that the lock on a database was lost."""
    return Failed(
        f"The lock on database {name!r} was lost",
        "the server closed the connection that held it",
        "No further revision was begun; read the server's log",
        code="lock-lost",
    )


def describe_holder(own: OwnConnection, name: str) -> str:
    """Return who holds a lock; of another user's session only its number is shown without PROCESS."""
    number = read_holder(own, name)
    if not number:
        return "a session that has just ended"
    rows = own.query_rows("select user, host from information_schema.processlist where id = :id", id=number)
    return f"session {number}" + (f" ({rows[0][0]} from {rows[0][1]})" if rows else "")


class NamedLock(Lock):
    """The lock on a database, held by a connection of our own."""

    def __init__(self, own: OwnConnection, name: str, schema: str) -> None:
        self._own = own
        self._name = name
        self._lock = lock_name(DATABASE, schema)
        self._released = False
        self._holder = 0

    def attempt(self) -> bool:
        """Try to get it."""
        self._holder = read_session(self._own)
        return self._own.run(try_lock, self._lock)

    def is_on(self, own: OwnConnection | None) -> bool:
        """Return whether a connection holds it."""
        return own is self._own and not self._released

    def read_own_session(self) -> int:
        """Return the number of the session that holds it, 0 once it was given back."""
        return 0 if self._released else read_session(self._own)

    def check(self) -> None:
        """Raise Failed if the server has ended the connection and with it the lock."""
        if self._own.is_broken():
            raise describe_lost_lock(self._name)

    def check_through(self, own: OwnConnection) -> None:
        """Raise Failed if, as another connection sees it, another session or none has the lock."""
        if not self._released and read_holder(own, self._lock) != self._holder:
            raise describe_lost_lock(self._name)

    def release(self) -> None:
        """Close the connection, which gives the lock back."""
        self._released = True
        self._own.close()


def wait_for_orphan(own: OwnConnection, database: Database, schema: str, patience: float, report: Report) -> None:
    """Come back when no session holds the lock on the migrating connection any more.

    Args:
        own: a connection of our own, which holds nothing of it afterwards.
        database: the entry.
        schema: what the server calls the database.
        patience: seconds until the session is ended.
        report: is called with who it is.

    Raises:
        Refused: it works on, and we may not end it, or it does not end.
    """
    deadline = time.monotonic() + patience
    killed, lock = False, lock_name(MIGRATING, schema)
    while not own.run(try_lock, lock):
        who = describe_holder(own, lock)
        report(f"waits for the backend of a dead run, {who}")
        if time.monotonic() >= deadline:
            number = read_holder(own, lock)
            if not killed and number:
                _kill(own, number, database.name, who)
                killed, deadline = True, time.monotonic() + _TO_END
            elif killed:
                raise _build_orphan_refusal(database.name, who, number, "it was killed and has not ended")
        time.sleep(_POLL_INTERVAL)
    own.query_rows("select release_lock(:name)", name=lock)


def _kill(own: OwnConnection, number: int, name: str, who: str) -> None:
    try:
        own.query_rows(f"kill {int(number)}")
    except Exception as error:
        if find_errno(error) == _NO_SUCH_THREAD:  # it has just ended
            return
        raise _build_orphan_refusal(name, who, number, str(getattr(error, "orig", error)).strip()) from error


def _build_orphan_refusal(name: str, who: str, number: int, why: str) -> Refused:
    return Refused(
        f"A backend of a dead run still works in database {name!r}: {who}",
        why,
        f"Have it ended by KILL {number}, then recover: {build_playbook_command('recover')}",
        code="backend-still-works",
    )
