"""A probe finds what a full plan finds, and nothing where only a full plan can say why."""

from __future__ import annotations

import json
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.probe import (
    connect_options_of,
    read_probe,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.lab.fixtures import MariaDatabase
from tests.lab.proxy import proxy
from tests.unit.stage import in_process


def options_of(database: MariaDatabase) -> Any:
    return json.loads(json.dumps(connect_options_of(sa.engine.make_url(database.url))))


def test_it_finds_what_the_engine_finds(mariadb_database: MariaDatabase) -> None:
    mariadb_database.execute(
        "create table alembic_version (version_num varchar(32)); insert into alembic_version values ('b'), ('a')"
    )

    def work() -> list[str]:
        engine = build_engine(Database("app", mariadb_database.url), Job.from_options("plan", {"root": "/nowhere"}))
        run = engine.open_own_connection().run
        return [str(engine.read_own_identity()), run(engine.describe), run(engine.read_instance)]

    table = f"{mariadb_database.name}.alembic_version"
    probe = read_probe(options_of(mariadb_database), mariadb_database.password, table)
    assert probe is not None
    assert [str(probe.identity), probe.server, probe.instance] == in_process(work)
    assert probe.heads == ["a", "b"]


def test_no_secret_is_among_its_options(mariadb_database: MariaDatabase) -> None:
    assert mariadb_database.password not in json.dumps(options_of(mariadb_database))


def test_without_the_table_there_is_no_answer(mariadb_database: MariaDatabase) -> None:
    with pytest.raises(pymysql.err.ProgrammingError):
        read_probe(options_of(mariadb_database), mariadb_database.password, f"{mariadb_database.name}.alembic_version")


def test_behind_a_proxy_there_is_no_answer(mariadb_database: MariaDatabase) -> None:
    mariadb_database.execute("create table alembic_version (version_num varchar(32))")
    table = f"{mariadb_database.name}.alembic_version"
    with proxy(mariadb_database.server) as port:
        options = options_of(mariadb_database)
        options["options"]["port"] = port
        assert read_probe(options, mariadb_database.password, table) is None
