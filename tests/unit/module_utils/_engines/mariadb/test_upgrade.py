"""Upgrades of one database of MariaDB, as the virtualenv's process does them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from tests.integration.targets import MariaDBTarget
from tests.lab.fixtures import MariaDatabase
from tests.unit.stage import Host


@pytest.fixture
def mariadb(mariadb_database: MariaDatabase) -> MariaDBTarget:
    return MariaDBTarget(mariadb_database)


class Upgraded:
    """A host with a release whose first revision was applied."""

    def __init__(self, folder: Path, target: MariaDBTarget) -> None:
        self.host, self.target = Host(folder / "root"), target
        self.host.ship("generic")
        self.run = 0

    @property
    def entry(self) -> Database:
        """What the inventory says of it."""
        return Database.from_options({"name": "app", "url": self.target.url})

    def upgrade(self, **options: Any) -> Any:
        self.run += 1
        return self.host.result("upgrade", self.entry, run=f"r{self.run}", **options)

    def revert(self) -> Any:
        """Revert the database from the last run, as the handler does."""
        return self.host.result("downgrade", self.entry, run=f"r{self.run}")

    def events(self) -> list[str]:
        return [str(event["event"]) for event in self.host.events(f"r{self.run}")]

    def revise(self, *statements: str, revision: str = "0003", down: str = "0002") -> None:
        body = "\n    ".join(each if _is_python(each) else f"op.execute({each!r})" for each in statements)
        self.host.revise("generic", revision, down, body.replace("raise", "raise RuntimeError('on purpose')"))


def _is_python(line: str) -> bool:
    return " " not in line or line.startswith(("op.", "sa.", "u = ", "import "))


@pytest.fixture
def upgraded(tmp_path: Path, mariadb: MariaDBTarget) -> Upgraded:
    done = Upgraded(tmp_path, mariadb)
    assert done.upgrade()["outcome"] == "upgraded"
    mariadb.fill()
    return done


@contextmanager
def reads(target: MariaDBTarget, seconds: float) -> Iterator[int]:
    """Another session that has read the table, and ends its transaction after some seconds."""
    with closing(target.connect()) as connection:
        with connection.cursor() as cursor:
            cursor.execute("select * from item")
            cursor.execute("select connection_id()")
            ((number,),) = cursor.fetchall()
        timer = threading.Timer(seconds, connection.rollback)
        timer.start()
        yield int(number)
        timer.join()


def test_a_revision_waits_for_others_without_making_them_wait(upgraded: Upgraded, mariadb: MariaDBTarget) -> None:
    """The second statement does not get its lock at first; the first one is not done again."""
    upgraded.revise("create table made (a int)", "alter table item add other int")
    slowest, is_over = [0.0], threading.Event()

    def use() -> None:
        while not is_over.is_set():
            began = time.monotonic()
            mariadb.rows("select count(*) from item")
            slowest[0] = max(slowest[0], time.monotonic() - began)

    application = threading.Thread(target=use)
    with reads(mariadb, 4):
        application.start()
        result = upgraded.upgrade(lock_timeout=1, lock_wait=60)
    is_over.set()
    application.join()
    assert result["outcome"] == "upgraded"
    assert mariadb.columns("item") == ["id", "name", "note", "other"]
    assert 0.5 < slowest[0] < 1.5


@pytest.mark.parametrize("how", ["call fills()", "BODY", "execute immediate 'BODY'"])
def test_what_writes_and_then_waits_is_executed_once(upgraded: Upgraded, mariadb: MariaDBTarget, how: str) -> None:
    """The row is committed by the ALTER that does not get its lock, so neither it nor its revision is run again."""
    body = "insert into made (n) values (1); alter table item add other int"
    mariadb.rows("create table made (id int auto_increment primary key, n int)")
    mariadb.rows(f"create procedure fills() begin {body}; end")
    upgraded.revise(how.replace("BODY", f"begin not atomic {body}; end"))
    with reads(mariadb, 4):
        result = upgraded.upgrade(lock_timeout=1, lock_wait=60)
    assert result["outcome"] == "failed"
    assert mariadb.rows("select n from made") == [(1,)]
    assert "wrote_early" in upgraded.events()


def test_who_keeps_it_waiting_is_named_in_the_end(upgraded: Upgraded, mariadb: MariaDBTarget) -> None:
    upgraded.revise("alter table item add other int")
    dump = mariadb.dump()
    with reads(mariadb, 8) as number:
        result = upgraded.upgrade(lock_timeout=1, lock_wait=3)
        waits = [event for event in upgraded.host.events(f"r{upgraded.run}") if event["event"] == "waits"]
    assert result["outcome"] == "failed"
    assert "1205" in result["error"]["why"]
    assert f"session {number} " in waits[-1]["reason"]
    assert mariadb.dump() == dump


def test_rows_that_ddl_has_committed_count_as_left(upgraded: Upgraded) -> None:
    """The schema is as before when the revision fails, and a row is not."""
    upgraded.revise(
        "insert into item (id, name) values (9, 'more')",
        "alter table item add x int",
        "alter table item drop x",
        "raise",
    )
    assert upgraded.upgrade()["outcome"] == "failed"
    assert upgraded.target.rows("select count(*) from item where id = 9") == [(1,)]
    assert "wrote_early" in upgraded.events()
    (failed,) = [event for event in upgraded.host.events(f"r{upgraded.run}") if event["event"] == "failed"]
    assert failed["left"] == ["+rows that the revision committed before its end"]


def test_how_far_a_revision_came_is_journaled_and_named(upgraded: Upgraded) -> None:
    upgraded.revise(
        "create table made (a int comment 'a secret')", "alter table item add x int", "alter table item add x int"
    )
    why = upgraded.upgrade()["error"]["why"]
    executed = [event for event in upgraded.host.events(f"r{upgraded.run}") if event["event"] == "executes"]
    assert [event["statement"] for event in executed] == [
        "create table made (a int comment '…')",
        "alter table item add x int",
        "alter table item add x int",
    ]
    assert "1060" in why
    assert why.endswith("create table made (a int comment '…'), alter table item add x int")


def test_a_statement_that_failed_is_not_called_permanent(upgraded: Upgraded) -> None:
    """The revision catches its error, and fails by one of its own."""
    fails = "import contextlib\n    with contextlib.suppress(Exception): op.execute('alter table item add x int')"
    upgraded.revise("alter table item add x int", fails, "raise")

    why = upgraded.upgrade()["error"]["why"]

    assert "on purpose" in why
    assert why.count("alter table item add x int") == 1


def test_what_others_define_meanwhile_stays_and_the_database_is_held(upgraded: Upgraded) -> None:
    """The revision's own objects are dropped; that with the name of the statement that failed is another session's."""
    database = upgraded.target.database
    database.server.execute(f"grant all on `hosting\\_alembic\\_%`.* to '{database.user}'@'%'")
    other = f"sa.create_engine({upgraded.target.url!r}).connect().execute(sa.text({{!r}}))"
    body = [
        'op.execute("create table made (a int)")',
        other.format("create view of_dba as select 1 as a"),
        other.format("create procedure month_end() select 1"),
        'op.execute("create procedure month_end() select 2")',
    ]
    upgraded.host.revise("generic", "0003", "0002", "\n    ".join(body))
    failed = upgraded.upgrade()
    assert "1304" in failed["error"]["why"]
    reverted = upgraded.revert()
    assert (reverted["outcome"], reverted["error"]["code"]) == ("held", "others-wrote")
    assert upgraded.target.tables() == ["item", "of_dba"]
    assert [row[1] for row in upgraded.target.rows("show procedure status where db = database()")] == ["month_end"]


def test_rows_that_were_rolled_back_do_not(upgraded: Upgraded) -> None:
    upgraded.revise("insert into item (id, name) values (9, 'more')", "raise")
    assert upgraded.upgrade()["outcome"] == "failed"
    assert upgraded.target.rows("select count(*) from item where id = 9") == [(0,)]
    assert "wrote_early" not in upgraded.events()


def test_rows_of_a_table_without_transactions_count_as_left(upgraded: Upgraded) -> None:
    upgraded.target.rows("create table log (a int) engine = myisam")
    upgraded.revise("insert into log values (1)", "raise")
    assert upgraded.upgrade()["outcome"] == "failed"
    assert upgraded.target.rows("select count(*) from log") == [(1,)]
    assert "wrote_early" in upgraded.events()
