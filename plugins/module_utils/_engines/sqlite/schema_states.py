# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The states of a file's schema that a run has found and left, by which changes of others are noticed.

SQLite keeps no word of who has changed a schema. So the text of all definitions is read before and after each statement
that changes them: what a run finds has to be what the backup has, or what the run itself has left. What another session
commits between the two readings shows in ``PRAGMA data_version``.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..connection import OWN, unwrap_connection
from ..sqlalchemy_import import register_listeners, sa
from .write_witness import read_data_version
from .written_tables import list_attached

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .written_tables import WrittenTables

#: Without the statistics of ANALYZE, which an application may make at any time.
_DEFINITIONS = """select type, name, tbl_name, sql from {}.sqlite_master
    where name not like 'sqlite\\_stat%' escape '\\' order by type, name"""
#: Statements that change no definition, by their first word; none is read before these.
_CHANGES_NONE = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:select|insert|update|delete|replace|with|begin|savepoint)\b",
    re.IGNORECASE | re.DOTALL,
)
_FOUND, _LEFT = "found ", "left "
#: Before each is its number, so that one that comes again is another one; early journals have none.
_BEHIND_NUMBER = ": "
#: In place of a state that could not be read, or that others may have made.
_UNKNOWN = f"{_FOUND}unknown"
#: What is kept with a driver's connection: whether it has the file open, which of its versions it saw last, and that
#: its open transaction has changed the schema.
_IS_OURS, _VERSION, _UNCOMMITTED = (f"hosting_alembic_{each}" for each in ("is_migrated", "version", "uncommitted"))
#: The state that it saw last outside of a transaction, with the version and the changes of definitions until then.
_STATE = "hosting_alembic_state"


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


def is_left_by_run(now: str, backup: str, states: Iterable[str]) -> bool:
    """Return whether only a run has changed the schema since its backup.

    Args:
        now: the state of the schema.
        backup: that of the backup.
        states: what the run has found and left, in this order. What it finds and has not left right before is others',
            also where it has left the same earlier, or comes back to that later.
    """
    last = backup
    # The journal may have what this process knows as well.
    for each in dict.fromkeys(states):
        _number, _space, words = each.rpartition(_BEHIND_NUMBER)
        if words.startswith(_LEFT):
            last = words[len(_LEFT) :]
        elif words[len(_FOUND) :] != last:
            return False
    return now == last


class SchemaStates:
    """Reads the states before and after what env.py's connections to the file execute."""

    def __init__(self, written: WrittenTables, path: Path) -> None:
        self._written = written
        self._path = path
        #: With the number of the process, of which a run has several.
        self._token = secrets.token_hex(4)
        #: How many changes of definitions had been compiled when the last state was read.
        self._changes_read = 0

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Listen inside of the block to all connections of SQLAlchemy's."""
        engine = sa.engine.Engine
        with register_listeners(
            (engine, "before_cursor_execute", self._note_before), (engine, "after_cursor_execute", self._note_after)
        ):
            yield

    def read_found(self, connection: Connection) -> None:
        """Note the state that a connection of env.py's sees: it is not the run's for that."""
        self._note_committed(connection)
        pooled = connection.connection
        state, changes, self._changes_read = _UNKNOWN, self._written.changes, self._written.changes
        with suppress(Exception), _suspend_waiting(pooled):  # locked by others, who may change it
            version = connection.info[_VERSION] = read_data_version(pooled)
            known, unchanged_since = connection.info.get(_STATE, ("", ()))
            if unchanged_since != (version, changes):
                known = read_state(pooled)
                self._keep(connection, known, changes)
            state = f"{_FOUND}{known}"
        self._note(state)

    @staticmethod
    def _keep(connection: Connection, state: str, changes: int) -> None:
        """Keep what was read of a connection: it is so until another one commits, or a definition is changed here."""
        connection.info[_STATE] = state, (connection.info[_VERSION], changes)

    def _note(self, words: str) -> None:
        """Note a state, unless it is as it was."""
        noted = self._written.schemas
        last = next(reversed(noted), "").rpartition(_BEHIND_NUMBER)[2]
        if words not in (last, last.replace(_LEFT, _FOUND, 1)):
            noted[f"{self._token}-{os.getpid()}-{len(noted)}{_BEHIND_NUMBER}{words}"] = None

    def read_left(self, connection: Connection) -> None:
        """Note the state after a statement of env.py's that has changed a definition, unless others have written."""
        self._note_committed(connection)
        if self._written.changes == self._changes_read:
            return
        pooled = connection.connection
        known, self._changes_read = connection.info.get(_VERSION), self._written.changes
        with suppress(Exception):  # then it is not known as the run's
            state = read_state(pooled)
            # After the state: a commit of others between the two shows.
            connection.info[_VERSION] = read_data_version(pooled)
            if connection.info[_VERSION] != known:
                self._note(_UNKNOWN)
            elif _is_in_transaction(connection):
                connection.info[_UNCOMMITTED] = True
            else:
                self._note(f"{_LEFT}{state}")
                self._keep(connection, state, self._changes_read)

    def _note_committed(self, connection: Connection) -> None:
        """Note the state that a transaction has left, if it has ended and others have not written since."""
        if _UNCOMMITTED not in connection.info or _is_in_transaction(connection):
            return
        del connection.info[_UNCOMMITTED]
        pooled = connection.connection
        with suppress(Exception), _suspend_waiting(pooled):
            # Where no other session has committed since, what is there is the run's, also after a rollback of a part.
            state = read_state(pooled)
            if read_data_version(pooled) == connection.info[_VERSION]:
                self._note(f"{_LEFT}{state}")

    def _note_before(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        self._note_committed(connection)
        # In a transaction it would be read too late to show anything, and take a lock too early.
        if not _CHANGES_NONE.match(statement) and self._is_of_env(connection) and not _is_in_transaction(connection):
            self.read_found(connection)

    def _note_after(self, connection: Connection, *_: Any) -> None:
        if self._written.changes != self._changes_read and self._is_of_env(connection):
            self.read_left(connection)

    def _is_of_env(self, connection: Connection) -> bool:
        """Return whether a connection is one of env.py's to the file: it may have other files open, or memory."""
        if connection.dialect.name != "sqlite" or connection.get_execution_options().get(OWN):
            return False
        if _IS_OURS not in connection.info:
            files = {name: file for _number, name, file in list_attached(connection.connection)}
            connection.info[_IS_OURS] = os.path.realpath(files.get("main") or os.devnull) == str(self._path)
        return bool(connection.info[_IS_OURS])


def _is_in_transaction(connection: Connection) -> bool:
    return bool(getattr(unwrap_connection(connection), "in_transaction", True))


@contextmanager
def _suspend_waiting(connection: Any) -> Iterator[None]:
    """Have a driver's connection wait for no lock inside of the block: the statement that follows waits itself."""
    cursor = connection.cursor()
    cursor.execute("pragma busy_timeout")
    (patience,) = cursor.fetchall()[0]
    cursor.execute("pragma busy_timeout = 0")
    try:
        yield
    finally:
        cursor.execute(f"pragma busy_timeout = {int(patience)}")
        cursor.close()
