from __future__ import annotations

import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.probe import connect_options_of


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg", "asyncpg"])
def test_connect_options_give_the_driver_everything_but_the_password(driver: str) -> None:
    connect_options = connect_options_of(sa.make_url(f"postgresql+{driver}://u:m4rked@server:5433/shop"))

    assert connect_options is not None
    assert connect_options["driver"] == driver
    options = {"database" if key == "dbname" else key: value for key, value in connect_options["options"].items()}
    assert options == {"user": "u", "host": "server", "port": 5433, "database": "shop"}


def test_options_of_libpq_are_kept() -> None:
    connect_options = connect_options_of(
        sa.make_url("postgresql+psycopg2:///shop?host=/run/postgresql&sslmode=require&options=-csearch_path=a")
    )

    assert connect_options is not None
    assert connect_options["options"] == {
        "dbname": "shop",
        "host": "/run/postgresql",
        "sslmode": "require",
        "options": "-csearch_path=a",
    }


def test_where_an_option_is_a_secret_there_are_no_connect_options() -> None:
    assert connect_options_of(sa.make_url("postgresql+psycopg2://u@server/shop?sslkey=/k&sslpassword=m4rked")) is None
