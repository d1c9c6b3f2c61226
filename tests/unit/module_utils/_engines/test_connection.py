from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._engines.connection import (
    OwnConnection,
    describe_error,
    find_sqlstate,
)
from tests.unit.stage import script, sql


@pytest.mark.parametrize("driver", ["pysqlite", "aiosqlite"])
def test_both_kinds_of_driver_are_driven_alike(tmp_path: Path, driver: str) -> None:
    path = script(tmp_path / "app.db", "create table t (a)")

    with OwnConnection(sa.make_url(f"sqlite+{driver}:///{path}")) as own:
        own.query_rows("insert into t values (:a)", a=1)
        own.run(lambda connection: connection.exec_driver_sql("insert into t values (2)"))
        # Another connection sees it, so it is committed.
        with OwnConnection(sa.make_url(f"sqlite:///{path}")) as other:
            assert other.query_rows("select a from t order by a") == [(1,), (2,)]
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
            assert own.query_rows("pragma locking_mode") == [("normal",)]
            own.query_rows("insert into t values (1)")
            assert sql(path, "select a from t") == [(1,)]
        assert seen == []
        with sa.create_engine(f"sqlite:///{path}").connect() as connection:
            connection.execute(sa.text("select 1"))
    finally:
        sa.event.remove(sa.Engine, "connect", opened)
        sa.event.remove(sa.Engine, "begin", begins)

    assert seen == ["opened", "begins"]


def test_an_error_of_pg8000_has_its_sqlstate_too() -> None:
    assert find_sqlstate(sa.exc.DBAPIError("select 1", None, Exception({"S": "ERROR", "C": "25006"}))) == "25006"
    assert find_sqlstate(Exception("words")) == ""


def test_an_error_that_is_raised_again_out_of_its_own_wrapping_ends_the_search() -> None:
    inside, outside = ValueError("inside"), ValueError("outside")
    inside.__cause__, outside.__cause__ = outside, inside

    assert find_sqlstate(inside) == ""


def test_closing_twice_is_not_an_error(tmp_path: Path) -> None:
    own = OwnConnection(sa.make_url(f"sqlite:///{script(tmp_path / 'app.db', 'create table t (a)')}"))
    assert own.run(lambda connection: connection.execute(sa.text("select count(*) from t")).scalar()) == 0
    own.close()
    own.close()
    open_files = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert str(tmp_path / "app.db") not in open_files


def test_a_drivers_words_are_reported_without_statement_and_link(tmp_path: Path) -> None:
    with (
        OwnConnection(sa.make_url(f"sqlite:///{tmp_path / 'app.db'}")) as own,
        pytest.raises(sa.exc.OperationalError) as caught,
    ):
        own.query_rows("select secret from absent")

    assert describe_error(caught.value) == "no such table: absent"
    assert describe_error(ValueError()) == "ValueError"


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

    assert find_sqlstate(caught.value) == "55P03"
    assert find_sqlstate(ValueError()) == ""
