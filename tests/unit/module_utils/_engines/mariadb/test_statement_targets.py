"""What a statement of MariaDB may write through, read from its words."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.statement_targets import (
    Catalog,
    find_writes,
)

CATALOG = Catalog(
    tables={"item", "users", "a.b", 'quo"ted', "back`quote", "größe", "50000"},
    sequences={"numbers"},
    views={"names": "select `users`.`id` from `users`", "next": "select nextval(numbers)", "hidden": ""},
    routines={"writes"},
    other_schemas={"other", "mysql"},
)

#: What they write through, by statement.
KNOWN = {
    "select * from users": set(),
    "SELECT * FROM users FOR UPDATE": set(),
    "select writes()": {"writes"},
    "select * from names": set(),
    "select * from next": {"next"},
    "select * from hidden": {"hidden"},
    "select nextval(numbers)": {"numbers"},
    "select 1; delete from users": {"users"},
    "select 1 from users;": set(),
    "(select 1 from users)": {"users"},
    "set @a = (select max(id) from users)": set(),
    "set statement max_statement_time = 1 for delete from users": {"users"},
    "commit": set(),
    "begin not atomic update users set id = 1; end": {"users"},
    "insert into item (id) select id from users": {"item"},
    "INSERT IGNORE INTO `item`(id) VALUES (%s)": {"item"},
    "insert into item values ('for users')": {"item"},
    "insert into item values ('x; users')": {"item", "users"},
    "insert into`users` values (1)": {"users"},
    "insert ignore into`users` values (1)": {"users"},
    "replace into`shop`.`users` values (1)": {"users"},
    "insert into /* x */ users values (1)": {"users"},
    "insert into -- x\n users values (1)": {"users"},
    "insert into # x\n users values (1)": {"users"},
    "replace into /*!50000 users */ values (1)": {"users", "50000"},
    "insert into shop /**/ . users values (1)": {"users"},
    "insert low_priority /* x */ users values (1)": {"users"},
    "insert into .users values (1)": {"users"},
    "insert into shop . users select * from item": {"users"},
    "insert into unknown select * from users": {"users"},
    "update ignore`users` set id = 1": {"users"},
    "alter table shop /**/ . users modify x int": {"users"},
    "alter table if exists /* x */ users modify x int": {"users"},
    "alter table if exists`users` modify x int": {"users"},
    "alter online table if exists users modify x int": {"users"},
    "update users" + " " * 50000 + "x": {"users"},
    "insert into \u00e4\ud800users\u3000item values ('\xa0numbers')": set(),
    "replace item select * from users": {"item"},
    "insert into item select writes() from users": {"item", "writes"},
    "insert into names values (1)": {"names"},
    "insert /* x */ into item select * from users": {"item", "users"},
    "update item set id = (select 1 from users)": {"item"},
    "UPDATE item AS i SET id = 1": {"item"},
    "update item, users set users.id = 1": {"item", "users"},
    "update item join users set users.id = 1": {"item", "users"},
    "update item left join users on 1 set users.id = 1": {"item", "users"},
    "update item /*!, users */ set id = 1": {"item", "users"},
    "delete from item where id in (select id from users)": {"item"},
    "delete from item": {"item"},
    "delete from item using item join users": {"item", "users"},
    "delete item, users from item join users": {"item", "users"},
    "truncate users": {"users"},
    "drop table item, users": {"item", "users"},
    "load data infile '/x' into table users": {"users"},
    "\nCREATE TABLE made (\n\tu INTEGER, \n\tFOREIGN KEY(u) REFERENCES users (id)\n)": set(),
    "create table made as select writes() from users": {"writes"},
    "create table made as select 1 from users union select 1 from item": {"users", "item"},
    "alter table item add column x int": set(),
    "alter table item add index x (id), add column y int after id": set(),
    "alter table item add x int default nextval(numbers)": {"numbers"},
    "alter table item add x int, drop y": {"item"},
    "alter ignore table item add unique (id)": {"item"},
    "alter table item add constraint c foreign key (id) references users (id)": {"item"},
    "alter table item add system versioning": {"item"},
    "alter table item modify x varchar(5)": {"item"},
    "alter table item rename to users": {"item", "users"},
    "alter table item exchange partition p with table users": {"item", "users"},
    "alter table item drop index by_users": set(),
    "alter table item drop foreign key of_users": set(),
    "alter table item drop primary key": {"item"},
    "drop index by_id on users": set(),
    "create unique index by_id on users (id)": set(),
    "rename table item to x, users to item": {"item", "users"},
    "create trigger t before insert on item for each row delete from users": {"item", "users"},
    "create view v as select * from users": {"users"},
    "lock tables users write": {"users"},
    "with x as (select 1) select * from users": {"users"},
    "delete from `a.b`": {"a.b"},
    "delete from a.b": {"a.b"},
    'delete from "quo""ted"': {'quo"ted'},
    "delete from `back``quote`": {"back`quote"},
    "DELETE FROM GRÖßE": {"größe"},
    "/*!50000users*/ delete from `50000`": {"users", "50000"},
    "create database made": set(),
    "select * from users where other = 1": set(),
}
#: It is not known of these.
UNKNOWN = [
    "call writes()",
    "execute immediate 'select 1'",
    "prepare x from 'select 1'",
    "delete from other.users",
    "delete from `other` . users",
    "delete from other/* */.users",
    "insert into item select * from mysql.user",
    "set global event_scheduler = on",
    "use other",
    "select 1; use other",
    "/*!use other*/",
    "-- x\nuse other",
    "drop schema made",
    "alter database collate utf8mb4_bin",
    "create table made (a int) engine = federated connection = 'x'",
    "binlog 'AAAA'",
    "select wrítes()",
    "select `wrítes` ()",
    "select wrítes /**/ ()",
    "xa commit 'x'",
    "-- x" + "\n" * 50000 + "use other",
]


@pytest.mark.parametrize("statement", KNOWN)
def test_what_a_statement_may_write_through(statement: str) -> None:
    found = find_writes(statement, CATALOG)
    assert (found.names, found.columns, found.unknown) == (KNOWN[statement], set(), "")


@pytest.mark.parametrize("statement", UNKNOWN)
def test_what_cannot_be_read_from_the_words_is_unknown(statement: str) -> None:
    assert find_writes(statement, CATALOG).unknown


def test_a_column_that_is_dropped_is_named_with_its_table() -> None:
    for statement in ("alter table item drop column `x y`", "ALTER TABLE `item` DROP `x y`;"):
        found = find_writes(statement, CATALOG)
        assert (found.names, found.columns, found.unknown) == (set(), {("item", "x y")}, "")
    assert find_writes("alter table item drop x, drop y", CATALOG).names == {"item"}


def test_a_hint_names_no_database() -> None:
    assert find_writes("select * from users use index (x)", CATALOG).unknown == ""
    assert find_writes("select *\nfrom users\nuse index (x)", CATALOG).unknown == ""


def test_names_that_the_server_finds_by_other_letters_make_all_unknown() -> None:
    catalog = Catalog(tables={"item"}, routines={"été"})
    assert find_writes("select ete()", catalog).unknown


def test_a_table_that_the_run_has_made_itself_is_what_is_written() -> None:
    catalog = Catalog(tables={"users"})
    assert find_writes("create table made (id int)", catalog).names == set()
    assert find_writes("insert into made select id from users", catalog).names == set()
    assert find_writes("insert into`users` select id from made", catalog).names == {"users"}


def test_long_statements_are_read_as_fast_as_they_are_sent() -> None:
    catalog = Catalog(tables={"item", "users", *(f"t{number}" for number in range(300))})
    rows = ",".join(f"({number},'{number * 7919:x}')" for number in range(800_000))
    began = time.process_time()
    assert find_writes(f"insert into item values {rows}", catalog).names == {"item"}
    assert find_writes("update users" + " " * 1_000_000 + "x", catalog).names == {"users"}
    assert find_writes("select 1" + "\n" * 100_000 + "x, y from users use index (y)", catalog).unknown == ""
    assert time.process_time() - began < 5


#: Definitions as a server writes them, by whether it is known where they lead.
LEADS = {
    "select `users`.`id` AS `id` from `users`": True,
    "select `shop`.`users`.`id` AS `id` from `shop`.`users`": True,
    "select `u`.`id` AS `id` from (`item` `u` join `users` on(`u`.`id` = `users`.`id`)) where `u`.`id` > 1.5": True,
    "create trigger t before insert on item for each row set new.id = 1.0 + old . id": True,
    "create procedure p() begin for r in (select id from item) do delete from users where id = r.id; end for": True,
    "select `hidden_one`.`v`.`id` AS `id` from `hidden_one`.`v`": False,
    "select `v`.`id` AS `id` from `hidden_one`.`v`": False,
    "select `id` AS `hidden_one` from `hidden_one`.`v`": False,
    "select `hidden_one`.`f`() AS `f()`": False,
    "create trigger t before insert on item for each row insert into hidden_one . v values (1)": False,
    "create trigger t before insert on item for each row set new.id = hidden_one.f()": False,
}


@pytest.mark.parametrize("text", LEADS)
def test_a_definition_may_lead_through_a_database_that_the_user_does_not_see(text: str) -> None:
    catalog = replace(CATALOG, views={}, schema="shop")
    assert catalog.may_write_elsewhere(text) is not LEADS[text]
