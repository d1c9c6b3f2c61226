"""What is tried again after it did not get its lock, and what is not; a server says how often each row is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.connection import find_errno
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.statements import is_single_ddl
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.timeouts import watch
from tests.integration.targets import MariaDBTarget
from tests.lab.fixtures import MariaDatabase
from tests.unit.stage import in_process

_OBJECTS = """
create table made (id int auto_increment primary key, n int); create table used (id int); insert into used values (1);
create table log (t varchar(20)); create table k (id int primary key, n int); insert into k values (1, 0), (2, 0);
create table many (n int);
delimiter //
create procedure p() begin insert into made (n) values (1); alter table used add column x int; end//
create procedure q() begin update k set n = n + 1 where id = 2; end//
for i in 1..100 do insert into many values (1); end for//
delimiter ;
"""
_COMPOUND = "begin not atomic insert into made (n) values (1); alter table used add column x int; end"
SINGLE = [
    "alter table t add x int",
    "/* first */ ALTER TABLE t ADD x varchar(5) default ';select'",
    "create table t (a int); -- the end",
    "create or replace view v as select 1",
    "create trigger g before insert on t for each row begin set @a = 1; set @b = 2; end",
    "create definer = a@b procedure p() begin select 1; end;",
    "drop index i on t",
    "rename table a to b",
    "truncate table t",
]
NOT_SINGLE = [
    "call p()",
    "execute immediate 'alter table t add x int'",
    _COMPOUND,
    "begin",
    "lock tables t write",
    "optimize table a, b",
    "alter table t add x int; insert into t values (1)",
    "create table t (a int); insert into t values (1)",
    "create table t as select f() from u",
    "create table t (a int) select 1",
    "create temporary table t (a int)",
    "insert into t values (1)",
]


@pytest.fixture
def stocked(mariadb_database: MariaDatabase) -> MariaDBTarget:
    mariadb_database.execute(_OBJECTS)
    return MariaDBTarget(mariadb_database)


@contextmanager
def in_use(target: MariaDBTarget, seconds: float) -> Iterator[None]:
    """Another session that has read the table `used`, and ends its transaction after some seconds."""
    with closing(target.connect()) as connection:
        with connection.cursor() as cursor:
            cursor.execute("select * from used")
        timer = threading.Timer(seconds, connection.rollback)
        timer.start()
        yield
        timer.join()


def error_of(target: MariaDBTarget, *statements: str, before_last: Callable[[], None] = lambda: None) -> int:
    """Execute statements in one transaction, as env.py does, and return the number of the error, 0 if there is none."""

    def work() -> int:
        job = Job.from_options("upgrade", {"root": "/nowhere", "lock_timeout": 1, "lock_wait": 30})
        try:
            with watch(job), sa.create_engine(target.url).begin() as connection:
                for number, statement in enumerate(statements, 1):
                    if number == len(statements):
                        before_last()
                    connection.execute(sa.text(statement))
        except sa.exc.DBAPIError as error:
            return find_errno(error)
        return 0

    return in_process(work)


@pytest.mark.parametrize("statement", SINGLE + NOT_SINGLE)
def test_only_ddl_by_itself_does_nothing_where_it_fails(statement: str) -> None:
    assert is_single_ddl(statement) == (statement in SINGLE)


def test_ddl_that_did_not_get_its_lock_goes_on_where_it_is(stocked: MariaDBTarget) -> None:
    with in_use(stocked, 3):
        assert error_of(stocked, "insert into log values ('a')", "alter table used add column x int") == 0
    assert stocked.rows("select * from log") == [("a",)]
    assert stocked.columns("used") == ["id", "x"]


@pytest.mark.parametrize("statement", ["call p()", _COMPOUND, f"execute immediate '{_COMPOUND}'"])
def test_what_may_have_committed_a_part_of_it_is_not_done_twice(stocked: MariaDBTarget, statement: str) -> None:
    with in_use(stocked, 3):
        assert error_of(stocked, statement) == 1205
    assert stocked.rows("select count(*) from made") == [(1,)]


def test_a_deadlock_is_an_error_of_the_transaction_that_it_has_rolled_back(stocked: MariaDBTarget) -> None:
    """The other session has changed more, so the server rolls back ours."""
    with closing(stocked.connect()) as other, other.cursor() as cursor:
        cursor.execute("update many set n = 2")
        cursor.execute("update k set n = 5 where id = 2")

        def cross() -> None:
            thread = threading.Thread(target=waits)
            thread.start()
            wait_until(lambda: "LOCK WAIT" in str(stocked.database.server.execute(_TRANSACTIONS)))

        def waits() -> None:
            cursor.execute("update k set n = 6 where id = 1")
            other.commit()

        statements = ("insert into log values ('a')", "update k set n = 100 where id = 1", "call q()")
        assert error_of(stocked, *statements, before_last=cross) == 1213
        wait_until(lambda: stocked.rows("select n from k order by id") == [(6,), (5,)])
    assert stocked.rows("select * from log") == []


_TRANSACTIONS = "select trx_state from information_schema.innodb_trx"


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
