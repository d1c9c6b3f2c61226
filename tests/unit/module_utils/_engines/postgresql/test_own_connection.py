"""The one connection of ours to a PostgreSQL database: it holds the lock, reads, and exports the snapshot of a dump."""

from __future__ import annotations

import time
from typing import Any

import psycopg2
import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import refused
from tests.lab.fixtures import Database as Postgres
from tests.unit.stage import Host, in_process

ENV = """
from alembic import context
from sqlalchemy import create_engine, pool
engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration={each})
    with context.begin_transaction():
        context.run_migrations()
"""


def engine_of(postgres: Postgres) -> Any:
    return build_engine(Database("app", postgres.url), Job.from_options("upgrade", {"root": "/nowhere"}))


def setting(engine: Any, name: str) -> str:
    return str(engine.open_own_connection().query_rows(f"show {name}")[0][0])


def test_a_statement_means_the_same_to_the_driver_as_to_sqlalchemy(postgres_database: Postgres) -> None:
    def work() -> list[tuple[Any, ...]]:
        rows = engine_of(postgres_database).open_own_connection().query_rows
        return [
            rows(r"select :word || ' 5% \:x', 3::int, cast(:many as int[])", word="a", many=[1, 2])[0],
            rows(r"select '5% \:x', '1'::int")[0],
            *rows("set extra_float_digits = 1"),
        ]

    assert in_process(work) == [("a 5% :x", 3, [1, 2]), ("5% :x", 1)]


def test_it_holds_the_lock_and_is_not_closed_before_that_is_released(postgres_database: Postgres) -> None:
    def work() -> list[bool]:
        engine, other = engine_of(postgres_database), engine_of(postgres_database)
        lock = engine.lock(1, print)
        seen = [engine.open_own_connection().query_rows("select pg_backend_pid()")[0][0] == lock.read_pid()]
        engine.close()
        seen += [
            engine.open_own_connection().query_rows("select pg_backend_pid()")[0][0] != lock.read_pid(),
            other.try_lock() is None,
        ]
        lock.release()
        return [*seen, other.try_lock() is not None]

    assert in_process(work) == [True, True, True, True]


def test_no_timeout_of_the_role_ends_it_while_it_holds_a_snapshot(postgres_database: Postgres) -> None:
    postgres_database.server.execute(
        f"ALTER ROLE \"{postgres_database.user}\" SET idle_in_transaction_session_timeout = '200ms'"
    )

    def work() -> bool:
        engine = engine_of(postgres_database)
        with engine.lock(1, print) as lock:
            engine.open_own_connection().query_rows("begin")
            time.sleep(0.6)
            engine.open_own_connection().query_rows("rollback")
            lock.check()
            return bool(lock.is_on(engine.open_own_connection()))

    assert in_process(work)


def test_a_read_at_once_waits_a_second_and_leaves_the_limit_as_it_was(postgres_database: Postgres) -> None:
    postgres_database.execute("create table t (a int); insert into t values (1)")
    postgres_database.execute(f'grant select on t to "{postgres_database.user}"')

    def work() -> list[Any]:
        engine = engine_of(postgres_database)
        before = setting(engine, "lock_timeout")
        seen: list[Any] = [engine.read_at_once("select a from t")]
        blocker = psycopg2.connect(postgres_database.server.url(postgres_database.name))
        blocker.cursor().execute("lock table t in access exclusive mode")
        begun = time.monotonic()
        with refused("read-lock-timeout") as caught:
            engine.read_at_once("select a from t")
        seen += [engine.is_lock_timeout(caught.value), 0.5 < time.monotonic() - begun < 20]
        blocker.rollback()
        return [*seen, setting(engine, "lock_timeout") == before]

    assert in_process(work) == [[(1,)], True, True, True]


@pytest.mark.parametrize("each", [False, True])
def test_what_a_transaction_of_several_revisions_has_dropped_and_written_is_known(
    host: Host, postgres_database: Postgres, each: bool
) -> None:
    """The last revision of one transaction says for all of them what no other session can have changed meanwhile."""
    source = host.layout.release(host.ship("generic")) / "source" / "migrations"
    (source / "env.py").write_text(ENV.format(each=each))
    for path in (source / "versions").glob("*.py"):
        path.unlink()
    owner = psycopg2.connect(postgres_database.url)
    owner.cursor().execute("create table gone (a int); insert into gone values (1), (2); create table kept (a int)")
    owner.commit()
    statements = {
        "a1": "insert into kept values (1)",
        "a2": "drop table gone",
        "a3": "insert into kept values (2), (3)",
        "a4": "alter table kept add column b int",
    }
    for (revision, statement), down in zip(statements.items(), ["", *statements]):
        path = host.revise("generic", revision, down, f"op.execute({statement!r})")
        path.write_text(path.read_text().replace("down_revision = ''", "down_revision = None"))

    result = host.result("upgrade", Database("app", postgres_database.url))

    ran = [event for event in host.events() if event["event"] == "ran"]
    assert (result["outcome"], result["after"], [step["revision"] for step in result["applied"]]) == (
        "upgraded",
        ["a4"],
        ["a1", "a2", "a3", "a4"],
    )
    assert [event["wrote"].get("public.kept") for event in ran] == [1, None, 2, None]
    assert [number for event in ran for number in event["held"]["dropped"]] != []
    assert {number: rows for event in ran for number, rows in event["catalog_rows"].items()} != {}
    assert len({number for event in ran for number in event["transactions"]}) == (4 if each else 1)
