# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alembic's steps, watched: what is about to run, what ran, and what was committed before its time."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.errors import Refused
from .._engines.data import ANY_TABLE, INSERTED
from .._engines.interface import Engine
from .._engines.parts import find_write_tracker
from .alembic_import import MigrationContext, MigrationStep
from .early_commits import EarlyCommits
from .step import Step, Watcher
from .write_count import Counter

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def list_heads_after(heads: Sequence[str], steps: Sequence[MigrationStep]) -> tuple[str, ...]:
    """Return the heads that steps lead to: each takes the place of those it builds on."""
    reached = set(heads)
    for step in steps:
        script = step.revision  # type: ignore[attr-defined]
        reached -= set(step.from_revisions_no_deps) | set(script._resolved_dependencies)
        reached.add(script.revision)
    return tuple(sorted(reached))


def find_connection(context: MigrationContext) -> Connection:
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


def watch_steps(
    context: MigrationContext,
    steps: list[MigrationStep],
    begun: list[Step],
    watcher: Watcher,
    table: str,
    streams: dict[str, bool],
    engine: Engine,
) -> Iterator[MigrationStep]:
    """Yield Alembic its steps; a request for the next one means that the block of the last one was left.

    Args:
        context: Alembic's own.
        steps: what to run.
        begun: receives each step as it begins.
        watcher: is given what happens.
        table: the version table.
        streams: receives that this one came to its end.
        engine: counts what is written.
    """
    counter = Counter(engine, find_connection(context), watcher.wants_rows_of_savepoints)
    last = steps[-1].revision.revision if steps else ""  # type: ignore[attr-defined]

    in_one = _is_in_one_transaction(context) and not watcher.wants_each_step
    before_commits = _list_before_commits(steps) if in_one else set()

    def note_applied(**_facts: Any) -> None:
        begun[-1].is_open = in_one and begun[-1].revision != last
        counter.add_to(begun[-1], held=not begun[-1].is_open or begun[-1].revision in before_commits)
        counter.refuse_outside(begun[-1])
        begun[-1].ran = True
        begun[-1].seconds = round(time.monotonic() - begun[-1].began, 3)
        watcher.on_ran(begun[-1])

    # configure() overwrites what EnvironmentContext was given, so the callback is added here.
    context.on_version_apply_callbacks = (*context.on_version_apply_callbacks, note_applied)

    def find_current() -> Step | None:
        # One that ran as well: a thread of it may write on.
        return begun[-1] if begun else None

    def note_unseen(reason: str) -> None:
        step = find_current()
        if step is not None and reason not in step.unseen:
            step.unseen.append(reason)
            step.replaced.update(() if reason == INSERTED else (ANY_TABLE,))
            watcher.on_unseen_write(step, reason)

    counter.unseen = find_write_tracker(engine).build_unseen_writes(find_connection(context), note_unseen, find_current)
    early = EarlyCommits(begun, watcher, counter, engine)
    with early.listen(context, find_connection(context)), counter.unseen.listen():
        for number, alembic_step in enumerate(steps, 1):
            script = alembic_step.revision  # type: ignore[attr-defined]
            step = Step(table, script.revision, script.doc or "")
            watcher.on_begin(step, number, len(steps))
            begun.append(step)
            alembic_step.migration_fn = _note_errors(alembic_step.migration_fn, step, counter, watcher)
            counter.start()
            yield alembic_step
            step.is_open = counter.is_transaction_open()
            counter.read_counters()
            early.note_definitions(step)
            watcher.on_left(step)
    streams[table] = True


def _is_in_one_transaction(context: MigrationContext) -> bool:
    """Return whether Alembic commits nothing between two steps."""
    of_env = bool(getattr(context, "_in_external_transaction", False))
    each = getattr(context, "_transaction_per_migration", True)
    return of_env or (not each and bool(context.impl.transactional_ddl))


def _list_before_commits(steps: list[MigrationStep]) -> set[str]:
    """Return the revisions whose next one may commit by itself, in ways that nothing notices before it is done."""
    scripts = [step.revision for step in steps]  # type: ignore[attr-defined]
    return {script.revision for script, following in zip(scripts, scripts[1:]) if _may_commit(following)}


def _may_commit(script: Any) -> bool:
    """Return whether the file of a revision has the word in it, anywhere; one that cannot be read may commit."""
    try:
        return b"commit" in Path(script.path).read_bytes().lower()
    except OSError:
        return True


def _note_errors(function: Callable[..., Any], step: Step, counter: Counter, watcher: Watcher) -> Callable[..., Any]:
    """Wrap a revision's function so that its error is known even if env.py hides it."""

    @functools.wraps(function)
    def call_and_note(*args: Any, **keywords: Any) -> Any:
        try:
            watcher.on_begin_revision()
            return function(*args, **keywords)
        except BaseException as error:
            step.error = error
            counter.on_failed(step)
            watcher.on_failed(step)
            raise

    return call_and_note
