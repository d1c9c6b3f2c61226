"""Revisions that fail on a database in use: rows of others stay, and hold nothing where the run has not written."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.dump_text import Definition, Definitions
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.written_tables import list_written_tables
from tests.integration.targets import MariaDBTarget
from tests.lab.fixtures import MariaDatabase
from tests.unit.module_utils._engines.mariadb.test_upgrade import Upgraded

#: What is in use is called visits; the rest leads to it in one way each. The database's own user makes it.
OBJECTS = (
    "create table owners (id int primary key)",
    """create table visits (id int auto_increment primary key, owner int, word varchar(20),
       constraint of_owner foreign key (owner) references owners (id) on delete cascade)""",
    "create table log (id int auto_increment primary key, word varchar(20))",
    'create table `quo"ted a.b` (id int primary key)',
    "create table called (id int primary key)",
    "insert into owners values (1), (2)",
    "insert into visits (owner, word) values (1, 'first'), (2, 'second')",
    "insert into called values (1)",
    "create view busy as select id, word from visits",
    "create trigger logged after insert on log for each row insert into visits (word) values (new.word)",
    'create trigger counted after insert on `quo"ted a.b` for each row update owners set id = id',
    "create procedure harmless() begin select 1; end",
    "create function writes() returns int begin insert into visits (word) values ('by a function'); return 1; end",
    "create view calls as select writes() as it",
)

#: Revisions that write nothing into visits.
ELSEWHERE = {
    "what it has left is empty": ["create table made (a int)", "alter table item add x int", "raise"],
    "rows that are rolled back": ["update item set note = 'x'", "delete from item where id = 1", "raise"],
    "a query of the table": ["insert into item (id, name) select id + 1000, word from visits", "raise"],
    "a foreign key to it": ["create table made (v int, foreign key (v) references visits (id))", "raise"],
    "columns and indexes of it": [
        "alter table visits add x int",
        "create index by_word on visits (word)",
        "alter table visits add index another (word, owner)",
        "raise",
    ],
    "no statement at all": ["raise"],
}

PAST_SQLALCHEMY = (
    "u = op.get_bind().engine.url; import pymysql; pymysql.connect(host=u.host, port=u.port, user=u.username,"
    " password=u.password, database={}).cursor().execute(f'select 1 from `{{u.database}}`.item; delete from visits')"
)
VENDORED = """
import shutil, sys, tempfile, pathlib, pymysql
    folder = tempfile.mkdtemp(); sys.path.insert(0, folder)
    shutil.copytree(pathlib.Path(pymysql.__file__).parent, folder + '/shipped_along')
    import shipped_along as d; u = op.get_bind().engine.url
    d.connect(host=u.host, port=u.port, user=u.username, password=u.password, database=u.database)
"""
#: Revisions that may, in one way each.
THERE = {
    "a statement": ["update visits set word = 'x' where id = 1", "raise"],
    "a trigger": ["insert into log (word) values ('x')", "raise"],
    "a trigger, and then a cascade": ['insert into `quo"ted a.b` values (1)', "raise"],
    "a cascade": ["delete from owners where id = 3", "raise"],
    "a view": ["update busy set word = 'x' where id = 1", "raise"],
    "a procedure": ["call harmless()", "raise"],
    "a function": ["select writes()", "raise"],
    "a view that calls it": ["select * from calls", "raise"],
    "what is in a string": ["execute immediate concat('sel', 'ect 1')", "raise"],
    "its own trigger": ["create trigger t after insert on called for each row delete from visits", "drop trigger t"],
    "a definition, and back": ["alter table visits modify word char(30)", "alter table visits modify word varchar(20)"],
    "a cursor of the driver": ['op.get_bind().connection.cursor().execute("update visits set word = word")'],
    "another connection": ["sa.create_engine(op.get_bind().engine.url).connect().execute(sa.text('delete from log'))"],
    "a connection past SQLAlchemy": [PAST_SQLALCHEMY.format("None")],
    "a connection to another database": [PAST_SQLALCHEMY.format("'information_schema'")],
    "what begins with a word that may be left out": ["insert into`visits` (word) values ('own')", "raise"],
    "a copy of the driver": [VENDORED.strip()],
    "a program that multiprocessing starts": [
        "import multiprocessing.resource_tracker as r; r.ResourceTracker().ensure_running()"
    ],
    "another program": ["__import__('subprocess').run(['true'])"],
}


@pytest.fixture
def mariadb(mariadb_database: MariaDatabase) -> MariaDBTarget:
    return MariaDBTarget(mariadb_database)


@pytest.fixture
def upgraded(tmp_path: Path, mariadb: MariaDBTarget) -> Upgraded:
    done = Upgraded(tmp_path, mariadb)
    assert done.upgrade()["outcome"] == "upgraded"
    mariadb.fill()
    for statement in OBJECTS:
        mariadb.rows(statement)
    return done


@contextmanager
def writing(target: MariaDBTarget, statement: str) -> Iterator[list[int]]:
    """Have another session write, again and again, and yield how many of its rows the server has acknowledged."""
    done, is_over, failures = [0], threading.Event(), list[BaseException]()
    # A process that is forked while a thread loads certificates has their lock for ever.
    is_connected = threading.Event()

    def write() -> None:
        with closing(target.connect()) as connection, connection.cursor() as cursor:
            is_connected.set()
            number = 1000
            while not is_over.wait(0.02):
                number += 1
                cursor.execute(statement.format(number))
                connection.commit()
                done[0] += 1

    def work() -> None:
        try:
            write()
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    application = threading.Thread(target=work)
    application.start()
    is_connected.wait(30)
    yield done
    is_over.set()
    application.join()
    assert not failures


def without_rows(dump: str, table: str) -> str:
    """Return a dump without the rows of one table, and without where its AUTO_INCREMENT goes on."""
    kept = re.sub(rf"INSERT INTO `{table}` VALUES.*?;\n", "", dump, flags=re.DOTALL)
    return re.sub(r" AUTO_INCREMENT=\d+", "", kept)


def rows_of_another(target: MariaDBTarget) -> int:
    return int(target.rows("select count(*) from visits where word = 'by another'")[0][0])


INTO_VISITS = "insert into visits (word) values ('by another')"


@pytest.mark.parametrize("statements", ELSEWHERE.values(), ids=ELSEWHERE)
def test_rows_where_the_run_has_not_written_stay_and_it_is_undone(
    upgraded: Upgraded, mariadb: MariaDBTarget, statements: list[str]
) -> None:
    upgraded.revise(*statements)
    before = mariadb.dump()
    with writing(mariadb, INTO_VISITS) as written:
        assert upgraded.upgrade()["outcome"] == "failed"
        reverted = upgraded.revert()
    assert reverted["outcome"] == "untouched", reverted
    assert any("visits" in note for note in reverted["notes"])
    assert rows_of_another(mariadb) == written[0] > 0
    assert without_rows(mariadb.dump(), "visits") == without_rows(before, "visits")


@pytest.mark.parametrize("statements", THERE.values(), ids=THERE)
def test_rows_where_it_may_have_written_hold_the_database(
    upgraded: Upgraded, mariadb: MariaDBTarget, statements: list[str]
) -> None:
    if statements[-1] != "raise":
        statements = [*statements, "raise"]
    upgraded.revise(*statements)
    with writing(mariadb, INTO_VISITS) as written:
        assert upgraded.upgrade()["outcome"] == "failed"
        reverted = upgraded.revert()
    assert reverted["outcome"] == "held", reverted
    assert rows_of_another(mariadb) == written[0] > 0


def test_revisions_before_it_are_downgraded_while_others_write(upgraded: Upgraded, mariadb: MariaDBTarget) -> None:
    body = ["op.add_column('visits', sa.Column('x', sa.Integer))", "op.create_index('by_word', 'visits', ['word'])"]
    back = ["op.drop_index('by_word', 'visits')", "op.drop_column('visits', 'x')"]
    upgraded.host.revise("generic", "0003", "0002", "\n    ".join(body), "\n    ".join(back))
    upgraded.revise("create table made (a int)", "raise", revision="0004", down="0003")
    before = mariadb.dump()
    with writing(mariadb, INTO_VISITS) as written:
        assert upgraded.upgrade()["outcome"] == "failed"
        reverted = upgraded.revert()
    assert reverted["outcome"] == "downgraded", reverted
    assert mariadb.revisions == ["0002"]
    assert rows_of_another(mariadb) == written[0] > 0
    assert without_rows(mariadb.dump(), "visits") == without_rows(before, "visits")


def test_a_table_that_gets_fewer_rows_by_others_is_not_restored(upgraded: Upgraded, mariadb: MariaDBTarget) -> None:
    mariadb.rows("insert into log (word) select 'old' from seq_1_to_5000")
    upgraded.host.revise("generic", "0003", "0002", "op.add_column('item', sa.Column('x', sa.Integer))",
                         "op.drop_column('item', 'x')")  # fmt: skip
    upgraded.revise("raise", revision="0004", down="0003")
    with writing(mariadb, "delete from log limit 1") as written:
        assert upgraded.upgrade()["outcome"] == "failed"
        reverted = upgraded.revert()
    assert reverted["outcome"] == "downgraded", reverted
    assert written[0] > 0
    assert mariadb.columns("item") == ["id", "name", "note"]


def test_a_column_that_comes_back_empty_is_not_what_it_was(upgraded: Upgraded, mariadb: MariaDBTarget) -> None:
    """The table is defined as before: the values are what differs, and the run has taken them."""
    upgraded.host.revise("generic", "0003", "0002", "op.drop_column('visits', 'word')",
                         "op.add_column('visits', sa.Column('word', sa.String(20)))")  # fmt: skip
    upgraded.revise("raise", revision="0004", down="0003")
    assert upgraded.upgrade()["outcome"] == "failed"
    mariadb.rows("update visits set owner = null")
    reverted: dict[str, Any] = upgraded.revert()
    assert reverted["outcome"] == "held", reverted


def may_restore(target: MariaDBTarget) -> None:
    target.database.server.execute(f"grant all on `hosting\\_alembic\\_%`.* to '{target.database.user}'@'%'")


def test_a_restore_leaves_the_tables_alone_that_the_run_has_not_written(
    upgraded: Upgraded, mariadb: MariaDBTarget
) -> None:
    may_restore(mariadb)
    upgraded.revise("alter table called modify id bigint", "create procedure made() begin select 1; end", "raise")
    before = mariadb.dump()
    with writing(mariadb, INTO_VISITS) as written:
        assert upgraded.upgrade()["outcome"] == "failed"
        reverted = upgraded.revert()
    assert reverted["outcome"] == "restored", reverted
    assert any("visits" in words for words in reverted["not_restored"])
    assert rows_of_another(mariadb) == written[0] > 0
    assert without_rows(mariadb.dump(), "visits") == without_rows(before, "visits")


def test_a_table_that_a_foreign_key_binds_to_a_restored_one_holds_it(
    upgraded: Upgraded, mariadb: MariaDBTarget
) -> None:
    may_restore(mariadb)
    upgraded.revise("alter table owners add x int default 1", "alter table owners alter x set default 2", "raise")
    with writing(mariadb, INTO_VISITS) as written:
        assert upgraded.upgrade()["outcome"] == "failed"
        reverted = upgraded.revert()
    assert (reverted["outcome"], reverted["error"]["code"]) == ("held", "others-wrote")
    assert rows_of_another(mariadb) == written[0] > 0


def test_rows_of_the_run_in_a_table_that_others_write_too_hold_it(upgraded: Upgraded, mariadb: MariaDBTarget) -> None:
    may_restore(mariadb)
    upgraded.revise("update called set id = 5", "alter table called modify id bigint", "raise")
    with writing(mariadb, "insert into called values ({})") as written:
        assert upgraded.upgrade()["outcome"] == "failed"
        reverted = upgraded.revert()
    assert (reverted["outcome"], reverted["error"]["code"]) == ("held", "others-wrote")
    assert mariadb.rows("select count(*) from called where id > 1000") == [(written[0],)]


class InOwnProcess(Upgraded):
    """One whose env.py runs in a process of its own, which does not get to know all of its entry."""

    @property
    def entry(self) -> Database:
        return Database.from_options({"name": "app", "url": self.target.url, "rehearse_url": self.target.url})


@pytest.mark.parametrize(
    ("statements", "outcome"), [(ELSEWHERE["rows that are rolled back"], "untouched"), (THERE["a trigger"], "held")]
)
def test_what_is_sent_in_a_process_of_env_py_is_known_as_well(
    tmp_path: Path, mariadb: MariaDBTarget, statements: list[str], outcome: str
) -> None:
    done = InOwnProcess(tmp_path, mariadb)
    assert done.upgrade()["outcome"] == "upgraded"
    for statement in OBJECTS:
        mariadb.rows(statement)
    done.revise(*statements)
    with writing(mariadb, INTO_VISITS) as written:
        assert done.upgrade()["outcome"] == "failed"
        reverted = done.revert()
    assert reverted["outcome"] == outcome, reverted
    assert rows_of_another(mariadb) == written[0] > 0


def test_a_percent_sign_in_the_name_of_a_table_is_one(upgraded: Upgraded, mariadb: MariaDBTarget) -> None:
    mariadb.rows("create table `a%b` (id int primary key)")
    mariadb.rows("insert into `a%b` values (1), (2)")
    body = "op.execute(sa.text('delete from `a%b` where id = 1'))"
    upgraded.host.revise("generic", "0003", "0002", body, "pass")
    upgraded.revise("raise", revision="0004", down="0003")
    with writing(mariadb, INTO_VISITS):
        assert upgraded.upgrade()["outcome"] == "failed"
        reverted = upgraded.revert()
    assert reverted["outcome"] == "held", reverted


THREADS = """
import threading
    url, failures = op.get_bind().engine.url, []
    def write(first):
        try:
            with sa.create_engine(url).connect() as c:
                for number in range(50):
                    c.execute(sa.text(f"update x{first * 50 + number} set id = id"))
        except BaseException as error:
            failures.append(error)
    threads = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    if failures: raise failures[0]
"""


def test_several_threads_of_env_py_may_send_statements(tmp_path: Path, mariadb: MariaDBTarget) -> None:
    done = InOwnProcess(tmp_path, mariadb)
    assert done.upgrade()["outcome"] == "upgraded"
    for number in range(200):
        mariadb.rows(f"create table x{number} (id int)")
    done.host.revise("generic", "0003", "0002", THREADS.strip(), "pass")
    assert done.upgrade(follow=60)["outcome"] == "upgraded"
    events = done.host.events(f"r{done.run}")
    named = {name for event in events if event["event"] == "touches" for name in event["names"]}
    assert {f"x{number}" for number in range(200)} <= named


def test_a_database_whose_name_differs_in_capitals_only_is_another(upgraded: Upgraded, mariadb: MariaDBTarget) -> None:
    name, server = mariadb.database.name, mariadb.database.server
    other = name.upper()
    server.execute(
        f"create database `{name.upper()}`; create table `{name.upper()}`.t (a int);"
        f"grant all on `{name.upper()}`.* to '{mariadb.database.user}'@'%';"
        f"create trigger `{other}`.there after insert on `{other}`.t for each row delete from `{name}`.log"
    )
    try:
        upgraded.revise(f"insert into {name.upper()}.t values (1)", "raise")
        with writing(mariadb, INTO_VISITS):
            assert upgraded.upgrade()["error"]["code"] == "revision-failed"
            assert upgraded.revert()["outcome"] == "held"
    finally:
        server.execute(f"drop database `{name.upper()}`")


def test_a_run_that_drops_a_trigger_has_written_where_it_fires_and_leads() -> None:
    tables = {name: f"CREATE TABLE `{name}` (\n  `id` int\n) ENGINE=InnoDB" for name in ("log", "visits", "item")}
    trigger = Definition((), b"CREATE TRIGGER logged AFTER INSERT ON log FOR EACH ROW INSERT INTO visits VALUES (1)")
    before, now = Definitions(tables, triggers={"log": [trigger]}), Definitions(tables)
    assert list_written_tables([], before, now, set(), "shop") == {"log", "visits"}
    assert list_written_tables([], before, before, set(), "shop") == set()
