"""An application is stopped while its databases change, and runs again afterwards whatever happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.codes import assert_code, values
from tests.integration.site import Site, assert_says
from tests.integration.targets import SQLiteTarget, Target
from tests.lab.ansible import Outcome
from tests.lab.web import Application, Nginx, Requester, requested


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Application]:
    """A running application."""
    application = Application(tmp_path / "shop")
    application.start()
    yield application
    application.stop()


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    folder = tmp_path / "flags"
    folder.mkdir()
    return folder / "maintenance"


def state_of(site: Site) -> dict[str, Any] | None:
    path = site.root / "maintenance.json"
    return dict(json.loads(path.read_text())) if path.exists() else None


def kept_by(outcome: Outcome) -> tuple[str, str, str]:
    """The database for which a maintenance goes on, its state and its run, as a run reports them last."""
    (keeper,) = [known for known in values(outcome, "maintenance") if known][-1]["kept_by"]
    return keeper["name"], keeper["state"], keeper["run"]


def settings_for(
    site: Site, shop: Application, flag: Path, *targets: Target, fixture: str = "broken"
) -> dict[str, Any]:
    """Two revisions that work, applied up to the first."""
    settings: dict[str, Any] = {"migrate_databases": [target.entry for target in targets]}
    site.run("migrate", migrate_source=site.source(fixture, "first").keep("0001"), **settings)
    settings["migrate_source"] = site.source(fixture).keep("0001", "0002")
    settings.update(migrate_services=[shop.entry], migrate_maintenance_file=flag)
    return settings


def test_a_request_gets_200_and_503_only_and_the_report_says_for_how_long(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path, tmp_path: Path
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    settings["migrate_source"].add("0003", "0002", "time.sleep(2)")
    with Nginx(tmp_path / "nginx", shop, flag) as nginx, Requester(nginx.url) as requester:
        outcome = site.run("migrate", **settings)
        assert requested(nginx.url) == (200, "well")

    assert sqlite.revisions == ["0003"]
    seen = requester.counts()
    assert {code for code, _body in seen} == {200, 503}, seen
    assert {body for code, body in seen if code == 503} == {
        "<!doctype html><title>Maintenance</title><p>We are back in a few minutes.</p>"
    }
    ended = [known for known in values(outcome, "maintenance") if known and known.get("ended")][-1]
    assert abs(ended["seconds"] - requester.longest(503)) < 1.5
    assert f"{ended['seconds']:.1f} s" in outcome.output
    assert shop.calls() == ["start shop", "stop shop", "start shop"]
    assert (flag.exists(), state_of(site)) == (False, None)


def test_nothing_is_stopped_where_nothing_is_pending(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    site.run("migrate", **settings)
    before = shop.calls()
    outcome = site.run("migrate", **settings)
    assert shop.calls() == before
    assert outcome.changed == 0
    assert "maintenance" not in outcome.output


def test_check_mode_says_what_would_be_stopped_and_stops_nothing(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    outcome = site.run("migrate", "--check", "--diff", **settings)
    (begun,) = outcome.results("Begin the maintenance")
    assert (begun["changed"], begun["done"]) == (True, [str(flag), "shop"])
    assert_says(outcome.output, "+shop: in maintenance")
    assert (shop.calls(), flag.exists(), state_of(site)) == (["start shop"], False, None)


def test_a_failed_upgrade_is_reverted_before_the_application_runs_again(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    sqlite.fill()
    # The revert checks whether the application runs already.
    polls = f"assert os.system('{shop.script} status') and os.path.exists('{flag}')"
    settings["migrate_source"].add("0003", "0002", polls, polls).add("0004", "0003", "raise RuntimeError('no')")
    output = site.run("migrate", code=2, **settings).output
    assert_says(output, "app FAILED downgraded 0001")
    assert sqlite.rows("SELECT * FROM item") == [(1, "item 1"), (2, "item 2"), (3, "item 3")]
    assert shop.calls() == ["start shop", "stop shop", "start shop"]
    assert (shop.runs, flag.exists(), state_of(site)) == (True, False, None)


def test_what_did_not_run_is_not_started_and_the_order_is_kept(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    worker, idle = Application(shop.folder, "worker"), Application(shop.folder, "idle")
    worker.start()
    flag.touch()  # an operator has put it there
    try:
        settings["migrate_services"] = [shop.entry, idle.entry, worker.entry]
        site.run("migrate", **settings)
        assert shop.calls()[2:] == ["stop shop", "stop worker", "start worker", "start shop"]
        assert (idle.runs, flag.exists()) == (False, True)
    finally:
        worker.stop()


def test_a_held_database_keeps_its_application_stopped_until_a_person_has_decided(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    settings["migrate_source"].add("0003", "0002", "raise RuntimeError('no')")
    outcome = site.run("migrate", code=2, migrate_on_failure="hold", migrate_run="holds", **settings)
    assert_says(outcome.output, "--limit here playbooks/recover.yml", "-e migrate_end_maintenance=true")
    assert kept_by(outcome) == ("app", "held", "holds")
    for again in (
        site.run("status", **settings),
        site.run("plan", code=2, **settings),
        site.run("recover", **settings),
        site.run("migrate", code=2, **settings),
    ):
        assert kept_by(again) == ("app", "held", "holds")
        assert_says(again.output, "-e migrate_end_maintenance=true")
    assert (shop.runs, flag.exists()) == (False, True)

    # Restored by a person, by an inventory that has forgotten the application: the next run ends it.
    without = {**settings, "migrate_services": [], "migrate_maintenance_file": ""}
    site.run("restore", migrate_restore_run="holds", migrate_restore_loses_writes=True, **without)
    assert (shop.runs, flag.exists()) == (False, True)
    site.run("recover", **settings)
    assert (shop.runs, flag.exists(), state_of(site)) == (True, False, None)
    assert "maintenance" not in site.run("status", **settings).output


def test_a_person_may_start_the_application_of_a_held_database(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    settings["migrate_source"].add("0003", "0002", "raise RuntimeError('no')")
    site.run("migrate", code=2, migrate_on_failure="hold", **settings)
    site.run("recover", "--extra-vars", "migrate_end_maintenance=true", **settings)
    assert (shop.runs, flag.exists(), state_of(site)) == (True, False, None)


@pytest.mark.parametrize("next_verb", ["recover", "migrate"])
def test_what_a_killed_run_has_stopped_is_shown_and_started_by_the_next_one(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path, tmp_path: Path, next_verb: str
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    gate = tmp_path / "gate"
    settings["migrate_source"].add("0003", "0002", f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.05)")
    with site.start("migrate", migrate_run="killed", **settings) as running:
        running.wait_for("0003", seconds=240)
        running.kill()
    assert kept_by(site.run("status", **settings)) == ("app", "running", "killed")
    gate.touch()
    # The inventory has forgotten them: what was stopped is started all the same.
    settings.update(migrate_services=[], migrate_maintenance_file="")
    site.run(next_verb, **settings)
    assert sqlite.revisions == ["0003"]
    assert (shop.runs, flag.exists(), state_of(site)) == (True, False, None)
    assert shop.calls() == ["start shop", "stop shop", "start shop"]


def test_a_service_that_does_not_stop_is_the_end_of_the_run_and_the_others_start_again(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    stubborn = {"name": "stubborn", "start": ["true"], "stop": ["false"], "status": ["true"]}
    settings["migrate_services"] = [shop.entry, stubborn]
    before = sqlite.dump()
    outcome = site.run("migrate", code=2, **settings)
    assert_code(outcome, "service-failed", "stubborn", "false", "exit code 1")
    assert sqlite.dump() == before
    assert (shop.runs, flag.exists(), state_of(site)) == (True, False, None)


def test_a_service_that_cannot_be_read_stops_nothing(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    nowhere = {"name": "nowhere", "start": ["/nowhere"], "stop": ["/nowhere"], "status": ["/nowhere"]}
    outcome = site.run("migrate", code=2, **{**settings, "migrate_services": [shop.entry, nowhere]})
    assert_code(outcome, "service-failed", "nowhere")
    assert shop.calls() == ["start shop"]
    for wrong in ([{"name": "half", "start": ["true"]}], [{"start": ["true"]}], [{"name": "x", "stat": ["true"]}]):
        assert_code(site.run("migrate", code=2, **{**settings, "migrate_services": wrong}), "service-invalid")
    assert sqlite.revisions == ["0001"]


def hook(site: Site, shop: Application, flag: Path) -> Path:
    """A task that fails unless the application is stopped and its users are kept out."""
    path = site.folder / "hook.yml"
    command = f"test -e {flag} && ! {shop.script} status"
    path.write_text(f"- name: Look\n  ansible.builtin.shell: {command}\n  changed_when: false\n")
    return path


@pytest.mark.parametrize("verb", ["rollback", "restore"])
def test_a_rollback_runs_while_the_application_is_stopped(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path, verb: str
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    sqlite.fill()
    site.run("migrate", migrate_run="forth", **settings)
    before = sqlite.dump()
    wanted: dict[str, Any] = {f"migrate_{verb}_run": "forth", "migrate_restore_loses_writes": True}
    hooks: dict[str, Any] = {f"migrate_after_{verb}": hook(site, shop, flag)}

    planned = site.run(verb, "--check", **settings, **wanted)
    (begun,) = planned.results("Begin the maintenance")
    assert begun["done"] == [str(flag), "shop"]
    assert shop.calls() == ["start shop", "stop shop", "start shop"]
    assert sqlite.dump() == before

    site.run(verb, **settings, **wanted, **hooks)
    assert sqlite.revisions == ["0001"]
    assert sqlite.rows("SELECT * FROM item") == [(1, "item 1"), (2, "item 2"), (3, "item 3")]
    assert shop.calls() == ["start shop", *["stop shop", "start shop"] * 2]
    assert (shop.runs, flag.exists(), state_of(site)) == (True, False, None)

    # Nothing of another run is there: nothing is stopped.
    nothing = site.run(verb, code=2, **settings, **{**wanted, f"migrate_{verb}_run": "no"})
    assert_code(nothing, {"rollback": "run-unknown", "restore": "backup-not-found"}[verb])
    assert len(shop.calls()) == 5


@pytest.mark.parametrize("verb", ["rollback", "restore"])
def test_a_rollback_does_not_run_where_the_application_does_not_stop(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path, verb: str
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    site.run("migrate", migrate_run="forth", **settings)
    before = sqlite.dump()
    stubborn = {"name": "stubborn", "start": ["true"], "stop": ["false"], "status": ["true"]}
    settings.update({"migrate_services": [shop.entry, stubborn], f"migrate_{verb}_run": "forth"})
    failing = site.run(verb, code=2, **settings)
    assert_code(failing, "service-failed", "stubborn", "false", "exit code 1")
    assert sqlite.dump() == before
    assert (shop.runs, flag.exists(), state_of(site)) == (True, False, None)


def test_a_hook_that_fails_after_a_revert_leaves_the_application_running(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    site.run("migrate", **settings)
    failing = site.folder / "failing.yml"
    failing.write_text("- name: Deploy\n  ansible.builtin.fail:\n    msg: no old code\n")
    output = site.run("rollback", code=2, migrate_after_rollback=failing, **settings).output
    assert_says(output, "no old code")
    assert sqlite.revisions == ["0001"]
    assert (shop.runs, flag.exists(), state_of(site)) == (True, False, None)


def test_what_a_rollback_has_left_held_keeps_its_application_stopped(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    # Another session writes meanwhile, so that what was there before cannot be put back.
    others = ["sqlite3", str(sqlite.path), "INSERT INTO item (name) VALUES ('later')"]
    leaves = "with op.get_context().autocommit_block():\n    op.execute('CREATE TABLE part (id INTEGER)')"
    back = f"import subprocess\nsubprocess.run({others!r}, check=True)\n{leaves}\nraise RuntimeError('no way back')"
    settings["migrate_source"].add("0003", "0002", "pass", back)
    site.run("migrate", **settings)
    sqlite.fill()
    outcome = site.run("rollback", code=2, **settings)
    assert_says(outcome.output, "no way back")
    assert kept_by(outcome)[:2] == ("app", "held")
    assert (shop.runs, flag.exists()) == (False, True)
