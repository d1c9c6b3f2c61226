"""What a run that failed prints is typed as it was printed, and leads where it says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.codes import assert_code
from tests.integration.fleet import UNREACHABLE, Fleet
from tests.integration.site import Site
from tests.integration.targets import PostgresTarget, SQLiteTarget
from tests.integration.test_discover import files_in, make_files, revisions
from tests.integration.test_own_play import ROLE, run_play
from tests.integration.test_recover import kill_all
from tests.integration.test_windows import MIDNIGHT, last_seconds, settings_for
from tests.integration.typed import printed, typed, types

ITEM = [(1,), (2,), (3,)]
INSERT = "INSERT INTO extra VALUES (7)"


@pytest.fixture
def first(site: Site, sqlite: SQLiteTarget) -> dict[str, Any]:
    """The settings of a database at its first revision, with rows; the third one fails."""
    settings: dict[str, Any] = {"migrate_source": site.source("broken"), "migrate_databases": [sqlite.entry]}
    site.run("migrate", "-e", "migrate_target=0001 migrate_run=one", **settings)
    sqlite.fill()
    return settings


def correct(settings: dict[str, Any]) -> None:
    """Have the revision that fails do nothing."""
    (path,) = settings["migrate_source"].versions.glob("0003_*.py")
    path.write_text(path.read_text().replace('raise RuntimeError("this revision fails on purpose")', "pass"))


@types(
    "plugin_utils/_report/failures._render_replaced prune",
    "plugin_utils/_rollout/summary._build_resume_command migrate migrate_retry_failed",
)
def test_many_that_were_restored_are_listed_and_tried_again(site: Site, tmp_path: Path) -> None:
    targets = [SQLiteTarget(tmp_path / f"{name}.db", name) for name in "abcd"]
    settings: dict[str, Any] = {"migrate_source": site.source("broken")}
    settings["migrate_databases"] = [target.entry for target in targets]
    site.run("migrate", "-e", "migrate_target=0001", **settings)
    for target in targets:
        target.fill()
    before = [target.dump() for target in targets]
    failed = site.run("migrate", "-e", "migrate_run=two", code=2, **settings)
    assert [target.dump() for target in targets] == before

    listed = typed(printed(failed.output, "listed by: ")).ended()
    assert all(f"{target.path}.aside-two" in listed.output for target in targets)
    correct(settings)
    typed(printed(failed.output, "Next: correct the release, then: ")).ended()

    assert [target.revisions for target in targets] == [["0004"]] * 4
    assert [target.rows("SELECT id FROM item") for target in targets] == [ITEM] * 4


@types("plugin_utils/_report/failures._list_lines migrate migrate_retry_failed")
def test_in_a_play_of_ones_own_it_is_tried_again(site: Site, sqlite: SQLiteTarget, first: dict[str, Any]) -> None:
    task = {"name": "Migrate", "import_role": {"name": ROLE}}
    failed = run_play(site.inventory(**first), site.folder, task)
    assert (failed.code, sqlite.revisions) == (2, ["0001"])
    correct(first)

    typed(printed(failed.output, "Next: correct the release, then: ")).ended()

    assert sqlite.revisions == ["0004"]
    assert sqlite.rows("SELECT id FROM item") == ITEM


@types("module_utils/_journal/run_state.RunState.find_obstacle migrate")
def test_what_failed_before_is_tried_again(site: Site, sqlite: SQLiteTarget, first: dict[str, Any]) -> None:
    site.run("migrate", code=2, **first)
    status = site.run("status", **first)
    correct(first)

    typed(printed(status.output, "Correct what failed, then: ")).ended()

    assert sqlite.revisions == ["0004"]
    assert sqlite.rows("SELECT id FROM item") == ITEM


@types("module_utils/_revert/revert.Revert._hold migrate")
def test_a_held_database_that_was_brought_forward_by_hand_is_free(
    site: Site, sqlite: SQLiteTarget, first: dict[str, Any]
) -> None:
    held = site.run("migrate", code=2, migrate_on_failure="hold", **first)
    assert sqlite.revisions == ["0002"]
    # By hand: what the third and the fourth revision do.
    sqlite.rows("CREATE TABLE never (id INTEGER PRIMARY KEY)")
    sqlite.rows("UPDATE alembic_version SET version_num = '0004'")

    typed(printed(held.output, "by hand, then: ")).ended()

    assert (sqlite.revisions, sqlite.rows("SELECT id FROM item")) == (["0004"], ITEM)
    assert "[database-held]" not in site.run("status", **first).output


@types("module_utils/_verbs/recover._refuse_other_rows migrate migrate_retry_failed migrate_accept_rows")
def test_a_held_database_with_other_rows_than_its_backup_waits_until_they_were_compared(
    site: Site, sqlite: SQLiteTarget, first: dict[str, Any]
) -> None:
    held = site.run("migrate", code=2, migrate_on_failure="hold", **first)
    # By hand: the old schema, and a row less.
    sqlite.rows("DROP TABLE half")
    sqlite.rows("ALTER TABLE item DROP COLUMN note")
    sqlite.rows("UPDATE alembic_version SET version_num = '0001'")
    sqlite.rows("DELETE FROM item WHERE id = 2")
    correct(first)

    refused = typed(printed(held.output, "by hand, then: ")).ended(2)

    assert "rows of table item differ" in refused.output
    assert sqlite.revisions == ["0001"]
    typed(printed(refused.output, "if they are right: ")).ended()
    assert (sqlite.revisions, sqlite.rows("SELECT id FROM item")) == (["0004"], [(1,), (3,)])


@types("module_utils/_revert/revert.Revert._build_rollback_command rollback migrate_rollback_run")
def test_what_others_wrote_into_a_new_table_is_in_the_backup_of_the_printed_rollback(
    site: Site, sqlite: SQLiteTarget, first: dict[str, Any]
) -> None:
    source = first["migrate_source"].keep("0001")
    source.add("0002", "0001", "op.execute('CREATE TABLE extra (id INTEGER)')", "op.drop_table('extra')")
    before, hook = sqlite.dump(), site.folder / "hook.yml"
    write = {"name": "Use it", "ansible.builtin.command": {"argv": ["sqlite3", str(sqlite.path), INSERT]}}
    hook.write_text(yaml.safe_dump([write, {"name": "Reject it", "ansible.builtin.fail": {"msg": "no"}}]))
    held = site.run("migrate", code=2, migrate_after_upgrade=hook, **first)
    assert (sqlite.revisions, sqlite.rows("SELECT * FROM extra")) == (["0002"], [(7,)])

    typed(printed(held.output, "To restore the old state: ")).ended()

    assert sqlite.dump() == before
    kept = [SQLiteTarget(path) for folder in site.backups("app") for path in folder.glob("database.sqlite3")]
    assert [(7,)] in [backup.rows("SELECT * FROM extra") for backup in kept if "extra" in backup.tables()]


@types("module_utils/_revert/ways_out._describe_older_backup restore migrate_restore_backup")
def test_where_the_backup_is_damaged_an_older_one_is_restored(
    site: Site, sqlite: SQLiteTarget, first: dict[str, Any]
) -> None:
    site.run("backup", migrate_run="older", **first)
    before = sqlite.dump()
    source = first["migrate_source"]
    (path,) = source.versions.glob("0003_*.py")
    damaged = site.root / "backups" / "app" / "two"
    ruin = f"[path.write_bytes(b'') for path in __import__('pathlib').Path({str(damaged)!r}).glob('*sqlite3*')]"
    path.write_text(path.read_text().replace("    raise ", f"    {ruin}\n    raise "))
    held = site.run("migrate", "-e", "migrate_run=two", code=2, **first)
    assert "half" in sqlite.tables()

    typed(printed(held.output, " UTC: ")).ended()

    assert sqlite.dump() == before


@types("module_utils/_revert/ways_out.list_ways_out_of restore migrate_restore_backup")
@pytest.mark.parametrize("way", ["forward", "back"])
def test_a_restore_that_stopped_half_way_goes_on_or_back(
    site: Site, sqlite: SQLiteTarget, first: dict[str, Any], tmp_path: Path, way: str
) -> None:
    vault, fails = tmp_path / "vault", tmp_path / "fails"
    vault.mkdir()

    def shell(text: str) -> list[str]:
        return ["sh", "-ec", text, "sh", "{name}"]

    commands: dict[str, Any] = {
        "migrate_backup_command": shell(f'cp "$HOSTING_ALEMBIC_DATABASE" {vault}/"$1"'),
        "migrate_backup_check_command": shell(f'test -s {vault}/"$1"'),
        "migrate_restore_command": shell(
            f'if test -e {fails}; then sqlite3 "$HOSTING_ALEMBIC_DATABASE" "DELETE FROM item"; exit 1; fi;'
            f' cp {vault}/"$1" "$HOSTING_ALEMBIC_DATABASE"'
        ),
    }
    settings = {**first, **commands, "migrate_target": "0002"}
    forward = sqlite.dump()
    site.run("migrate", "-e", "migrate_run=two", **settings)
    back = sqlite.dump()
    fails.touch()
    held = site.run("restore", "-e", "migrate_restore_run=two migrate_restore_loses_writes=true", code=2, **settings)
    assert sqlite.rows("SELECT * FROM item") == []
    fails.unlink()

    purpose = {"forward": "To continue", "back": "To restore the old state"}[way]
    typed(printed(held.output, f"{purpose}: ")).ended()

    assert sqlite.dump() == {"forward": forward, "back": back}[way]


@types("module_utils/_worker/deadline._REMEDY migrate")
def test_what_the_window_was_too_short_for_is_migrated_in_the_next_one(site: Site, sqlite: SQLiteTarget) -> None:
    settings = settings_for(site, sqlite)
    late = site.run("migrate", code=2, env=last_seconds(50), **settings)
    assert not sqlite.path.exists()

    typed(printed(late.output, "in the next window: "), env=MIDNIGHT).ended()

    assert sqlite.revisions == ["0002"]


@types("module_utils/_discovery/change.refuse_if_changed migrate migrate_discover_accept")
def test_another_list_of_databases_is_accepted(site: Site, tmp_path: Path) -> None:
    sites = tmp_path / "sites"
    targets = make_files(sites, "a", "b", "c", "d")
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_discover": [files_in(sites)]}
    site.run("migrate", "-e", "migrate_target=0001", **settings)
    for gone in ("c", "d"):
        (sites / gone).rename(sites.with_name(f"was-{gone}"))
    refused = site.run("migrate", code=2, **settings)

    typed(printed(refused.output, "If the new list is right: ")).ended()

    left = {name: targets[name] for name in ("a", "b")}
    assert revisions(left) == {"a": ["0002"], "b": ["0002"]}


@types(
    "module_utils/_journal/run_state.RunState.find_obstacle recover",
    "module_utils/_module/recover._Recovery._find_python ship",
    "module_utils/_module/recover._Recovery._find_python recover",
)
@pytest.mark.parametrize("release", ["there", "gone", "changed"])
def test_an_interrupted_run_is_recovered(
    site: Site, sqlite: SQLiteTarget, first: dict[str, Any], tmp_path: Path, release: str
) -> None:
    before, gate = sqlite.dump(), tmp_path / "gate"
    (path,) = first["migrate_source"].versions.glob("0003_*.py")
    wait = f"import os, time\n    while not os.path.exists({str(gate)!r}):\n        time.sleep(0.05)\n    raise "
    path.write_text(path.read_text().replace("raise ", wait))
    with site.start("migrate", "-e", "migrate_run=killed", **first) as running:
        running.wait_for("0003")
        kill_all(site, running)
    assert sqlite.dump() != before
    gate.touch()
    plan = site.run("plan", code=2, **first)
    assert_code(plan, "run-interrupted", "killed", database="app")
    recover = printed(plan.output, "Recover it: ")
    if release != "there":
        folder = (site.root / "releases" / "current").resolve()
        if release == "gone":
            folder.rename(tmp_path / "gone")
        else:
            (folder / "source" / "migrations" / "env.py").write_text("raise SystemExit\n")
        refused = typed(recover).ended(2)
        assert sqlite.dump() != before
        if release == "changed":
            folder.rename(tmp_path / "changed")
        typed(printed(refused.output, "from again: ")).ended()
        recover = printed(refused.output, "then recover: ")

    typed(recover).ended()

    assert sqlite.dump() == before


@types("plugin_utils/_follow/action.make_lost_result recover")
def test_a_host_that_was_lost_at_work_is_recovered(site: Site, sqlite: SQLiteTarget, first: dict[str, Any]) -> None:
    before, hook = sqlite.dump(), site.folder / "hook.yml"
    hook.write_text(yaml.safe_dump([{"name": "Lose it", "ansible.builtin.set_fact": UNREACHABLE}]))
    lost = site.run("backup", code=2, migrate_before_backup=hook, migrate_reconnect_timeout=1, **first)

    typed(printed(lost.output, "how it ended: ")).ended()

    assert sqlite.dump() == before


@types("plugin_utils/_rollout/summary.render_summary recover")
def test_a_host_that_was_lost_is_recovered_once_it_can_be_reached_again(
    tmp_path: Path, newest_virtualenv: Path, site: Site
) -> None:
    fleet = Fleet(tmp_path, newest_virtualenv, 2)
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_rollout": "100%"}
    fleet.run("migrate", "-e", "migrate_target=0001", **settings)
    for name in fleet.names:
        fleet.database(name).fill()
    before = {name: fleet.database(name).dump() for name in fleet.names}
    hook = tmp_path / "hook.yml"
    hook.write_text(yaml.safe_dump([{"name": "Lose it", "ansible.builtin.set_fact": UNREACHABLE}]))
    fleet.own["web2"] = {"migrate_before_backup": str(hook)}
    inventory = fleet.inventory(**settings)
    lost = typed(f"ansible-playbook -i {inventory} migrate.yml").ended(2)
    assert fleet.revisions() == fleet.at(web1=2, web2=1)
    fleet.own["web2"] = {}
    inventory.write_text(fleet.inventory(**settings).read_text())

    typed(printed(lost.output, "can be reached again: ")).ended()
    assert fleet.database("web2").dump() == before["web2"]
    typed(printed(lost.output, "Next: correct what failed, then: ")).ended()

    assert fleet.revisions() == fleet.at(web1=2, web2=2)
    assert fleet.database("web2").rows("SELECT id FROM item") == ITEM


@types("plugin_utils/_follow/reducing.build_unfit_result status")
def test_a_host_whose_answer_could_not_be_used_is_read_again(site: Site, sqlite: SQLiteTarget, tmp_path: Path) -> None:
    python = tmp_path / "python"
    inventory = site.inventory(migrate_source=site.source("generic"), migrate_databases=[sqlite.entry])
    text = yaml.safe_load(inventory.read_text())
    text["all"]["hosts"]["here"]["ansible_python_interpreter"] = str(python)
    inventory.write_text(yaml.safe_dump(text))
    answers = f"""#!{sys.executable}
import json, subprocess, sys
done = subprocess.run([{sys.executable!r}, *sys.argv[1:]], stdin=sys.stdin, capture_output=True, text=True)
try:
    answer = json.loads(done.stdout)
except ValueError:
    answer = {{}}
if "databases" in answer:
    answer["databases"] = 17
print(json.dumps(answer) if answer else done.stdout)
"""
    python.write_text(answers)
    python.chmod(0o755)
    strange = typed(f"ansible-playbook -i {inventory} migrate.yml").ended(2)
    python.write_text(answers.replace('"databases" in answer', "not answer"))

    typed(printed(strange.output, "where its databases are: ")).ended()


@types("plugin_utils/_rollout/contract.explain_refusal migrate migrate_target")
@pytest.mark.parametrize("limit", ["all", "web1"])
def test_every_host_is_expanded_before_one_is_contracted(
    tmp_path: Path, newest_virtualenv: Path, site: Site, limit: str
) -> None:
    fleet = Fleet(tmp_path, newest_virtualenv, 2)
    settings: dict[str, Any] = {"migrate_source": site.source("multi_heads"), "migrate_rollout": "100%"}
    fleet.run("migrate", "-e", "migrate_target=expand@head", "--limit", "web1", **settings)
    words = ["-e", "migrate_target=contract@head", "--limit", limit]
    refused = fleet.run("migrate", *words, code=2, **settings)
    assert fleet.revisions() == {"web1": ["e002"], "web2": []}

    typed(printed(refused.output, "deploy the application and expand: ")).ended()

    assert fleet.revisions() == {"web1": ["e002"], "web2": ["e002"]}
    fleet.run("migrate", *words, **settings)
    assert fleet.revisions()["web1"] == ["c002"]


@types("module_utils/_plan/database._find_unexpanded migrate migrate_target")
def test_a_database_is_expanded_before_it_is_contracted(site: Site, sqlite: SQLiteTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("multi_heads"), "migrate_databases": [sqlite.entry]}
    site.run("ship", **settings)
    plan = site.run("plan", "-e", "migrate_target=contract@head", code=2, **settings)

    typed(printed(plan.output, "deploy the application first: ")).ended()

    assert sqlite.revisions == ["e002"]


@types("module_utils/_verbs/upgrade.Upgrade._upgrade_locked migrate")
def test_a_shared_database_is_migrated_once_both_hosts_have_one_target(
    tmp_path: Path, newest_virtualenv: Path, site: Site, postgres: PostgresTarget
) -> None:
    shared = {"migrate_databases": [{**postgres.entry, "name": "shared"}]}
    fleet = Fleet(tmp_path, newest_virtualenv, 2, own={"web1": {**shared, "migrate_target": "0001"}, "web2": shared})
    source = site.source("generic")
    inventory = fleet.inventory(migrate_source=source, migrate_rollout="100%")
    behind = typed(f"ansible-playbook -i {inventory} migrate.yml").ended(2)
    assert postgres.revisions == ["0001"]
    fleet.own["web1"] = shared
    inventory.write_text(fleet.inventory(migrate_source=source, migrate_rollout="100%").read_text())

    typed(printed(behind.output, "one release and one target, then: ")).ended()

    assert postgres.revisions == ["0002"]


@types("module_utils/_answers/rollback._refuse_unlisted rollback migrate_rollback_run migrate_rollback_databases")
def test_a_rollback_of_a_run_that_moved_what_is_not_listed_any_more(site: Site, tmp_path: Path) -> None:
    kept, removed = (SQLiteTarget(tmp_path / f"{name}.db", name) for name in ("kept", "removed"))
    every: dict[str, Any] = {"migrate_source": site.source("generic")}
    every["migrate_databases"] = [kept.entry, removed.entry]
    site.run("migrate", "-e", "migrate_run=both", **every)

    refused = site.run("rollback", code=2, **every | {"migrate_databases": [kept.entry]})

    assert_code(refused, "database-not-listed", "both", removed.name)
    assert (kept.revisions, removed.revisions) == (["0002"], ["0002"])
    typed(printed(refused.output, "roll back the others alone: ")).ended()
    assert (kept.revisions, removed.revisions) == ([], ["0002"])
    site.run("rollback", "-e", "migrate_rollback_run=both", **every | {"migrate_databases": [removed.entry]})
    assert removed.revisions == []
