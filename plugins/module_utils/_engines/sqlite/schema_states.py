# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which states of a file's schema a run has found and left: one that it did not leave is of others.

SQLite keeps no word of who has changed a schema. So the text of all definitions is read before and after each statement
that changes them: what a run finds has to be what the backup has, or what the run itself has left.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..connection import OWN, driver_connection
from ..sqlalchemy_import import listening, sa

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .written_tables import WrittenTables

_DEFINITIONS = "select type, name, tbl_name, sql from {}.sqlite_master order by type, name"
#: Statements that change no definition, by their first word; none is read before these.
_CHANGES_NONE = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:select|insert|update|delete|replace|with|begin|savepoint)\b",
    re.IGNORECASE | re.DOTALL,
)
_FOUND, _LEFT = "found ", "left "
#: In place of a state that could not be read.
_UNKNOWN = f"{_FOUND}unknown"


def read_state(connection: Any, schema: str = "main") -> str:
    """Return the digest of the definitions that a driver's connection sees.

    Raises:
        sqlite3.Error: they cannot be read.
    """
    cursor = connection.cursor()
    cursor.execute(_DEFINITIONS.format(schema))
    rows = cursor.fetchall()
    cursor.close()
    return hashlib.sha256(repr([tuple(row) for row in rows]).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def is_left_by_run(now: str, backup: str, states: frozenset[str]) -> bool:
    """Return whether only a run has changed the schema since its backup.

    Args:
        now: the state of the schema.
        backup: that of the backup.
        states: what the run has found and left.
    """
    left = {backup, *(each[len(_LEFT) :] for each in states if each.startswith(_LEFT))}
    found = {each[len(_FOUND) :] for each in states if each.startswith(_FOUND)}
    return {now, *found} <= left


class SchemaStates:
    """Reads the states before and after what env.py's connections execute."""

    def __init__(self, written: WrittenTables) -> None:
        self._written = written
        #: How many changes of definitions had been compiled when the last state was read.
        self._known = 0

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Listen inside of the block to all connections of SQLAlchemy's."""
        engine = sa.engine.Engine
        with listening((engine, "before_cursor_execute", self._before), (engine, "after_cursor_execute", self._after)):
            yield

    def found(self, connection: Any) -> None:
        """Note the state that a driver's connection sees: it is not the run's for that."""
        state = _UNKNOWN
        with suppress(Exception):  # locked by others, who may change it
            state = f"{_FOUND}{read_state(connection)}"
        self._written.schemas.add(state)

    def left(self, connection: Any) -> None:
        """Note the state after a statement of env.py's, if it has changed a definition."""
        if self._written.changes == self._known:
            return
        self._known = self._written.changes
        with suppress(Exception):  # then it is not known as the run's
            self._written.schemas.add(f"{_LEFT}{read_state(connection)}")

    def _before(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        # In a transaction it would be read too late to show anything, and take a lock too early.
        if self._is_of_env(connection) and not _CHANGES_NONE.match(statement) and not _in_transaction(connection):
            self.found(connection.connection)

    def _after(self, connection: Connection, *_: Any) -> None:
        if self._is_of_env(connection):
            self.left(connection.connection)

    @staticmethod
    def _is_of_env(connection: Connection) -> bool:
        return connection.dialect.name == "sqlite" and not connection.get_execution_options().get(OWN)


def _in_transaction(connection: Connection) -> bool:
    return bool(getattr(driver_connection(connection), "in_transaction", True))
