"""Sessions of others are distinguished from those of a run by their name, which comes a moment after their start."""

from __future__ import annotations

import threading
from contextlib import closing

import psycopg2
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.other_sessions import (
    read_other_sessions,
)
from tests.lab.fixtures import Database as Postgres

OURS = "hosting.alembic r1"


def connected(postgres: Postgres, application: str = "") -> psycopg2.extensions.connection:
    server = postgres.server
    url = server.url(postgres.name, user=postgres.user, password=postgres.password, driver="psycopg2")
    return psycopg2.connect(url.replace("+psycopg2", ""), application_name=application)


def seen(postgres: Postgres) -> list[str]:
    engine = sa.create_engine("postgresql+psycopg2://", creator=lambda: connected(postgres), poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        return read_other_sessions(connection, OURS)


def test_one_that_gets_our_name_meanwhile_is_ours(postgres_database: Postgres) -> None:
    with closing(connected(postgres_database)) as beginning:
        beginning.autocommit = True
        naming = threading.Timer(0.3, beginning.cursor().execute, [f"set application_name = '{OURS}'"])
        naming.start()
        try:
            assert seen(postgres_database) == []
        finally:
            naming.join()


def test_one_without_a_name_and_one_of_another_name_are_others(postgres_database: Postgres) -> None:
    user = postgres_database.user
    with closing(connected(postgres_database)) as nameless:
        assert seen(postgres_database) == [f"pid {nameless.info.backend_pid} ({user})"]
    with closing(connected(postgres_database, application="shop")) as shop:
        assert seen(postgres_database) == [f"pid {shop.info.backend_pid} ({user})"]
