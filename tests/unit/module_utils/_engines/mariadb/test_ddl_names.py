"""Which objects statements make, and which parts of tables they change, as their words say it."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.ddl_names import Named


def named(*statements: str, is_exact: bool = True) -> Named:
    return Named("app", is_exact).add(statements)


MADE = {
    "create table made (a int)": ("table", "made"),
    "/* why */ create table if not exists `made`(a int)": ("table", "made"),
    "create table app.made (a int)": ("table", "made"),
    "/*!50003 create definer=`a`@`%` trigger `t  1` before insert on x for each row set @a = 1 */": ("trigger", "t  1"),
    "create or replace algorithm = merge sql security invoker view `v ``x` as select 1": ("view", "v `x"),
    "create aggregate function f(a int) returns int return 1": ("function", "f"),
    "CREATE PROCEDURE P() select 1": ("procedure", "p"),
    "create event `e` on schedule every 1 day do select 1": ("event", "E"),
    "rename table a to made, b to c": ("table", "c"),
    "alter table a rename to made": ("table", "made"),
}


@pytest.mark.parametrize(("statement", "made"), MADE.items())
def test_an_object_is_named_by_what_makes_it(statement: str, made: tuple[str, str]) -> None:
    assert named(statement).has(*made)


@pytest.mark.parametrize(
    "statement",
    [
        "create view v as select * from made",
        "create table other.made (a int)",
        "create table made2 (a int, made int)",
        "create table `made x` (a int)",
        "drop table if exists made",
        "create view made as select 1",
        "alter table made add a int",
        "call made()",
    ],
)
def test_another_one_is_not(statement: str) -> None:
    assert not named(statement).has("table", "made")


def test_the_case_of_a_table_counts_where_the_server_has_both() -> None:
    assert not named("create table Made (a int)").has("table", "made")
    assert named("create table Made (a int)", is_exact=False).has("table", "made")


PARTS = {
    "alter table t add column x int, add `y z` int": ("y z", True),
    "alter table t add unique (x)": ("X", True),
    "alter table t add key (x), add key (x)": ("x_2", True),
    "alter online table if exists app.t add x int": ("x", True),
    "alter table t add foreign key (a) references u (id)": ("t_ibfk_1", True),
    "alter table t add check (a > 0)": ("CONSTRAINT_1", True),
    "create unique index if not exists x using btree on t (a)": ("x", True),
    "create index x on t2 (a)": ("x", False),
    "alter table other.t add x int": ("x", False),
    "alter table t add key (a)": ("x_2", False),
    "alter table t add x int": ("t_ibfk_1", False),
    "create view v as select x from t": ("x", False),
}


@pytest.mark.parametrize(("statement", "part"), PARTS.items())
def test_a_part_is_named_by_what_changes_its_table(statement: str, part: tuple[str, bool]) -> None:
    assert named(statement).has_part("t", part[0]) == part[1]
