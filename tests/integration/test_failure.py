"""What a failed run leaves: the old revision, or a database that is held; and words that say so."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from tests.codes import assert_code, assert_names
from tests.integration.site import PLAYBOOKS, Site, assert_says, printed
from tests.integration.targets import PostgresTarget, SQLiteTarget, Target
from tests.lab import ansible

SINGLE_TRANSACTION = ("transaction_per_migration=True", "transaction_per_migration=False")


def at_first(site: Site, fixture: str, *targets: Target) -> dict[str, Any]:
    """Bring databases to the first revision with rows in them, as they are before the release that fails."""
    settings: dict[str, Any] = {"migrate_databases": [target.entry for target in targets]}
    site.run("migrate", migrate_source=site.source(fixture, "good").keep("0001"), **settings)
    for target in targets:
        target.fill()
    return {"migrate_source": site.source(fixture), **settings}


def reverted(site: Site, target: Target) -> tuple[str, list[str]]:
    """Return how the last run left a database, and at which heads, as its manifest on the controller says."""
    paths = sorted((site.folder / "manifests").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    entry = json.loads(paths[-1].read_text())["hosts"]["here"]["databases"][target.name]
    return entry["outcome"], entry["now"]


@pytest.mark.both_cores
def test_good_revisions_before_a_broken_one_are_downgraded(site: Site, postgres: PostgresTarget) -> None:
    settings = at_first(site, "broken", postgres)
    dump = postgres.dump()
    outcome = site.run("migrate", code=2, **settings)
    assert postgres.dump() == dump
    assert_says(outcome.output, f"{postgres.name} FAILED downgraded 0001", "ansible-playbook -i ")
    assert_code(outcome, "revision-failed", "0003", "this revision fails on purpose", database=postgres.name)
    assert outcome.handlers() == ["hosting.alembic.migrate : Revert the databases that failed"]
    assert outcome.stats["here"]["failures"] == 1
    # A process that reads results, and not the screen, sees that the upgrade has failed and why.
    (upgrade,) = outcome.results("Upgrade each database", kind="failed")
    assert re.search(r"on purpose, versions/0003_fails_in_its_middle.py:\d+ \[revision-failed\]", upgrade["msg"])
    assert "databases" not in upgrade
    # Once there, once in the summary.
    assert len(re.findall(r"this revision fails on purpose, versions/0003_fails_in_its_middle.py", outcome.output)) == 2

    # And what to type next is right.
    (settings["migrate_source"].versions / "0003_fails_in_its_middle.py").write_text(
        '"""corrected"""\nrevision = "0003"\ndown_revision = "0002"\n\n\ndef upgrade() -> None:\n    pass\n'
    )
    site.run("migrate", migrate_retry_failed=[postgres.name], **settings)
    assert postgres.revisions == ["0004"]


def test_in_a_single_transaction_nothing_of_a_failed_run_is_committed(site: Site, postgres: PostgresTarget) -> None:
    settings = at_first(site, "broken", postgres)
    settings["migrate_source"].replace(*SINGLE_TRANSACTION)
    dump = postgres.dump()
    outcome = site.run("migrate", code=2, **settings)
    assert postgres.dump() == dump
    assert_code(outcome, "revision-failed", "0003", database=postgres.name)
    assert reverted(site, postgres) == ("untouched", ["0001"])


#: For an owner who may not create databases there is no such way, so its database is held.
BY_SWAP = {"migrate_restore_method": "swap"}


@pytest.mark.parametrize("per_migration", [True, False], ids=["each", "single"])
def test_what_an_autocommit_block_left_behind_is_held_and_the_other_databases_are_migrated(
    site: Site, more_postgres: Callable[[], PostgresTarget], per_migration: bool
) -> None:
    before, held, after = more_postgres(), more_postgres(), more_postgres()
    settings = at_first(site, "broken_autocommit", held)
    if not per_migration:
        settings["migrate_source"].replace(*SINGLE_TRANSACTION)
    for other_database in (before, after):  # broken only for the one in the middle
        other_database.rows("CREATE TABLE marker (id int)")
    broken = settings["migrate_source"].versions / "0003_fails_after_a_commit.py"
    text = broken.read_text()
    condition = "if sa.inspect(op.get_bind()).has_table('marker'):\n        return\n    with op.get_context()"
    broken.write_text(text.replace("with op.get_context()", condition))
    settings["migrate_databases"] = [before.entry, held.entry, after.entry]
    settings.update(BY_SWAP)

    outcome = site.run("migrate", code=2, **settings)
    assert before.revisions == after.revisions == ["0004"]
    assert "half" in held.tables()
    assert held.rows("SELECT count(*) FROM item") == [(3,)]
    assert_code(outcome, "revision-failed", "0003", database=held.name)
    assert reverted(site, held) == ("held", held.revisions)
    assert_says(outcome.output, "To continue", "To restore the old state")
    # The revert that is printed can be typed as it is, and brings back what was before the run.
    back = next(event["ways_out"]["back"] for event in site.events(held.name) if event["event"] == "held")
    words = shlex.split(back)
    assert words[:2] == ["ansible-playbook", "playbooks/restore.yml"]
    assert_says(outcome.output, f"To restore the old state: {words[0]}", *words[1:2])
    ansible.playbook(PLAYBOOKS / "restore.yml", *words[2:], inventory=site.inventory(**settings)).ended(0)
    assert held.revisions == ["0001"]
    assert "half" not in held.tables()
    assert held.rows("SELECT count(*) FROM item") == [(3,)]


def test_an_owner_without_further_rights_gets_the_database_back_in_place(site: Site, postgres: PostgresTarget) -> None:
    settings = at_first(site, "broken_autocommit", postgres)
    before = postgres.dump("--schema=public")

    site.run("migrate", code=2, **settings)

    assert postgres.dump("--schema=public") == before
    kept = {table for (table,) in postgres.rows("SELECT tablename FROM pg_tables WHERE schemaname LIKE '%aside%'")}
    assert {"half", "item"} <= kept
    assert reverted(site, postgres) == ("restored", ["0001"])


@pytest.mark.both_cores
def test_sqlite_is_restored_where_a_failed_revision_left_a_table_behind(site: Site, sqlite: SQLiteTarget) -> None:
    settings = at_first(site, "broken", sqlite)
    dump = sqlite.dump()
    outcome = site.run("migrate", code=2, **settings)
    assert sqlite.dump() == dump
    list_retained = list(sqlite.path.parent.glob("app.db.aside-*"))
    assert len(list_retained) == 1
    # Nothing is dropped: what the restore replaced can still be read.
    assert SQLiteTarget(list_retained[0]).tables() == ["half", "item"]
    assert SQLiteTarget(list_retained[0]).rows("SELECT count(*) FROM item") == [(3,)]
    assert_code(outcome, "revision-failed", "0003", database=sqlite.name)
    assert reverted(site, sqlite) == ("restored", ["0001"])
    assert_names(outcome.output, list_retained[0])


def test_a_database_that_a_failed_first_run_made_is_reported_as_it_is(site: Site, sqlite: SQLiteTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("broken"), "migrate_databases": [sqlite.entry]}
    outcome = site.run("migrate", code=2, **settings)
    assert_code(outcome, "revision-failed", "0003", database=sqlite.name)
    if sqlite.path.exists():
        assert sqlite.revisions == [] or f"HELD at {', '.join(sqlite.revisions)}" in printed(outcome.output)
    assert site.run("migrate", code=2, **settings).code == 2


def test_a_missing_downgrade_is_restored_on_sqlite_and_held_on_postgresql(
    site: Site, sqlite: SQLiteTarget, postgres: PostgresTarget
) -> None:
    settings = at_first(site, "broken", sqlite, postgres)
    settings.update(BY_SWAP)
    source = settings["migrate_source"].keep("0001")
    source.add("0002", "0001", "op.create_table('extra', sa.Column('id', sa.Integer()))", downgrade=None)
    source.add("0003", "0002", "raise RuntimeError('this revision fails on purpose')")
    before = sqlite.dump()
    outcome = site.run("migrate", code=2, **settings)
    assert_code(outcome, "revision-failed", "0003", database=sqlite.name)
    assert sqlite.dump() == before
    assert reverted(site, sqlite) == ("restored", ["0001"])
    assert reverted(site, postgres) == ("held", ["0002"])
    assert postgres.revisions == ["0002"]
    assert "extra" in postgres.tables()
    assert_says(outcome.output, "To restore the old state: ansible-playbook")


def test_a_downgrade_that_forgets_something_is_noticed(
    site: Site, sqlite: SQLiteTarget, postgres: PostgresTarget
) -> None:
    settings = at_first(site, "broken", sqlite, postgres)
    settings.update(BY_SWAP)
    source = settings["migrate_source"].keep("0001")
    source.add("0002", "0001", "op.create_table('forgotten', sa.Column('id', sa.Integer()))", downgrade="pass")
    source.add("0003", "0002", "raise RuntimeError('this revision fails on purpose')")
    before = sqlite.dump()
    outcome = site.run("migrate", code=2, **settings)
    assert_names(outcome.output, "forgotten")
    assert sqlite.dump() == before
    assert reverted(site, sqlite) == ("restored", ["0001"])
    assert reverted(site, postgres) == ("held", ["0001"])
    assert "forgotten" in postgres.tables()


def test_rows_that_a_revision_loses_are_reported_and_are_its_own_business(site: Site, targets: list[Target]) -> None:
    settings = at_first(site, "broken", *targets)
    settings["migrate_source"].keep("0001").add("0002", "0001", "op.execute('DELETE FROM item WHERE id > 1')")
    outcome = site.run("migrate", **settings)
    for target in targets:
        assert target.rows("SELECT id FROM item") == [(1,)]
        assert re.search(rf"{target.name}: .*item\b.*\b3\b.*\b1\b", outcome.output), outcome.output


def test_an_env_py_that_swallows_the_error_does_not_pass_for_a_success(site: Site, targets: list[Target]) -> None:
    settings = at_first(site, "swallows", *targets)
    before = [target.dump() for target in targets]
    outcome = site.run("migrate", code=2, **settings)
    assert [target.dump() for target in targets] == before
    for target in targets:
        assert_code(outcome, "revision-failed", "0002", "this revision fails on purpose", database=target.name)
        assert reverted(site, target) == ("untouched", ["0001"])


@pytest.mark.parametrize("place", ["before", "in a revision"])
def test_an_env_py_that_exits_does_not_pass_for_a_success(site: Site, postgres: PostgresTarget, place: str) -> None:
    settings = at_first(site, "broken", postgres)
    source = settings["migrate_source"].keep("0001", "0002")
    leave = "import sys\nsys.exit(0)\n"
    if place == "before":
        source.env.write_text(leave + source.env.read_text())
    else:
        source.add("0003", "0002", "sys.exit(0)")
    dump = postgres.dump()
    outcome = site.run("migrate", code=2, **settings)
    assert postgres.dump() == dump
    assert_says(outcome.output, "SystemExit")


def test_a_process_that_ends_without_a_word_is_noticed_and_reverted(site: Site, postgres: PostgresTarget) -> None:
    settings = at_first(site, "broken", postgres)
    settings["migrate_source"].keep("0001", "0002").add("0003", "0002", "os._exit(0)")
    dump = postgres.dump()
    site.run("migrate", code=2, **settings)
    assert postgres.dump() == dump
    assert reverted(site, postgres) == ("downgraded", ["0001"])


def test_an_env_py_that_leads_elsewhere_is_refused_and_neither_database_changes(
    site: Site, more_postgres: Callable[[], PostgresTarget], targets: list[Target]
) -> None:
    other = more_postgres()
    url = other.url.replace("postgresql:", "postgresql+psycopg2:")
    databases = [{**target.entry, "environment": {"ELSEWHERE_URL": url}} for target in targets]
    before = [target.dump() for target in (*targets, other)]
    outcome = site.run("migrate", code=2, migrate_source=site.source("elsewhere"), migrate_databases=databases)
    assert [target.dump() for target in (*targets, other)] == before
    for target in targets:
        assert_code(outcome, "env-py-other-database", other.name, database=target.name)


def test_a_failed_rollback_holds_postgresql_and_says_both_ways_out(site: Site, postgres: PostgresTarget) -> None:
    settings = at_first(site, "broken", postgres)
    settings["migrate_source"].keep("0001").add("0002", "0001", downgrade="raise RuntimeError('no way back')")
    site.run("migrate", **settings)
    dump = postgres.dump()
    outcome = site.run("rollback", code=2, **settings)
    assert postgres.dump() == dump
    assert postgres.revisions == ["0002"]
    assert_says(outcome.output, "no way back")


def test_stop_on_refusal_leaves_the_other_databases_as_they_are(
    site: Site, more_postgres: Callable[[], PostgresTarget]
) -> None:
    good = more_postgres()
    lost = {"name": "lost", "url": f"{good.url.rsplit('/', 1)[0]}/nowhere"}
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [lost, good.entry]}
    outcome = site.run("migrate", code=2, migrate_on_refusal="stop", **settings)
    assert good.tables() == []
    assert_code(outcome, "database-unreachable", "nowhere", database="lost")
    outcome = site.run("migrate", code=2, **settings)
    assert good.revisions == ["0002"]
    assert_code(outcome, "database-unreachable", "nowhere", database="lost")
