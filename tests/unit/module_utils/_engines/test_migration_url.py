"""The URL of a database: read as it was meant, and given a driver that is installed."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._engines.migration_url import (
    build_migration_url,
    build_own_url,
)
from tests.codes import assert_error, assert_names, refused


def url_of(url: str, **more: str) -> sa.URL:
    return build_migration_url(Database("app", url, **more))  # type: ignore[arg-type]


def test_a_url_without_a_driver_gets_one_that_is_installed() -> None:
    assert url_of("postgresql://u@server/shop").drivername == "postgresql+psycopg2"
    assert url_of("postgres://u@server/shop").drivername == "postgresql+psycopg2"
    assert url_of("sqlite:////srv/app.db").drivername == "sqlite+pysqlite"


MISREAD = [
    ("postgresql://shop:p@ss@server/shop", "its host would contain an @"),
    ("postgresql://shop:p@ss:w0rd@server/shop", "the port behind its host is not a number"),
    ("postgresql://shop:p@ss/w0rd@server/shop", "an @ is in it that does not end a user name"),
    ("postgresql://corp/shop:secret@server/shop", "an @ is in it that does not end a user name"),
    ("postgresql://corp/shop:secret@server", "an @ is in it that does not end a user name"),
    ("postgresql://corp/shop@server/shop", "an @ is in it that does not end a user name"),
    ("postgresql://server:fivethousand/shop", "the port behind its host is not a number"),
    ("server/shop", "it does not begin with a dialect and ://"),
]


@pytest.mark.parametrize(("url", "why"), MISREAD)
@pytest.mark.parametrize("option", ["url", "direct_url", "admin_url", "rehearse_url"])
def test_a_url_that_is_not_read_as_it_was_meant_is_explained_without_a_part_of_it(
    url: str, why: str, option: str
) -> None:
    entry = Database("app", "postgresql://server/a" if option == "direct_url" else url)
    if option == "direct_url":
        entry = replace(entry, direct_url=url)
    with pytest.raises(Refused) as caught:
        build_migration_url(entry, "url" if option == "direct_url" else option)
    refused = caught.value
    assert_error(refused, "url-invalid", option, "'app'")
    assert refused.why.startswith(why)
    password = {"admin_url": "admin_password", "rehearse_url": "rehearse_password"}.get(option, "password")
    if "@" in url:
        assert f"`{password}`" in refused.remedy
        assert_names(refused.remedy, "%25", "%40")
    assert "`" in refused.remedy or ":fivethousand" in url
    for part in ("p@ss", "w0rd", "secret", "corp", "fivethousand"):
        assert part not in str(refused)


@pytest.mark.parametrize(
    ("url", "user", "password"),
    [
        ("postgresql://shop@corp:secret@server/shop", "shop@corp", "secret"),
        ("postgresql://shop@corp@server/shop", "shop@corp", None),
        ("postgresql://shop:a/b?c#d:e@server/shop", "shop", "a/b?c#d:e"),
        ("postgresql://server/we%40ird", None, None),
    ],
)
def test_a_url_that_sqlalchemy_reads_as_it_was_meant_is_left_alone(
    url: str, user: str | None, password: str | None
) -> None:
    found = url_of(url)
    assert (found.username, found.password, found.host) == (user, password, "server")


@pytest.mark.parametrize("server", ["server", "", "shop@server", "shop:secret@server", "shop:a/b@server"])
@pytest.mark.parametrize("query", ["", "?application_name=me@home/now"])
def test_an_at_sign_in_the_name_of_a_database_is_part_of_it(server: str, query: str) -> None:
    assert url_of(f"postgresql://{server}/sh@op{query}").database == "sh@op"


@pytest.mark.parametrize("password", ["p@ss", "p@ss:w0rd", "50%41", "a/b?c#d", "%", "ü@"])
def test_what_is_advised_is_the_password(password: str) -> None:
    beside = url_of("postgresql://shop@server/shop", password=password)
    encoded = url_of(f"postgresql://shop:{quote(password, safe='')}@server/shop")

    assert (beside.password, encoded.password) == (password, password)
    assert (beside.host, beside.database) == (encoded.host, encoded.database) == ("server", "shop")


def test_a_driver_that_is_named_stays() -> None:
    assert url_of("sqlite+aiosqlite:////srv/app.db").drivername == "sqlite+aiosqlite"


def test_the_direct_url_and_the_separate_password_are_used() -> None:
    url = url_of("postgresql://u@pooler/shop", direct_url="postgresql://u@server/shop", password="p%@:/ü")

    assert (url.host, url.password) == ("server", "p%@:/ü")


def test_a_url_that_cannot_be_parsed_is_refused_without_repeating_it() -> None:
    with refused("url-invalid", "SQLAlchemy") as refusal:
        url_of("postgresql:u:secret@server")

    assert "secret" not in str(refusal.value)


def test_a_database_of_another_kind_is_refused() -> None:
    with refused("database-type-unsupported", "'oracle'", "postgresql, sqlite"):
        url_of("oracle://u@server/shop")


def test_our_own_connections_prefer_a_synchronous_driver() -> None:
    assert build_own_url(sa.make_url("sqlite+aiosqlite:////srv/a.db")).drivername == "sqlite+pysqlite"
    own = build_own_url(sa.make_url("postgresql+asyncpg://u@server/shop?ssl=require"))
    assert own.drivername == "postgresql+psycopg2"
    assert dict(own.query) == {"sslmode": "require"}


def test_a_password_in_the_query_moves_to_where_it_is_kept_out_of_sight() -> None:
    entry = Database("shop", "postgresql+psycopg2://shop@server/shop?password=s3cret&sslmode=require")

    url = build_migration_url(entry)

    assert (url.password, dict(url.query)) == ("s3cret", {"sslmode": "require"})
    assert "s3cret" not in url.render_as_string(hide_password=True)
