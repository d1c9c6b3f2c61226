"""Databases of MariaDB, where DDL commits at once: planned, backed up and migrated; what fails is undone."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.codes import assert_code
from tests.integration.site import Site, assert_says
from tests.integration.targets import MariaDBTarget
from tests.integration.test_failure import at_first, reverted
from tests.integration.test_recover import kill_all
from tests.integration.virtualenvs import virtualenv


@pytest.fixture
def maria_site(site: Site, mariadb: MariaDBTarget) -> Site:
    site.variables["migrate_virtualenv"] = str(virtualenv("pymysql"))
    site.variables["migrate_databases"] = [mariadb.entry]
    return site


def test_from_base_to_head_with_rows(maria_site: Site, mariadb: MariaDBTarget) -> None:
    source, older = maria_site.source("generic"), maria_site.source("generic", "older").keep("0001")
    maria_site.run("migrate", migrate_source=older)
    assert (mariadb.revisions, mariadb.columns("item")) == (["0001"], ["id", "name"])
    mariadb.fill()

    before = mariadb.dump()
    maria_site.run("ship", migrate_source=source)
    plan = maria_site.run("plan", migrate_source=source)
    assert_says(plan.output, mariadb.name, "0002")
    assert mariadb.dump() == before

    maria_site.run("migrate", migrate_source=source)
    assert (mariadb.revisions, mariadb.columns("item")) == (["0002"], ["id", "name", "note"])
    assert mariadb.rows("SELECT count(*) FROM item") == [(3,)]

    dump = mariadb.dump()
    again = maria_site.run("migrate", migrate_source=source)
    assert again.stats["here"]["changed"] == 0
    assert_says(maria_site.run("status", migrate_source=source).output, f"{mariadb.name} 0002 0", "MariaDB 10.")
    maria_site.run("backup", migrate_source=source)
    listed = maria_site.run("backups", migrate_source=source).output
    assert listed.count(" yes ") == 3
    assert mariadb.dump() == dump
    # Each of them is what the database held then.
    texts = [(backup / "dump.sql").read_text() for backup in maria_site.backups(mariadb.name)]
    (of_first,) = [text for text in texts if "VALUES\n('0001')" in text]
    assert "(3,'item 3')" in of_first


def test_a_revision_that_fails_in_its_middle_is_undone(maria_site: Site, mariadb: MariaDBTarget) -> None:
    """What its statements have made is new and empty, so that takes no rights but those of the database's own user."""
    settings = at_first(maria_site, "broken", mariadb)
    dump = mariadb.dump()
    outcome = maria_site.run("migrate", code=2, **settings)
    assert_code(outcome, "revision-failed", "0003", "this revision fails on purpose", database=mariadb.name)
    assert reverted(maria_site, mariadb) == ("downgraded", ["0001"])
    assert mariadb.dump() == dump


def test_a_revision_that_fails_before_it_has_done_anything_leaves_the_old_revision(
    maria_site: Site, mariadb: MariaDBTarget
) -> None:
    settings = at_first(maria_site, "broken", mariadb)
    settings["migrate_source"].keep("0001").add("0002", "0001", "raise RuntimeError('on purpose')")
    dump = mariadb.dump()
    outcome = maria_site.run("migrate", code=2, **settings)
    assert_code(outcome, "revision-failed", "0002", database=mariadb.name)
    assert reverted(maria_site, mariadb) == ("untouched", ["0001"])
    assert mariadb.dump() == dump


def test_tables_without_transactions_are_named_by_the_plan_and_refused_on_demand(
    maria_site: Site, mariadb: MariaDBTarget
) -> None:
    source = maria_site.source("generic")
    mariadb.rows("CREATE TABLE log (a int) ENGINE = MyISAM")
    maria_site.run("ship", migrate_source=source)
    plan = maria_site.run("plan", migrate_source=source)
    assert_says(plan.output, "log (MyISAM)")
    outcome = maria_site.run("migrate", code=2, migrate_source=source, migrate_nontransactional_tables="refuse")
    assert_code(outcome, "table-not-transactional", "log (MyISAM)", database=mariadb.name)
    assert (mariadb.tables(), maria_site.backups(mariadb.name)) == (["log"], [])
    maria_site.run("migrate", migrate_source=source)
    assert (mariadb.revisions, mariadb.tables()) == (["0002"], ["item", "log"])
    assert len(maria_site.backups(mariadb.name)) == 1


def working(mariadb: MariaDBTarget) -> int:
    statement = (
        f"SELECT count(*) FROM information_schema.processlist WHERE db = '{mariadb.name}' AND info LIKE '%BENCHMARK%'"
    )
    return int(mariadb.database.server.execute(statement)[0][0])


def test_a_session_that_outlives_its_client_is_ended_before_anything_else(
    maria_site: Site, mariadb: MariaDBTarget
) -> None:
    settings = at_first(maria_site, "broken", mariadb)
    # A statement that waits would notice that its client is gone.
    body = "op.create_table('half', sa.Column('id', sa.Integer()))\nop.execute('SELECT BENCHMARK(10000000000, 1 + 1)')"
    settings["migrate_source"].keep("0001").add("0002", "0001", body)
    with maria_site.start("migrate", migrate_run="killed", **settings) as running:
        deadline = time.monotonic() + 60
        while not working(mariadb):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        kill_all(maria_site, running)
    assert working(mariadb) == 1
    outcome = maria_site.run("recover", migrate_lock_wait=1, **settings)
    assert working(mariadb) == 0
    assert_says(outcome.output, f"{mariadb.name} killed restored 0001")
    assert mariadb.revisions == ["0001"]
    assert [name for name in mariadb.tables() if not name.startswith("hosting_alembic_old_")] == ["item"]


@pytest.mark.parametrize(
    ("packages", "fixture", "scheme"),
    [
        ("asyncmy", "async", "mysql+asyncmy"),
        ("aiomysql", "async", "mariadb+aiomysql"),
        ("oldest pymysql", "generic", "mariadb"),
    ],
)
def test_other_drivers_and_the_oldest_libraries(
    maria_site: Site, mariadb: MariaDBTarget, packages: str, fixture: str, scheme: str
) -> None:
    entry = {**mariadb.entry, "url": mariadb.url.replace("mysql+pymysql", scheme)}
    settings: dict[str, Any] = {"migrate_databases": [entry], "migrate_virtualenv": str(virtualenv(packages))}
    source = maria_site.source(fixture)
    maria_site.run("migrate", migrate_source=source, **settings)
    assert (mariadb.revisions, mariadb.columns("item")) == (["0002"], ["id", "name", "note"])
    again = maria_site.run("migrate", migrate_source=source, **settings)
    assert again.stats["here"]["changed"] == 0
