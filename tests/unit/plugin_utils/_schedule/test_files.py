from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._schedule.files import (
    Schedule,
    format_calendar,
    render_cron_line,
    render_crontab,
)
from ansible_collections.hosting.alembic.plugins.plugin_utils._schedule.install import Machine
from ansible_collections.hosting.alembic.plugins.plugin_utils._windows.options import read_windows
from ansible_collections.hosting.alembic.plugins.plugin_utils._windows.permit import VARIABLE
from tests.codes import refused

NIGHT = {"start": "22:00", "end": "04:00", "timezone": "Europe/Berlin", "exclude": ["2026-12-24"]}
OPENS = "2026-07-14T22:00:30+02:00"


def schedule(folder: Path, **more: Any) -> Schedule:
    facts = {"name": "nightly", "playbook": "hosting.alembic.migrate", "project": str(folder), "windows": [NIGHT]}
    return Schedule(**{**facts, **more})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (NIGHT, "*-*-* 22:00:00 Europe/Berlin"),
        ({"days": ["sun", "mon"], "start": "03:30", "duration": "1h"}, "Mon,Sun *-*-* 03:30:00 UTC"),
    ],
)
def test_systemd_is_reported_the_start_in_its_zone(window: dict[str, Any], expected: str) -> None:
    (read,) = read_windows([window])
    assert format_calendar(read) == expected
    if shutil.which("systemd-analyze"):
        subprocess.run(["systemd-analyze", "calendar", expected], check=True, capture_output=True)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    Machine(str(tmp_path), "systemd").put(schedule(tmp_path), "", pretend=False)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "nightly.timer", tmp_path / "nightly.service"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_cron_runs_at_every_minute_that_can_be_the_start_somewhere(tmp_path: Path) -> None:
    odd = [NIGHT, {**NIGHT, "start": "01:50"}]
    line = render_cron_line(schedule(tmp_path, windows=odd), Machine(str(tmp_path)).locate_files("nightly"), "root")
    assert line == f"0,5,15,20,30,35,45,50 * * * * root {tmp_path}/nightly.sh --at-start\n"


def test_a_crontab_keeps_what_is_not_ours() -> None:
    others = "MAILTO=me\n1 2 * * * true\n"
    once = render_crontab(others, "nightly", "0 * * * * a\n")
    again = render_crontab(once, "nightly", "0 * * * * b\n")
    both = render_crontab(again, "weekly", "0 * * * * c\n")
    assert once.startswith(others)
    assert (again.count("begin"), "* a" in again, "* b" in again) == (1, False, True)
    assert render_crontab(render_crontab(both, "nightly", ""), "weekly", "") == others
    assert render_crontab("", "nightly", "") == ""


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("systemd", ["nightly.service", "nightly.sh", "nightly.timer"]),
        ("cron", ["nightly", "nightly.sh"]),
        ("crontab", ["nightly.crontab", "nightly.sh"]),
    ],
)
def test_it_is_written_once_replaced_by_another_kind_and_removed(tmp_path: Path, kind: str, files: list[str]) -> None:
    machine = Machine(str(tmp_path), kind)
    assert machine.put(schedule(tmp_path), "", pretend=True)
    assert names(tmp_path) == []
    assert len(machine.put(schedule(tmp_path), "", pretend=False)) == len(files)
    assert names(tmp_path) == files
    assert machine.put(schedule(tmp_path), "", pretend=False) == []
    assert machine.put(schedule(tmp_path, mail="ops@example.net"), "", pretend=False)
    Machine(str(tmp_path), "systemd" if kind == "cron" else "cron").put(schedule(tmp_path), "", pretend=False)
    assert not set(files) & set(names(tmp_path)) - {"nightly.sh"}

    assert machine.take_off("nightly", pretend=True)
    assert names(tmp_path) != []
    assert machine.take_off("nightly", pretend=False)
    assert names(tmp_path) == []
    assert machine.take_off("nightly", pretend=False) == []


def test_a_users_crontab_is_changed_through_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, home = tmp_path / "table", tmp_path / "home"
    program = tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = -l ]; then cat {table}; else cat >{table}.new; mv {table}.new {table}; fi\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(home))
    table.write_text("1 2 * * * true\n")
    machine = Machine(kind="crontab", is_root=False)

    machine.put(schedule(tmp_path), "", pretend=True)
    assert (table.read_text(), home.exists()) == ("1 2 * * * true\n", False)
    machine.put(schedule(tmp_path), "", pretend=False)
    script = home / ".local/lib/hosting-alembic/nightly.sh"
    assert f"0,15,30,45 * * * * {script} --at-start" in table.read_text().splitlines()
    assert script.stat().st_mode & 0o777 == 0o700
    assert machine.put(schedule(tmp_path), "", pretend=False) == []
    assert machine.take_off("nightly", pretend=False)
    assert table.read_text() == "1 2 * * * true\n"
    assert not script.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "night.ly"}, "small letters"),
        ({"windows": []}, "needs to know when"),
        ({"windows": [{"start": "25:00", "end": "1:00"}]}, "start '25:00'"),
        ({"project": "/nowhere"}, "is not a directory"),
        ({"playbook": "./nowhere.yml"}, "nowhere.yml' is not there"),
        ({"inventory": ["nowhere"]}, "inventory 'nowhere' is not there"),
        ({"vault_password_file": "nowhere"}, "vault_password_file 'nowhere' is not there"),
        ({"arguments": ["--ask-vault-pass"]}, "prompts at a terminal"),
        ({"arguments": ["--vault-id", "live@prompt"]}, "prompts at a terminal"),
        ({"mail": "a\nb"}, "must be one line"),
    ],
)
def test_what_would_only_be_found_out_at_night_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with refused("schedule-not-possible") as caught:
        Machine(str(tmp_path), "cron").put(schedule(tmp_path, **change), "", pretend=False)
    assert words in str(caught.value)
    assert names(tmp_path) == []


def started(folder: Path, now: str, *words: str) -> int:
    """Run a schedule's script at a time; the run itself is a playbook of no collection, which is refused at once."""
    environment = {"HOME": "/", "ANSIBLE_HOME": str(folder.parent / "ansible"), "PATH": "/usr/bin:/bin", VARIABLE: now}
    return subprocess.run([folder / "nightly.sh", *words], env=environment, check=False, timeout=60).returncode


@pytest.mark.parametrize(
    ("now", "words", "begins"),
    [
        (OPENS, [], True),
        (OPENS, ["--at-start"], True),
        ("2026-07-15T03:59:00+02:00", [], True),
        ("2026-07-14T22:15:00+02:00", ["--at-start"], False),
        ("2026-07-14T12:00:00+02:00", [], False),
        ("2026-12-24T22:00:00+01:00", ["--at-start"], False),
    ],
)
def test_the_script_knows_when_to_run(tmp_path: Path, now: str, words: list[str], begins: bool) -> None:
    Machine(str(tmp_path), "cron").put(schedule(tmp_path, playbook="no.such.playbook"), "", pretend=False)
    code = started(tmp_path, now, *words)
    log = tmp_path / "nightly.log"
    assert (code != 0) == begins
    assert ("begins" in log.read_text() if log.exists() else False) == begins
    if not begins and not words:
        assert "no window is open; the next window opens Tue 2026-07-14 22:00 Europe/Berlin" in log.read_text()


@pytest.mark.parametrize(("now", "begins"), [("2026-07-15T00:00:20+00:00", True), ("2026-07-15T00:15:00+00:00", False)])
def test_windows_that_follow_each_other_without_a_gap_begin_a_run_each(tmp_path: Path, now: str, begins: bool) -> None:
    every_day = schedule(tmp_path, playbook="no.such.playbook", windows=[{"start": "00:00", "duration": "24h"}])
    Machine(str(tmp_path), "cron").put(every_day, "", pretend=False)

    assert (started(tmp_path, now, "--at-start") != 0) == begins


def test_names_with_anything_in_them_come_through(tmp_path: Path) -> None:
    odd = tmp_path / 'it\'s 100% "odd" $HOME'
    odd.mkdir()
    reported = odd / "reported"
    command = f"cat >'{str(reported).replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}'; echo $MIGRATE_EXIT_CODE"
    wanted = schedule(odd, playbook="no.such.playbook", on_failure=command, inventory=["a b,"])
    Machine(str(odd), "systemd").put(wanted, "", pretend=False)
    assert started(odd, OPENS) != 0
    assert "no.such.playbook" in reported.read_text()
    if shutil.which("systemd-analyze"):
        done = subprocess.run(
            ["systemd-analyze", "verify", odd / "nightly.service"], check=False, capture_output=True, text=True
        )
        assert "not executable" not in done.stderr
