from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._core.urls import find_password, list_passwords
from ansible_collections.hosting.alembic.plugins.module_utils._engines.migration_url import (
    build_migration_url,
    build_own_url,
)

URLS = [
    "postgresql://server/shop",
    "postgresql://u@server/shop",
    "postgresql://u:@server/shop",
    "postgresql+psycopg2://u:plain@server/shop",
    "postgresql://u:p%40%3A%2F%3F%23%25@server:5433/shop?sslmode=require",
    "postgresql://u:with/slash:and?mark#@server/shop",
    "postgresql://:nobody@server/shop",
    "postgresql://u@server/shop?password=a%2Bb+c&sslmode=require",
    "postgresql://u:one@server/shop?sslmode=require&password=other",
    "postgresql:///shop?host=/run/postgresql",
    "sqlite:////srv/a:b@c.db",
]


@pytest.mark.parametrize("url", URLS)
def test_the_password_is_the_one_that_sqlalchemy_finds(url: str) -> None:
    database = Database("shop", url)

    assert find_password(database) == build_migration_url(database).password


def test_the_password_beside_the_url_and_the_direct_url_come_first() -> None:
    assert find_password(Database("shop", "postgresql://u:a@server/shop", password="b")) == "b"
    assert (
        find_password(Database("shop", "postgresql://u:a@pooler/shop", direct_url="postgresql://u:c@server/shop"))
        == "c"
    )


def test_it_is_reported_as_it_is_and_as_it_is_meant() -> None:
    assert list_passwords("postgresql://u:p%40@server/shop?password=a+b") == [("p%40", "p@"), ("a+b", "a b")]


def test_a_user_in_the_query_is_the_user_of_whatever_connects() -> None:
    url = build_migration_url(Database("shop", "postgresql:///shop?host=server&user=owner"))

    assert (url.username, url.query.get("user")) == ("owner", None)
    assert build_own_url(url).username == "owner"
