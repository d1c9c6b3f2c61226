"""Restores whose session, or the lock on the database, is lost: nothing goes on without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import HALF_WAY
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import swap
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from tests.codes import failed
from tests.lab.fixtures import MariaDatabase
from tests.unit.module_utils._engines.mariadb.test_restore import archive_of, engine_of, schemas_beside
from tests.unit.stage import in_process

_NEW = [["1", "1", "NULL"]]


@pytest.fixture
def changed(mariadb_database: MariaDatabase) -> Iterator[MariaDatabase]:
    mariadb_database.execute("create table t (id int primary key, n int); insert into t values (1, 1)")
    yield mariadb_database
    for schema in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"set foreign_key_checks = 0; drop database if exists `{schema}`")


def kill(database: MariaDatabase, own: Any) -> None:
    """End a session, and wait until its locks are free."""
    number = own.query_rows("select connection_id()")[0][0]
    database.server.execute(f"kill {number}")
    still = f"select 1 from information_schema.processlist where id = {number}"
    while database.server.execute(still):
        pass


def recover(database: MariaDatabase) -> None:
    in_process(lambda: engine_of(database).lock(5, lambda _: None).release())


def test_no_row_is_lost_where_the_locked_tables_become_free(changed: MariaDatabase, tmp_path: Path) -> None:
    archive = archive_of(changed, tmp_path)
    changed.execute("alter table t add column x int")

    def work() -> None:
        engine = engine_of(changed)
        engine.lock(5, lambda _: None)

        def guard() -> None:
            kill(changed, engine.open_own_connection())
            changed.execute("insert into t (id, n) values (77, 77)")

        find_restorer(engine).restore(archive, "run", lambda _: None, guard)

    with failed("lock-lost"):
        in_process(work)
    recover(changed)
    assert changed.execute("select * from t") == [*_NEW, ["77", "77", "NULL"]]
    assert schemas_beside(changed) == []


def test_nothing_is_moved_without_the_lock_on_the_database(changed: MariaDatabase, tmp_path: Path) -> None:
    """Another connection of ours holds it than the one that restores."""
    archive = archive_of(changed, tmp_path)
    changed.execute("alter table t add column x int")

    def work() -> None:
        engine = engine_of(changed)
        engine.lock(5, lambda _: None)
        holder = engine.open_own_connection()
        engine.close()
        find_restorer(engine).restore(archive, "run", lambda _: None, lambda: kill(changed, holder))

    with failed("lock-lost"):
        in_process(work)
    assert changed.execute("select * from t") == _NEW
    assert schemas_beside(changed) == []


@pytest.mark.parametrize("kills_holder", [False, True], ids=["its session", "the session with the lock"])
def test_a_restore_that_lost_it_half_way_leaves_all_to_the_next_run(
    changed: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills_holder: bool
) -> None:
    archive = archive_of(changed, tmp_path)
    changed.execute("alter table t add column x int")
    real = swap.move_in

    def work() -> None:
        engine = engine_of(changed)
        engine.lock(5, lambda _: None)
        holder = engine.open_own_connection()
        if kills_holder:
            engine.close()

        def moving(*arguments: Any) -> None:
            kill(changed, holder)
            real(*arguments)

        monkeypatch.setattr(swap, "move_in", moving)
        find_restorer(engine).restore(archive, "run", lambda _: None, lambda: None)

    with failed(HALF_WAY):
        in_process(work)
    monkeypatch.undo()
    # No other connection has moved anything: the tables are where they were when it was lost.
    assert changed.execute("show tables") == []
    assert len(schemas_beside(changed)) == 2
    recover(changed)
    assert changed.execute("select * from t") == _NEW
    assert schemas_beside(changed) == []
