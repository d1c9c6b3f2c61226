"""What a statement of MariaDB may take rows from, read from its words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.noted_names import NotedNames
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.statement_targets import Catalog

CATALOG = Catalog(
    tables={"item", "users", "a.b", "event"},
    sequences={"numbers"},
    views={"names": "select `users`.`id` from `users`"},
    routines={"writes"},
    other_schemas={"other"},
    schema="shop",
)

#: What they take rows from, by statement.
TAKEN = {
    "select * from users where id is not null for update": "",
    "select writes()": "writes",
    "insert into item select * from users": "",
    "INSERT INTO `item`(id) VALUES (%s)": "",
    "insert ignore into item values (1)": "item",
    "insert into item values (1) on duplicate key update id = 2": "item",
    "replace into item values (1)": "item",
    "update item set id = 1": "item",
    "update names set id = 1": "names",
    "delete item from item join users": "item users",
    "with x as (select 1) select * from users": "",
    "set statement max_statement_time = 1 for delete from users": "users",
    "set @a = 1": "",
    "begin not atomic delete from users; end": "users",
    "select 1; drop table users": "users",
    "truncate users": "users",
    "load data infile '/x' replace into table users": "users",
    "drop table item, users": "item users",
    "DROP /* view */ TABLE users": "users",
    "drop view names": "",
    "drop trigger users": "",
    "drop index x on users": "",
    "create table made (id int references users (id))": "",
    "create table if not exists item (id int)": "",
    "create or replace table item (id int)": "item",
    "create /* view */ or replace table item (id int)": "item",
    "create /*!50000 or replace */ table item (id int)": "item",
    "create or replace view names as select * from item": "",
    "create or replace sequence numbers": "numbers",
    "create trigger t before update on item for each row set new.id = 1": "",
    "create trigger t before update on item for each row delete from users": "item users",
    "create or replace event e on schedule every 1 day do set @a = 1": "",
    "create event e on schedule every 1 day do delete from users": "event users",
    "create function f() returns int begin delete from users; return 1; end": "users",
    "create procedure p() select 1 from users": "",
    "create table x (event int references users (id) on delete cascade)": "",
    "alter table item add column x int": "",
    "alter table item modify id bigint": "",
    "alter table item drop key x, drop index y, drop constraint z, drop foreign key a, drop primary key": "",
    "alter table item alter column id drop default": "",
    "alter table item drop column x": "column 4 item x",
    "alter table item drop x, add column y int": "item",
    "alter ignore table item add unique (id)": "item",
    "alter table item drop partition p1": "item",
    "alter table item exchange partition p with table users": "item users",
    "alter table item convert partition p to table x": "item",
    "alter table item convert to character set utf8mb4": "",
    "alter table item rename to x": "",
    "alter table item drop system versioning": "item",
    "alter sequence numbers restart": "numbers",
    "alter event event comment 'x'": "",
    "rename table item to x": "",
    "analyze table item": "",
    "analyze delete from item": "item",
    "call writes()": "*",
    "execute immediate 'x'": "*",
    "delete from other.x": "*",
}


def noted(*statements: str, stays: bool = True, catalog: Catalog = CATALOG) -> set[str]:
    """Return what is noted of rows that statements take."""
    found: set[str] = set()
    names = NotedNames(replace(catalog, made=set()), lambda each, _reason: found.update(each))
    for statement in statements:
        names.hear(statement, stays)
    assert "takes " in found
    return {name.removeprefix("takes ") for name in found if name.startswith("takes ")} - {""}


@pytest.mark.parametrize(("statement", "taken"), TAKEN.items(), ids=TAKEN)
def test_what_a_statement_takes(statement: str, taken: str) -> None:
    expected = {taken} if taken.startswith("column") else set(taken.split())
    assert noted(statement) == expected


@pytest.mark.parametrize(
    ("statements", "taken"),
    [
        (["drop table if exists made", "create table made (id int)", "drop table if exists made"], {"made"}),
        (["create table `shop`.`Made` (id int)", "truncate `made`"], {"made"}),
        (["create table /* x */ made (id int)", "drop table made"], {"made"}),
        (["rename table item to old", "drop table old"], {"old"}),
        (["alter table item rename old", "drop table old"], {"old"}),
        (["alter table item rename to `old`", "create or replace table old (id int)"], {"old"}),
        (["create or replace sequence mine", "drop sequence mine"], {"mine"}),
    ],
)
def test_what_the_run_itself_has_made_or_renamed_is_known(statements: list[str], taken: set[str]) -> None:
    assert noted(*statements) == taken


@pytest.mark.parametrize("ends", ["commit", "COMMIT;", "alter table users add x int", "set autocommit = 1", "begin"])
def test_what_is_not_committed_is_not_taken_yet(ends: str) -> None:
    assert noted("delete from item", stays=False) == set()
    assert noted("delete from item", "select 1", "rollback", stays=False) == set()
    assert noted("delete from item", ends, stays=False) == {"item"}
    assert noted("delete from item", ends, "update users set id = 1", stays=False) == {"item"}


def test_without_transactions_it_is_taken_at_once() -> None:
    assert noted("delete from item", stays=False, catalog=replace(CATALOG, rolls_back=False)) == {"item"}
    assert "item" in noted("create table x (id int) engine = MyISAM", "delete from item", stays=False)
