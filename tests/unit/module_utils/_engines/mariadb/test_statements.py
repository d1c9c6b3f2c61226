"""What commits by itself is recognised; compared with what a server does with a row that was written before."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.statements import commits
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
    writer = database.connect()
    with writer.cursor() as cursor:
        cursor.execute("insert into t2 values (1)")
        cursor.execute(statement)
    table = "t3" if "rename" in statement else "t2"
    if "truncate" in statement:  # the row is gone, and so is what would show that it was committed
        is_there = statement in COMMITTING
    else:
        is_there = database.rows(f"select a from {table} where a = 1") == [(1,)]
    writer.close()
    assert is_there == commits(statement) == (statement in COMMITTING)
