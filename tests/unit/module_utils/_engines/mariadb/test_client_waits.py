"""Client programs that need a lock which another session holds: they wait shortly, and do not make others wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import client_input
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import refused
from tests.integration.targets import MariaDBTarget
from tests.lab.fixtures import MariaDatabase
from tests.unit.stage import in_process

_TRIGGER = b"create trigger shout before insert on parents for each row set @a = 1;\n"


@pytest.fixture
def stocked(mariadb_database: MariaDatabase) -> MariaDBTarget:
    mariadb_database.execute("create table parents (id int primary key); insert into parents values (1)")
    return MariaDBTarget(mariadb_database)


def engine_of(target: MariaDBTarget, **options: Any) -> Any:
    return build_engine(Database("app", target.url), Job.from_options("upgrade", {"root": "/nowhere", **options}))


@contextmanager
def held(target: MariaDBTarget, statement: str, seconds: float) -> Iterator[list[float]]:
    """Hold what a statement locks for some seconds, and yield how long each query of an application has waited."""
    waited, is_over = [0.0], threading.Event()

    def use() -> None:
        while not is_over.is_set():
            began = time.monotonic()
            target.rows("select count(*) from parents")
            waited.append(time.monotonic() - began)

    with closing(target.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        threads = [threading.Timer(seconds, lambda: end(cursor)), threading.Thread(target=use)]
        for thread in threads:
            thread.start()
        try:
            yield waited
        finally:
            is_over.set()
            for thread in threads:
                thread.join()


def end(cursor: Any) -> None:
    """Give all locks of a session back."""
    cursor.execute("rollback")
    cursor.execute("unlock tables")


def test_a_piece_of_a_restore_waits_without_making_an_application_wait(stocked: MariaDBTarget) -> None:
    def work() -> float:
        engine = engine_of(stocked, lock_timeout=1, lock_wait=30)
        with held(stocked, "select * from parents", 5) as waited:
            client_input.feed_piece(engine, stocked.name, _TRIGGER)
        return max(waited)

    assert 0.5 < in_process(work) < 2
    assert len(stocked.rows("show triggers")) == 1


def test_it_does_not_wait_for_longer_than_it_may(stocked: MariaDBTarget) -> None:
    def work() -> tuple[str, float]:
        engine, began = engine_of(stocked, lock_timeout=1, lock_wait=2), time.monotonic()
        with held(stocked, "select * from parents", 12):
            try:
                client_input.feed(engine, stocked.name, [_TRIGGER])
            except Failed as failure:
                return failure.why, time.monotonic() - began
        return "", time.monotonic() - began

    why, seconds = in_process(work)
    assert "1205" in why
    assert seconds < 8
    assert stocked.rows("show triggers") == []


def test_a_dump_does_not_wait_for_longer_than_a_backup_may(stocked: MariaDBTarget) -> None:
    def work() -> Any:
        engine = engine_of(stocked, backup_lock_wait=2)
        with held(stocked, "lock tables parents write", 12):
            began = time.monotonic()
            try:
                return client_input.read_dump_of_now(engine, list)
            finally:
                assert time.monotonic() - began < 8

    with refused("database-in-use"):
        in_process(work)
