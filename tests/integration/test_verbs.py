"""What each verb does when nothing goes wrong, seen in the database and on the disk."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.listing import list_backups
from tests.codes import assert_code
from tests.integration.site import PLAYBOOKS, Site, assert_says, printed
from tests.integration.targets import PostgresTarget, SQLiteTarget, Target, program
from tests.integration.virtualenvs import from_wheelhouse
from tests.lab import PROJECT, ansible


def entries(targets: list[Target]) -> list[dict[str, Any]]:
    return [target.entry for target in targets]


def dumps(targets: list[Target]) -> list[str]:
    return [target.dump() for target in targets]


@pytest.mark.both_cores
def test_the_first_run_migrates_and_the_second_changes_nothing(site: Site, targets: list[Target]) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": entries(targets)}
    first = site.run("migrate", **settings)
    assert first.changed > 0
    for target in targets:
        assert target.revisions == ["0002"]
        assert target.columns("item") == ["id", "name", "note"]
        assert_says(first.output, f"{target.name} upgraded base 0002 2")
        target.fill()

    before, tree = dumps(targets), site.tree()
    second = site.run("migrate", **settings)
    assert second.changed == 0
    assert dumps(targets) == before
    assert site.tree() == tree
    assert_says(second.output, *(f"{target.name} at head 0002" for target in targets))

    for run in (first, second):
        assert run.output.count("\nTASK [") <= 10
        assert "\nskipping: [" not in run.output
        # What follows the summary is Ansible's: the task that printed it, and the recap.
        summary = run.output.split("\nTASK [hosting.alembic.migrate : Summarise the run]")[0].rstrip()
        assert summary.splitlines()[-1] == run.results("Summarise the run")[0]["lines"][-1]
    assert first.results("Summarise the run")[0]["lines"][-1] == "2 databases: 2 upgraded"


def test_a_newer_release_is_applied_on_top_of_the_rows_that_are_there(site: Site, targets: list[Target]) -> None:
    source = site.source("generic")
    settings: dict[str, Any] = {"migrate_source": source, "migrate_databases": entries(targets)}
    site.run("migrate", **settings)
    for target in targets:
        target.fill()
    source.add("0003", "0002", "op.execute(\"UPDATE item SET note = 'noted ' || id\")")
    outcome = site.run("migrate", **settings)
    for target in targets:
        assert target.revisions == ["0003"]
        assert target.rows("SELECT id, name, note FROM item ORDER BY id") == [
            (number, f"item {number}", f"noted {number}") for number in (1, 2, 3)
        ]
        assert_says(outcome.output, f"{target.name} upgraded 0002 0003 1")
        assert len(site.backups(target.name)) == 2


def test_a_virtualenv_is_built_from_a_wheelhouse_without_an_index(
    site: Site, sqlite: SQLiteTarget, tmp_path: Path
) -> None:
    source = site.source("generic")
    (source.folder / "requirements.txt").write_text("alembic\n")
    settings: dict[str, Any] = {
        "migrate_source": source,
        "migrate_databases": [sqlite.entry],
        **from_wheelhouse(tmp_path / "wheels", "alembic"),
    }
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": "/dev/null"}
    site.run("migrate", env=nowhere, **settings)
    assert sqlite.revisions == ["0002"]
    assert len(list((site.root / "virtualenvs").iterdir())) == 1
    assert site.run("migrate", env=nowhere, **settings).changed == 0


def predicted(outcome: ansible.Outcome) -> dict[str, list[Any]]:
    """What a run says of each database: where from, where to, by which revisions."""
    results = [result for result in outcome.results("Upgrade each database") if result.get("databases")]
    return {
        entry["name"]: [
            entry["outcome"],
            entry["changed"],
            entry["before"],
            entry["after"],
            [step["revision"] for step in entry["applied"]],
        ]
        for entry in (results[-1]["databases"] if results else [])
    }


def changes(outcome: ansible.Outcome) -> set[str]:
    return {event["task"] for event in outcome.events if "result" in event and event["result"].get("changed")}


@pytest.mark.parametrize("shipped", [False, True], ids=["not shipped", "shipped"])
def test_check_and_diff_predict_what_the_next_run_changes_and_change_nothing(
    site: Site, targets: list[Target], shipped: bool
) -> None:
    settings: dict[str, Any] = {"migrate_databases": entries(targets)}
    site.run("migrate", migrate_source=site.source("generic", "older").keep("0001"), **settings)
    for target in targets:
        target.fill()
    settings["migrate_source"] = site.source("generic")
    if shipped:
        site.run("ship", **settings)
    before, tree = dumps(targets), site.tree()

    check = site.run("migrate", "--check", "--diff", **settings)
    plan = site.run("plan", **settings)
    assert plan.changed == 0
    assert dumps(targets) == before
    assert site.tree() == tree
    for target in targets:
        assert_says(check.output, f"-{target.name}: 0001", f"+{target.name}: 0002")
        if shipped:
            assert_says(plan.output, target.name, "0001 -> 0002", "0002 notes on items")
        else:
            assert_says(plan.output, "ansible-playbook -i", "ship.yml")

    real = site.run("migrate", **settings)
    assert predicted(check) == predicted(real)
    for target in targets:
        assert target.revisions == ["0002"]
        assert predicted(check)[target.name] == ["upgraded", True, ["0001"], ["0002"], ["0002"]]
    assert changes(check) == changes(real)


def test_check_at_head_predicts_no_change(site: Site, sqlite: SQLiteTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}
    site.run("migrate", **settings)
    assert site.run("migrate", "--check", "--diff", **settings).changed == 0


def test_check_of_the_very_first_run_leaves_nothing_behind(site: Site, sqlite: SQLiteTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}
    outcome = site.run("migrate", "--check", "--diff", **settings)
    assert outcome.changed > 0
    assert not sqlite.path.exists()
    assert not site.root.exists() or not site.tree()


def prove(backup: Path) -> dict[str, Any]:
    """Compare a backup with what its manifest promises, and return the manifest."""
    manifest: dict[str, Any] = json.loads((backup / "manifest.json").read_text())
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((backup / name).read_bytes()).hexdigest() == digest
    for path in [backup, *backup.rglob("*")]:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, f"{path} can be read by others"
    return manifest


def test_a_backup_brings_the_rows_back_into_a_new_postgresql_database(site: Site, postgres: PostgresTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [postgres.entry]}
    site.run("migrate", **settings)
    postgres.fill(500)
    outcome = site.run("backup", **settings)
    backup = site.backups(postgres.name)[-1]
    assert_says(outcome.output, f"{postgres.name} backed_up 0002", str(backup))
    manifest = prove(backup)
    assert manifest["heads"] == {"public.alembic_version": ["0002"]}
    assert manifest["row_counts"] == {"public.alembic_version": 1, "public.item": 500}

    found: Any = list_backups(str(site.root), [postgres.name])
    (listed,) = found
    sizes = {
        path: sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        for path in site.backups(postgres.name)
    }
    for path, entry in zip(reversed(site.backups(postgres.name)), listed["backups"]):
        assert (entry["path"], entry["proven"], entry["problem"]) == (str(path), True, None)
        assert entry["size"] == sizes[path] - (path / "manifest.json").stat().st_size

    server = postgres.database.server
    server.create_database("brought_back", owner=postgres.name)
    try:
        url = f"{postgres.url.rsplit('/', 1)[0]}/brought_back"
        done = program(server.bin / "pg_restore", "--exit-on-error", "--dbname", url, backup / manifest["dump"])
        assert done.returncode == 0, done.stderr
        rows = server.execute("SELECT id, name FROM item ORDER BY id", "brought_back")
        assert rows == [[str(number), name] for number, name in postgres.rows("SELECT id, name FROM item ORDER BY id")]
        assert server.execute("SELECT version_num FROM alembic_version", "brought_back") == [["0002"]]
    finally:
        server.drop_database("brought_back")


def test_a_backup_of_sqlite_holds_what_only_its_log_holds(site: Site, sqlite: SQLiteTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}
    site.run("migrate", **settings)
    # A writer that stays connected keeps its rows in the write-ahead log.
    with closing(sqlite3.connect(sqlite.path)) as writer:
        writer.execute("PRAGMA journal_mode = wal")
        writer.execute("INSERT INTO item (id, name) VALUES (7, 'in the log')")
        writer.commit()
        assert sqlite.path.with_name("app.db-wal").stat().st_size
        site.run("backup", **settings)
    backup = site.backups("app")[-1]
    manifest = prove(backup)
    assert manifest["heads"] == {"main.alembic_version": ["0002"]}
    copy = SQLiteTarget(backup / manifest["dump"])
    assert copy.rows("SELECT id, name FROM item") == [(7, "in the log")]
    assert copy.revisions == ["0002"]


def test_old_backups_are_removed_and_the_newest_never(site: Site, sqlite: SQLiteTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}
    site.run("migrate", migrate_run="first", **settings)
    for name in ("second", "third"):
        site.run("backup", migrate_run=name, migrate_backup_keep=1, **settings)
    # The revert from the first run needs its backup.
    assert [path.name for path in site.backups("app")] == ["first", "third"]
    site.run("backup", migrate_run="fourth", migrate_backup_keep=0, migrate_backup_keep_days=0, **settings)
    assert [path.name for path in site.backups("app")] == ["first", "fourth"]


def test_a_rollback_takes_back_what_the_last_run_did_and_keeps_the_rows(site: Site, targets: list[Target]) -> None:
    settings: dict[str, Any] = {"migrate_databases": entries(targets)}
    site.run("migrate", migrate_source=site.source("generic", "older").keep("0001"), **settings)
    for target in targets:
        target.fill()
    before = dumps(targets)
    newer = site.source("generic")
    newer.add("0003", "0002", "op.create_table('extra', sa.Column('id', sa.Integer()))", "op.drop_table('extra')")
    settings["migrate_source"] = newer
    site.run("migrate", **settings)
    assert [target.revisions for target in targets] == [["0003"], ["0003"]]

    outcome = site.run("rollback", **settings)
    assert outcome.changed > 0
    for target in targets:
        assert target.revisions == ["0001"]
        assert target.tables() == ["item"]
        assert target.columns("item") == ["id", "name"]
        assert target.rows("SELECT count(*) FROM item") == [(3,)]
        assert_says(outcome.output, f"{target.name} downgraded 0003 0001")
        # What was written since the run is safe too: it was backed up first.
        assert len(site.backups(target.name)) == 3
    # SQLite's batch mode writes the same table with other quotes.
    assert targets[1].dump() == before[1]


def test_a_rollback_is_refused_once_a_later_run_has_moved_the_database(site: Site, targets: list[Target]) -> None:
    source = site.source("generic")
    settings: dict[str, Any] = {"migrate_source": source, "migrate_databases": entries(targets)}
    site.run("migrate", migrate_run="earlier", **settings)
    source.add("0003", "0002")
    site.run("migrate", migrate_run="later", **settings)
    before = dumps(targets)
    outcome = site.run("rollback", code=2, migrate_rollback_run="earlier", **settings)
    assert_says(outcome.output, "later has upgraded it since", "migrate_rollback_run=later")
    assert dumps(targets) == before
    # The advice is right: the later one first.
    site.run("rollback", migrate_rollback_run="later", **settings)
    assert [target.revisions for target in targets] == [["0002"], ["0002"]]
    outcome = site.run("rollback", code=2, migrate_rollback_run="later", **settings)
    assert_code(outcome, "rollback-not-possible")
    assert [target.revisions for target in targets] == [["0002"], ["0002"]]
    # Now the earlier one is the last that moved anything.
    site.run("rollback", migrate_rollback_run="earlier", **settings)
    assert [target.tables() for target in targets] == [[], []]


def test_a_rollback_is_refused_once_other_hands_have_moved_the_database(site: Site, targets: list[Target]) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": entries(targets)}
    site.run("migrate", **settings)
    for target in targets:
        target.rows("UPDATE alembic_version SET version_num = '0001'")
    before = dumps(targets)
    outcome = site.run("rollback", code=2, **settings)
    for target in targets:
        assert_code(outcome, "database-moved", target.name, "0002", "0001")
    assert dumps(targets) == before


def test_a_rollback_in_check_mode_says_what_it_would_do_and_does_nothing(site: Site, sqlite: SQLiteTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}
    site.run("migrate", **settings)
    dump, tree = sqlite.dump(), site.tree()
    outcome = site.run("rollback", "--check", **settings)
    assert outcome.changed > 0
    assert sqlite.dump() == dump
    assert site.tree() == tree


def test_status_reports_revision_pending_last_run_and_last_backup(
    site: Site, sqlite: SQLiteTarget, postgres: PostgresTarget
) -> None:
    source = site.source("generic")
    settings: dict[str, Any] = {"migrate_source": source, "migrate_databases": [sqlite.entry, postgres.entry]}
    assert site.run("status", **settings).results("Read the status")[0]["release"] == ""
    site.run("migrate", migrate_run="the-first", **settings)
    source.add("0003", "0002")
    site.run("ship", **settings)
    assert sqlite.revisions == postgres.revisions == ["0002"]

    before, tree = dumps([sqlite, postgres]), site.tree()
    outcome = site.run("status", **settings)
    assert outcome.changed == 0
    for target in (sqlite, postgres):
        assert_says(outcome.output, f"{target.name} 0002 1 the-first upgraded")
    found = {entry["name"]: entry for entry in outcome.results("Read the status of every database")[-1]["databases"]}
    assert found[postgres.name]["current"] == ["0002"]
    assert [step["revision"] for step in found[postgres.name]["pending"]] == ["0003"]
    assert found[postgres.name]["last_backup"]["path"] == str(site.backups(postgres.name)[-1])
    assert (dumps([sqlite, postgres]), site.tree()) == (before, tree)


def test_several_heads_are_all_reached_with_the_target_heads(site: Site, targets: list[Target]) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("multi_heads"), "migrate_target": "heads"}
    settings["migrate_databases"] = entries(targets)
    site.run("migrate", **settings)
    for target in targets:
        # c002 depends on e002, so Alembic stamps either both or the one.
        assert target.revisions in (["c002", "e002"], ["c002"])
        assert target.tables() == ["archive", "item", "note", "tag", "tag_archive"]
    assert site.run("migrate", **settings).changed == 0
    site.run("rollback", **settings)
    assert [target.tables() for target in targets] == [[], []]
    # A database goes to one branch, its target being in its own entry.
    settings["migrate_databases"] = [{**target.entry, "target": "expand@head"} for target in targets]
    site.run("migrate", **settings)
    assert [target.tables() for target in targets] == [["item", "note", "tag"]] * 2


@pytest.mark.parametrize("fixture", ["pyproject", "attributes_connection", "prints", "several_contexts"])
def test_an_env_py_of_this_kind_is_migrated_unedited_and_reverted(
    site: Site, targets: list[Target], fixture: str
) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source(fixture), "migrate_databases": entries(targets)}
    site.run("migrate", **settings)
    assert all(target.tables() for target in targets)
    assert site.run("migrate", **settings).changed == 0
    site.run("rollback", **settings)
    assert [target.tables() for target in targets] == [[], []]


def test_the_url_can_come_through_an_environment_variable(site: Site, targets: list[Target]) -> None:
    databases = [{**target.entry, "url_variables": ["ELSEWHERE_URL"]} for target in targets]
    site.run("migrate", migrate_source=site.source("elsewhere"), migrate_databases=databases)
    assert [target.revisions for target in targets] == [["0002"], ["0002"]]


def test_the_sample_migrations_go_up_and_down_with_rows_in_them(site: Site, targets: list[Target]) -> None:
    settings: dict[str, Any] = {"migrate_source": PROJECT / "migrations", "migrate_databases": entries(targets)}
    site.run("migrate", migrate_target="9e6b05c3d1f2", **settings)
    for target in targets:
        target.rows("INSERT INTO users (id, name, email) VALUES (1, 'Ada', 'ada@Example.org'), (2, 'Bob', 'nowhere')")
    site.run("migrate", **settings)
    for target in targets:
        assert target.rows("SELECT id, email_domain FROM users ORDER BY id") == [(1, "example.org"), (2, None)]
    site.run("rollback", **settings)
    for target in targets:
        assert target.revisions == ["9e6b05c3d1f2"]
        assert target.rows("SELECT * FROM users ORDER BY id") == [
            (1, "Ada", "ada@Example.org"),
            (2, "Bob", "nowhere"),
        ]


def test_every_playbook_has_its_part_in_a_day(site: Site, sqlite: SQLiteTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}
    site.run("ship", **settings)
    assert not sqlite.path.exists()
    assert_says(site.run("plan", **settings).output, "base -> 0002")
    assert not sqlite.path.exists()
    assert_says(site.run("rehearse", **settings).output, "app rehearsed base 0002 2 reversible")
    assert not sqlite.path.exists()
    shutil.rmtree(site.root / "backups")
    site.run("migrate", **settings)
    assert sqlite.revisions == ["0002"]
    assert "0002" in printed(site.run("status", **settings).output)
    site.run("backup", **settings)
    assert len(site.backups("app")) == 2
    tree, outcome = site.tree(), site.run("backups", **settings)
    assert (site.tree(), outcome.changed) == (tree, 0)
    for backup, revision in zip(site.backups("app"), ("base", "0002")):
        assert_says(outcome.output, f"{revision} {backup.name} yes no none")
    site.run("rollback", **settings)
    assert sqlite.revisions == []
    assert site.run("prune", **settings).changed == 0
    site.run("recover", **settings)
    assert sqlite.revisions == []
    site.run("restore", migrate_restore_databases=["app"], migrate_restore_loses_writes=True, **settings)
    assert sqlite.revisions == ["0002"]
    folder: dict[str, Any] = {"migrate_schedule_folder": site.folder / "schedule"}
    folder["migrate_windows"] = [{"start": "22:00", "duration": "2h"}]
    site.run("schedule", **folder)
    site.run("unschedule", **folder)
    # A playbook that is added has to be run here too.
    assert {path.stem for path in PLAYBOOKS.glob("*.yml")} == site.exercised
