# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alembic's steps, watched: what is about to run, what ran, and what was committed before its time."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._core.errors import Refused
from .._engines.data import ANY_TABLE, INSERTED, Counted
from .._engines.interface import Engine
from .alembic_import import MigrationContext, MigrationStep
from .early_commits import EarlyCommits
from .unseen_writes import UnseenWrites

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


@dataclass
class Step:
    """One revision that a run began. ``ran`` is Alembic's word for it; committed is what we read ourselves."""

    table: str
    revision: str
    message: str
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0
    ran: bool = False
    #: Rows were made permanent before its end: no rollback and no downgrade of the other revisions undoes that.
    wrote_early: bool = False
    error: BaseException | None = None
    #: Rows by table that it has written, as far as its engine counts them.
    wrote: dict[str, int] = field(default_factory=dict)
    #: The tables in which it updated or deleted some of them, ``ANY_TABLE`` where that is not known.
    replaced: set[str] = field(default_factory=set)
    #: The transactions that wrote it, and which numbers others may have been given meanwhile, where they have numbers.
    transactions: list[int] = field(default_factory=list)
    span: list[int] = field(default_factory=list)
    #: What its transactions kept to themselves: files of tables, and what they dropped.
    held: dict[str, list[str]] = field(default_factory=dict)
    #: How often it has read sequences, by number, and how often all sessions had read those that it dropped.
    used: dict[str, int] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    has_savepoints: bool = False
    #: Rows of catalogs that each of its transactions has replaced, by its number.
    catalog_rows: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    #: Why it may have written where nothing counted it.
    unseen: list[str] = field(default_factory=list)

    def deeds(self) -> dict[str, Any]:
        """Return what the journal keeps of an upgrade's step to tell its rows from others'."""
        return {
            "wrote": self.wrote,
            "replaced": sorted(self.replaced),
            "transactions": self.transactions,
            "span": self.span,
            "held": self.held,
            "catalog_rows": self.catalog_rows,
            "used": self.used,
            "reads": self.reads,
        }


def shown(step: Step) -> dict[str, Any]:
    """Return what a result shows of a step."""
    return {"revision": step.revision, "message": step.message, "seconds": step.seconds}


class Watcher:
    """What an upgrade or a downgrade wants to know while Alembic works. This one wants nothing."""

    #: Whether it wants to know which rows savepoints wrote, which costs reading the tables.
    wants_rows_of_savepoints = False

    def works_on(self, connection: Connection) -> None:
        """Hear on which connection of env.py the next steps run."""

    def begins(self, step: Step, number: int, count: int) -> None:
        """Hear that a revision is about to run."""

    def enters(self) -> None:
        """Hear that a revision's function is about to run, in its transaction."""

    def ran(self, step: Step) -> None:
        """Hear that a revision's function has returned; nothing is committed yet."""

    def failed(self, step: Step) -> None:
        """Hear that a revision's function has raised; what it wrote is known as far as it can be."""

    def left(self, step: Step) -> None:
        """Hear that Alembic has left the revision's block and asks for the next one."""

    def commits_early(self, step: Step) -> None:
        """Hear that a part of the step is about to be committed before its end, as by an autocommit block."""

    def writes_early(self, step: Step) -> None:
        """Hear that rows are about to be made permanent before the step's end."""

    def writes_unseen(self, step: Step, reason: str) -> None:
        """Hear that the step may have written where nothing counts it."""


def heads_after(heads: Sequence[str], steps: Sequence[MigrationStep]) -> tuple[str, ...]:
    """Return the heads that steps lead to: each takes the place of those it builds on."""
    reached = set(heads)
    for step in steps:
        script = step.revision  # type: ignore[attr-defined]
        reached -= set(step.from_revisions_no_deps) | set(script._resolved_dependencies)
        reached.add(script.revision)
    return tuple(sorted(reached))


def connection_of(context: MigrationContext) -> Connection:
    """Return the connection that env.py migrates with.

    Raises:
        Refused: it has none.
    """
    if context.connection is None:
        raise Refused(
            "env.py runs migrations without a connection",
            "it is configured for offline mode",
            "Let it take the online way unless context.is_offline_mode() says otherwise",
            code="env-py-no-connection",
        )
    return context.connection


class Counter:
    """Count what the step that runs has written; the backend's own counts are taken as they were before it."""

    def __init__(self, engine: Engine, connection: Connection, rows_of_savepoints: bool) -> None:
        self._engine = engine
        self._rows_of_savepoints = rows_of_savepoints
        self._connection = connection
        self._before: dict[str, int] = {}
        self._used_before: dict[str, int] = {}
        self._first = 0
        self._has_ended = False
        #: Notices what cannot be counted.
        self.unseen: UnseenWrites | None = None

    def start(self) -> None:
        """Begin to count."""
        self._has_ended = False
        counted = self._engine.count_transaction(self._connection)
        self._before, self._used_before, self._first = counted.rows, counted.used, counted.newest
        if self.unseen:
            self.unseen.starts(counted.began)

    def add_to(self, step: Step) -> None:
        """Add what was written since the start, or since this was asked last."""
        if self.unseen:
            self.unseen.looks()
        counted = self._engine.count_transaction(self._connection, held=True)
        if self.unseen:
            self.unseen.looks(counted.began)
        self._add(step, counted)
        if counted.newest:
            step.span = [step.span[0] if step.span else self._first, self._engine.next_transaction()]
            if step.has_savepoints:
                tables = list(counted.rows) if self._rows_of_savepoints else []
                self._know(step, self._engine.subtransactions(self._connection, step.span, tables))
        if counted.number and counted.catalogs:
            with suppress(Exception):  # what is not known counts as others'
                rows = self._engine.catalog_rows(self._connection, counted, step.span if step.has_savepoints else [])
                step.catalog_rows[str(counted.number)] = rows

    def _add(self, step: Step, counted: Counted) -> None:
        for kind in ("files", "dropped"):
            known = step.held.setdefault(kind, [])
            known += [each for each in getattr(counted, kind) if each not in known]
        step.reads.update(counted.reads)
        for number, count in counted.used.items():
            if count > self._used_before.get(number, 0):
                step.used[number] = step.used.get(number, 0) + count - self._used_before.get(number, 0)
        self._used_before = counted.used
        step.replaced.update(counted.replaced)
        for table, count in counted.rows.items():
            if count > self._before.get(table, 0):
                step.wrote[table] = step.wrote.get(table, 0) + count - self._before.get(table, 0)
        self._before = counted.rows
        self._know(step, [counted.number] if counted.number else [])

    @staticmethod
    def _know(step: Step, transactions: list[int]) -> None:
        step.transactions += [number for number in transactions if number not in step.transactions]

    def end(self) -> None:
        """Begin anew with the next statement: the transaction ends, and its counts may be handed in now or later."""
        self._has_ended = True

    def resume(self) -> None:
        """Begin to count if a transaction has ended since."""
        if self._has_ended:
            self.start()

    def look(self) -> None:
        """Let the engine look whether others have written meanwhile, if the connection still answers."""
        with suppress(Exception):
            self._engine.look_around(self._connection)

    def failed(self, step: Step) -> None:
        """Look a last time before anything is rolled back."""
        self.look()
        try:
            self.add_to(step)
        except Exception:  # noqa: BLE001 - in a transaction that failed nothing else can be asked
            with suppress(Exception):
                self._add(step, self._engine.count_failed_transaction(self._connection))


def watched(
    context: MigrationContext,
    steps: list[MigrationStep],
    begun: list[Step],
    watcher: Watcher,
    table: str,
    streams: dict[str, bool],
    engine: Engine,
) -> Iterator[MigrationStep]:
    """Yield Alembic its steps; being asked for the next one means that the block of the last one was left.

    Args:
        context: Alembic's own.
        steps: what to run.
        begun: receives each step as it begins.
        watcher: is told what happens.
        table: the version table.
        streams: receives that this one came to its end.
        engine: counts what is written.
    """
    counter = Counter(engine, connection_of(context), watcher.wants_rows_of_savepoints)

    def applied(**_facts: Any) -> None:
        counter.add_to(begun[-1])
        begun[-1].ran = True
        begun[-1].seconds = round(time.monotonic() - begun[-1].began, 3)
        watcher.ran(begun[-1])

    # configure() overwrites what EnvironmentContext was given, so the callback is added here.
    context.on_version_apply_callbacks = (*context.on_version_apply_callbacks, applied)

    def current() -> Step | None:
        # One that ran as well: a thread of it may write on.
        return begun[-1] if begun else None

    def unseen(reason: str) -> None:
        step = current()
        if step is not None and reason not in step.unseen:
            step.unseen.append(reason)
            step.replaced.update(() if reason == INSERTED else (ANY_TABLE,))
            watcher.writes_unseen(step, reason)

    counter.unseen = UnseenWrites(connection_of(context), unseen, engine, current)
    early = EarlyCommits(begun, watcher, counter)
    with early.noticed(context, connection_of(context)), counter.unseen.noticed():
        for number, alembic_step in enumerate(steps, 1):
            script = alembic_step.revision  # type: ignore[attr-defined]
            step = Step(table, script.revision, script.doc or "")
            watcher.begins(step, number, len(steps))
            begun.append(step)
            alembic_step.migration_fn = _noting(alembic_step.migration_fn, step, counter, watcher)
            counter.start()
            yield alembic_step
            counter.look()
            watcher.left(step)
    streams[table] = True


def _noting(function: Callable[..., Any], step: Step, counter: Counter, watcher: Watcher) -> Callable[..., Any]:
    """Wrap a revision's function so that its error is known even if env.py hides it."""

    @functools.wraps(function)
    def noting(*args: Any, **keywords: Any) -> Any:
        try:
            watcher.enters()
            return function(*args, **keywords)
        except BaseException as error:
            step.error = error
            counter.failed(step)
            watcher.failed(step)
            raise

    return noting
