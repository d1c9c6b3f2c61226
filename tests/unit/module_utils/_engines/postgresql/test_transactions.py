"""Whose a transaction is, on a real server: the run's where a row shows it, others' wherever it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database as Entry
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive, WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_write_tracker
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.engine import PostgreSQL
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.other_changes import (
    list_changes_by_others,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.lab.fixtures import Database, skip_before
from tests.lab.waiting import wait_until
from tests.unit.stage import Host

VERSIONS = frozenset({"public.version"})
INDEX = "create index concurrently i on first (id)"


class Stage:
    """A database, what was counted in it at a backup, and sessions of others."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.database = database
        url = sa.engine.make_url(database.url).set(drivername="postgresql+psycopg2")
        self.env = sa.create_engine(url, poolclass=sa.pool.NullPool)
        self.theirs("create table first (id integer, word text)", "create table second (id integer, word text)")
        entry = Entry.from_options({"name": "app", "url": database.url})
        engine = build_engine(entry, Host(folder / "root").job("downgrade", entry, run="r1", lock_wait=1))
        assert isinstance(engine, PostgreSQL)
        self.engine = engine
        self.activity: dict[str, Any] = {}

    def awaits_counters(self) -> None:
        """Wait until the server counts for this database: before version 15 it begins to by itself, and late."""
        statement = """select current_setting('server_version_num')::int >= 150000 or stats_reset is not null
            from pg_stat_database where datname = current_database()"""

        def counts() -> bool:
            with self.env.begin() as connection:
                return bool(connection.exec_driver_sql(statement).scalar())

        wait_until(counts, "the server counts nothing")

    def backs_up(self) -> None:
        self.activity = self.engine.read_activity()

    def theirs(self, *statements: str) -> None:
        with self.env.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def written_rows(self, **facts: Any) -> WrittenRows:
        return WrittenRows([], VERSIONS, self.activity, **facts)

    def changes(self, **facts: Any) -> str:
        archive = Archive(Path(), [], None, VERSIONS, self.activity)
        return "; ".join(
            self.engine.open_own_connection().run(list_changes_by_others, archive, self.written_rows(**facts))
        )


@pytest.fixture
def stage(tmp_path: Path, postgres_database: Database) -> Iterator[Stage]:
    made = Stage(tmp_path, postgres_database)
    yield made
    made.engine.close()


def test_what_was_open_at_the_backup_is_seen_when_it_is_committed(stage: Stage) -> None:
    with stage.env.begin() as theirs:
        theirs.exec_driver_sql("comment on table first is 'theirs'")
        theirs.exec_driver_sql("insert into first values (1, 'theirs')")
        stage.theirs("insert into second values (1, 'one')")
        stage.backs_up()

    assert "table first" in stage.changes()
    with stage.env.begin() as connection:
        written_rows = stage.written_rows(stayed=frozenset({"public.first"}), secured=stage.activity)
        assert find_write_tracker(stage.engine).find_final_writes(connection, written_rows).tables == {
            "public.first": 1
        }


def test_what_a_session_wrote_that_has_just_ended_is_counted(stage: Stage) -> None:
    """Before version 15 the server's own counters are half a second behind."""
    stage.awaits_counters()
    stage.backs_up()
    stage.theirs("insert into second values (1, 'theirs')")

    archive = Archive(Path(), [], None, VERSIONS, stage.activity)
    found = find_write_tracker(stage.engine).find_writes_since(archive, {}, None)
    assert found.tables == {"public.second": 1}, found


@pytest.mark.parametrize("theirs", ["grant select on first to public", "comment on table first is 'theirs'"])
def test_what_others_change_while_an_index_is_built_is_theirs(stage: Stage, theirs: str) -> None:
    stage.backs_up()
    first = find_write_tracker(stage.engine).read_next_transaction()
    with stage.env.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(INDEX)
    own = find_write_tracker(stage.engine).select_own_transactions(
        INDEX, [first, find_write_tracker(stage.engine).read_next_transaction()]
    )
    assert stage.changes(transactions=frozenset(own)) == ""
    stage.theirs(theirs)

    own = find_write_tracker(stage.engine).select_own_transactions(
        INDEX, [first, find_write_tracker(stage.engine).read_next_transaction()]
    )

    assert "table first" in stage.changes(transactions=frozenset(own))


def test_a_statement_that_committed_beside_others_is_known_by_what_it_names(stage: Stage) -> None:
    statement = "create table made (id integer)"
    stage.backs_up()
    first = find_write_tracker(stage.engine).read_next_transaction()
    stage.theirs(statement)
    stage.theirs("comment on table second is 'theirs'")

    own = find_write_tracker(stage.engine).select_own_transactions(
        statement, [first, find_write_tracker(stage.engine).read_next_transaction()]
    )

    found = stage.changes(transactions=frozenset(own))
    assert "table second" in found
    assert "made" not in found


def test_the_transactions_of_savepoints_are_known_and_those_of_others_beside_them_are_not(stage: Stage) -> None:
    stage.backs_up()
    first = find_write_tracker(stage.engine).read_next_transaction()
    with stage.env.begin() as connection:
        with connection.begin_nested():
            connection.exec_driver_sql("comment on table first is 'ours'")
            connection.exec_driver_sql("insert into first values (1, 'ours')")
        stage.theirs("comment on table second is 'theirs'", "insert into second values (2, 'theirs')")
        with connection.begin_nested():
            connection.exec_driver_sql("insert into second values (1, 'ours')")
        span = [first, find_write_tracker(stage.engine).read_next_transaction()]
        own = find_write_tracker(stage.engine).list_subtransactions(connection, span, ["public.first", "public.second"])

    found = stage.changes(transactions=frozenset(own))
    assert "table second" in found
    assert "first" not in found
    written_rows = stage.written_rows(
        transactions=frozenset(own), spans=[span], stayed=frozenset({"public.first", "public.second"}),
        secured=stage.activity,
    )  # fmt: skip
    with stage.env.begin() as connection:
        assert find_write_tracker(stage.engine).find_final_writes(connection, written_rows).tables == {
            "public.second": 1
        }


def test_what_no_other_session_had_written_when_that_was_counted_is_the_runs(stage: Stage) -> None:
    stage.backs_up()
    with stage.env.begin() as connection, connection.begin_nested():
        connection.exec_driver_sql("insert into first values (1, 'ours')")
    written_rows = stage.written_rows(
        wrote={"public.first": 1}, stayed=frozenset({"public.first"}), secured=stage.activity
    )
    assert find_write_tracker(stage.engine).list_touched_by_others(written_rows) == []
    written_rows = replace(written_rows, cleared=find_write_tracker(stage.engine).count_cleared())
    stage.theirs("insert into second values (1, 'theirs')")

    with stage.env.begin() as connection:
        assert not find_write_tracker(stage.engine).find_final_writes(connection, written_rows)
    stage.theirs("insert into first values (2, 'theirs')")
    with stage.env.begin() as connection:
        assert find_write_tracker(stage.engine).find_final_writes(connection, written_rows).tables == {
            "public.first": 1
        }


def test_objects_that_are_named_like_the_version_table_are_not_left_out(stage: Stage) -> None:
    stage.theirs("create table version (version_num text primary key)", "create table document_version (id integer)")
    stage.backs_up()
    stage.theirs("comment on table version is 'alembic''s'", "alter table version alter version_num set not null")
    assert stage.changes() == ""

    stage.theirs(
        "comment on table document_version is 'theirs'",
        "create function conversion() returns integer language sql as 'select 1'",
    )

    assert "document_version" in stage.changes()
    assert "conversion" in stage.changes()


@pytest.mark.parametrize(
    "statement",
    [
        "alter role current_user set track_counts = 'OFF'",
        "alter role current_user set track_counts = 'f'",
        "create function quiet() returns integer language sql set track_counts = 'No' as 'select 1'",
    ],
)
def test_where_rows_are_not_counted_nothing_is_certain(stage: Stage, statement: str) -> None:
    skip_before(stage.database.server, 15, "the right to set a parameter")
    stage.database.execute(f'grant set on parameter track_counts to "{stage.database.user}"')
    stage.theirs("alter role current_user set track_counts = 'Yes'")
    stage.backs_up()
    assert "track_counts" not in stage.changes()
    try:
        stage.theirs(statement)

        assert "track_counts is off for " in stage.changes()
    finally:
        stage.database.execute(f'alter role "{stage.database.user}" reset track_counts')
        stage.database.execute(f'revoke set on parameter track_counts from "{stage.database.user}"')


@pytest.mark.parametrize(
    "statement", ["set track_counts = off", "select dblink_exec('a', 'b')", "select pg_background_launch('a')"]
)
def test_what_keeps_rows_from_being_counted_is_noted(stage: Stage, statement: str) -> None:
    notes: list[str] = []
    with stage.env.connect() as connection:
        unseen = find_write_tracker(stage.engine).build_unseen_writes(connection, notes.append, lambda: None)
        with unseen.listen(), pytest.raises(sa.exc.DBAPIError):
            connection.exec_driver_sql(statement)

    assert notes


@pytest.mark.parametrize(
    "statement",
    [
        "alter text search configuration words alter mapping for word with english_stem",
        "create operator family public.f using btree",
    ],
)
def test_what_others_change_beside_tables_is_theirs(stage: Stage, statement: str) -> None:
    stage.theirs("create text search configuration words (copy = simple)")
    stage.backs_up()
    assert stage.changes() == ""

    stage.database.execute(statement)

    assert "the schema was changed" in stage.changes()
