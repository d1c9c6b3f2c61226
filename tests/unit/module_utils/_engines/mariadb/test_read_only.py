"""A plan changes nothing, whatever env.py does before it runs migrations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from tests.codes import assert_error
from tests.integration.targets import MariaDBTarget
from tests.lab.fixtures import MariaDatabase
from tests.unit.stage import Host

BEFORE = "    with connectable.connect() as connection:\n"
RAW = """
        import pymysql
        raw = pymysql.connect(host=connection.engine.url.host, port=connection.engine.url.port,
                              user=connection.engine.url.username, password=connection.engine.url.password,
                              database=connection.engine.url.database, autocommit=True)
        try:
            raw.cursor().execute("{}")
        finally:
            raw.close()
"""


@pytest.fixture
def mariadb(mariadb_database: MariaDatabase) -> MariaDBTarget:
    mariadb_database.execute("create table seen (a int)")
    return MariaDBTarget(mariadb_database)


def plan_with(folder: Path, mariadb: MariaDBTarget, *lines: str) -> Any:
    """Return the plan of a database whose env.py does something when it has connected."""
    host = Host(folder / "root")
    env = host.layout.release(host.ship("generic")) / "source" / "migrations" / "env.py"
    text = env.read_text()
    assert BEFORE in text
    env.write_text(text.replace(BEFORE, BEFORE + "".join(f"        {line}\n" for line in lines)))
    return host.plan(Database.from_options({"name": "app", "url": mariadb.url}))


@pytest.mark.parametrize("scheme", ["mysql+pymysql", "mariadb+pymysql", "mysql", "mariadb"])
def test_a_plan_of_each_form_of_url_names_what_is_pending(tmp_path: Path, mariadb: MariaDBTarget, scheme: str) -> None:
    mariadb.url = mariadb.url.replace("mysql+pymysql", scheme)
    plan = plan_with(tmp_path, mariadb)
    assert plan["obstacles"] == []
    assert [each["revision"] for each in plan["pending"]] == ["0001", "0002"]


def test_rows_that_env_py_writes_before_it_migrates_are_not_committed(tmp_path: Path, mariadb: MariaDBTarget) -> None:
    dump = mariadb.dump()
    lines = ["connection.exec_driver_sql('insert into seen values (1)')", "connection.commit()"]
    plan = plan_with(tmp_path, mariadb, *lines)
    assert plan["obstacles"] == []
    assert len(plan["pending"]) == 2
    assert mariadb.dump() == dump


@pytest.mark.parametrize("statement", ["create table other (a int)", "alter table seen add b int"])
def test_ddl_before_the_migrations_is_refused(tmp_path: Path, mariadb: MariaDBTarget, statement: str) -> None:
    dump = mariadb.dump()
    plan = plan_with(tmp_path, mariadb, f"connection.exec_driver_sql({statement!r})")
    (obstacle,) = plan["obstacles"]
    assert_error(obstacle, "env-py-writes", statement)
    assert mariadb.dump() == dump


@pytest.mark.parametrize("statement", ["insert into seen values (1)", "create table other (a int)"])
def test_a_driver_that_env_py_uses_itself_writes_nothing(
    tmp_path: Path, mariadb: MariaDBTarget, statement: str
) -> None:
    dump = mariadb.dump()
    plan = plan_with(tmp_path, mariadb, *RAW.format(statement).replace("\n        ", "\n").strip().splitlines())
    assert [obstacle["code"] for obstacle in plan["obstacles"]] == ["env-py-writes"]
    assert mariadb.dump() == dump
