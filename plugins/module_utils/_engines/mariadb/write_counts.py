# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether all that a server has written since a backup was written by env.py and by us.

A server counts the rows that are written, and the statements that change a schema, of all its sessions together and of
each session by itself; everyone may read that. Where the difference of two readings is what our own sessions have
written, no other session has written anywhere on the server. Who has, and where, it does not say.

A row is counted when it is written and not when it is committed. So of a transaction that was open when the first
reading was made it is not known whether its rows are in the backup: then the counters vouch for nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .not_transactional import not_transactional

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..connection import OwnConnection

Counts = dict[str, int]

_STATUS = (
    "show {} status where value <> '0'"
    " and (variable_name in ('Handler_write', 'Handler_update', 'Handler_delete') or variable_name"
    " rlike '^Com_(alter|create|drop|rename|truncate|load|insert|update|delete|replace|revoke|grant|xa)')"
)
#: What a server that was started again, or whose counters were set back, does not have.
_AGE = "select variable_value from information_schema.global_status where variable_name = 'Uptime_since_flush_status'"
#: Sessions with rows that they have not committed; PROCESS is needed to read it.
_OPEN = "select count(*) from information_schema.innodb_trx where trx_rows_modified > 0"
#: For a tenth of a second the server shows again what it has shown before.
_PAUSE = "do sleep(0.15)"
#: The last statement of a client, whose answer is what it has written.
LAST_OF_CLIENT = f"{_STATUS.format('session')};\n".encode()
COUNTS, AGE, READ = "counts", "age", "read_at"
#: A key of what SQLAlchemy keeps with the driver's connection.
_READ_BY = "hosting_alembic_counters_read_by"


def first_reading(own: OwnConnection) -> dict[str, Any]:
    """Return what the server has counted before a dump, nothing where that would vouch for nothing."""
    try:
        if own.run(not_transactional):  # of these a dump has what was there at another moment
            return {}
        found = reading(own)
        # After the counters: what is written from now on they show, what was written before must be committed by now.
        own.rows(_PAUSE)
        return {} if own.rows(_OPEN)[0][0] else found
    except Exception:  # noqa: BLE001 - whatever is not permitted here
        return {}


def reading(own: OwnConnection) -> dict[str, Any]:
    """Return what the server has counted until now, and for how long it counts."""
    age = int(own.rows(_AGE)[0][0])
    now = int(own.rows("select unix_timestamp()")[0][0])
    return {COUNTS: own.run(counts, "global"), AGE: age, READ: now}


def counts(connection: Connection, scope: str = "session") -> Counts:
    """Return the counters of a session, or of all, past SQLAlchemy, which would begin a transaction for it."""
    return counted(_fetched(connection.connection, _STATUS.format(scope)))


def _fetched(driver_connection: Any, statement: str) -> list[Any]:
    cursor = driver_connection.cursor()
    try:
        cursor.execute(statement)
        return list(cursor.fetchall())
    finally:
        cursor.close()


def counted(rows: Iterable[Any]) -> Counts:
    """Return the counters that have counted anything, from the rows of a statement or the words of a client."""
    return {str(name): int(value) for name, value in rows if int(value)}


class Sessions:
    """What env.py's sessions have written, each since it was first read."""

    def __init__(self) -> None:
        self._first: dict[str, Counts] = {}
        self._last: dict[str, Counts] = {}
        #: Connections of the driver, all of whose work counts, and the process in which they can be read.
        self._opened: WeakSet[Any] = WeakSet()
        self._process = os.getpid()

    def opened(self, driver_connection: Any) -> None:
        """Know a connection that was opened since the counters of the server were first read."""
        with suppress(TypeError):  # what cannot be kept is not counted, and counts as others'
            self._opened.add(driver_connection)

    def rests(self, driver_connection: Any) -> None:
        """Read what such a connection has written, in the thread that has used it and now gives it away."""
        if driver_connection in self._opened and os.getpid() == self._process:
            with suppress(Exception):  # what is not counted is others'
                self._read(driver_connection)

    def begin(self, connection: Connection) -> None:
        """Read the counters of a session that was not read before."""
        if connection.info.get(_READ_BY) is not self:
            self.read(connection)

    def read(self, connection: Connection) -> None:
        """Read the counters of a session; each has a number of its own, until the server is started again."""
        self._read(connection.connection)
        connection.info[_READ_BY] = self

    def _read(self, driver_connection: Any) -> None:
        number = str(_fetched(driver_connection, "select connection_id()")[0][0])
        self._last[number] = counted(_fetched(driver_connection, _STATUS.format("session")))
        is_opened = getattr(driver_connection, "dbapi_connection", driver_connection) in self._opened
        self._first.setdefault(number, {} if is_opened else self._last[number])

    def written(self) -> Counts:
        """Return what they have written."""
        return added(*(grown(self._first[number], last) for number, last in self._last.items()))

    def facts(self) -> dict[str, Any]:
        """Return as data what is known, for another process."""
        return {"first": self._first, "last": self._last}

    def take(self, facts: Mapping[str, Any]) -> None:
        """Add what another process knows: of a session that both have read, what is later."""
        for number, counters in facts["first"].items():
            self._first.setdefault(number, counters)
        for number, counters in facts["last"].items():
            known = self._last.get(number, {})
            self._last[number] = {name: max(counters.get(name, 0), known.get(name, 0)) for name in {*counters, *known}}


def accounts_for(before: Mapping[str, Any], now: Mapping[str, Any], ours: Counts) -> bool:
    """Return whether what was counted between two readings is what our own sessions have written."""
    if not before or COUNTS not in before or not now:
        return False
    # Both are whole seconds, of which one may be cut off.
    if abs((now[AGE] - before[AGE]) - (now[READ] - before[READ])) > 1:
        return False
    return grown(before[COUNTS], now[COUNTS]) == {name: count for name, count in ours.items() if count}


def grown(before: Mapping[str, int], now: Mapping[str, int]) -> Counts:
    """Return by how much each counter has grown."""
    found = {name: now.get(name, 0) - before.get(name, 0) for name in {*before, *now}}
    return {name: count for name, count in found.items() if count}


def added(*parts: Mapping[str, int]) -> Counts:
    """Return the sums of counters."""
    return {name: sum(part.get(name, 0) for part in parts) for name in {name for part in parts for name in part}}
