# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Notes what the statements of a run name: each name once, and before it is too late to note it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..connection import OWN
from ..elsewhere import ELSEWHERE
from ..sqlalchemy_import import register_listeners, sa
from ..write_tracker import NoteTouched
from .statement_targets import NAMES_ANOTHER, Catalog, Text, find_writes
from .statements import may_commit
from .taken_rows import IS_NOTED, TAKES_FROM_ANY, find_taken
from .timeouts import is_autocommit
from .written_tables import build_column_name

#: Statements that need not be read twice.
_LONGEST_KEPT, _MOST_KEPT = 4000, 2000
#: Words of what makes a table that takes part in no transaction.
_NOT_TRANSACTIONAL = ("myisam", "aria", "memory", "heap", "archive", "csv", "blackhole", "storage_engine")


class NotedNames:
    """Notes what statements name, each name and each doubt once."""

    def __init__(self, catalog: Catalog, note: NoteTouched) -> None:
        self._catalog = catalog
        self._note = note
        self._known: set[str] = set()
        #: Statements that were read, with what they take rows from.
        self._heard: dict[str, set[str]] = {}
        #: What statements take rows from that are rolled back unless something commits them.
        self._open: set[str] = set()
        #: Other databases that statements write into: by statement, and those of what is not committed yet.
        self._named: dict[str, set[str]] = {}
        self._elsewhere: set[str] = set()
        note([IS_NOTED], "")

    def hear(self, statement: str, stays: bool = True) -> None:
        """Note what a statement may write through, before it is executed.

        Args:
            statement: as it is sent.
            stays: whether its session commits each statement.
        """
        ends = may_commit(statement) or statement.lstrip(" (;")[:6].upper() == "COMMIT"
        if ends:
            self._add(self._open)
            self._open = set()
            self._report_elsewhere()
        taken = self._heard.get(statement)
        if taken is None:
            made = len(self._catalog.made)
            taken = self._read(statement)
            if len(self._catalog.made) != made:
                self._heard.clear()  # another one may name what is new
            if len(statement) < _LONGEST_KEPT and len(self._heard) < _MOST_KEPT:
                self._heard[statement] = taken
        self._elsewhere |= self._named.get(statement, set())
        if ends or stays or not self._catalog.rolls_back:
            self._add(taken)
            self._report_elsewhere()
        else:
            self._open |= taken

    def _read(self, statement: str) -> set[str]:
        """Note what a statement names, and return what it takes rows from."""
        text = Text(statement)
        written = find_writes(text, self._catalog)
        if written.unknown:
            self.note_doubt(written.unknown)
        if written.unknown == NAMES_ANOTHER:
            self._named[statement] = self._catalog.find_schemas_written(text)
        folded = statement[:_LONGEST_KEPT].casefold()
        self._catalog.rolls_back &= not ("engine" in folded and any(word in folded for word in _NOT_TRANSACTIONAL))
        self._add(written.names | {build_column_name(table, column) for table, column in written.columns})
        return find_taken(text, written, self._catalog).noted

    def _add(self, names: set[str]) -> None:
        if names - self._known:
            self._note(names - self._known, "")
            self._known |= names

    def _report_elsewhere(self) -> None:
        for schema in sorted(self._elsewhere):
            ELSEWHERE.note(f"the database {schema!r} of its server", "wrote to it", True)
        self._elsewhere = set()

    def note_doubt(self, reason: str) -> None:
        """Note why it is not known what is written."""
        if reason not in self._known:
            self._add({TAKES_FROM_ANY})
            self._note([], reason)
            self._known.add(reason)


@contextmanager
def listen_to_statements(hear: Callable[[str, bool], None]) -> Iterator[None]:
    """Hear, in the block, what connections of SQLAlchemy execute by any driver, and that they commit."""

    def handle_execute(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if _is_of_env_py(connection):
            hear(statement, is_autocommit(connection))

    def handle_commit(connection: Any) -> None:
        if _is_of_env_py(connection):
            hear("commit", True)

    engine = sa.engine.Engine
    with register_listeners((engine, "before_cursor_execute", handle_execute), (engine, "commit", handle_commit)):
        yield


def _is_of_env_py(connection: Any) -> bool:
    return connection.dialect.name in ("mysql", "mariadb") and not connection.get_execution_options().get(OWN)
