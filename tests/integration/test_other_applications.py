"""Two applications in one database: what one goes through, with a version table of its own, is not the other's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._journal.history import list_upgraded
from tests.codes import assert_error
from tests.integration.targets import PostgresTarget, SQLiteTarget, Target
from tests.unit.stage import Answer, Host

#: The revisions of an application called app, for whichever application runs it.
ENV = """
from alembic import context
from sqlalchemy import create_engine, pool

app = context.get_x_argument(as_dictionary=True)["app"]
engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection, version_table=f"{app}_version", tenant=app, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()
"""
TENANT = 'op.get_context().opts["tenant"]'
PAGE = f"op.create_table({TENANT} + '_page', sa.Column('id', sa.Integer()))"
RAISE = f'if {TENANT} == "shop": raise RuntimeError("fails on purpose")'
HALF = "op.execute('CREATE TABLE half (id int)')"
#: Left behind on either engine: SQLite takes no table back, and a block commits on PostgreSQL.
LEAVES = f'if {TENANT} == "shop":\n        with op.get_context().autocommit_block(): {HALF}\n    {RAISE}'


class SharedDatabase:
    """A database of two applications, shop and blog, on one host."""

    def __init__(self, host: Host, target: Target) -> None:
        self.host = host
        self.target = target
        self.release = ""
        self.ship()

    def entry(self, app: str) -> Database:
        return Database.from_options({"name": app, "url": self.target.url, "x_arguments": [f"app={app}"]})

    def do(self, verb: str, app: str, run: str, **options: Any) -> Answer:
        return self.host.result(verb, self.entry(app), run=run, **options)

    def upgraded(self, app: str, run: str, **options: Any) -> None:
        result = self.do("upgrade", app, run, **options)
        assert result["outcome"] == "upgraded", result

    def plan(self, app: str) -> Answer:
        return self.host.plan(self.entry(app), run="")

    def ship(self, *upgrades: str) -> None:
        """Ship another release of both applications, with these revisions after the second one."""
        self.release = self.host.ship(
            "several_contexts", f"release-{len(list(self.host.layout.releases.glob('*'))) + 1}"
        )
        (self.host.layout.release(self.release) / "source" / "migrations" / "env.py").write_text(ENV)
        for number, upgrade in enumerate(upgrades, 3):
            back = f"op.drop_table({TENANT} + '_page')" if upgrade == PAGE else "pass"
            self.host.revise(self.release, f"{number:04}", f"{number - 1:04}", upgrade, back)

    def fill(self, app: str) -> None:
        self.target.rows(f"INSERT INTO {app}_item VALUES (1), (2)")

    def heads(self, app: str) -> list[str]:
        return sorted(row[0] for row in self.target.rows(f"SELECT version_num FROM {app}_version"))

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        return self.target.rows(f"SELECT id FROM {table} ORDER BY id")

    def kept(self, app: str) -> dict[str, bytes]:
        """All that the host keeps of an application's entry: journals and backups, and the rows that are its own."""
        folders = (self.host.layout.locate_journals(app), self.host.layout.locate_backups(app))
        files = {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}
        tables = [table for table in self.target.tables() if table.startswith(f"{app}_")]
        return {**files, **{table: repr(self.target.rows(f"SELECT * FROM {table}")).encode() for table in tables}}

    def assert_recovered(self, app: str) -> None:
        """Nothing is reported of an application that did nothing wrong."""
        plan = self.plan(app)
        assert (plan["obstacles"], plan["changed_history"]) == ([], [])


@pytest.fixture(params=["sqlite", "postgres"])
def shared_database(request: pytest.FixtureRequest, tmp_path: Path) -> SharedDatabase:
    target: SQLiteTarget | PostgresTarget = request.getfixturevalue(request.param)
    if isinstance(target, SQLiteTarget):
        target.path.touch()
    return SharedDatabase(Host(tmp_path / "root"), target)


def test_one_fails_and_is_reverted_and_nothing_of_the_other_is_touched(shared_database: SharedDatabase) -> None:
    shared_database.upgraded("shop", "r1")
    shared_database.upgraded("blog", "r2")
    shared_database.fill("shop")
    shared_database.fill("blog")
    shared_database.ship(PAGE, RAISE)
    blog = shared_database.kept("blog")

    assert shared_database.do("upgrade", "shop", "r3")["outcome"] == "failed"
    assert shared_database.do("downgrade", "shop", "r3")["outcome"] in ("downgraded", "untouched", "restored")

    assert shared_database.kept("blog") == blog
    assert (shared_database.heads("shop"), shared_database.heads("blog")) == (["0002"], ["0002"])
    assert shared_database.rows("shop_item") == [(1,), (2,)]
    # It is the shop that waits for a person.
    assert_error(shared_database.plan("shop")["obstacles"][0], "database-failed-before", "r3")
    shared_database.assert_recovered("blog")
    shared_database.upgraded("blog", "r4")
    assert list_upgraded(str(shared_database.host.root), "r4", ["shop", "blog"]) == ["blog"]
    assert (shared_database.heads("shop"), shared_database.heads("blog")) == (["0002"], ["0004"])
    shared_database.assert_recovered("blog")
    assert shared_database.plan("shop")["changed_history"] == []


def test_a_later_rollback_undoes_one_and_leaves_what_the_other_has_done_since(shared_database: SharedDatabase) -> None:
    shared_database.upgraded("shop", "r1")
    shared_database.upgraded("blog", "r2")
    shared_database.fill("blog")
    blog = shared_database.kept("blog")

    result = shared_database.do("rollback", "shop", "r3", of_run="r1")

    assert (result["outcome"], [step["revision"] for step in result["undone"]]) == ("downgraded", ["0002", "0001"])
    assert shared_database.kept("blog") == blog
    assert [table for table in shared_database.target.tables() if table.startswith("shop_i")] == []
    shared_database.assert_recovered("shop")
    shared_database.assert_recovered("blog")
    assert shared_database.do("rollback", "blog", "r4", of_run="r2")["outcome"] == "downgraded"
    assert shared_database.heads("blog") == []


@pytest.mark.parametrize("dead", [False, True])
def test_a_revert_that_comes_after_the_others_upgrade_keeps_it(shared_database: SharedDatabase, dead: bool) -> None:
    """As in one run over both: the handler reverts when all databases have come to their end."""
    shared_database.upgraded("shop", "r1")
    shared_database.fill("shop")
    shared_database.ship(PAGE, f"import os; {TENANT} == 'shop' and os._exit(1)" if dead else RAISE)
    assert shared_database.do("upgrade", "shop", "r2")["outcome"] == "failed"
    assert shared_database.heads("shop") == ["0003"]
    shared_database.upgraded("blog", "r2b")
    shared_database.fill("blog")
    blog = shared_database.kept("blog")

    result = shared_database.do("downgrade", "shop", "r2")

    assert (result["outcome"], shared_database.heads("shop")) == ("downgraded", ["0002"]), result
    assert "shop_page" not in shared_database.target.tables()
    assert shared_database.kept("blog") == blog
    assert shared_database.rows("shop_item") == [(1,), (2,)]
    shared_database.assert_recovered("blog")


@pytest.mark.parametrize("before", [[], ["r2"]])
def test_a_restore_that_would_take_the_others_upgrade_back_is_not_done(
    shared_database: SharedDatabase, before: list[str]
) -> None:
    shared_database.upgraded("shop", "r1")
    for run in before:
        shared_database.upgraded("blog", run, target="0001")
    shared_database.ship(LEAVES)
    assert shared_database.do("upgrade", "shop", "r3")["outcome"] == "failed"
    shared_database.upgraded("blog", "r4")
    blog = shared_database.kept("blog")

    result = shared_database.do("downgrade", "shop", "r3")

    assert result["outcome"] == "held", result
    assert shared_database.kept("blog") == blog
    assert "half" in shared_database.target.tables()
    shared_database.assert_recovered("blog")
    refused = shared_database.do("restore", "shop", "r5", of_run="r3")
    assert (refused["outcome"], shared_database.kept("blog")) == ("refused", blog)
    # A person may want it all the same. Then the other one is behind, and nothing is reported.
    assert shared_database.do("restore", "shop", "r6", of_run="r3", restore_loses_writes=True)["outcome"] == "restored"
    assert "half" not in shared_database.target.tables()
    shared_database.assert_recovered("blog")
    assert [revision["revision"] for revision in shared_database.plan("blog")["pending"]][-1] == "0003"
    shared_database.upgraded("blog", "r7")
    assert shared_database.heads("blog") == ["0003"]


def test_a_restore_after_a_failure_brings_both_back_as_they_were_where_no_session_wrote(
    shared_database: SharedDatabase,
) -> None:
    shared_database.upgraded("shop", "r1")
    shared_database.upgraded("blog", "r2")
    shared_database.fill("blog")
    blog = shared_database.kept("blog")
    shared_database.ship(LEAVES)
    assert shared_database.do("upgrade", "shop", "r3")["outcome"] == "failed"

    result = shared_database.do("downgrade", "shop", "r3")

    assert (result["outcome"], shared_database.kept("blog")) == ("restored", blog), result
    assert "half" not in shared_database.target.tables()
    assert shared_database.heads("shop") == ["0002"]
    shared_database.assert_recovered("blog")
    shared_database.upgraded("blog", "r4")
    assert shared_database.do("rollback", "blog", "r5", of_run="r4")["outcome"] == "downgraded"


def test_a_version_table_by_another_name_does_not_have_revisions_applied_twice(shared_database: SharedDatabase) -> None:
    shared_database.upgraded("shop", "r1")
    shared_database.fill("shop")
    shared_database.ship("pass")
    env = shared_database.host.layout.release(shared_database.release) / "source" / "migrations" / "env.py"
    env.write_text(ENV.replace('f"{app}_version"', 'f"{app}_history"'))
    before = shared_database.kept("shop")

    (obstacle,) = shared_database.plan("shop")["obstacles"]
    assert_error(obstacle, "revision-applied-twice", "0001, 0002", "shop_version", "shop_history")
    (status,) = shared_database.host.do("status", shared_database.entry("shop"), run="")["databases"]
    assert status["problems"] == [obstacle]
    assert shared_database.plan("shop")["changed_history"] == []
    assert shared_database.do("upgrade", "shop", "r2")["error"] == obstacle
    after = shared_database.kept("shop")
    assert {path for path in {*after, *before} if after.get(path) != before.get(path)} == {
        path for path in after if "r2" in path
    }
    assert shared_database.rows("shop_item") == [(1,), (2,)]

    # By hand, as the plan says.
    shared_database.target.rows("ALTER TABLE shop_version RENAME TO shop_history")
    shared_database.assert_recovered("shop")
    shared_database.upgraded("shop", "r3")
    shared_database.assert_recovered("shop")
    assert shared_database.target.rows("SELECT version_num FROM shop_history") == [("0003",)]
    # The older run wrote into a table that is no more: nothing of it can be undone by what it wrote.
    refused = shared_database.do("rollback", "shop", "r4", of_run="r1", release="release-1")
    assert refused["outcome"] == "refused"
    assert shared_database.do("rollback", "shop", "r5", of_run="r3")["outcome"] == "downgraded"
    assert shared_database.target.rows("SELECT version_num FROM shop_history") == [("0002",)]
    refused = shared_database.do("rollback", "shop", "r6", of_run="r1", release="release-1")
    assert refused["outcome"] == "refused"
    assert shared_database.rows("shop_item") == [(1,), (2,)]
    shared_database.assert_recovered("shop")
