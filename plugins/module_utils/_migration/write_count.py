# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writes of a step, counted by the server in its transaction."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from .._core.errors import Failed, describe_first
from .._engines.data import Counted
from .._engines.interface import Engine
from .._engines.parts import find_write_tracker
from .._engines.unseen_writes import UnseenWrites
from .step import Step

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


_MOST_NAMED = 5


class Counter:
    """Count what the step that runs has written; the backend's own counts are taken as they were before it."""

    def __init__(self, engine: Engine, connection: Connection, rows_of_savepoints: bool) -> None:
        self._tracker = find_write_tracker(engine)
        self._rows_of_savepoints = rows_of_savepoints
        self._connection = connection
        self._before: dict[str, int] = {}
        self._used_before: dict[str, int] = {}
        self._pending: dict[str, int] = {}
        #: The states of the schema that steps have.
        self._schemas: set[str] = set()
        self._first = 0
        self._has_ended = False
        #: What was counted last, at the end of a step.
        self._last: Counted | None = None
        #: Notices what cannot be counted.
        self.unseen: UnseenWrites | None = None

    def start(self) -> None:
        """Begin to count."""
        known = self._last if self.is_transaction_open() else None
        counted = known or self._tracker.count_transaction(self._connection)
        self._has_ended = False
        self._before, self._used_before, self._first = counted.rows, counted.used, counted.newest
        # What was dropped in this transaction is not counted any more.
        self._pending = {**(self._pending if known else {}), **counted.pending}
        if self.unseen:
            self.unseen.start_step(counted.began)

    def is_transaction_open(self) -> bool:
        """Return whether the transaction that was counted last is still open, so that nothing of it is committed."""
        return self.unseen is not None and not self._has_ended and self.unseen.is_open()

    def add_to(self, step: Step, *, held: bool = True) -> None:
        """Add what was written since the start, or since the last call.

        Args:
            step: that wrote it.
            held: also add what the transaction as a whole keeps to itself and has replaced in catalogs. Of many steps
                in one transaction, the last one says that for all, and so does one before a step that may commit.
        """
        if self.unseen:
            self.unseen.check_transaction()
        held = held or step.has_savepoints
        counted = self._last = self._tracker.count_transaction(self._connection, held=held)
        if self.unseen:
            self.unseen.check_transaction(counted.began)
        self._add(step, counted)
        if counted.newest:
            step.span = [step.span[0] if step.span else self._first, self._tracker.read_next_transaction()]
            if step.has_savepoints:
                tables = list(counted.rows) if self._rows_of_savepoints else []
                self._note_transactions(step, self._tracker.list_subtransactions(self._connection, step.span, tables))
        if counted.number and counted.catalogs:
            with suppress(Exception):  # what is not known counts as others'
                rows = self._tracker.list_catalog_rows(
                    self._connection, counted, step.span if step.has_savepoints else []
                )
                step.catalog_rows[str(counted.number)] = rows

    def _add(self, step: Step, counted: Counted) -> None:
        self._hold(step, counted)
        step.reads.update(counted.reads)
        # What the session wrote before this transaction is the run's, and counted as such: handed in or not.
        step.written.update({oid: rows + self._pending.get(oid, 0) for oid, rows in counted.written.items()})
        for number, count in counted.used.items():
            if count > self._used_before.get(number, 0):
                step.used[number] = step.used.get(number, 0) + count - self._used_before.get(number, 0)
        self._used_before = counted.used
        step.replaced.update(counted.replaced)
        for table, count in counted.rows.items():
            if count > self._before.get(table, 0):
                step.wrote[table] = step.wrote.get(table, 0) + count - self._before.get(table, 0)
        self._before = counted.rows
        self._note_transactions(step, [counted.number] if counted.number else [])

    def _hold(self, step: Step, counted: Counted) -> None:
        """Add what its transactions kept to themselves; of the states of a schema those that no step before it has."""
        schemas = [each for each in counted.schemas if each not in self._schemas]
        self._schemas.update(schemas)
        for kind, held in (("files", counted.files), ("dropped", counted.dropped), ("schemas", schemas)):
            known = step.held.setdefault(kind, [])
            known += [each for each in held if each not in known]

    @staticmethod
    def _note_transactions(step: Step, transactions: list[int]) -> None:
        step.transactions += [number for number in transactions if number not in step.transactions]

    def add_definitions(self, step: Step) -> dict[str, list[str]]:
        """Add what the step has defined that is permanent already, and return what of it is new; nothing if none is."""
        counted = self._tracker.count_definitions(self._connection)
        if counted is None:
            return {}
        known = {kind: set(held) for kind, held in step.held.items()}
        self._hold(step, counted)
        new = {kind: [each for each in held if each not in known.get(kind, ())] for kind, held in step.held.items()}
        return {kind: held for kind, held in new.items() if held}

    def refuse_outside(self, step: Step) -> None:
        """Fail before a step is committed that has changed what no backup of the run holds.

        Raises:
            Failed: it has written outside of the schema that its entry means.
        """
        found = self._tracker.list_changes_outside(self._connection, self._last, step.wrote) if self._last else []
        if found:
            raise Failed(
                f"Revision {step.revision} changes other schemas than that of its entry",
                describe_first(found, _MOST_NAMED),
                "No backup has what is there: change it with an entry of its own, or with one for all of the database",
                code="schema-left",
            )

    def end(self) -> None:
        """Begin anew with the next statement: the transaction ends, and its counts may be handed in now or later."""
        self._has_ended, self._last = True, None

    def resume(self) -> None:
        """Begin to count if a transaction has ended since."""
        if self._has_ended:
            self.start()

    def read_counters(self) -> None:
        """Let the engine check whether others have written meanwhile, if the connection still answers."""
        with suppress(Exception):
            self._tracker.check_other_writers(self._connection)

    def on_failed(self, step: Step) -> None:
        """Read the counters a last time before anything is rolled back."""
        self.read_counters()
        try:
            self.add_to(step)
        except Exception:  # noqa: BLE001 - in a transaction that failed nothing else can be read
            with suppress(Exception):
                self._add(step, self._tracker.count_failed_transaction(self._connection))
