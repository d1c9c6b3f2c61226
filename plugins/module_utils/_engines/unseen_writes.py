# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes of a revision that may be in no count.

What is written in the transaction of env.py's connection is counted at the step's end, and rolled back with it. What
goes another way is not: a COMMIT inside a string or by the driver itself, a connection in autocommit, a second
connection, another program. The rows that such a step leaves look like another session's, so it must be known.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from .connection import OPENING_OWN
from .sqlalchemy_import import register_listeners, sa

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: The note of a step that has.
STARTED_PROGRAM = "it started another program"
_STARTS_PROGRAM = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"}

Note = Callable[[str], None]


class StepAtWork(Protocol):
    """The known facts of the step that runs; they are added to."""

    transactions: list[int]
    held: dict[str, list[str]]
    has_savepoints: bool
    written: dict[str, int]
    catalog_rows: dict[str, dict[str, dict[str, int]]]


Current = Callable[[], "StepAtWork | None"]


class StartedPrograms:
    """Receives that this process starts another program, or opens a file of SQLite past SQLAlchemy.

    Python's own hook can never be taken away again.
    """

    def __init__(self) -> None:
        self.note: Note | None = None
        self._hooked = False
        #: Connections that SQLAlchemy is about to open, perhaps in another thread.
        self._expected = 0

    def listen(self, note: Note) -> None:
        self.note = note
        if not self._hooked:
            self._hooked = True
            sys.addaudithook(self._audit)

    def expect(self, dialect: Any, *_: Any) -> None:
        """Hear of SQLAlchemy that it opens a connection, whose statements are counted."""
        if dialect.name == "sqlite" and not OPENING_OWN.get():
            self._expected += 1

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.note is None:
            return
        if event in _STARTS_PROGRAM:
            self.note(STARTED_PROGRAM)
        elif event == "sqlite3.connect" and not OPENING_OWN.get() and may_write(arguments[0]):
            if self._expected:
                self._expected -= 1
            else:
                self.note("it opened a file of SQLite by itself")


PROGRAMS = StartedPrograms()


class UnseenWrites:
    """Notes, for each step of one connection of env.py, that it may have written where nothing counts it.

    Of any database: that it started another program, or opened a file of SQLite past SQLAlchemy.
    """

    def __init__(self, connection: Connection, note: Note, current: Current) -> None:
        self._connection = connection
        self._note = note
        self._current = current

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Listen inside of the block."""
        PROGRAMS.listen(self._note)
        try:
            with register_listeners((sa.engine.Engine, "do_connect", PROGRAMS.expect)):
                yield
        finally:
            PROGRAMS.note = None

    def start_step(self, began: str) -> None:
        """Begin with a step, in the transaction that began at some time."""

    def is_open(self) -> bool:
        """Return whether the transaction of the last check is still open, as far as that is known without a query."""
        return False

    def check_transaction(self, began: str = "") -> None:
        """Check whether the transaction has ended, without a query.

        Args:
            began: when the present one did, where that was read.
        """


def is_memory(name: Any) -> bool:
    """Return whether a name that SQLite opens is that of no file."""
    return name in (None, "", ":memory:") or "mode=memory" in str(name) or "/:memory:" in str(name)


def may_write(name: Any) -> bool:
    """Return whether what SQLite opens under a name is a file, and not only to be read."""
    words = os.fsdecode(name) if isinstance(name, (bytes, os.PathLike)) else str(name)
    return not is_memory(words) and not (words.startswith("file:") and "mode=ro" in words)
