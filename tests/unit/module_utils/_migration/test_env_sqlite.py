"""What env.py does to a SQLite file before it migrates: a plan keeps it from lasting, an upgrade does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.codes import assert_error
from tests.lab.fixtures import Database as Postgres
from tests.unit.module_utils._migration.test_env_postgresql import RUN as POSTGRESQL_RUN
from tests.unit.module_utils._migration.test_env_postgresql import START as POSTGRESQL_START
from tests.unit.module_utils._migration.test_env_postgresql import shipped
from tests.unit.module_utils._migration.test_env_variants import CONNECT, RUN, START
from tests.unit.stage import Host, database, heads, script, tables

TABLE = "create table if not exists written (a)"
WRITES = {
    "in a block": f"with create_engine(url).begin() as one: one.execute(text('{TABLE}'))\n",
    "in autocommit": "with create_engine(url, isolation_level='AUTOCOMMIT').connect() as one:\n"
    f"    one.execute(text('{TABLE}'))\n",
    "by begin exclusive": (
        "engine = create_engine(url)\n"
        "@event.listens_for(engine, 'connect')\ndef opened(one, _record): one.isolation_level = None\n"
        "@event.listens_for(engine, 'begin')\ndef begins(one): one.exec_driver_sql('begin exclusive')\n"
        f"with engine.begin() as one: one.execute(text('{TABLE}'))\n"
    ),
    "by the driver": f"import sqlite3\nwith sqlite3.connect(url[10:]) as one: one.execute('{TABLE}')\n",
    "journal mode": "with create_engine(url).connect() as one: one.execute(text('pragma journal_mode = wal'))\n",
}


def ship(host: Host, first: str) -> Path:
    source = host.layout.release(host.ship("generic")) / "source"
    (source / "migrations" / "env.py").write_text(START + first + RUN + CONNECT)
    return source


def dump(file: Path) -> str:
    return subprocess.run(["sqlite3", str(file), ".dump"], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("way", WRITES)
def test_what_env_py_writes_is_not_there_after_a_plan(host: Host, file: Path, way: str) -> None:
    ship(host, WRITES[way])
    script(file, "create table mine (a); insert into mine values (1)")
    before = file.read_bytes()

    plan = host.plan(database(file))

    assert file.read_bytes() == before
    assert ([each["revision"] for each in plan["pending"]], plan["obstacles"]) == (["0001", "0002"], [])
    assert not list(host.root.glob("tmp*")), "a copy was left"
    result = host.result("upgrade", database(file))
    assert (result["outcome"], result["error"]) == ("upgraded", None)
    assert heads(file) == ["0002"]
    assert ("written" in tables(file)) == (way != "journal mode")


def test_what_env_py_writes_where_it_finds_the_file_by_itself_is_refused(host: Host, file: Path) -> None:
    ship(host, f"import sqlite3\nwith sqlite3.connect({str(file)!r}) as one: one.execute('{TABLE}')\n")
    script(file, "create table mine (a)")
    before = file.read_bytes()

    (obstacle,) = host.plan(database(file))["obstacles"]

    assert_error(obstacle, "env-py-writes", "'app'")
    assert file.read_bytes() == before


def test_what_env_py_writes_by_the_driver_of_postgresql_is_refused(host: Host, postgres_database: Postgres) -> None:
    first = f"import psycopg2\nwith psycopg2.connect({postgres_database.url!r}) as one:\n"
    first += "    one.cursor().execute('create table written (a int)')\n"
    env_py = POSTGRESQL_START + first + POSTGRESQL_RUN.format(schema=None, first="pass")
    one = shipped(host, postgres_database, env_py, "select 1")

    (obstacle,) = host.plan(one)["obstacles"]

    assert_error(obstacle, "env-py-writes", "'app'")
    assert postgres_database.execute("select count(*) from pg_tables where tablename = 'written'") == [["0"]]


ITS_OWN = """
from alembic import context
from sqlalchemy import create_engine, event
engine = create_engine(context.config.get_main_option("sqlalchemy.url"))

@event.listens_for(engine, "connect")
def opened(one, _record):
    for words in {pragmas!r}:
        one.execute(words)

with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
EXCLUSIVE = "pragma locking_mode = exclusive"


def ship_with(host: Host, *pragmas: str) -> None:
    """Ship an env.py that says something on each connection, with a revision that fails after another one."""
    source = host.layout.release(host.ship("generic")) / "source" / "migrations"
    (source / "env.py").write_text(ITS_OWN.format(pragmas=pragmas))
    host.revise("generic", "0003", "0002", "op.execute('update mine set a = 2'); raise RuntimeError('no')")


@pytest.mark.parametrize(
    "pragma", [*(f"pragma journal_mode = {mode}" for mode in ("truncate", "persist", "memory")), EXCLUSIVE]
)
def test_a_failure_is_undone_whatever_env_py_sets_on_its_connection(host: Host, file: Path, pragma: str) -> None:
    ship_with(host, pragma)
    script(file, "create table mine (a); insert into mine values (1)")
    kept = [line for line in dump(file).splitlines() if "mine" in line]

    failed = host.result("upgrade", database(file), lock_wait=5)
    back = host.result("downgrade", database(file))

    assert failed["error"]["why"].startswith("RuntimeError: no")
    assert back["outcome"] in ("downgraded", "restored"), back
    assert [line for line in dump(file).splitlines() if "mine" in line] == kept
    assert tables(file) - {"alembic_version"} == {"mine"}
