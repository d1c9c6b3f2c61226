from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._engines.connection import (
    OwnConnection,
    first_line,
    migration_url,
    own_url,
    sqlstate,
)
from tests.codes import assert_error, refused
from tests.unit.stage import script, sql


def url_of(url: str, **more: str) -> sa.URL:
    return migration_url(Database("app", url, **more))  # type: ignore[arg-type]


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
        migration_url(entry, "url" if option == "direct_url" else option)
    refused = caught.value
    assert_error(refused, "url-invalid", option, "'app'")
    assert refused.why.startswith(why)
    password = {"admin_url": "admin_password", "rehearse_url": "rehearse_password"}.get(option, "password")
    if "@" in url:
        assert f"`{password}`" in refused.remedy
        assert "% is %25, @ is %40" in refused.remedy
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
    assert own_url(sa.make_url("sqlite+aiosqlite:////srv/a.db")).drivername == "sqlite+pysqlite"
    own = own_url(sa.make_url("postgresql+asyncpg://u@server/shop?ssl=require"))
    assert own.drivername == "postgresql+psycopg2"
    assert dict(own.query) == {"sslmode": "require"}


@pytest.mark.parametrize("driver", ["pysqlite", "aiosqlite"])
def test_both_kinds_of_driver_are_driven_alike(tmp_path: Path, driver: str) -> None:
    path = script(tmp_path / "app.db", "create table t (a)")

    with OwnConnection(sa.make_url(f"sqlite+{driver}:///{path}")) as own:
        own.rows("insert into t values (:a)", a=1)
        own.run(lambda connection: connection.exec_driver_sql("insert into t values (2)"))
        # Another connection sees it, so it is committed.
        with OwnConnection(sa.make_url(f"sqlite:///{path}")) as other:
            assert other.rows("select a from t order by a") == [(1,), (2,)]
        assert not own.is_broken()


def test_what_an_application_has_all_connections_do_our_own_do_not(tmp_path: Path) -> None:
    path = script(tmp_path / "app.db", "create table t (a)")
    seen = []

    def opened(connection: Any, _record: object) -> None:
        seen.append("opened")
        connection.execute("pragma locking_mode = exclusive")

    def begins(connection: sa.Connection) -> None:
        seen.append("begins")
        connection.exec_driver_sql("begin exclusive")

    sa.event.listen(sa.Engine, "connect", opened)
    sa.event.listen(sa.Engine, "begin", begins)
    try:
        with OwnConnection(sa.make_url(f"sqlite:///{path}")) as own:
            assert own.rows("pragma locking_mode") == [("normal",)]
            own.rows("insert into t values (1)")
            assert sql(path, "select a from t") == [(1,)]
        assert seen == []
        with sa.create_engine(f"sqlite:///{path}").connect() as connection:
            connection.execute(sa.text("select 1"))
    finally:
        sa.event.remove(sa.Engine, "connect", opened)
        sa.event.remove(sa.Engine, "begin", begins)

    assert seen == ["opened", "begins"]


def test_an_error_of_pg8000_has_its_sqlstate_too() -> None:
    assert sqlstate(sa.exc.DBAPIError("select 1", None, Exception({"S": "ERROR", "C": "25006"}))) == "25006"
    assert sqlstate(Exception("words")) == ""


def test_an_error_that_is_raised_again_out_of_its_own_wrapping_ends_the_search() -> None:
    inside, outside = ValueError("inside"), ValueError("outside")
    inside.__cause__, outside.__cause__ = outside, inside

    assert sqlstate(inside) == ""


def test_closing_twice_is_not_an_error(tmp_path: Path) -> None:
    own = OwnConnection(sa.make_url(f"sqlite:///{script(tmp_path / 'app.db', 'create table t (a)')}"))
    own.close()
    own.close()


def test_a_drivers_words_are_reported_without_statement_and_link(tmp_path: Path) -> None:
    with (
        OwnConnection(sa.make_url(f"sqlite:///{tmp_path / 'app.db'}")) as own,
        pytest.raises(sa.exc.OperationalError) as caught,
    ):
        own.rows("select secret from absent")

    assert first_line(caught.value) == "no such table: absent"
    assert first_line(ValueError()) == "ValueError"


def test_a_sqlstate_is_found_below_any_wrapping() -> None:
    class DriverError(Exception):
        pgcode = "55P03"

    def work() -> None:
        try:
            raise sa.exc.OperationalError("lock table t", {}, DriverError())
        except sa.exc.OperationalError as error:
            raise RuntimeError("the application's own") from error

    with pytest.raises(RuntimeError) as caught:
        work()

    assert sqlstate(caught.value) == "55P03"
    assert sqlstate(ValueError()) == ""


def test_a_password_in_the_query_moves_to_where_it_is_kept_out_of_sight() -> None:
    entry = Database("shop", "postgresql+psycopg2://shop@server/shop?password=s3cret&sslmode=require")

    url = migration_url(entry)

    assert (url.password, dict(url.query)) == ("s3cret", {"sslmode": "require"})
    assert "s3cret" not in url.render_as_string(hide_password=True)
