# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The early commits of a step: no rollback removes them, whatever happens next.

An autocommit block does so, a revision that commits the connection itself, and the old way around both, a plain COMMIT.
On some servers DDL does, and with it what was written before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from .._engines.connection import OWN
from .._engines.sqlalchemy_import import sa
from .statements import render_for_journal, shorten

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .._engines.interface import Engine
    from .alembic_import import MigrationContext
    from .step import Step, Watcher
    from .write_count import Counter

#: First words of statements that change rows; a routine called by SELECT is not recognised.
_WRITES_ROWS = {"INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE", "WITH", "DO", "CALL"}
_COMMITS = {"COMMIT", "END"}
#: A statement that commits behind a comment, or behind another statement, has the word somewhere.
_MAY_COMMIT = re.compile(r"\bcommit\b", re.IGNORECASE)


class EarlyCommits:
    """Reports to a watcher, before it happens, that a step commits before its end, and whether rows are among it."""

    def __init__(self, begun: list[Step], watcher: Watcher, counter: Counter, engine: Engine) -> None:
        self._engine = engine
        self._begun = begun
        self._watcher = watcher
        self._counter = counter
        #: What is executed now is permanent at once: in an autocommit block, or after a plain COMMIT.
        self._in_block = False
        self._past_commit = False
        self._announced = False
        #: The statement that is executed now, where it is permanent as soon as that is done.
        self._executing = ""
        #: The step that wrote rows in the transaction that is open; not every engine counts them.
        self._writer: Step | None = None

    @contextmanager
    def listen(self, context: MigrationContext, connection: Connection) -> Iterator[None]:
        """Listen inside of the block."""
        listeners: dict[str, Callable[..., Any]] = {
            "commit": self._handle_commit,
            "rollback": self._handle_rollback,
            "before_cursor_execute": self._handle_execute,
            "after_cursor_execute": self._note_executed,
        }
        original = context.autocommit_block

        @contextmanager
        def announce_commits() -> Iterator[None]:
            self._note_early_commit()
            self._announced = True
            try:
                with original():
                    self._announced, self._in_block = False, True
                    yield
            finally:
                self._announced = self._in_block = False
            self._counter.start()

        context.autocommit_block = announce_commits  # type: ignore[method-assign]
        for name, listener in listeners.items():
            sa.event.listen(connection, name, listener)
        try:
            yield
        finally:
            for name, listener in listeners.items():
                sa.event.remove(connection, name, listener)

    def _find_step(self) -> Step | None:
        """Return the step that has not finished."""
        return self._begun[-1] if self._begun and not self._begun[-1].ran else None

    def _note_early_commit(self) -> None:
        step = self._find_step()
        if step is None:
            return
        # In a transaction that failed nothing can be read, and nothing will be committed.
        with suppress(Exception):
            self._counter.add_to(step)
        self._watcher.on_early_commit(step)
        if step.wrote or self._writer is step:
            self._note_rows_stay(step)

    def _note_rows_stay(self, step: Step) -> None:
        if not step.wrote_early:
            step.wrote_early = True
            self._watcher.on_early_write(step)

    def _handle_commit(self, _connection: Connection) -> None:
        if not self._announced and not self._in_block:
            self._note_early_commit()
        self._past_commit, self._writer = False, None
        self._counter.end()

    def _handle_rollback(self, _connection: Connection) -> None:
        self._past_commit, self._writer = False, None
        self._counter.end()

    def _handle_execute(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        word = "".join(statement.split(None, 1)[:1]).rstrip(";").upper()
        self._executing = ""
        step = self._find_step()
        if step is None:
            return
        if not self._in_block and not connection.get_execution_options().get(OWN):
            with suppress(Exception):  # in a transaction that failed nothing can be read
                self._counter.resume()
                if word not in _COMMITS and _MAY_COMMIT.search(statement):
                    # Once it has, what its transaction has replaced cannot be read any more.
                    self._counter.add_to(step)
        if word in _WRITES_ROWS or self._engine.may_hide_writes(statement):
            self._writer = step
            if self._in_block or self._past_commit or self._engine.has_lasting_writes(connection):
                self._note_rows_stay(step)
        elif word in _COMMITS:
            self._note_early_commit()
            self._counter.end()
            # The driver does not know of it, so it begins no transaction: the rest of the step is permanent at once.
            self._past_commit = True
        if self._engine.has_implicit_commit(statement):
            self._note_early_commit()
            self._counter.end()
            self._writer = None
            self._watcher.on_execute(step, render_for_journal(statement))
            self._executing = statement

    def _note_executed(self, *_: Any) -> None:
        step = self._find_step()
        if step:
            step.permanent += [shorten(self._executing)] if self._executing else []
            self._executing = ""
            self.note_definitions(step)

    def note_definitions(self, step: Step) -> None:
        """Report what a step has defined that is permanent by now, as far as that is new."""
        held = self._counter.add_definitions(step)
        if held:
            self._watcher.on_define(step, held)
