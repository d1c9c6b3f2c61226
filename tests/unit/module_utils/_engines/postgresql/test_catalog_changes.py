"""What others changed in a schema and left no row to show it, on a real server: what a run changed after them, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database as Entry
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.engine import PostgreSQL
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.other_changes import (
    list_changes_by_others,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import Journal
from ansible_collections.hosting.alembic.plugins.module_utils._migration.own_commits import OwnCommits
from ansible_collections.hosting.alembic.plugins.module_utils._migration.step import Step
from ansible_collections.hosting.alembic.plugins.module_utils._migration.write_count import Counter
from ansible_collections.hosting.alembic.plugins.module_utils._revert.run_record import RunRecord
from tests.lab.fixtures import Database
from tests.unit.stage import Host

BASE = [
    "create table first (id integer primary key, word text) with (fillfactor = 90)",
    "create table second (id integer, word text)",
    "create table part (id integer) inherits (second)",
    "insert into first values (1, 'one')",
    "comment on table first is 'one'",
    "comment on column first.word is 'one'",
    "create statistics both_columns on id, word from first",
    "create rule keep as on delete to second do instead nothing",
    "grant select on first to public",
    "grant select (word) on first to public",
    "create sequence number owned by first.id",
    "create index words on first (word)",
    "create view words_only as select word from second",
    "create function one() returns integer language sql set work_mem = '5MB' as 'select 1'",
    "alter default privileges grant select on tables to public",
    "do $$ begin execute format('alter database %%I set work_mem = %%L', current_database(), '5MB'); end $$",
]


class Stage:
    """A database, what was read at a backup, others, and steps of a run."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.database = database
        url = sa.engine.make_url(database.url).set(drivername="postgresql+psycopg2")
        self.env = sa.create_engine(url, poolclass=sa.pool.NullPool)
        self.theirs(*BASE)
        entry = Entry.from_options({"name": "app", "url": database.url})
        engine = build_engine(entry, Host(folder / "root").job("downgrade", entry, run="r1", lock_wait=1))
        assert isinstance(engine, PostgreSQL)
        self.engine = engine
        self.run_record = RunRecord("r1")
        self.activity: dict[str, Any] = engine.read_activity()

    def theirs(self, *statements: str) -> None:
        with self.env.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def runs(self, *statements: str, commits: bool = True, theirs: str = "") -> None:
        """Run a step of the run; its counts are journaled before it is committed."""
        step = Step("public.version", "2", "")
        with self.env.connect() as connection, connection.begin() as transaction:
            counter = Counter(self.engine, connection, rows_of_savepoints=False)
            counter.start()
            if theirs:
                self.theirs(theirs)
            for statement in statements:
                step.has_savepoints = step.has_savepoints or "savepoint" in statement
                connection.exec_driver_sql(statement)
            counter.add_to(step)
            self.run_record.add_written_rows([{"event": "ran", "revision": "2", **step.collect_written_rows()}])
            if not commits:
                transaction.rollback()

    def changes(self) -> str:
        archive = Archive(Path(), [], None, frozenset(), self.activity)
        found = self.engine.open_own_connection().run(
            list_changes_by_others, archive, self.run_record.collect_written_rows(self.activity)
        )
        return "; ".join(found)


@pytest.fixture
def stage(tmp_path: Path, postgres_database: Database) -> Iterator[Stage]:
    made = Stage(tmp_path, postgres_database)
    yield made
    made.engine.close()


#: What takes something away, and leaves no row that says whose transaction did.
REMOVED = [
    "comment on table first is null",
    "comment on column first.word is null",
    "drop statistics both_columns",
    "drop rule keep on second",
    "drop index words",
    "drop view words_only",
    "alter sequence number owned by none",
    "drop sequence number",
    "alter table part no inherit second",
    "alter default privileges revoke select on tables from public",
    "revoke select on first from public; revoke select (word) on first from public",
    "alter table first reset (fillfactor)",
    "alter function one() reset work_mem",
    "drop function one()",
    "do $$ begin execute format('alter database %%I reset work_mem', current_database()); end $$",
]


def test_what_others_removed_is_seen_and_what_the_run_removed_is_not_taken_for_it(stage: Stage) -> None:
    unseen, taken_for_others = [], []
    for statement in REMOVED:
        stage.run_record, stage.activity = RunRecord("r1"), stage.engine.read_activity()
        with stage.env.begin() as connection:
            connection.exec_driver_sql(statement)
            step = Step("public.version", "2", "")
            Counter(stage.engine, connection, rows_of_savepoints=False).add_to(step)
            stage.run_record.add_written_rows([{"event": "ran", "revision": "2", **step.collect_written_rows()}])
        taken_for_others += [(statement, found) for found in [stage.changes()] if found]
        stage.run_record = RunRecord("r1")
        unseen += [] if stage.changes() else [statement]

    assert (unseen, taken_for_others) == ([], [])


#: What others do, and what the run does after it to the same object, so that the last row is the run's.
COVERED = {
    "truncate first": "alter table first alter word type varchar(10)",
    "truncate first;": "alter table first add column more text",
    "truncate first; ": "drop table first cascade",
    "grant insert on first to public": "alter table first add constraint c check (id > 0)",
    "alter table first set (fillfactor = 50)": "alter table first set (autovacuum_enabled = off)",
    "alter table first alter word set statistics 500": "alter table first alter word set not null",
    "comment on table first is 'theirs'": "comment on table first is 'ours'",
    "alter function one() set work_mem = '7MB'": "alter function one() stable",
}


@pytest.mark.parametrize("when", ["before", "within"])
@pytest.mark.parametrize("theirs", sorted(COVERED))
def test_what_others_did_before_the_run_changed_the_same_is_theirs(stage: Stage, theirs: str, when: str) -> None:
    if when == "before":
        stage.theirs(theirs)
    stage.runs(COVERED[theirs], theirs=theirs if when == "within" else "")

    assert stage.changes()


OWN = [
    "alter table first alter word type varchar(10)",
    "truncate second",
    "drop rule keep on second; comment on table first is null; comment on column first.word is 'ours'",
    "alter table first add column more text; alter table first drop column more",
    "drop table first cascade",
]


def test_all_that_only_the_run_did_is_its_own(stage: Stage) -> None:
    for statement in OWN:
        stage.runs(statement)

    assert stage.changes() == ""


def test_what_a_savepoint_of_the_run_removed_is_its_own_and_others_beside_it_are_not(stage: Stage) -> None:
    removes = ("savepoint a", "comment on table first is null", "drop statistics both_columns", "release savepoint a")
    stage.runs(*removes)
    assert stage.changes() == ""

    with stage.env.connect() as connection, connection.begin():
        connection.exec_driver_sql("comment on column first.word is null")  # open, and committed only later
        stage.runs("savepoint a", "drop rule keep on second", "release savepoint a")

    assert "comments" in stage.changes()


def test_what_an_earlier_step_of_one_transaction_did_in_a_savepoint_stays_the_runs(stage: Stage) -> None:
    first = ("savepoint a", "comment on table first is null", "release savepoint a")
    with stage.env.connect() as connection, connection.begin():
        counter = Counter(stage.engine, connection, rows_of_savepoints=False)
        for statements in (first, ("drop rule keep on second",)):
            step = Step("public.version", "2", "", has_savepoints="savepoint a" in statements)
            counter.start()
            for statement in statements:
                connection.exec_driver_sql(statement)
            counter.add_to(step)
            stage.run_record.add_written_rows([{"event": "ran", "revision": "2", **step.collect_written_rows()}])

    assert stage.changes() == ""


def test_what_the_run_rolled_back_hides_nothing_of_others(stage: Stage) -> None:
    stage.runs("comment on table first is null", commits=False)
    assert stage.changes() == ""

    stage.theirs("comment on table first is null")

    assert "comments" in stage.changes()


def test_what_env_py_commits_outside_of_revisions_is_the_runs(stage: Stage, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", "upgrade")
    with OwnCommits(stage.engine, journal, since_backup=True).listen():
        stage.theirs("comment on table first is null")
    stage.run_record.add_written_rows(journal.read_events_of_run())

    assert stage.changes() == ""
