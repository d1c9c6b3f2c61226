"""A restore after a rollback of our own loses nothing of others: what is gone, our own downgrades took away."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from tests.codes import assert_error
from tests.lab.fixtures import Database as Postgres
from tests.unit.stage import Host, database, script, sql, tables


@pytest.fixture(params=["sqlite", "postgresql"])
def entry(request: pytest.FixtureRequest, file: Path) -> Database:
    if request.param == "sqlite":
        return database(file)
    postgres: Postgres = request.getfixturevalue("postgres_database")
    return Database("app", postgres.url)


@pytest.fixture
def kept(host: Host, file: Path) -> Database:
    """A SQLite database with a table of others', upgraded and backed up since."""
    script(file, "create table mine (a); insert into mine values (1)")
    host.ship("generic")
    host.result("upgrade", database(file), run="r1")
    host.result("backup", database(file), run="r2")
    return database(file)


def test_it_is_done_without_being_permitted_to_lose_anything(host: Host, entry: Database) -> None:
    host.ship("generic")
    host.result("upgrade", entry, run="r1")
    host.result("backup", entry, run="r2")
    assert host.result("rollback", entry, run="r3", of_run="r1")["outcome"] == "downgraded"

    (foreseen,) = host.do("foresee_restore", entry, run="r4", of_run="r2")["results"]
    done = host.result("restore", entry, run="r4", of_run="r2")

    assert (foreseen["outcome"], done["outcome"]) == ("restored", "restored"), (foreseen, done)
    assert done["after"] == ["0002"]


def test_what_others_wrote_since_into_what_stayed_is_not_lost_silently(host: Host, file: Path, kept: Database) -> None:
    host.result("rollback", kept, run="r3", of_run="r1")
    sql(file, "insert into mine values (2)")

    refused = host.result("restore", kept, run="r4", of_run="r2")

    assert refused["outcome"] == "refused"
    assert_error(refused["error"], "others-wrote", "mine")


def test_a_table_that_others_dropped_is_not_brought_back_silently(host: Host, file: Path, kept: Database) -> None:
    sql(file, "drop table mine")

    assert host.result("restore", kept, run="r3", of_run="r2")["outcome"] == "refused"
    assert "mine" not in tables(file)
