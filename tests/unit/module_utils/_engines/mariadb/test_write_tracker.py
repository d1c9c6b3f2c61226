"""Who wrote to a MariaDB database, and how it differs from its backup."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from pymysql.cursors import SSCursor

from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive, WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.session_counters import Sessions
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer, find_write_tracker
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlalchemy_import import sa
from tests.lab.fixtures import MariaDatabase
from tests.unit.module_utils._engines.mariadb.test_restore import engine_of, schemas_beside
from tests.unit.stage import in_process

_TABLES = """
create table parents (id int primary key auto_increment, name varchar(50), half float);
create table notes (id int primary key, words longtext, bytes longblob, at_once datetime(6), flag bit(3));
insert into parents (name, half) values ('one', 0.1), ('two', null);
insert into notes values (1, repeat('long ', 100000), x'00ff', '2026-01-01 01:02:03.4', b'101');
insert into notes values (2, '', '', null, null);
create view names as select name from parents;
create sequence numbers;
"""


@pytest.fixture
def stocked(mariadb_database: MariaDatabase) -> Any:
    mariadb_database.execute(_TABLES)
    yield mariadb_database
    for name in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"drop database `{name}`")


class Run:
    """One run of env.py, as an upgrade and a revert see it; for a process of its own."""

    def __init__(self, database: MariaDatabase, folder: Path) -> None:
        self.database = database
        self.engine = engine_of(database)
        self.tracker: Any = find_write_tracker(self.engine)
        own = self.engine.open_own_connection()
        self.before = own.run(self.engine.read_fingerprint, frozenset())
        dump = self.engine.dump(folder, True, lambda _: None)
        self.archive = Archive(dump.path, self.before, dump.row_counts, frozenset(), dump.activity)
        self.connection = sa.create_engine(database.server.url(database.name)).connect()
        self.tracker.count_transaction(self.connection)

    def step(self, *statements: str) -> dict[str, str] | None:
        """Run statements as a revision does, and return what the journal keeps of its failure."""
        for statement in statements:
            self.connection.execute(sa.text(statement))
        self.connection.commit()
        self.tracker.count_transaction(self.connection)
        self.tracker.check_other_writers(self.connection)
        content: dict[str, str] | None = self.tracker.read_content_state()
        return content

    def writes(self, content: dict[str, str] | None) -> tuple[str, str]:
        """Return what a revert's guard is given, in an engine of its own."""
        engine = engine_of(self.database)
        tracker, restorer = find_write_tracker(engine), find_restorer(engine)
        tracker.resume(content)
        found: list[str] = []
        written_rows = WrittenRows(before=self.before, content=content)

        def guard() -> None:
            found.append(str(tracker.find_writes_since(self.archive, {}, content)))
            found.append(str(tracker.find_writes_into_made(written_rows)))
            raise InterruptedError

        with pytest.raises(Exception, match="restored"):
            restorer.restore(self.archive, "run", lambda _: None, guard)
        return found[0], found[1]


NOTHING = "nothing was written since"


def reported(database: MariaDatabase, folder: Path, work: Callable[[Run], dict[str, str] | None]) -> tuple[str, str]:
    def run() -> tuple[str, str]:
        begun = Run(database, folder)
        return begun.writes(work(begun))

    return in_process(run)


def test_what_env_py_has_written_alone_is_not_a_write_of_others(stocked: MariaDatabase, tmp_path: Path) -> None:
    def work(run: Run) -> Any:
        content = run.step(
            "create table made (id int primary key)",
            "insert into made values (1), (2)",
            "update parents set name = 'x'",
            "delete from notes where id = 2",
        )
        assert content
        return content

    assert reported(stocked, tmp_path, work) == (NOTHING, NOTHING)


def test_what_is_counted_in_a_process_of_env_py_counts_as_well(stocked: MariaDatabase, tmp_path: Path) -> None:
    def work(run: Run) -> Any:
        there = engine_of(stocked)
        find_write_tracker(there).count_transaction(run.connection)
        run.tracker.sessions = Sessions()
        run.connection.execute(sa.text("update parents set name = 'x'"))
        run.connection.commit()
        assert run.tracker.read_content_state() is None
        find_write_tracker(there).check_other_writers(run.connection)
        run.engine.take_facts_there(json.loads(json.dumps(there.collect_facts_there())))
        return run.tracker.read_content_state()

    assert reported(stocked, tmp_path, work) == (NOTHING, NOTHING)


_UPDATE = "update parents set name = 'setup'"


def _pooled(database: MariaDatabase, _other: Any) -> None:
    with sa.create_engine(database.server.url(database.name)).begin() as connection:
        connection.execute(sa.text(_UPDATE))


def _closed(database: MariaDatabase, _other: Any) -> None:
    connection: Any = sa.create_engine(database.server.url(database.name)).raw_connection().driver_connection
    connection.cursor().execute(_UPDATE)
    connection.commit()
    connection.close()


def _streaming(database: MariaDatabase, _other: Any) -> None:
    connection: Any = sa.create_engine(database.server.url(database.name)).raw_connection().driver_connection
    connection.cursor().execute(_UPDATE)
    connection.commit()
    answer = connection.cursor(SSCursor)  # reads the rest as well where nothing refers to it any more
    answer.execute("select seq from seq_1_to_100000")
    connection.close()


def _in_use(database: MariaDatabase, _other: Any) -> Any:
    connection = sa.create_engine(database.server.url(database.name)).connect()
    connection.execute(sa.text(_UPDATE))
    connection.commit()
    return connection


def _of_before(_database: MariaDatabase, other: Any) -> None:
    with other.begin():
        other.execute(sa.text(_UPDATE))
    other.close()


def _with_another_session(database: MariaDatabase, _other: Any) -> None:
    _pooled(database, _other)
    database.execute(_UPDATE.replace("setup", "theirs"))


@pytest.mark.parametrize(
    ("write", "is_known"),
    [
        (_pooled, True),
        (_closed, True),
        (_streaming, False),
        (_in_use, False),
        (_of_before, False),
        (_with_another_session, False),
    ],
)
def test_what_other_connections_of_the_process_write_is_the_runs_own(
    stocked: MariaDatabase, tmp_path: Path, write: Any, is_known: bool
) -> None:
    """An application's own engine, in ``migrate_setup`` for one: what it has written is read when it is given back."""

    def work(run: Run) -> bool:
        other = sa.create_engine(stocked.server.url(stocked.name)).connect()
        with run.tracker.watch_touched(lambda _names, _reason: None):
            kept = write(stocked, other)
            content = run.step("create table made (id int primary key)")
        assert kept is None or kept.closed is False
        return content is not None

    assert in_process(lambda: work(Run(stocked, tmp_path))) is is_known


@pytest.mark.parametrize("when", ["before the failure", "after it"])
@pytest.mark.parametrize(
    "statement",
    [
        "insert into parents (name) values ('other')",
        "update parents set name = 'other' where id = 1",
        "delete from parents where id = 1",
        "truncate table parents",
        "update notes set at_once = '2026-01-01 01:02:03.5' where id = 1",
        "update notes set flag = b'111' where id = 1",
        "update notes set words = null where id = 2",
        "update notes set bytes = null where id = 2",
    ],
)
def test_what_another_session_has_written_is_noticed(
    stocked: MariaDatabase, tmp_path: Path, when: str, statement: str
) -> None:
    def work(run: Run) -> Any:
        if when == "before the failure":
            stocked.execute(statement)
        content = run.step("alter table parents add column more int", "update parents set half = 7 where id = 2")
        if when == "after it":
            stocked.execute(statement)
        assert (content is None) == (when == "before the failure")
        return content

    assert reported(stocked, tmp_path, work)[0] != NOTHING


@pytest.mark.parametrize("others", [False, True])
def test_a_dump_before_a_revert_does_not_hide_what_others_wrote_before_it(
    stocked: MariaDatabase, tmp_path: Path, others: bool
) -> None:
    """What is backed up once more is still lost in the database, if the first backup is restored."""
    first, again = tmp_path / "first", tmp_path / "again"
    first.mkdir()
    again.mkdir()

    def run() -> str:
        begun = Run(stocked, first)
        if others:
            stocked.execute("insert into parents (name) values ('theirs')")
        content = begun.step("update parents set name = 'ours' where id = 1")
        engine = engine_of(stocked)
        tracker = find_write_tracker(engine)
        tracker.resume(content)
        engine.dump(again, True, lambda _: None)
        found: list[str] = []

        def guard() -> None:
            found.append(str(tracker.find_writes_since(begun.archive, {}, content)))
            raise InterruptedError

        with pytest.raises(Exception, match="restored"):
            find_restorer(engine).restore(begun.archive, "run", lambda _: None, guard)
        return found[0]

    assert in_process(run) == ("rows differ from those of the backup in parents" if others else NOTHING)


def test_rows_that_are_those_of_the_backup_lose_nothing(stocked: MariaDatabase, tmp_path: Path) -> None:
    def work(run: Run) -> Any:
        stocked.execute("update parents set name = 'other' where id = 1; update parents set name = 'one' where id = 1")
        content = run.step("alter table parents add column m int, modify name longtext", "create table made (id int)")
        assert content is None
        return content

    assert reported(stocked, tmp_path, work) == (NOTHING, NOTHING)


@pytest.mark.parametrize(
    ("dropped", "statement"),
    [
        ("alter table parents drop column half", "update parents set half = 7 where id = 1"),
        ("alter table parents change half part float", "update parents set half = 7 where id = 1"),
        ("drop table notes", "update notes set words = 'other' where id = 2"),
        ("rename table notes to others", "delete from notes where id = 2"),
        ("drop sequence numbers", "do nextval(numbers)"),
    ],
)
def test_what_others_wrote_into_what_was_dropped_then_is_unknown(
    stocked: MariaDatabase, tmp_path: Path, dropped: str, statement: str
) -> None:
    def work(run: Run) -> Any:
        stocked.execute(statement)
        return run.step(dropped)

    assert reported(stocked, tmp_path, work)[0] != NOTHING


@pytest.mark.parametrize("dropped", ["alter table parents drop column half", "drop table notes"])
def test_what_was_dropped_while_no_one_else_wrote_is_known(
    stocked: MariaDatabase, tmp_path: Path, dropped: str
) -> None:
    assert reported(stocked, tmp_path, lambda run: run.step(dropped)) == (NOTHING, NOTHING)


@pytest.mark.parametrize(
    "statement",
    ["insert into made values (1)", "update parents set more = 5 where id = 1", "update parents set other = 'x'"],
)
def test_what_may_be_others_in_what_was_made_counts(stocked: MariaDatabase, tmp_path: Path, statement: str) -> None:
    def work(run: Run) -> Any:
        run.step(
            "create table made (id int)",
            "alter table parents add column more int not null, add column other varchar(5) default 'd'",
        )
        stocked.execute(statement)
        return None

    rows, made = reported(stocked, tmp_path, work)
    assert rows == NOTHING
    assert made != NOTHING


@contextmanager
def _a_monitor_that_reads_open_transactions(database: MariaDatabase) -> Iterator[None]:
    """Read them so often that the server shows to everyone what it has shown first."""
    done, shown = threading.Event(), threading.Event()

    def read() -> None:
        session = engine_of(database).open_own_connection()
        while not done.wait(0.02):
            session.query_rows("select count(*) from information_schema.innodb_trx")
            shown.set()

    monitor = threading.Thread(target=read)
    monitor.start()
    try:
        assert shown.wait(10)
        yield
    finally:
        done.set()
        monitor.join()


@pytest.mark.parametrize("beside", [nullcontext, _a_monitor_that_reads_open_transactions])
def test_a_transaction_that_was_open_during_the_dump_is_never_overlooked(
    stocked: MariaDatabase, tmp_path: Path, beside: Callable[[MariaDatabase], AbstractContextManager[None]]
) -> None:
    """Its row was counted before, and is in no backup."""

    def run() -> tuple[dict[str, str] | None, str]:
        other = engine_of(stocked).open_own_connection()
        with beside(stocked):
            other.query_rows("start transaction")
            other.query_rows("insert into parents (name) values ('open')")
            begun = Run(stocked, tmp_path)
            other.query_rows("commit")
        content = begun.step("create table made (id int)")
        return content, begun.writes(content)[0]

    content, rows = in_process(run)
    assert content is None
    assert rows != NOTHING


def test_a_comparison_names_what_differs_and_leaves_nothing(stocked: MariaDatabase, tmp_path: Path) -> None:
    def run() -> tuple[list[str], list[str], list[str]]:
        begun = Run(stocked, tmp_path)
        engine = engine_of(stocked)

        def compared() -> list[str]:
            tracker = find_write_tracker(engine)
            return tracker.compare(begun.archive, WrittenRows(begun.before), 1 << 30, lambda _: None).differences

        same = compared()
        begun.step("alter table parents add column more int", "update notes set words = 'x'", "drop view names")
        changed = compared()
        small = find_write_tracker(engine).compare(begun.archive, WrittenRows(begun.before), 10, lambda _: None)
        return same, changed, small.not_compared

    same, changed, not_compared = in_process(run)
    assert same == []
    assert len(changed) == 3
    assert ["notes" in words for words in changed] == [False, False, True]
    assert not_compared
    assert schemas_beside(stocked) == []


def test_a_sequence_that_has_given_out_a_value_is_noticed(stocked: MariaDatabase, tmp_path: Path) -> None:
    def work(_run: Run) -> Any:
        stocked.execute("alter table parents add column more int; select nextval(numbers)")
        return None

    assert "numbers" in reported(stocked, tmp_path, work)[0]
