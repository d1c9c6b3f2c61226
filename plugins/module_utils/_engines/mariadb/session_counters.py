# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writes of sessions of a MariaDB server, as each session counts them by itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

Counts = dict[str, int]

_STATUS = (
    "show {} status where value <> '0'"
    " and (variable_name in ('Handler_write', 'Handler_update', 'Handler_delete') or variable_name"
    " rlike '^Com_(alter|create|drop|rename|truncate|load|insert|update|delete|replace|revoke|grant|xa)')"
)
#: The last statement of a client, whose answer is what it has written.
LAST_OF_CLIENT = f"{_STATUS.format('session')};\n".encode()
#: A key of what SQLAlchemy keeps with the driver's connection.
_READ_BY = "hosting_alembic_counters_read_by"


def read_counters(connection: Connection, scope: str = "session") -> Counts:
    """Return the counters of a session, or of all, past SQLAlchemy, which would begin a transaction for it."""
    return read_counts(_fetch_rows(connection.connection, _STATUS.format(scope)))


def _fetch_rows(driver_connection: Any, statement: str) -> list[Any]:
    cursor = driver_connection.cursor()
    try:
        cursor.execute(statement)
        return list(cursor.fetchall())
    finally:
        cursor.close()


def read_counts(rows: Iterable[Any]) -> Counts:
    """Return the counters that have counted anything, from the rows of a statement or the words of a client."""
    return {str(name): int(value) for name, value in rows if int(value)}


class Sessions:
    """The writes of env.py's sessions, each since it was first read."""

    def __init__(self) -> None:
        self._first: dict[str, Counts] = {}
        self._last: dict[str, Counts] = {}
        #: Connections of the driver, all of whose work counts, and the process in which they can be read.
        self._opened: WeakSet[Any] = WeakSet()
        self._process = os.getpid()

    def note_opened(self, driver_connection: Any) -> None:
        """Know a connection that was opened since the counters of the server were first read."""
        with suppress(TypeError):  # what cannot be kept is not counted, and counts as others'
            self._opened.add(driver_connection)

    def note_released(self, driver_connection: Any) -> None:
        """Read what such a connection has written, in the thread that has used it and now gives it away."""
        if driver_connection in self._opened and os.getpid() == self._process:
            # The rest of an answer that is streamed would be read first, however much that is.
            if getattr(getattr(driver_connection, "_result", None), "unbuffered_active", False):
                return
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
        number = str(_fetch_rows(driver_connection, "select connection_id()")[0][0])
        self._last[number] = read_counts(_fetch_rows(driver_connection, _STATUS.format("session")))
        is_opened = getattr(driver_connection, "dbapi_connection", driver_connection) in self._opened
        self._first.setdefault(number, {} if is_opened else self._last[number])

    def count_writes(self) -> Counts:
        """Return what they have written."""
        return add_counts(*(count_growth(self._first[number], last) for number, last in self._last.items()))

    def as_facts(self) -> dict[str, Any]:
        """Return as data what is known, for another process."""
        return {"first": self._first, "last": self._last}

    def take(self, facts: Mapping[str, Any]) -> None:
        """Add what another process knows: of a session that both have read, what is later."""
        for number, counters in facts["first"].items():
            self._first.setdefault(number, counters)
        for number, counters in facts["last"].items():
            known = self._last.get(number, {})
            self._last[number] = {name: max(counters.get(name, 0), known.get(name, 0)) for name in {*counters, *known}}


def count_growth(before: Mapping[str, int], now: Mapping[str, int]) -> Counts:
    """Return by how much each counter has grown."""
    found = {name: now.get(name, 0) - before.get(name, 0) for name in {*before, *now}}
    return {name: count for name, count in found.items() if count}


def add_counts(*parts: Mapping[str, int]) -> Counts:
    """Return the sums of counters."""
    return {name: sum(part.get(name, 0) for part in parts) for name in {name for part in parts for name in part}}
