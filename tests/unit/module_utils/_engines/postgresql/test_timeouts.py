"""What is set on the connections that env.py opens, whatever class it gives them."""

from __future__ import annotations

from typing import Any

import psycopg2.extensions
import pymysql
import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import timeouts as of_mariadb
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql import timeouts
from tests.lab.fixtures import Database, MariaDatabase

JOB = Job.from_options("upgrade", {"root": "/nowhere", "lock_timeout": 3})


class Derived(psycopg2.extensions.connection):
    """A class of env.py's."""


class DerivedOfMariaDB(pymysql.connections.Connection):
    """The same."""


class Proxy:
    """An object that shows the class of what it passes all on to, as tools do that trace statements."""

    def __init__(self, inner: Any) -> None:
        vars(self)["inner"] = inner

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self.inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["inner"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.inner, name, value)


@pytest.mark.parametrize("kind", ["the driver's", "derived"])
def test_a_connection_of_postgresql_waits_for_a_short_time_only(postgres_database: Database, kind: str) -> None:
    url = sa.make_url(postgres_database.url).set(drivername="postgresql+psycopg2")
    options: dict[str, Any] = {"connect_args": {"connection_factory": Derived}} if kind == "derived" else {}

    with timeouts.watch(JOB, "of the run", ""), sa.create_engine(url, **options).connect() as connection:
        found = [connection.exec_driver_sql(f"show {name}").scalar() for name in ("lock_timeout", "application_name")]

    assert found == ["3s", "of the run"]


def test_a_session_has_the_name_that_its_own_connections_have_whatever_is_in_it(postgres_database: Database) -> None:
    url = sa.make_url(postgres_database.url).set(drivername="postgresql+psycopg2")
    name = "hosting.alembic on o'host\\shop"

    with timeouts.watch(JOB, name, ""), sa.create_engine(url).connect() as connection:
        assert connection.exec_driver_sql("show application_name").scalar() == name


@pytest.mark.parametrize("kind", ["the driver's", "derived", "wrapped"])
def test_a_connection_of_mariadb_waits_for_a_short_time_only(mariadb_database: MariaDatabase, kind: str) -> None:
    server = mariadb_database.server
    words: dict[str, Any] = {"host": server.host, "port": server.port, "database": mariadb_database.name}
    words |= {"user": mariadb_database.user, "password": mariadb_database.password}
    made = {"derived": lambda: DerivedOfMariaDB(**words), "wrapped": lambda: Proxy(pymysql.connect(**words))}
    options: dict[str, Any] = {"creator": made[kind]} if kind in made else {}

    with of_mariadb.watch(JOB), sa.create_engine(mariadb_database.url, **options).connect() as connection:
        assert connection.exec_driver_sql("select @@lock_wait_timeout").scalar() == 3
