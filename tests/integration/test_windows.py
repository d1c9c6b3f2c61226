"""Windows: closed ones refuse before anything is touched, open ones end when they end."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.codes import assert_code, values
from tests.integration.site import Site, assert_says, printed
from tests.integration.targets import PostgresTarget, SQLiteTarget, Target
from tests.lab import PROJECT, ansible

#: Every night from 22:00 to 04:00 in Berlin, which is 20:00 to 02:00 UTC in summer.
NIGHT = [{"start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"}]
NOON = {"HOSTING_ALEMBIC_NOW": "2026-07-14T12:00:00+02:00"}
MIDNIGHT = {"HOSTING_ALEMBIC_NOW": "2026-07-15T00:00:00+02:00"}
CLOSES = "the window closed at 2026-07-15T02:00:00+00:00"


def last_seconds(seconds: int) -> dict[str, str]:
    """The clock, so long before the window closes."""
    return {"HOSTING_ALEMBIC_NOW": f"2026-07-15T03:59:{60 - seconds:02d}+02:00"}


def settings_for(site: Site, *targets: Target, fixture: str = "generic") -> dict[str, Any]:
    entries = [target.entry for target in targets]
    return {"migrate_source": site.source(fixture), "migrate_databases": entries, "migrate_windows": NIGHT}


def test_a_closed_window_refuses_before_any_host_is_touched(site: Site, targets: list[Target]) -> None:
    settings = settings_for(site, *targets)
    # No connection is made: a host that cannot be reached is refused just as well, and not lost.
    nowhere = '{"ansible_connection": "ssh", "ansible_host": "192.0.2.1", "ansible_timeout": 2}'
    outcome = site.run("migrate", code=2, env=NOON, **settings)
    away = site.run("migrate", "--extra-vars", nowhere, code=2, env=NOON, **settings)
    # That it is one is seen where the window is open.
    assert values(site.run("migrate", "--extra-vars", nowhere, code=2, env=MIDNIGHT, **settings), "lost")
    for refused in (outcome, away):
        assert_code(
            refused,
            "window-closed",
            "Tue 2026-07-14 12:00 Europe/Berlin (2026-07-14 10:00 UTC)",
            "Tue 2026-07-14 22:00 Europe/Berlin (2026-07-14 20:00 UTC)",
            "migrate_window_override",
        )
    assert values(away, "lost") == []
    assert away.stats["here"] == {**away.stats["here"], "failures": 1, "unreachable": 0}
    assert not site.root.exists()
    assert [target.tables() for target in targets if target.engine == "postgresql"] == [[]]


def test_what_changes_nothing_may_run_at_any_time(site: Site, sqlite: SQLiteTarget) -> None:
    settings = settings_for(site, sqlite)
    site.run("migrate", "--check", env=NOON, **settings)
    assert not sqlite.path.exists()
    site.run("ship", env=NOON, **settings)
    assert_says(site.run("plan", env=NOON, **settings).output, "base -> 0002")
    assert not sqlite.path.exists()


def test_an_open_window_lets_it_run(site: Site, targets: list[Target]) -> None:
    site.run("migrate", env=MIDNIGHT, migrate_window_required=True, **settings_for(site, *targets))
    assert [target.revisions for target in targets] == [["0002"], ["0002"]]


def test_a_window_can_be_required(site: Site, sqlite: SQLiteTarget) -> None:
    settings = {**settings_for(site, sqlite), "migrate_windows": [], "migrate_window_required": True}
    assert_code(site.run("migrate", code=2, **settings), "window-missing")
    assert not sqlite.path.exists()


def test_an_override_needs_a_reason_and_the_journal_records_it(site: Site, sqlite: SQLiteTarget) -> None:
    settings = settings_for(site, sqlite)
    for empty in ("migrate_window_override=", "migrate_window_override=' '", '{"migrate_window_override": true}'):
        site.run("migrate", "--extra-vars", empty, code=2, env=NOON, **settings)
    assert not sqlite.path.exists()
    reason = '{"migrate_window_override": "the shop is down, says Ada"}'
    site.run("migrate", "--extra-vars", reason, env=NOON, **settings)
    assert sqlite.revisions == ["0002"]
    recorded = [event["reason"] for event in site.events("app") if event["event"] == "overridden"]
    assert recorded == ["the shop is down, says Ada"]


def test_windows_that_are_wrong_are_all_reported_by_every_playbook_that_reads_them(
    site: Site, sqlite: SQLiteTarget
) -> None:
    settings = settings_for(site, sqlite)
    settings["migrate_windows"] = [{"start": "25:00", "duration": "long"}, {"start": "22:00", "end": "23:00"}]
    settings["migrate_windows"][1]["timezone"] = "Berlin"
    for verb in ("migrate", "plan"):
        outcome = site.run(verb, code=2, env=NOON, **settings)
        assert_says(outcome.output, "start '25:00'", "duration 'long'", "timezone 'Berlin'")


@pytest.mark.both_cores
@pytest.mark.parametrize("waits", ["in python", "in the database"])
def test_what_outlasts_the_window_is_cancelled_and_reverted(
    site: Site, sqlite: SQLiteTarget, postgres: PostgresTarget, waits: str
) -> None:
    targets: list[Target] = [sqlite, postgres]
    settings = settings_for(site, *targets, fixture="broken")
    settings["migrate_source"].keep("0001")
    site.run("migrate", env=MIDNIGHT, **settings)
    for target in targets:
        target.fill()
    before = [target.dump() for target in targets]

    source = settings["migrate_source"]
    source.add("0002", "0001", "op.create_table('good', sa.Column('id', sa.Integer()))", "op.drop_table('good')")
    long = "op.execute('DELETE FROM item')\n"
    if waits == "in python":
        long += "time.sleep(120)"
    else:
        long += "bind = op.get_bind()\n"
        long += "endless = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n'\n"
        long += "op.execute('SELECT pg_sleep(120)' if bind.dialect.name == 'postgresql' else endless)"
    source.add("0003", "0002", long, "raise RuntimeError('it was never applied')")
    outcome = site.run("migrate", code=2, env=last_seconds(8), **settings)

    assert_code(outcome, "window-cancelled", CLOSES)
    assert [target.dump() for target in targets] == before
    assert "downgraded" in printed(outcome.output)
    if waits == "in the database":
        assert_code(outcome, "window-cancelled", "0003", database=postgres.name)
    backends = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert postgres.rows(backends) == [(0,)]


def test_what_does_not_fit_is_deferred_untouched_and_the_rest_is_migrated(
    site: Site, sqlite: SQLiteTarget, postgres: PostgresTarget
) -> None:
    known = settings_for(site, sqlite)
    site.run("migrate", env=MIDNIGHT, **known)
    # One has a journal that says that it is quick; the other is new, and the margin counts.
    settings = {**known, "migrate_databases": [sqlite.entry, postgres.entry]}
    settings["migrate_source"].add("0003", "0002")
    outcome = site.run("migrate", code=2, env=last_seconds(50), **settings)
    assert sqlite.revisions == ["0003"]
    assert (postgres.revisions, postgres.tables()) == ([], [])
    assert site.backups(postgres.name) == []
    assert_code(
        outcome,
        "window-too-short",
        "2026-07-15T02:00:00+00:00",
        "migrate_window_margin is 300 s",
        "ansible-playbook -i ",
        database=postgres.name,
    )
    assert outcome.handlers() == []

    outcome = site.run("migrate", env=last_seconds(50), migrate_on_deferred="accept", **settings)
    assert_says(outcome.output, f"{postgres.name} deferred", "[window-too-short]")
    assert postgres.revisions == []
    site.run("migrate", env=MIDNIGHT, **settings)
    assert postgres.revisions == ["0003"]


def script_of(site: Site, settings: dict[str, Any], **more: Any) -> Path:
    """Put a run on a schedule that lies in a folder of the test, and return its script."""
    folder = site.folder / "schedule"
    inventory = site.inventory(**settings)
    site.run(
        "schedule",
        migrate_windows=NIGHT,
        migrate_schedule_folder=folder,
        migrate_schedule_inventory=[str(inventory)],
        **more,
    )
    return folder / "hosting-alembic.sh"


def start(script: Path, now: dict[str, str] = MIDNIGHT, **more: str) -> subprocess.Popen[str]:
    """Start it as cron would: with next to nothing in its environment."""
    environment = {"HOME": str(script.parent), "PATH": "/usr/bin:/bin", **now, **more}
    return subprocess.Popen([script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process: subprocess.Popen[str]) -> int:
    output, _ = process.communicate(timeout=120)
    assert output == ""  # cron would mail it
    return process.returncode


def test_a_scheduled_run_migrates_and_a_failed_one_is_reported(site: Site, sqlite: SQLiteTarget) -> None:
    settings = settings_for(site, sqlite)
    vault = site.folder / "vault"
    vault.write_text("sesame\n")
    mailed, reported = site.folder / "mailed", site.folder / "reported"
    programs = site.folder / "programs"
    programs.mkdir()
    (programs / "mail").write_text(f'#!/bin/sh\n{{ echo "$@"; cat; }} >{mailed}\n')
    (programs / "mail").chmod(0o755)
    script = script_of(
        site,
        settings,
        migrate_schedule_vault_password_file=vault,
        migrate_schedule_mail="ops@example.net",
        migrate_schedule_on_failure=f"{{ echo $MIGRATE_EXIT_CODE; cat; }} >{reported}; exit 3 # token=open-sesame",
        migrate_schedule_kind="systemd",
    )
    path = f"{programs}:/usr/bin:/bin"
    assert ended(start(script, NOON, PATH=path)) == 0
    assert not sqlite.path.exists()
    assert ended(start(script, PATH=path)) == 0
    assert sqlite.revisions == ["0002"]
    log = script.with_suffix(".log")
    assert_says(log.read_text(), "app upgraded")
    assert log.stat().st_mode & 0o777 == 0o600
    assert not mailed.exists()
    assert not reported.exists()

    settings["migrate_source"].add("0003", "0002", "raise RuntimeError('this revision fails on purpose')")
    assert ended(start(script, PATH=path)) == 2
    assert sqlite.revisions == ["0002"]
    assert reported.read_text().startswith("2\n")
    assert mailed.read_text().startswith("-s hosting-alembic on ")
    for text in (reported.read_text(), mailed.read_text()):
        assert_says(text, "this revision fails on purpose")
        assert "app upgraded" not in printed(text)  # only what this run printed
    assert "failed with 3" in mailed.read_text()
    assert "open-sesame" not in mailed.read_text() + log.read_text()


def test_a_scheduled_run_finds_a_collection_that_only_this_shell_knows(site: Site, sqlite: SQLiteTarget) -> None:
    place, elsewhere = site.folder / "opt", site.folder / "schedule"
    (place / "ansible_collections" / "hosting").mkdir(parents=True)
    checkout = PROJECT / "collections" / "ansible_collections" / "hosting" / "alembic"
    (place / "ansible_collections" / "hosting" / "alembic").symlink_to(checkout)
    settings = {**settings_for(site, sqlite), "migrate_schedule_folder": elsewhere}
    inventory = site.inventory(**settings)
    ansible.playbook(
        "hosting.alembic.schedule", inventory=inventory, cwd=site.folder, env={"ANSIBLE_COLLECTIONS_PATH": str(place)}
    ).ended()

    process = start(elsewhere / "hosting-alembic.sh")

    assert ended(process) == 0, (elsewhere / "hosting-alembic.log").read_text()
    assert sqlite.revisions == ["0002"]


def test_scheduled_runs_do_not_overlap(site: Site, sqlite: SQLiteTarget) -> None:
    settings = settings_for(site, sqlite)
    begun, go = site.folder / "begun", site.folder / "go"
    waits = f"import pathlib\npathlib.Path('{begun}').touch()\nwhile not os.path.exists('{go}'): time.sleep(0.1)"
    settings["migrate_source"].add("0003", "0002", waits)
    script = script_of(site, settings, migrate_schedule_kind="cron")
    first = start(script)
    deadline = time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < deadline, script.with_suffix(".log").read_text()
        time.sleep(0.1)
    assert ended(start(script)) == 75
    go.touch()
    assert ended(first) == 0
    assert sqlite.revisions == ["0003"]
    assert ended(start(script)) == 0


def test_a_schedule_is_made_once_and_unmade(site: Site, sqlite: SQLiteTarget) -> None:
    folder = site.folder / "schedule"
    settings = {**settings_for(site, sqlite), "migrate_schedule_folder": folder}
    check = site.run("schedule", "--check", **settings)
    assert check.changed == 1
    assert_says(check.output, "Would be written", str(folder / "hosting-alembic.sh"))
    assert "Written to" not in check.output
    assert not folder.exists()
    outcome = site.run("schedule", **settings)
    assert_says(outcome.output, "22:00 Europe/Berlin")
    (scheduled,) = [found for found in outcome.results("") if "script" in found and "summary" in found]
    assert sorted(scheduled["files"]) == sorted(map(str, folder.iterdir()))
    assert_says(" ".join(scheduled["summary"]), "Nothing was switched on", *scheduled["files"])
    # The inventory of this very run is that of the scheduled one, so nothing else has changed in another one.
    script = (folder / "hosting-alembic.sh").read_text()
    assert f"--inventory {site.folder}/inventory-1.yml" in script
    assert f"{PROJECT}/playbooks/migrate.yml" in script
    pinned = {**settings, "migrate_schedule_inventory": [f"{site.folder}/inventory-1.yml"]}
    assert site.run("schedule", **pinned).changed == 0
    assert_code(site.run("schedule", code=2, **{**pinned, "migrate_windows": []}), "schedule-not-possible")
    assert site.run("unschedule", **settings).changed == 1
    assert list(folder.iterdir()) == []
    assert site.run("unschedule", **settings).changed == 0
