"""Databases beside the one of a run, by every way to write to them: a failed run names them, and is held."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from tests.lab.fixtures import Database as Postgres
from tests.lab.fixtures import MariaDatabase, maria_database, owned_database
from tests.lab.mariadb import MariaDBServer
from tests.lab.postgres import PostgresServer
from tests.unit.conftest import file, host
from tests.unit.module_utils._engines.test_elsewhere import assert_held, beside, mine, reverted, revisions
from tests.unit.stage import Host, database, sql

__all__ = ["beside", "file", "host", "mine"]

pytestmark = pytest.mark.exhaustive

#: What a revision does to the file beside, which is {0!r}.
WRITES = {
    "the driver's class": "import sqlite3; c = sqlite3.Connection({0!r});"
    " c.execute('update other set a = 6'); c.commit()",
    "a file attached by a parameter": "import sqlite3; c = sqlite3.connect(':memory:');"
    " c.execute('attach ? as b', ({0!r},)); c.execute('update b.other set a = 6'); c.commit()",
    "a setting": "import sqlite3; sqlite3.connect({0!r}).execute('pragma user_version = 3')",
    "a thread": "import sqlite3, threading\n    def go():\n        c = sqlite3.connect({0!r});"
    " c.execute('update other set a = 6'); c.commit()\n    t = threading.Thread(target=go); t.start(); t.join()",
    "a name imported before": "from sqlite3 import dbapi2; c = dbapi2.connect({0!r});"
    " c.execute('update other set a = 6'); c.commit()",
    "a table made": "import sqlite3; sqlite3.connect({0!r}).execute('create table more (a)')",
    "a new file": "import sqlite3; sqlite3.connect({0!r} + '.new').execute('create table more (a)')",
    "a class of its own": "import sqlite3; Own = type('Own', (sqlite3.Connection,), {{}});"
    " c = sqlite3.connect({0!r}, factory=Own); c.execute('update other set a = 6'); c.commit()",
}


@pytest.mark.parametrize("at_once", [False, True], ids=["before", "in the one that fails"])
@pytest.mark.parametrize("how", WRITES)
def test_a_file_that_a_failed_run_has_written_to_is_named(
    host: Host, mine: Path, beside: Path, how: str, at_once: bool
) -> None:
    revisions(host, WRITES[how].format(str(beside)), at_once=at_once)

    result = reverted(host, database(mine))

    place = {"a file attached by a parameter": "attached by a parameter"}.get(how, str(beside))
    assert_held(result, place)
    assert "more" not in [name for (name,) in sql(mine, "select name from sqlite_master")]


# Servers

SERVER_WRITES = {
    "an engine": "e = sa.create_engine({url!r})\n    with e.begin() as c: c.execute(sa.text('update other set a = 6'))",
    "an engine in autocommit": "e = sa.create_engine({url!r}, isolation_level='AUTOCOMMIT')\n"
    "    with e.connect() as c: c.execute(sa.text('update other set a = 6'))",
    "the driver": "{raw}\n    c.cursor().execute('update other set a = 6'); c.commit()",
}
SERVER_READS = {
    "an engine, by WITH": "e = sa.create_engine({url!r})\n"
    "    with e.begin() as c: c.execute(sa.text('with inserted as (select * from other) select * from inserted'))",
    "an engine": "e = sa.create_engine({url!r})\n    with e.begin() as c: c.execute(sa.text('select * from other'))",
    "an engine, rolled back": "e = sa.create_engine({url!r})\n"
    "    with e.connect() as c: c.execute(sa.text('update other set a = 6')); c.rollback()",
    "the database of the run by another name": "e = sa.create_engine({alias!r})\n"
    "    with e.begin() as c: c.execute(sa.text('update mine set a = 6'))",
}


def with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg2://")


def raw_postgres(other: Postgres) -> str:
    return f"import psycopg2; c = psycopg2.connect({other.url.replace('+psycopg2', '')!r})"


def raw_mariadb(other: MariaDatabase) -> str:
    words = f"host={other.server.host!r}, port={other.server.port}, user={other.user!r}, password={other.password!r}"
    return f"import pymysql; c = pymysql.connect({words}, database={other.name!r})"


@pytest.fixture(params=["postgresql", "mariadb"])
def two(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any, str]]:
    """The database of a run and another one of its server, and how a driver connects to that one."""
    one: Any
    other: Any
    with ExitStack() as made:
        if request.param == "postgresql":
            server = request.getfixturevalue("postgres_server")
            one, other = (made.enter_context(owned_database(server)) for _number in range(2))
            raw = raw_postgres(other)
        else:
            server = request.getfixturevalue("mariadb_server")
            one, other = (made.enter_context(maria_database(server)) for _number in range(2))
            raw = raw_mariadb(other)
            server.execute(
                f"grant all on `{other.name}`.* to '{one.user}'@'%';"
                f"grant all on `hosting\\_alembic\\_%`.* to '{one.user}'@'%';"
                f"grant process, set user on *.* to '{one.user}'@'%'; grant select on mysql.proc to '{one.user}'@'%'"
            )
        for each, name in ((one, "mine"), (other, "other")):
            role = f'set role "{each.user}"; ' if request.param == "postgresql" else ""
            each.execute(f"{role}create table {name} (a int); insert into {name} values (5)")
        yield one, other, raw


@pytest.mark.parametrize("how", SERVER_WRITES)
def test_another_database_of_the_server_that_was_written_is_named(
    host: Host, two: tuple[Any, Any, str], how: str
) -> None:
    one, other, raw = two
    revisions(host, SERVER_WRITES[how].format(url=with_driver(other.url), raw=raw))

    result = reverted(host, Database.from_options({"name": "app", "url": one.url}))

    if result["error"] and result["error"]["code"] == "others-wrote":  # what a driver sends by itself may be in both
        assert result["outcome"] == "held"
        assert any(other.name in words for words in result["elsewhere"])
    else:
        assert_held(result, other.name)
    assert other.execute("select a from other") in ([["6"]], [("6",)])


@pytest.mark.parametrize("how", SERVER_READS)
def test_another_database_of_the_server_that_was_only_read_is_not(
    host: Host, two: tuple[Any, Any, str], how: str
) -> None:
    one, other, _raw = two
    alias = one.url.replace("@127.0.0.1", "@localhost")
    assert alias != one.url
    revisions(host, SERVER_READS[how].format(url=with_driver(other.url), alias=with_driver(alias)))

    result = reverted(host, Database.from_options({"name": "app", "url": one.url}))

    assert (result["outcome"] in ("untouched", "downgraded", "restored"), result["elsewhere"]) == (True, []), (
        result["error"],
        result["notes"],
        result["elsewhere"],
    )


@pytest.mark.parametrize(
    ("statement", "is_named"),
    [
        ("update {other}.other set a = 6", True),
        ("insert into {other}.more select a from mine", True),
        ("create table {other}.made (a int)", True),
        ("insert into mine select a from {other}.other", False),
        ("create view seen as select a from {other}.other", False),
        ("select a from {other}.other", False),
    ],
)
def test_another_database_that_a_statement_names_is_named_where_it_is_written(
    host: Host, mariadb_server: MariaDBServer, statement: str, is_named: bool
) -> None:
    with maria_database(mariadb_server) as one, maria_database(mariadb_server) as other:
        for each in (one, other):
            each.execute("create table mine (a int); create table other (a int); create table more (a int)")
        mariadb_server.execute(
            f"grant all on `{other.name}`.* to '{one.user}'@'%'; grant set user, process on *.* to '{one.user}'@'%';"
            f"grant all on `hosting\\_alembic\\_%`.* to '{one.user}'@'%';"
        )
        revisions(host, f"op.execute({statement.format(other=other.name)!r})", make="create table new_one (a int)")

        result = reverted(host, Database.from_options({"name": "app", "url": one.url}))

        named = str(result.get("error") or "") + str(result["elsewhere"])
        assert (other.name in named) is is_named, result


def test_a_database_to_which_dblink_leads_is_named(host: Host, postgres_server: PostgresServer) -> None:
    with owned_database(postgres_server) as one, owned_database(postgres_server) as other:
        postgres_server.execute("create extension dblink", one.name)
        other.execute(f'set role "{other.user}"; create table other (a int)')
        statement = f"select dblink_exec({other.url.replace('+psycopg2', '')!r}, 'insert into other values (6)')"
        revisions(host, f"op.execute({statement!r})")

        result = reverted(host, Database.from_options({"name": "app", "url": one.url}))

        assert_held(result, "dblink")


def test_a_query_that_writes_elsewhere_by_a_function_is_named(host: Host, postgres_server: PostgresServer) -> None:
    with owned_database(postgres_server) as one, owned_database(postgres_server) as other:
        other.execute(f'set role "{other.user}"; create sequence numbers')
        engine = f"e = sa.create_engine({with_driver(other.url)!r})"
        revisions(host, f"{engine}\n    with e.begin() as c: c.execute(sa.text(\"select setval('numbers', 7)\"))")

        result = reverted(host, Database.from_options({"name": "app", "url": one.url}))

        assert_held(result, other.name)
