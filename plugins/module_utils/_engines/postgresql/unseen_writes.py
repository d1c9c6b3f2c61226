# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes of a revision to PostgreSQL that may be in no count."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..connection import OPENING_OWN, OWN, unwrap_connection
from ..data import INSERTED
from ..sqlalchemy_import import register_listeners, sa
from ..unseen_writes import PROGRAMS, Current, Note, UnseenWrites
from ..write_tracker import WriteTracker
from .transaction_numbers import NUMBERS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_IDLE, _IN_TRANSACTION, _IN_FAILED_TRANSACTION = 0, 2, 3
_MAY_END = re.compile(r"\b(?:commit|end|rollback|abort)\b", re.IGNORECASE)
#: Statements that write nothing, whatever commits them.
_READS = re.compile(r"^(?:select|show|set|reset|begin|start|commit|end|rollback|savepoint|release)\b", re.IGNORECASE)
#: What changes no rows of a table that was there, and is seen in the schema.
_NO_ROWS = re.compile(
    r"^(?:create|drop|comment|reindex|vacuum|analyze|grant|revoke|alter\s+(?:type|index|view|sequence|function|role))\b",
    re.IGNORECASE,
)
_ONLY_ROWS = re.compile(r"^(?:insert|update|delete|merge|copy|with|values|vacuum|analyze)\b", re.IGNORECASE)
_INSERTS = re.compile(r"^insert\s+into\b(?!.*\bdo\s+update\b)[^;]*;?$", re.IGNORECASE | re.DOTALL)
#: What begins a transaction within a transaction, with a number of its own.
_MAKES_SAVEPOINTS = re.compile(r"\bexception\s+when\b", re.IGNORECASE)
#: What keeps rows from being counted, or has another session write them.
_UNCOUNTED = {
    "it set track_counts": re.compile(r"\btrack_counts\b", re.IGNORECASE),
    "it used another connection of the server's": re.compile(r"\b(?:dblink|pg_background)\w*\s*\(", re.IGNORECASE),
}


class PostgreSQLUnseenWrites(UnseenWrites):
    """Follows the transactions of env.py's connection, and what is opened beside it."""

    def __init__(self, connection: Connection, note: Note, current: Current, tracker: WriteTracker) -> None:
        super().__init__(connection, note, current)
        self._tracker = tracker
        self._next = 0
        #: What the catalogs held before a statement that commits by itself.
        self._catalog: Any = None
        #: By number, the rows that the connection had written then and not handed in.
        self._pending: dict[str, int] = {}
        #: A transaction is open that was not ended by a COMMIT or ROLLBACK that SQLAlchemy knows of.
        self._open = False
        self._began = ""

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Listen inside of the block."""
        PROGRAMS.listen(self._note)
        with (
            _Opened(self._connection, self._note).listen(),
            register_listeners(
                (sa.engine.Engine, "before_cursor_execute", self._note_before),
                (sa.engine.Engine, "after_cursor_execute", self._note_after),
                (self._connection, "commit", self._note_end),
                (self._connection, "rollback", self._note_end),
            ),
        ):
            try:
                yield
            finally:
                PROGRAMS.note = None

    def start_step(self, began: str) -> None:
        """Begin with a step, in the transaction that began at some time."""
        self._began = began
        self._open = self._read_status() not in (None, _IDLE)

    def check_transaction(self, began: str = "") -> None:
        """Check whether the transaction has ended, without a query.

        Args:
            began: when the present one did, where that was read.
        """
        if self._is_autocommit():
            return
        status = self._read_status()
        ended = self._open and status == _IDLE
        another = bool(began and self._began and began != self._began)
        if ended or another:
            self._note("it ended its transaction by itself")
        self._open = status not in (None, _IDLE)
        self._began = began or self._began

    def is_open(self) -> bool:
        """Return it as SQLAlchemy and the driver know it."""
        return self._open and not self._is_autocommit() and self._read_status() == _IN_TRANSACTION

    def _note_before(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if connection.get_execution_options().get(OWN):
            return
        if unwrap_connection(connection) is not unwrap_connection(self._connection):
            self._note("it used another connection")
            return
        self.check_transaction()
        words = statement.strip()
        for reason, pattern in _UNCOUNTED.items():
            if pattern.search(words):
                self._note(reason)
        commits = self._is_autocommit() and not _READS.match(words)
        changes_schema = commits and not _ONLY_ROWS.match(words)
        # First: what is handed in meanwhile is counted twice rather than not at all.
        self._pending = self._tracker.count_transaction(connection).pending if changes_schema else {}
        self._catalog = self._tracker.read_catalogs() if changes_schema else None
        self._next = self._tracker.read_next_transaction() if commits else 0
        step = self._current()
        if step is not None and (_MAKES_SAVEPOINTS.search(words) or words.upper().startswith("SAVEPOINT")):
            step.has_savepoints = True

    def _note_after(self, connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        if connection.get_execution_options().get(OWN):
            return
        if unwrap_connection(connection) is not unwrap_connection(self._connection):
            return
        words = statement.strip()
        if self._is_autocommit():
            self._add_transactions(words)
            if not _READS.match(words) and not _NO_ROWS.match(words):
                self._note(INSERTED if _INSERTS.match(words) else "it committed each statement by itself")
            return
        status = self._read_status()
        if not self._open:
            # The first statement of a transaction; one that ended it again has begun and committed by itself.
            ended = status == _IDLE and not _READS.match(words)
        else:
            ended = status == _IDLE and not _MAY_END.match(words)
        if ended or (";" in words and _MAY_END.search(words) and not _is_definition(words)):
            self._note("it ended its transaction by itself")
        self._open = status not in (None, _IDLE)

    def _add_transactions(self, statement: str) -> None:
        """Remember which transactions a statement has used that has committed by itself, as far as that shows."""
        step = self._current()
        if step is None or not self._next:
            return
        # First: who commits after it has a number that is seen below.
        rows = self._tracker.list_catalog_rows_since(self._catalog)
        before = self._catalog if self._catalog and int(self._catalog[0]) % NUMBERS == self._next else None
        held = self._tracker.list_files_since(before)
        after = self._tracker.read_next_transaction()
        own: list[int] = []
        if after != self._next:
            with suppress(Exception):  # what is not known counts as others'
                own = self._tracker.select_own_transactions(statement, [self._next, after])
        step.transactions += own
        # No other session had a transaction since the catalogs were read before.
        if len(own) == after - self._next and all(int(first) % NUMBERS == self._next for first in rows):
            step.catalog_rows.update(rows)
            files, written = held
            step.written.update({number: count + self._pending.get(number, 0) for number, count in written.items()})
            for kind, numbers in (("files", files), ("dropped", [*written])):
                step.held[kind] = sorted({*step.held.get(kind, ()), *numbers})

    def _note_end(self, *_: Any) -> None:
        self._open, self._began = False, ""

    def _read_status(self) -> int | None:
        """Return the state of the transaction as the driver knows it, or None if it does not report it."""
        with suppress(Exception):
            driver = unwrap_connection(self._connection)
            if hasattr(driver, "is_in_transaction"):  # asyncpg
                return 2 if driver.is_in_transaction() else _IDLE
            return int(driver.info.transaction_status)
        return None

    def _is_autocommit(self) -> bool:
        with suppress(Exception):
            driver = unwrap_connection(self._connection)
            if hasattr(driver, "is_in_transaction"):
                return bool(getattr(self._connection.connection.dbapi_connection, "autocommit", False))
            return bool(driver.autocommit)
        return False


def _is_definition(statement: str) -> bool:
    """Return whether a text with END in it is only the body of a routine or a CASE."""
    bare = re.sub(r"\$(\w*)\$.*?\$\1\$", "", statement, flags=re.DOTALL)
    bare = re.sub(r"'(?:[^']|'')*'", "", bare)
    bare = re.sub(r"/\*.*?\*/|--[^\n]*", "", bare, flags=re.DOTALL)
    return not re.search(r"(?:^|;)\s*(?:commit|end|rollback|abort)\b", bare, re.IGNORECASE)


class _Opened:
    """Connections that are opened past SQLAlchemy, by a driver's own function."""

    def __init__(self, connection: Connection, note: Note) -> None:
        self._note = note
        self._connection = connection

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Wrap what opens connections, inside of the block."""
        wrapped: list[tuple[Any, str, Any]] = []
        for module, name in (("psycopg2", "_connect"), ("asyncpg.connection", "connect"), ("asyncpg", "connect")):
            owner = sys.modules.get(module)
            if owner is None or not hasattr(owner, name):
                continue
            original = getattr(owner, name)

            def connect(*args: Any, _original: Any = original, **keywords: Any) -> Any:
                if not OPENING_OWN.get():
                    self._note("it opened another connection")
                return _original(*args, **keywords)

            setattr(owner, name, connect)
            wrapped.append((owner, name, original))
        psycopg = sys.modules.get("psycopg")
        generators = sys.modules.get("psycopg.generators")
        if psycopg is not None and generators is not None:
            original = generators.connect

            def connect_3(*args: Any, **keywords: Any) -> Any:
                if not OPENING_OWN.get():
                    self._note("it opened another connection")
                return original(*args, **keywords)

            generators.connect = connect_3  # type: ignore[attr-defined]
            wrapped.append((generators, "connect", original))
        try:
            yield
        finally:
            for owner, name, original in wrapped:
                setattr(owner, name, original)
