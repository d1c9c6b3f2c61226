# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock on a whole PostgreSQL database, and backends that outlive their clients: they may still commit."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from ..._core.errors import Failed, Refused
from ..._core.playbook_command import build_playbook_command
from ..connection import OwnConnection
from ..interface import Lock, Report
from . import catalog_queries
from .restore_statements import end_session

if TYPE_CHECKING:
    from ..._core.job import Database

# Advisory locks belong to a database, so this number serves for all of them. It is part of the protocol between
# versions of this collection: a changed number would let two runs meet.
LOCK_DATABASE = 0x68616C_656D6201

_PATIENCE = 5
_TO_END = 10.0  # seconds that a backend may take to end after the signal
_POLL_INTERVAL = 0.2  # seconds


def try_lock(key: int, schema: str) -> tuple[str, dict[str, int]]:
    """Return the statement that tries a lock, on all of a database or on one schema, and its parameters.

    Who has a schema shares the lock on the database with those who have others, and excludes who wants all of it.

    Args:
        key: of the lock on the database.
        schema: the schema, none for all.
    """
    if not schema:
        return "select pg_try_advisory_lock(:key)", {"key": key}
    statement = """
select case when pg_try_advisory_lock_shared(:key)
            then case when pg_try_advisory_lock(:of_schema) then true else not pg_advisory_unlock_shared(:key) end
            else false end
"""
    return statement, {"key": key, "of_schema": compute_schema_key(key, schema)}


def unlock(key: int, schema: str) -> tuple[str, dict[str, int]]:
    """Return the statement that gives such a lock back, and its parameters."""
    if not schema:
        return "select pg_advisory_unlock(:key)", {"key": key}
    statement = "select pg_advisory_unlock(:of_schema), pg_advisory_unlock_shared(:key)"
    return statement, {"key": key, "of_schema": compute_schema_key(key, schema)}


def compute_schema_key(key: int, schema: str) -> int:
    """Return the number of a schema's lock; it is part of the protocol as that of the database is."""
    digest = hashlib.sha256(f"{key} {schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def read_holders(own: OwnConnection, key: int, schema: str) -> list[tuple[Any, ...]]:
    """Return who keeps others from a lock: application, process and address of each."""
    holders = (
        own.query_rows(catalog_queries.LOCK_HOLDER, key=compute_schema_key(key, schema), mode="ExclusiveLock")
        if schema
        else []
    )
    mode = "ExclusiveLock" if schema else "%"
    return holders or own.query_rows(catalog_queries.LOCK_HOLDER, key=key, mode=mode)


class AdvisoryLock(Lock):
    """The lock on a database, or on one schema of it, held by a connection of our own."""

    def __init__(self, own: OwnConnection, name: str, schema: str = "") -> None:
        self._own = own
        self._name = name
        self._schema = schema
        self._released = False
        self.is_suspended = False

    def attempt(self) -> bool:
        """Try to get it."""
        statement, keys = try_lock(LOCK_DATABASE, self._schema)
        return bool(self._own.query_rows(statement, **keys)[0][0])

    def is_on(self, own: OwnConnection | None) -> bool:
        """Return whether a connection holds it."""
        return own is self._own and not (self._released or self.is_suspended)

    def read_pid(self) -> int:
        """Return the backend that holds it, 0 once it was given back."""
        return 0 if self._released or self.is_suspended else int(self._own.query_rows("select pg_backend_pid()")[0][0])

    def suspend(self) -> None:
        """Close its connection for a while."""
        if not self._released:
            self._own.close()
            self.is_suspended = True

    def take(self, own: OwnConnection) -> None:
        """Take it on another connection.

        Raises:
            Failed: another session has it.
        """
        self._own = own
        self.is_suspended = False
        deadline = time.monotonic() + _PATIENCE
        # Another run may have got it for the moment that it takes to see that a swap is not over.
        while not self.attempt():
            if time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            raise Failed(
                f"The lock on database {self._name!r} was lost",
                "another run has taken it while the database was being replaced",
                f"This shows its last run: {build_playbook_command('status')}",
                code="lock-lost",
            )

    def check(self) -> None:
        """Raise Failed if the server has ended the connection and with it the lock."""
        if self._own.is_broken():
            raise Failed(
                f"The lock on database {self._name!r} was lost",
                "the server closed the connection that held it",
                "No further revision was begun; read the server's log",
                code="lock-lost",
            )

    def release(self) -> None:
        """Close the connection, which gives the lock back."""
        self._released = True
        self._own.close()


def wait_for_orphan(own: OwnConnection, key: int, database: Database, patience: float, report: Report) -> None:
    """Come back when no session holds the lock on the migrating connection any more.

    Args:
        own: a connection of our own, which holds nothing afterwards.
        key: of the lock on a database.
        database: the entry, which may mean one schema.
        patience: seconds until the backend is ended.
        report: is called with who it is.

    Raises:
        Refused: it works on, and we may not end it, or it does not end.
    """
    deadline = time.monotonic() + patience
    reported = False
    name, (statement, keys) = database.name, try_lock(key, database.schema)
    while not own.query_rows(statement, **keys)[0][0]:
        holders = read_holders(own, key, database.schema)
        who = f"{holders[0][0]} (pid {holders[0][1]})" if holders else "a session that has just ended"
        report(f"waits for the backend of a dead run, {who}")
        if time.monotonic() >= deadline:
            if not reported and holders:
                _end(own, holders[0][1], name, who)
                reported, deadline = True, time.monotonic() + _TO_END
            elif reported:
                raise _build_orphan_refusal(name, who, "it was sent the signal to end and has not")
        time.sleep(_POLL_INTERVAL)
    statement, keys = unlock(key, database.schema)
    own.query_rows(statement, **keys)


def _end(own: OwnConnection, pid: int, name: str, who: str) -> None:
    try:
        end_session(own, pid)
    except Exception as error:
        raise _build_orphan_refusal(name, who, str(getattr(error, "orig", error)).strip()) from error


def _build_orphan_refusal(name: str, who: str, why: str) -> Refused:
    return Refused(
        f"A backend of a dead run still works in database {name!r}: {who}",
        why,
        f"Have it ended by pg_terminate_backend, then recover: {build_playbook_command('recover')}",
        code="backend-still-works",
    )
