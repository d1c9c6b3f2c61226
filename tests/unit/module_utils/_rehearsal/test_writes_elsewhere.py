"""Revisions with a connection of their own: in a rehearsal it changes the copy, and no other database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.codes import assert_error
from tests.lab.fixtures import Database as Postgres
from tests.unit.module_utils._migration.test_env_postgresql import RUN, START, shipped
from tests.unit.stage import Host, database, heads, script, sql, tables

SQLITE = {
    "the driver": "import sqlite3\nwith sqlite3.connect({path!r}) as one: one.execute('create table written (a)')",
    "an engine": "with sa.create_engine('sqlite:///' + {path!r}).begin() as one:\n"
    "    one.execute(sa.text('create table written (a)'))",
    "attached to one in memory": "import sqlite3\none = sqlite3.connect(':memory:', isolation_level=None)\n"
    "one.execute(\"attach '{path}' as real\")\none.execute('create table real.written (a)')",
    "attached to the copy": "import sqlite3\n"
    "here = sa.make_url(op.get_context().config.get_main_option('sqlalchemy.url')).database\n"
    "one = sqlite3.connect(here, isolation_level=None)\n"
    "one.execute(\"attach '{path}' as real\")\none.execute('create table real.written (a)')",
    "attached": "op.execute(\"attach '{path}' as real\")\nop.execute('create table real.written (a)')",
}
WRITE = "insert into kept values (7)"
POSTGRESQL = {
    "the driver": "import psycopg2\none = psycopg2.connect({url!r}); one.cursor().execute({write!r}); one.commit()",
    "another cursor": "import psycopg2, psycopg2.extras as extras\n"
    "one = psycopg2.connect({url!r}, cursor_factory=extras.RealDictCursor)\n"
    "one.cursor().execute({write!r}); one.commit()",
    "an engine": "with sa.create_engine({engine_url!r}).begin() as one: one.execute(sa.text({write!r}))",
    "in autocommit": "with sa.create_engine({engine_url!r}, isolation_level='AUTOCOMMIT').connect() as one:\n"
    "    one.execute(sa.text({write!r}))",
}


def body(path: Path, text: str, down: str = "pass") -> None:
    """Give a revision's functions other bodies."""
    head, _, _ = path.read_text().partition("def upgrade")
    functions = [("upgrade", text), ("downgrade", down)]
    made = "".join(f"def {name}():\n    " + body.replace("\n", "\n    ") + "\n" for name, body in functions)
    path.write_text(f"{head}{made}")


@pytest.mark.parametrize("way", SQLITE)
@pytest.mark.parametrize("admin_url", [None, "postgresql://admin@127.0.0.1/postgres"])  # env.py has another process
def test_no_other_file_is_written(host: Host, file: Path, way: str, admin_url: str | None) -> None:
    path = host.revise(host.ship("generic"), "0003", "0002", "pass")
    script(file, "create table mine (a)")
    body(path, SQLITE[way].format(path=str(file)))
    before = file.read_bytes()

    result = host.result("rehearse", database(file, admin_url=admin_url))

    assert file.read_bytes() == before
    assert result["outcome"] in ("failed", "refused")
    code = "attached-database-written" if way == "attached" else "rehearsal-writes-elsewhere"
    assert_error(result["error"], code)


@pytest.mark.parametrize("way", SQLITE)
def test_a_downgrade_that_writes_elsewhere_fails_the_rehearsal(host: Host, file: Path, way: str) -> None:
    path = host.revise(host.ship("generic"), "0003", "0002", "pass")
    script(file, "create table mine (a)")
    body(path, "pass", SQLITE[way].format(path=str(file)))
    before = file.read_bytes()

    result = host.result("rehearse", database(file))

    assert file.read_bytes() == before
    assert result["outcome"] in ("failed", "refused")
    code = "attached-database-written" if way == "attached" else "rehearsal-writes-elsewhere"
    assert_error(result["error"], code)


def test_a_connection_to_the_copy_writes_to_it(host: Host, file: Path) -> None:
    path = host.revise(host.ship("generic"), "0003", "0002", "pass")
    script(file, "create table mine (a)")
    url = "op.get_context().config.get_main_option('sqlalchemy.url')"
    own = f"with sa.create_engine({url}).begin() as one:\n    one.execute(sa.text('{{}}'))"
    body(path, own.format("create table more (a)"), own.format("drop table more"))

    result = host.result("rehearse", database(file))

    assert (result["outcome"], result["error"]) == ("rehearsed", None)
    assert tables(file) == {"mine"}
    assert host.result("upgrade", database(file), run="r2")["outcome"] == "upgraded"
    assert (heads(file), sql(file, "select count(*) from more")) == (["0003"], [(0,)])


@pytest.mark.parametrize("way", POSTGRESQL)
def test_no_other_database_is_written(host: Host, postgres_database: Postgres, way: str) -> None:
    owner = f'"{postgres_database.user}"'
    postgres_database.execute(
        f"create table kept (a int); alter table kept owner to {owner}; alter role {owner} createdb"
    )
    one = shipped(host, postgres_database, START + RUN.format(schema=None, first="pass"), "create table made ()")
    url = postgres_database.url.replace("+psycopg2", "")
    engine_url = url.replace("postgresql:", "postgresql+psycopg2:")
    body(
        host.layout.release("generic") / "source" / "migrations" / "versions" / "a1.py",
        "op.execute('create table made ()')\n" + POSTGRESQL[way].format(url=url, engine_url=engine_url, write=WRITE),
        "op.execute('drop table made')",
    )

    result = host.result("rehearse", one)

    assert postgres_database.execute("select count(*) from kept") == [["0"]]
    assert result["outcome"] == "failed"
    assert_error(result["error"], "rehearsal-writes-elsewhere", "read-only transaction")
    assert host.result("upgrade", one, run="r2")["outcome"] == "upgraded"
    assert postgres_database.execute("select a from kept") == [["7"]]
