"""The rows of a statement that lists databases, as the client mariadb reads them."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._discovery.schemas import read_rows_of_schemas
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.source import Source
from ansible_collections.hosting.alembic.plugins.module_utils._engines.select_rows import select_rows
from tests.codes import failed
from tests.lab.fixtures import MariaDatabase
from tests.lab.waiting import wait_until


def rows(database: MariaDatabase, statement: str, *, url: str = "", **more: Any) -> list[dict[str, Any]]:
    limits = {"seconds": 20.0, "most": 100, "largest": 1 << 20, **more}
    return select_rows(url or database.url, None, statement, folder="", **limits)


@pytest.fixture
def customers(mariadb_database: MariaDatabase) -> MariaDatabase:
    mariadb_database.execute(
        "create table customers (name varchar(90), owner varchar(90), n int) default charset = utf8mb4;"
        "insert into customers values ('b', null, 2), ('a', 'NULL', 1), ('ü<&\\\\\"\\'\\t\\r\\n`$(id)', '', 3),"
        " (x'011f', '&amp;&#65;&copy', 4), ('</field>', '<row>', 5);"
        "create sequence numbers; create table calls (n int) engine = myisam;\n"
        "delimiter //\ncreate function writes() returns int begin insert into calls values (1); return 1; end//\n"
    )
    return mariadb_database


def test_each_value_is_what_it_is(customers: MariaDatabase) -> None:
    found = rows(customers, "select name, owner, n from customers order by n; ")
    by_number = sorted(found, key=lambda row: row["n"])
    assert [(row["name"], row["owner"]) for row in by_number] == [
        ("a", "NULL"),
        ("b", None),
        ("ü<&\\\"'\t\r\n`$(id)", ""),
        ("\x01\x1f", "&amp;&#65;&copy"),
        ("</field>", "<row>"),
    ]
    assert rows(customers, 'select name as `a"<&``b` from customers where n = 1 -- the one') == [{'a"<&`b': "a"}]
    assert rows(customers, "with x as (select n from customers) select n from x where n > 99") == []
    assert len(rows(customers, "select n from customers", most=2)) == 2
    for scheme in ("mysql", "mariadb", "mariadb+asyncmy"):
        url = scheme + customers.url[len("mysql+pymysql") :]
        assert rows(customers, "select schema_name from information_schema.schemata", url=url)


@pytest.mark.parametrize(
    ("statement", "code"),
    {
        "a statement that writes": ("delete from customers returning name", "command-failed"),
        "a function that writes": ("select writes() as n", "command-failed"),
        "a sequence": ("select nextval(numbers) as n", "command-failed"),
        "another that writes": ("select 1) as a; delete from customers; select * from (select 1", "command-failed"),
        "another that defines": ("select 1) as a; drop table customers; select * from (select 1", "command-failed"),
        "two that read": ("select 1) as a; select * from (select 1", "statement-failed"),
        "an open comment": ("select 1 /* and no more", "command-failed"),
        "an open comment that the client drops": ("select 1 as a) as b; /* and no more", "statement-failed"),
        "an open quote": ("select 'and no more", "command-failed"),
        "nothing": ("", "command-failed"),
        "a name twice": ("select 1 as a, 2 as a", "command-failed"),
        "a program": ("select 1 as a) as b;\n\\! touch ran\nselect * from (select 1 as a", "command-failed"),
        "what does not end": ("select sleep(30) as n", "command-failed"),
        "a file": ("select 1) as b; load data local infile '/etc/hosts' into table t; (", "command-failed"),
    }.values(),
)  # fmt: skip
def test_what_does_more_than_reading_fails(customers: MariaDatabase, statement: str, code: str) -> None:
    before = customers.dump()
    with failed(code):
        rows(customers, statement, seconds=2.0)
    assert customers.dump() == before
    assert not Path("/ran").exists()


def test_what_cannot_be_reached_or_is_too_long_fails(customers: MariaDatabase) -> None:
    with failed("command-failed", "1045"):
        select_rows(customers.url, "wrong", "select 1", folder="", seconds=5, most=9, largest=999)
    with failed("command-failed", "more than 100 bytes"):
        rows(customers, "select repeat('x', 200) as long_one", largest=100)
    url = customers.url.replace(f":{customers.server.port}/", ":1/")
    with failed("command-failed"):
        rows(customers, "select 1", url=url)


def test_the_password_is_in_no_command_line_and_no_environment(customers: MariaDatabase) -> None:
    reader = threading.Thread(target=lambda: rows(customers, "select sleep(2) as n"))
    reader.start()
    seen: list[bytes] = []

    def runs() -> bool:
        for children in Path("/proc/self/task").glob("*/children"):
            for number in children.read_text().split():
                with suppress(OSError):
                    words = Path(f"/proc/{number}/cmdline").read_bytes()
                    if b"--defaults-file=/dev/fd/" in words:
                        seen.append(words + Path(f"/proc/{number}/environ").read_bytes())
        return bool(seen)

    wait_until(runs, "the client runs")
    reader.join()
    assert customers.password.encode() not in b"".join(seen)
    assert customers.name.encode() in b"".join(seen)


def test_schemas_of_tenants_are_those_of_postgresql(customers: MariaDatabase) -> None:
    source = Source.from_options(
        {"name": "s", "schemas": ["*"], "url": customers.url, "template": {"name": "{schema}", "url": customers.url}}
    )
    with failed("database-type-unsupported", "mariadb"):
        read_rows_of_schemas(source, None, "")
