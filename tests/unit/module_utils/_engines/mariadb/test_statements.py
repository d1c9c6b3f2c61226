"""What commits by itself is recognised; compared with what a server does with a row that was written before."""

from __future__ import annotations

import time
from contextlib import closing

import pymysql
import pytest
from pymysql.constants import CLIENT

from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.statements import (
    may_commit,
    may_contain_others,
)
from tests.integration.targets import MariaDBTarget
from tests.lab.fixtures import MariaDatabase

#: Statements that work in a database with a table t and a view v.
COMMITTING = [
    "create table other (a int)",
    "CREATE OR REPLACE TABLE other (a int)",
    "\n  -- a comment\n  /* another */ alter table t add b int",
    "/*!50003 alter table t add b int */",
    "# a comment\ndrop table if exists other",
    "truncate table t2",
    "create index i on t (a)",
    "rename table t2 to t3",
    "create view w as select 1",
    "drop view v",
    "analyze table t",
    "lock tables t write",
    "start transaction",
    "begin",
    "set autocommit = 1",
    "create trigger g before insert on t for each row set @a = 1",
    "call makes()",
    "execute immediate 'create table other (a int)'",
    "create sequence s",
    "set statement lock_wait_timeout = 5 for alter table t add b int",
    "set statement lock_wait_timeout = length('x for y') for /* x */ create table other (a int)",
    "if 1 then create table other (a int); end if",
    "while not exists (select 1 from t) do create table other (a int); insert into t values (1); end while",
    "for i in 1..1 do create table other (a int); end for",
    "case when 1 then create table other (a int); end case",
    "repeat create table other (a int); until 1 end repeat",
    "begin not atomic create table other (a int); end",
    "update t set a = 1; alter table t add b int",
    "select ';', 'it''s \\'; alter' -- ;\n; truncate t2",
]
STAYING = [
    "insert into t2 values (5)",
    "create temporary table other (a int)",
    "select 'alter table t'",
    "set @a = 'x'",
    "set session sql_mode = ''",
    "update t set a = a",
    "savepoint create_table",
    "show create table t",
    "with x as (select 1) select * from x",
    "set statement lock_wait_timeout = 5 for insert into t values (1)",
    "insert into t values (1); update t set a = 2;",
    "select '; alter table t add b int'",
    "select 1; -- alter table t add b int",
]


@pytest.fixture
def database(mariadb_database: MariaDatabase) -> MariaDBTarget:
    mariadb_database.execute(
        "create table t (a int); create table t2 (a int); create view v as select 1;"
        "create procedure makes() create table made (a int)"
    )
    return MariaDBTarget(mariadb_database)


@pytest.mark.parametrize("statement", COMMITTING + STAYING)
def test_it_is_what_the_server_does(database: MariaDBTarget, statement: str) -> None:
    server, by = database.database.server, database.database
    writer = pymysql.connect(
        host=server.host, port=server.port, user=by.user, password=by.password, database=by.name,
        client_flag=CLIENT.MULTI_STATEMENTS,
    )  # fmt: skip
    with closing(writer), writer.cursor() as cursor:
        cursor.execute("insert into t2 values (1)")
        cursor.execute(statement)
        while cursor.nextset():
            pass
    table = "t3" if "rename" in statement else "t2"
    if "truncate" in statement:  # the row is gone, and so is what would show that it was committed
        is_there = statement in COMMITTING
    else:
        is_there = database.rows(f"select a from {table} where a = 1") == [(1,)]
    assert is_there == may_commit(statement) == (statement in COMMITTING)


def test_locked_tables_that_are_unlocked_commit(database: MariaDBTarget) -> None:
    with closing(database.connect()) as writer, writer.cursor() as cursor:
        for statement in ("set autocommit = 0", "lock tables t2 write", "insert into t2 values (1)", "unlock tables"):
            cursor.execute(statement)
    assert database.rows("select a from t2 where a = 1") == [(1,)]
    assert may_commit("unlock tables")


@pytest.mark.parametrize("statement", ["xa prepare 'x'", "XA COMMIT 'x'"])
def test_a_transaction_of_several_servers_commits(statement: str) -> None:
    assert may_commit(statement)


@pytest.mark.parametrize("statement", [*COMMITTING[-10:], "select 1; update t set a = 1"])
def test_what_executes_others_may_hide_writes(statement: str) -> None:
    assert may_contain_others(statement)


def test_what_is_long_is_searched_quickly() -> None:
    statement = "insert into t values " + ", ".join(f"({number}, 'it''s; \\' \"x\" `y`')" for number in range(100_000))
    begun = time.monotonic()
    assert not may_commit(statement)
    assert not may_contain_others(statement)
    assert time.monotonic() - begun < 2
