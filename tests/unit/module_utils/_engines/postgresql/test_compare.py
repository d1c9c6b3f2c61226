from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database as Entry
from ansible_collections.hosting.alembic.plugins.module_utils._engines.comparison import Comparison
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive, WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_write_tracker
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql import run_sessions
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.engine import PostgreSQL
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.lab.fixtures import Database
from tests.unit.stage import Host

BASE = [
    "create table first (id integer, word text)",
    "create table second (id integer, word text)",
    'create schema "a.b"',
    'create table "a.b".third (id integer, word text)',
    "insert into first values (1, 'one')",
    "insert into second values (1, 'one')",
    "insert into \"a.b\".third values (1, 'one')",
    "select lo_from_bytea(4711, 'large')",
]
VERSIONS = frozenset({"public.alembic_version"})


class Stage:
    """A database with its backup."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.database = database
        self.url = sa.engine.make_url(database.url).set(drivername="postgresql+psycopg2")
        with sa.create_engine(self.url, poolclass=sa.pool.NullPool).begin() as connection:
            for statement in BASE:
                connection.exec_driver_sql(statement)
        entry = Entry.from_options({"name": "app", "url": database.url})
        options = {"run": "r1", "lock_wait": 1, "backup_lock_wait": 1}
        engine = build_engine(entry, Host(folder / "root").job("downgrade", entry, **options))
        assert isinstance(engine, PostgreSQL)
        self.engine = engine
        dump = engine.dump(folder, False, lambda _words: None)
        self.archive = Archive(dump.path, [], None, VERSIONS, dump.activity)

    def compare(self, **written_rows: Any) -> Comparison:
        done = WrittenRows([], VERSIONS, self.archive.activity, **written_rows)
        return find_write_tracker(self.engine).compare(self.archive, done, 1 << 30, lambda _words: None)

    def env(self) -> sa.engine.Engine:
        """Return an engine with a pool, as env.py has it."""
        return sa.create_engine(self.url)


@pytest.fixture
def stage(tmp_path: Path, postgres_database: Database) -> Iterator[Stage]:
    made = Stage(tmp_path, postgres_database)
    yield made
    made.engine.close()


def update(connection: sa.engine.Connection, *tables: str) -> None:
    """Update tables, each in a transaction of its own; a session hands in the counts of the first one at once."""
    for table in tables:
        connection.exec_driver_sql(f"update {table} set word = 'two'")
        connection.commit()


def test_what_a_pool_of_env_py_has_not_handed_in_yet_is_compared(stage: Stage) -> None:
    with stage.engine.watch_connections():
        env = stage.env()
        with env.connect() as connection:
            update(connection, "second", "first")
        assert env.pool.checkedin() == 1  # type: ignore[attr-defined]

        found = stage.compare()

    assert [words.partition(" (")[0] for words in found.others + found.rows] == [
        "rows of table public.first differ", "rows of table public.second differ",
    ]  # fmt: skip


def test_all_is_compared_while_a_session_of_the_run_is_open(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_sessions, "_PATIENCE", 0.2)
    with stage.engine.watch_connections(), stage.env().connect() as connection:
        update(connection, "second", "first")

        found = stage.compare()

    assert "public.first" in " ".join(found.others + found.rows)
    assert "still open" in " ".join(found.notes)


@pytest.mark.parametrize(
    "written_rows", [{"unseen": ["revision 2: it used another connection"]}, {"stayed": frozenset({"public.first"})}]
)
def test_what_the_run_has_written_is_compared_whatever_is_counted(stage: Stage, written_rows: dict[str, Any]) -> None:
    with stage.env().connect() as connection:  # not known as the run's
        update(connection, "second", "first")

        found = stage.compare(**written_rows)

    assert "rows of table public.first differ (other values)" in found.rows


@pytest.mark.parametrize(
    ("statements", "read"),
    [
        (["alter table first add further text default 'x'", "alter table first drop further"], False),
        (["alter table first add further float default random()", "alter table first drop further"], True),
        (["alter table first drop word", "alter table first add word text"], True),
        (["alter table first rename id to x", "alter table first rename word to id"], True),
        (["alter table first alter word type varchar(9)", "alter table first alter word type text"], True),
        (["update first set word = word"], True),
    ],
)
def test_only_tables_that_may_have_changed_are_read(stage: Stage, statements: list[str], read: bool) -> None:
    env = stage.env()
    with env.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    env.dispose()  # at its end a session hands in what it has counted
    done = WrittenRows([], VERSIONS, stage.archive.activity)
    found = find_write_tracker(stage.engine).compare(stage.archive, done, 0, lambda _words: None)
    # Whatever would be read is larger than nothing.
    read_tables = [words.partition(":")[0] for words in found.not_compared]
    assert read_tables == (["table public.first"] if read else []), found.notes


def test_a_large_object_of_the_run_is_compared_whatever_is_counted(stage: Stage) -> None:
    with stage.env().connect() as connection:
        update(connection, "second")
        connection.exec_driver_sql("select lo_put(4711, 0, 'LARGE')")
        connection.commit()

        found = stage.compare(wrote={"pg_catalog.pg_largeobject": 1})

    assert "large objects differ: 4711" in found.rows + found.others


def test_a_table_that_others_keep_to_themselves_is_not_compared(stage: Stage) -> None:
    with stage.env().connect() as connection:
        connection.exec_driver_sql("lock table first in access exclusive mode")

        found = stage.compare(wrote={"public.first": 1})

    assert [words for words in found.not_compared if words.startswith("table public.first: another session")]
    assert not found.is_equal


def test_a_table_is_found_in_the_archive_whatever_its_schema_is_called(stage: Stage) -> None:
    assert stage.compare(wrote={"a.b.third": 1}).is_equal
