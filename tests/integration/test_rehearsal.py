"""Rehearsals on a real server: what they find out, what they leave behind (nothing), and what relies on them."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.codes import assert_code
from tests.integration.site import Site, Source, assert_says
from tests.integration.targets import PostgresTarget, SQLiteTarget, Target
from tests.lab.postgres import PostgresServer
from tests.lab.processes import holding


def at_first(site: Site, *targets: Target) -> tuple[Source, dict[str, Any]]:
    """Bring databases to the first revision with rows in them; return a release that goes further."""
    settings: dict[str, Any] = {"migrate_databases": [target.entry for target in targets]}
    site.run("migrate", migrate_source=site.source("generic", "old").keep("0001"), **settings)
    for target in targets:
        target.fill()
    source = site.source("generic")
    return source, {"migrate_source": source, **settings}


def scratches(server: PostgresServer) -> list[str]:
    return [row[0] for row in server.execute("SELECT datname FROM pg_database WHERE datname LIKE 'rehearsal%'")]


def rehearsed(site: Site, **settings: Any) -> tuple[dict[str, dict[str, Any]], str]:
    """Rehearse, and return the results by name and what was printed."""
    outcome = site.run("rehearse", **settings)
    found = outcome.results("Rehearse on copies")[-1]["databases"]
    return {entry["name"]: entry for entry in found}, outcome.output


def verdicts(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["revision"], step["verdict"]) for step in result["revisions"]]


@pytest.mark.both_cores
def test_a_good_history_is_rehearsed_and_neither_database_is_written(
    site: Site, sqlite: SQLiteTarget, creator: PostgresTarget
) -> None:
    source, settings = at_first(site, sqlite, creator)
    source.add(
        "0003",
        "0002",
        "op.create_table('tag', sa.Column('item', sa.Integer, sa.ForeignKey('item.id')))",
        "op.drop_table('tag')",
    )
    before = [sqlite.dump(), creator.dump()]

    results, output = rehearsed(site, **settings)

    assert [sqlite.dump(), creator.dump()] == before
    for target in (sqlite, creator):
        result = results[target.name]
        assert result["outcome"] == "rehearsed"
        assert verdicts(result) == [("0002", "reversible"), ("0003", "reversible")]
        assert [step["again"] for step in result["revisions"]] == [True, True]
        assert_says(output, f"{target.name} rehearsed 0001 0003 2 reversible")
    second, third = results[creator.name]["revisions"]
    assert second["locks"] == {"public.item": "AccessExclusiveLock"}
    # A foreign key locks what it points to, and less than a new column does.
    assert third["locks"] == {"public.item": "ShareRowExclusiveLock"} or third["locks"] == {}
    assert third["space"] > 0
    assert_says(output, "locks public.item AccessExclusive")
    assert scratches(creator.database.server) == []
    assert site.run("migrate", **settings).changed > 0


def test_what_each_revision_loses_is_reported_and_where_it_cannot_go_back(site: Site, creator: PostgresTarget) -> None:
    source, settings = at_first(site, creator)
    source.add("0003", "0002", "op.drop_column('item', 'name')", "op.add_column('item', sa.Column('name', sa.Text))")
    source.add("0004", "0003", "op.execute(\"CREATE TYPE mood AS ENUM ('a')\")", "pass")
    source.add("0005", "0004", "op.create_table('last', sa.Column('id', sa.Integer))", None)
    before = creator.dump()

    results, output = rehearsed(site, **settings)

    result = results[creator.name]
    assert verdicts(result) == [
        ("0002", "reversible"),
        ("0003", "lossy"),
        ("0004", "lossy"),
        ("0005", "irreversible"),
    ]
    (loss,) = result["revisions"][1]["data_loss"]
    assert (loss["table"], loss["column"]) == ("public.item", "name")
    assert result["revisions"][2]["again"] is False
    assert_says(output, "LOSSY public.item.name", "FAILS A SECOND TIME", "IRREVERSIBLE")
    assert creator.dump() == before
    assert scratches(creator.database.server) == []

    refused = site.run("rehearse", code=2, migrate_rehearsal_fails_on=["irreversible"], **settings)
    assert_code(refused, "rehearsal-not-clean", "migrate_rehearsal_fails_on", "0005", database=creator.name)


def test_a_revision_above_one_that_writes_the_time_is_not_blamed(site: Site, creator: PostgresTarget) -> None:
    source, settings = at_first(site, creator)
    other_values = "op.execute('UPDATE item SET note = clock_timestamp()::text || random()::text')\n"
    other_values += "op.execute('ALTER TABLE item ADD COLUMN made timestamptz DEFAULT clock_timestamp()')"
    source.add("0003", "0002", other_values, "op.drop_column('item', 'made')")
    source.add("0004", "0003", "op.add_column('item', sa.Column('extra', sa.Text))", "op.drop_column('item', 'extra')")

    results, _output = rehearsed(site, **settings)

    assert verdicts(results[creator.name])[-1] == ("0004", "reversible"), results


@pytest.mark.parametrize("per_migration", ["", ", transaction_per_migration=True"], ids=["single", "each"])
def test_an_upgrade_that_fails_on_the_rows_that_are_there_stops_migrate(
    site: Site, creator: PostgresTarget, per_migration: str
) -> None:
    source, settings = at_first(site, creator)
    creator.rows("INSERT INTO item (id, name) VALUES (9, 'item 1')")
    given = "connection=connection, target_metadata=target_metadata"
    source.replace(given, given + per_migration)
    unique = "op.create_unique_constraint('one', 'item', ['name'])"
    source.add("0003", "0002", unique, "op.drop_constraint('one', 'item')")
    before, taken = creator.dump(), len(site.backups(creator.name))

    outcome = site.run("migrate", code=2, migrate_rehearse=True, **settings)

    assert_code(outcome, "revision-failed", "0003", 'could not create unique index "one"', database=creator.name)
    assert not outcome.results("Upgrade each database")
    assert creator.dump() == before
    assert scratches(creator.database.server) == []
    # With the rows corrected the same command goes through.
    creator.rows("DELETE FROM item WHERE id = 9")
    outcome = site.run("migrate", migrate_rehearse=True, **settings)
    assert_says(outcome.output, f"{creator.name} rehearsed 0001 0003", f"{creator.name} upgraded 0001 0003")
    assert creator.revisions == ["0003"]
    assert len(site.backups(creator.name)) > taken
    assert site.run("migrate", migrate_rehearse=True, **settings).changed == 0


def test_a_required_rehearsal_is_one_of_this_release(site: Site, creator: PostgresTarget) -> None:
    source, settings = at_first(site, creator)
    settings["migrate_require_rehearsal"] = True
    before = creator.dump()

    outcome = site.run("migrate", code=2, **settings)
    assert_code(outcome, "rehearsal-missing", "migrate_rehearse=true", "ansible-playbook -i", database=creator.name)
    assert creator.dump() == before

    rehearsed(site, **settings)
    assert creator.dump() == before
    # Another release is not what was rehearsed.
    source.add("0003", "0002")
    outcome = site.run("migrate", code=2, **settings)
    assert_code(outcome, "rehearsal-missing", database=creator.name)
    assert creator.dump() == before

    rehearsed(site, **settings)
    site.run("migrate", **settings)
    assert creator.revisions == ["0003"]
    assert site.run("migrate", **settings).changed == 0


def test_without_the_right_to_create_one_another_role_or_server_makes_the_copy(
    site: Site, postgres: PostgresTarget
) -> None:
    _source, settings = at_first(site, postgres)
    refused = site.run("rehearse", code=2, **settings)
    assert_code(
        refused, "rehearsal-privileges-missing", "CREATEDB", "admin_url", "rehearse_url", database=postgres.name
    )

    server = postgres.database.server
    admin = {"admin_url": f"postgresql://{server.user}@{server.host}:{server.port}", "admin_password": server.password}
    settings["migrate_databases"] = [{**postgres.entry, **admin}]
    results, output = rehearsed(site, **settings)
    assert verdicts(results[postgres.name]) == [("0002", "reversible")]
    assert server.password not in output
    assert scratches(server) == []

    with PostgresServer(fsync=False) as other:
        elsewhere = {"rehearse_url": f"postgresql://{other.user}@{other.host}:{other.port}/postgres"}
        settings["migrate_databases"] = [{**postgres.entry, **elsewhere, "rehearse_password": other.password}]
        before = server.execute("SELECT count(*) FROM pg_database")
        results, output = rehearsed(site, **settings)
        assert verdicts(results[postgres.name]) == [("0002", "reversible")]
        assert server.execute("SELECT count(*) FROM pg_database") == before
        assert scratches(other) == []


def test_what_a_killed_rehearsal_leaves_is_dropped_and_a_live_one_is_not(site: Site, creator: PostgresTarget) -> None:
    source, settings = at_first(site, creator)
    source.add("0003", "0002", "op.execute('SELECT pg_sleep(600)')")
    server = creator.database.server
    with site.start("rehearse", migrate_run="killed", **settings) as running:
        running.wait_for("rehearses revision 2 of 2, 0003")
        assert len(scratches(server)) == 1
        # Another host may have the same database; what lives there is left alone.
        source.add("0003", "0002")
        other = Site(site.folder / "other", {**site.variables, "migrate_root": str(site.folder / "other" / "root")})
        other.folder.mkdir()
        rehearsed(other, **settings)
        assert len(scratches(server)) == 1
        assert other.run("prune", migrate_prune=True, **settings).changed == 0
        assert len(scratches(server)) == 1
        for pid in holding(site.root / "workers" / "killed.rehearse"):
            os.kill(pid, signal.SIGKILL)
        assert_says(running.end(code=2), "died")
    (name,) = scratches(server)
    assert_says(site.run("prune", **settings).output, f"{creator.name} scratch {name}", "migrate_prune")
    assert scratches(server) == [name]
    before = creator.dump()
    outcome = site.run("recover", **settings)
    assert_says(outcome.output, f"{creator.name} killed pruned")
    assert outcome.changed > 0
    assert (scratches(server), creator.dump()) == ([], before)
    assert site.run("recover", **settings).changed == 0
    # One that was killed before it could say what it is; no journal knows of it.
    server.create_database(name, owner=creator.name)
    site.run("prune", migrate_prune=True, **settings)
    assert scratches(server) == []
    rehearsed(site, **settings)
    assert scratches(server) == []
    assert creator.revisions == ["0001"]


def test_check_mode_says_what_it_would_rehearse_and_does_nothing(site: Site, creator: PostgresTarget) -> None:
    _source, settings = at_first(site, creator)
    before, tree = creator.dump(), site.tree()
    outcome = site.run("rehearse", "--check", **settings)
    assert_says(outcome.output, f"{creator.name} would be rehearsed 0001 0002")
    assert outcome.changed > 0
    assert (creator.dump(), site.tree()) == (before, tree)
    site.run("migrate", "--check", migrate_rehearse=True, **settings)
    assert (creator.dump(), site.tree()) == (before, tree)


def test_an_env_py_that_goes_elsewhere_is_refused_and_one_that_reads_a_variable_is_aimed(
    site: Site, creator: PostgresTarget
) -> None:
    source = site.source("elsewhere")
    url = creator.url.replace("postgresql:", "postgresql+psycopg2:")
    entry = {**creator.entry, "environment": {"ELSEWHERE_URL": url}}
    settings: dict[str, Any] = {"migrate_source": source, "migrate_databases": [entry]}
    assert_code(
        site.run("rehearse", code=2, **settings), "rehearsal-url-literal", "ELSEWHERE_URL", database=creator.name
    )
    assert (creator.tables(), scratches(creator.database.server)) == ([], [])

    settings["migrate_databases"] = [{**creator.entry, "url_variables": ["ELSEWHERE_URL"]}]
    results, _output = rehearsed(site, **settings)
    assert results[creator.name]["outcome"] == "rehearsed"
    assert (creator.tables(), scratches(creator.database.server)) == ([], [])
