# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows that env.py and ``migrate_setup`` commit outside of revisions: they are the run's own, and not others'."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from .._core.urls import find_backend
from .._engines.connection import OWN
from .._engines.data import Counted
from .._engines.elsewhere import ELSEWHERE
from .._engines.parts import find_write_tracker
from .._engines.sqlalchemy_import import register_listeners, sa

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .._engines.interface import Engine
    from .._journal.events import Journal

T = TypeVar("T")


class OwnCommits:
    """Journals what connections of SQLAlchemy commit in this process, unless a step counts it."""

    def __init__(self, engine: Engine, journal: Journal, *, since_backup: bool) -> None:
        self._engine = engine
        self._journal = journal
        #: What was committed before the backup is in it.
        self._is_on = since_backup
        self._began: dict[int, Counted] = {}
        self._reading = False
        #: What a result says of other databases that were written to.
        self.notes: list[str] = []
        #: The connections whose steps count what is written.
        self._in_steps: list[Connection] = []

    @property
    def is_on(self) -> bool:
        """Return whether there is a backup."""
        return self._is_on

    def note(
        self,
        wrote: dict[str, int],
        replaced: Any,
        transactions: list[int],
        catalog_rows: dict[str, Any],
        used: dict[str, int],
    ) -> None:
        """Journal what was committed."""
        facts = {"wrote": wrote, "replaced": replaced, "transactions": transactions, "catalog_rows": catalog_rows}
        self._journal.write("wrote_outside", **facts, used=used)

    def note_touched(self, names: Iterable[str], reason: str) -> None:
        """Journal what statements name, and why it is unknown, if it is, what they write."""
        self._journal.write("touches", names=sorted(names), reason=reason)

    def note_elsewhere(self, place: str, how: str, is_seen: bool) -> None:
        """Journal a write to another database, before it lasts, and whether it is more than possible."""
        self._journal.write("wrote_elsewhere", place=place, how=how, seen=is_seen)
        if is_seen:
            self.notes.append(f"it {how}: {place}, which its backup does not hold and no rollback takes back")

    def start(self, journal: Journal) -> None:
        """Begin, now that there is a backup, with a journal of this process."""
        self._is_on, self._journal = True, journal

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Listen inside of the block."""
        if not find_write_tracker(self._engine).counts_transactions:
            yield
            return
        engine = sa.engine.Engine
        with register_listeners((engine, "begin", self._handle_begin), (engine, "commit", self._handle_commit)):
            yield

    def leave_out(self, connection: Connection, steps: Iterator[T]) -> Iterator[T]:
        """Yield the steps of a connection, which are counted one by one, without counting its transactions."""
        self._in_steps.append(connection)
        ELSEWHERE.note_own_place(connection)
        # The transaction that is open now ends after the last step.
        self._began.pop(id(connection), None)
        try:
            yield from steps
        finally:
            self._in_steps.remove(connection)

    def _handle_begin(self, connection: Connection) -> None:
        if not self._is_outside(connection):
            return
        # What earlier transactions of the session wrote may not have been handed in to the server yet.
        with suppress(Exception):
            self._began[id(connection)] = self._count(connection)

    def _handle_commit(self, connection: Connection) -> None:
        began = self._began.pop(id(connection), None)
        if began is None or not self._is_outside(connection):
            return
        with suppress(Exception):  # in a transaction that failed nothing can be read, and nothing is committed
            counted = self._count(connection, held=True)
            wrote, used = _count_growth(began.rows, counted.rows), _count_growth(began.used, counted.used)
            if not counted.number:
                return
            if self._engine.read_identity(connection) != self._engine.read_own_identity():
                ELSEWHERE.report_commit(connection)
            else:
                rows = (
                    find_write_tracker(self._engine).list_catalog_rows(connection, counted, [])
                    if counted.catalogs
                    else {}
                )
                replaced = {str(counted.number): rows} if rows else {}
                self.note(wrote, counted.replaced, [counted.number], replaced, used)

    def _count(self, connection: Connection, *, held: bool = False) -> Counted:
        self._reading = True
        try:
            return find_write_tracker(self._engine).count_transaction(connection, held)
        finally:
            self._reading = False

    def _is_outside(self, connection: Connection) -> bool:
        return (
            self._is_on
            and not self._reading
            and find_backend(connection.dialect.name) == self._engine.name
            and not connection.get_execution_options().get(OWN)
            and connection not in self._in_steps
        )


@contextmanager
def journal_touched(outside: OwnCommits | None) -> Iterator[None]:
    """Journal, once there is a backup, what env.py's statements name and what is written to other databases."""
    if outside is None or not outside.is_on:
        yield
        return
    elsewhere = ELSEWHERE.report_writes(outside._engine, outside.note_elsewhere)
    with elsewhere, find_write_tracker(outside._engine).watch_touched(outside.note_touched):
        yield


def _count_growth(before: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    """Return by how much each count has grown, where it has."""
    grown = {name: count - before.get(name, 0) for name, count in now.items()}
    return {name: count for name, count in grown.items() if count > 0}
