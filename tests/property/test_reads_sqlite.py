"""No read of ours waits without a limit for a lock on a SQLite file, env.py's or another's, or blames the revision."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.waiting import wait_until
from tests.property.examples import Example, Revision, Step
from tests.property.promise import judged, reverted
from tests.property.test_reads import stopped_after
from tests.property.world import SQLiteWorld

#: What an env.py does to the connections of its engine, which then keep all other sessions from reading.
_LISTENS = """
from sqlalchemy import event
from sqlalchemy.engine import Engine
@event.listens_for(Engine, "connect")
def opened(connection, _record):
    {opened}
"""
_BEGINS = """
@event.listens_for(Engine, "begin")
def begins(connection):
    connection.exec_driver_sql("BEGIN {kind}")
"""
HOLDS = {
    "begin exclusive": _LISTENS.format(opened="connection.isolation_level = None") + _BEGINS.format(kind="EXCLUSIVE"),
    "begin immediate": _LISTENS.format(opened="connection.isolation_level = None") + _BEGINS.format(kind="IMMEDIATE"),
    "locking mode": _LISTENS.format(opened="connection.execute('PRAGMA locking_mode = EXCLUSIVE')"),
    "spilled cache": _LISTENS.format(opened="connection.execute('PRAGMA cache_size = 1')"),
    "spilled cache and begin": _LISTENS.format(
        opened="connection.isolation_level = None; connection.execute('PRAGMA cache_size = 1')"
    )
    + _BEGINS.format(kind=""),
}
JOURNALS = ("delete", "wal")
#: After these the worker goes on while another process has the file for itself.
_UPGRADE = ("planned", "locked", "backed_up", "begun", "ran", "committed", "failed")
_REVERT = ("downgrade_begun", "downgrade_ran", "restore_begun")
#: A lock is waited for five seconds at a time; the rest is the machine's.
_LIMIT = 150
_MANY = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) "


def _example(journal: str, per_migration: bool, fails: bool, goes_back_by: str = "") -> Example:
    """Two revisions that write more than a small cache holds; one, where it matters how the run is reverted."""
    made = Step("", ("CREATE TABLE made (a text)", f"{_MANY} INSERT INTO made SELECT hex(zeroblob(200)) FROM n"))
    back = Step("", ("DROP TABLE made",))
    more = Step("", (f"{_MANY} INSERT INTO old SELECT hex(zeroblob(200)) FROM n",))
    less = Step("", ("DELETE FROM old WHERE a <> 'old'",))
    revisions = [Revision((made,), (back,), None, "raises" if goes_back_by == "restore" else "exact")]
    if not goes_back_by:
        revisions.append(Revision((more,), (less,)))
    if fails:
        revisions.append(Revision((), (), 0))
    setup = ("CREATE TABLE old (a text)", "INSERT INTO old VALUES ('old')")
    return Example("sqlite", setup, tuple(revisions), per_migration=per_migration, journal_mode=journal)


@contextmanager
def _within_the_limit(work: Any) -> Iterator[None]:
    """Begin some work in a thread, and see it end when the block has ended."""
    working = threading.Thread(target=work, daemon=True)
    working.start()
    yield
    working.join(_LIMIT)
    assert not working.is_alive(), "it waits for ever"


def _cases() -> list[Any]:
    cases = [
        (hold, journal, each, fails)
        for hold in HOLDS
        for journal in JOURNALS
        for each in (True, False)
        for fails in (True, False)
    ]
    daily = [("begin exclusive", "delete", True, True)]
    return [pytest.param(*case, marks=[pytest.mark.daily] if case in daily else []) for case in cases]


@pytest.mark.parametrize(("hold", "journal", "per_migration", "fails"), _cases())
def test_env_py_keeps_all_sessions_out(
    tmp_path: Path, hold: str, journal: str, per_migration: bool, fails: bool
) -> None:
    world = SQLiteWorld(tmp_path, _example(journal, per_migration, fails))
    env_py = world.host.layout.release("property") / "source" / "migrations" / "env.py"
    env_py.write_text(HOLDS[hold] + env_py.read_text())
    old = world.entries()
    results: list[Any] = []

    with _within_the_limit(lambda: results.append(world.do("upgrade"))):
        pass

    (upgraded,) = results
    if (hold, journal) == (
        "locking mode",
        "wal",
    ):  # no session can open it any more, and that is reported before anything runs
        assert upgraded["error"]["code"] == "env-py-failed", upgraded
        assert judged(world, old, upgraded) == "old"
        return
    assert upgraded["outcome"] == ("failed" if fails else "upgraded"), upgraded
    assert not fails or "locked" not in str(upgraded["error"]), upgraded["error"]
    with _within_the_limit(lambda: results.append(judged(world, old, upgraded))):
        pass
    # Whether others wrote is unknown while they are kept out for good.
    assert results[-1] in (("old", "held" if hold == "locking mode" else "old") if fails else ("new",))


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize(
    ("verb", "event"), [("upgrade", event) for event in _UPGRADE] + [("downgrade", event) for event in _REVERT]
)
def test_another_process_has_the_file_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: str, verb: str, event: str
) -> None:
    world = SQLiteWorld(tmp_path, _example(journal, True, True, event.partition("_")[0] if verb == "downgrade" else ""))
    old = world.entries()
    results: list[dict[str, Any]] = [] if verb == "upgrade" else [world.do("upgrade")]
    with stopped_after(event, tmp_path, monkeypatch) as (reached, gate), closing(sqlite3.connect(world.path)) as other:
        with _within_the_limit(lambda: results.append(world.do(verb))):
            wait_until(reached.exists, f"{event} was not reached", 60)
            other.isolation_level = None
            try:
                other.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:  # the migration itself has it by now
                other.rollback()
            gate.touch()
        other.rollback()
    judge = judged if verb == "upgrade" else reverted
    assert judge(world, old, results[-1]) in ("old", "held")
