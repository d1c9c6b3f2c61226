"""No read of ours waits without a limit for what another session has locked, whatever the journal has just recorded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import Journal
from tests.lab.postgres import PostgresServer
from tests.lab.waiting import wait_until
from tests.property.examples import Example, Revision, Step
from tests.property.promise import judged, reverted
from tests.property.world import PostgresWorld

_TABLES = ("alembic_version", "old")
_WAITS = """
SELECT application_name, left(query, 300), current_setting('lock_timeout') FROM pg_stat_activity
 WHERE datname = '{}' AND wait_event_type = 'Lock'
"""
#: After these the worker goes on while another session holds every table: in the upgrade, and in its revert.
_UPGRADE = ("planned", "locked", "backed_up", "begun", "ran", "committed", "failed")
_REVERT = ("downgrade_begun", "downgrade_ran", "restore_begun")
_DAILY = ("begun", "failed")
#: A lock is waited for a second at a time and for two in all, a plan may take 20 s; the rest is the machine's.
_LIMIT = 100


def _example(restores: bool) -> Example:
    made = Step("", ("CREATE TABLE made (id integer)", "UPDATE old SET a = 'new'"))
    back = Step("", ("DROP TABLE made", "UPDATE old SET a = 'old'"))
    revisions = (Revision((made,), (back,), None, "raises" if restores else "exact"), Revision((), (), 0))
    setup = ("CREATE TABLE old (a text)", "INSERT INTO old VALUES ('old')")
    return Example("postgresql", setup, revisions, per_migration=True, options={"plan_timeout": 20})


@contextmanager
def stopped_after(event: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """Let the worker, which is forked from here, wait behind one event of its journal until a gate is opened."""
    reached, gate = folder / "reached", folder / "gate"
    write = Journal.write

    def writing(journal: Journal, name: str, **facts: Any) -> None:
        write(journal, name, **facts)
        if name == event and not gate.exists():
            reached.touch()
            wait_until(gate.exists, "the gate was not opened")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "write", writing)
        yield reached, gate


def _lock_what_is_free(connection: Any) -> None:
    """What the migration itself has locked by now cannot be locked by any other session."""
    for table in _TABLES:
        with connection.cursor() as cursor, suppress(psycopg2.errors.LockNotAvailable):
            cursor.execute("SAVEPOINT before")
            try:
                cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE NOWAIT")
            except psycopg2.errors.LockNotAvailable:
                cursor.execute("ROLLBACK TO before")


def _cases() -> list[Any]:
    cases = [(verb, event) for verb, events in (("upgrade", _UPGRADE), ("downgrade", _REVERT)) for event in events]
    return [pytest.param(*case, marks=[pytest.mark.daily] if case[1] in _DAILY else []) for case in cases]


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(("verb", "event"), _cases())
def test_everything_is_locked_by_another_session(
    postgres_server: PostgresServer,
    owner: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    event: str,
) -> None:
    world = PostgresWorld(postgres_server, owner, tmp_path, _example(event == "restore_begun"))
    try:
        old = world.entries()
        results: list[dict[str, Any]] = [] if verb == "upgrade" else [world.do("upgrade")]
        with (
            stopped_after(event, tmp_path, monkeypatch) as (reached, gate),
            closing(psycopg2.connect(postgres_server.url(world.name))) as other,
        ):
            working = threading.Thread(target=lambda: results.append(world.do(verb)), daemon=True)
            working.start()
            wait_until(lambda: reached.exists() or not working.is_alive(), f"{event} was not reached", 60)
            assert reached.exists(), f"{event} was not reached: {results}"
            _lock_what_is_free(other)
            gate.touch()
            working.join(_LIMIT)
            waits = postgres_server.execute(_WAITS.format(world.name)) if working.is_alive() else []
            assert not working.is_alive(), f"it waits for ever, after {event}: {waits}"
            other.rollback()
        judge = judged if verb == "upgrade" else reverted
        assert judge(world, old, results[-1]) in ("old", "held")
    finally:
        world.close()
