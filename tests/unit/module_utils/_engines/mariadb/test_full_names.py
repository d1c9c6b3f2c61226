"""Statements that name a database in full are recognised however they are written, and others are not."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.full_names import find_named_database


def names_database(statement: str, name: str, objects: list[str]) -> bool:
    found = find_named_database(statement, ["another", name], lambda each: objects if each == name else [])
    assert found in ("", name)
    return bool(found)


NAMES = [
    "insert into shop.item values (1)",
    "INSERT INTO SHOP . item values (1)",
    "insert into `shop`.`item` values (1)",
    'insert into "shop"."item" values (1)',
    "update a join shop.b on 1 set x = 1",
    "delete from item using shop/**/.item",
    "drop table if exists other.x, shop.item",
    "rename table item to shop.item",
    "grant select on shop.* to u",
    "use shop",
    "alter database `shop` character set latin1",
    "drop schema if exists shop",
    "create database if not exists shop",
    "select 1; drop table shop.item",
    "/*!50001 drop table shop.item */",
    "/*M!100500 drop table shop.item */",
    "create trigger t after insert on item for each row begin delete from shop.item; end",
    "prepare s from 'drop table shop.item'",
    "execute immediate concat('drop table ', 'shop.item')",
    "set @x = 'it''s'; drop table shop.item",
    "-- a comment\ndrop table shop.item",
    "select 'a\\' , ' , shop.f()",
    # Also where the database's name is that of a table or an alias.
    "insert into shop.item select shop.id from shop",
    "call shop.p()",
]
OTHERS = [
    "insert into item values (1)",
    "insert into item values ('shop.item')",
    "select 1 -- shop.item",
    "select 1 # shop.item",
    "select /* shop.item */ 1",
    "insert into shopping.item values (1)",
    "insert into my_shop.item values (1)",
    "update shop set name = 'x' where shop.id = 1",
    "select shop.id from item shop",
    "select s.shop from item s",
    "alter table item add column shop int",
    "select `shop.item` from x",
    "select * from other.shop",
    "select table_name from information_schema.tables where table_schema = 'shop'",
]


@pytest.mark.parametrize("statement", NAMES)
def test_a_full_name_is_recognised(statement: str) -> None:
    assert names_database(statement, "shop", ["item", "p", "shop"])


@pytest.mark.parametrize("statement", OTHERS)
def test_others_are_not(statement: str) -> None:
    assert not names_database(statement, "shop", ["item"])


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ('quo"ted', '`quo"ted`'),
        ('quo"ted', '"quo""ted"'),
        ("a.b", "`a.b`"),
        ("back`tick", "`back``tick`"),
        ("it's 100%", "`it's 100%`"),
        ("Größe", "größe"),
        ("a-b", "`a-b`"),
    ],
)
def test_names_of_any_kind(name: str, quoted: str) -> None:
    assert names_database(f"drop table {quoted}.item", name, [])
    assert not names_database("drop table item", name, [])
    assert not names_database("drop table a.item, b.item", name, [])


def test_a_long_statement_of_rows_takes_no_time() -> None:
    rows = ", ".join(f"({number}, 'shop.item {number}')" for number in range(20_000))
    assert not names_database(f"insert into item values {rows}", "shop", [])
    assert names_database(f"insert into shop.item values {rows}", "shop", [])
