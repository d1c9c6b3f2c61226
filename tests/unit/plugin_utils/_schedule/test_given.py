"""What schedule.yml was given on its command line, and what of it the scheduled run is given."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._schedule.files import Schedule
from ansible_collections.hosting.alembic.plugins.plugin_utils._schedule.given import read_given
from ansible_collections.hosting.alembic.plugins.plugin_utils._schedule.install import Machine
from tests.codes import refused
from tests.lab import PROJECT

NIGHT = {"start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"}


def schedule(folder: Path, arguments: dict[str, Any], *words: str) -> Schedule:
    given = read_given(arguments, folder)
    return Schedule("nightly", "a.b.migrate", str(folder), [NIGHT], ["web1,"], arguments=list(words), given=given)


def test_how_hosts_are_reached_and_extra_variables_are_repeated(tmp_path: Path) -> None:
    (tmp_path / "vault").touch()
    arguments = {
        "remote_user": "deploy",
        "become": True,
        "become_user": "app",
        "connection": "local",
        "private_key_file": str(tmp_path / "it's a key"),
        "vault_ids": ["prod@vault"],
        "extra_vars": [
            f"@{tmp_path}/more.yml",
            "ansible_port=2222 stage=live migrate_schedule_mail=ops@example.net",
            json.dumps({"migrate_target": "0001", "migrate_windows": [NIGHT], "ansible_ssh_private_key_file": "/k"}),
        ],
    }
    Machine(str(tmp_path), "cron").put(schedule(tmp_path, arguments, "--forks", "9"), "", pretend=False)
    (line,) = [line for line in (tmp_path / "nightly.sh").read_text().splitlines() if "a.b.migrate" in line]
    command = line.partition("&& ")[2].partition(" </dev/null")[0]
    program, words = command.split(" ", 1)
    assert program.endswith("ansible-playbook")
    printed = subprocess.run(["sh", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True).stdout

    found = printed.splitlines()

    assert found[:3] == ["a.b.migrate", "--inventory", "web1,"]
    assert found[3:14] == [
        "--vault-id", f"prod@{tmp_path}/vault", "--become", "--private-key", f"{tmp_path}/it's a key",
        "--user", "deploy", "--connection", "local", "--become-user", "app",
    ]  # fmt: skip
    assert found[14:24] == [
        "-e", f"@{tmp_path}/more.yml", "-e", "ansible_port=2222", "-e", "stage=live",
        "-e", "migrate_target=0001", "-e", "ansible_ssh_private_key_file=/k",
    ]  # fmt: skip
    assert found[-2:] == ["--forks", "9"]
    assert "migrate_schedule_mail" not in printed
    assert json.loads(found[-3]) == {"migrate_windows": [NIGHT]}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"extra_vars": ["ansible_become_password=sesame"]}, "-e ansible_become_password may hold a secret"),
        ({"extra_vars": ['{"shop": [{"db_password": "sesame"}]}']}, "-e shop may hold a secret"),
        ({"extra_vars": ["shop=postgresql://shop:sesame@db/shop"]}, "-e shop may hold a secret"),
        ({"extra_vars": ['{"migrate_databases": [{"name": "a", "url": "x?p=sesame"}]}']}, "-e migrate_databases may"),
        ({"extra_vars": ["{sesame"]}, "cannot be read"),
        ({"extra_vars": ["migrate_run=r1"]}, "-e migrate_run is meant for one run"),
        ({"ssh_common_args": "-o ProxyCommand='sshpass -p sesame ssh x'"}, "--ssh-common-args may hold a password"),
        ({"subset": "web1"}, "--limit is this command's own"),
        ({"become_ask_pass": True}, "--ask-become-pass prompts at a terminal"),
        ({"vault_ids": ["prod@prompt"]}, "prod@prompt prompts at a terminal"),
    ],
)
def test_what_cannot_be_repeated_is_refused_with_a_reason(
    tmp_path: Path, arguments: dict[str, Any], reason: str
) -> None:
    with refused("schedule-not-possible") as caught:
        Machine(str(tmp_path), "cron").put(schedule(tmp_path, arguments), "", pretend=False)

    assert reason in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("-e", "ansible_password=sesame"),
        ("-eansible_password=sesame",),
        ("--extra-vars=ansible_password=sesame",),
        ("--extra-vars", '{"shop_token": "sesame"}'),
    ],
)
def test_a_secret_among_the_arguments_is_not_written_into_the_script(tmp_path: Path, words: tuple[str, ...]) -> None:
    with refused("schedule-not-possible", "-e @FILE"):
        Machine(str(tmp_path), "cron").put(schedule(tmp_path, {}, *words), "", pretend=False)
    assert list(tmp_path.iterdir()) == []


def test_what_is_typed_at_the_playbook_is_in_the_script(tmp_path: Path) -> None:
    hosts = ["-i", "web1,", "-u", "deploy", "-b", "--become-user", "app", "--private-key", "keys/id"]
    own = {"migrate_schedule_folder": str(tmp_path / "out"), "migrate_windows": [NIGHT], "migrate_schedule_name": "n"}
    done = subprocess.run(
        [PROJECT / ".venv/bin/ansible-playbook", PROJECT / "playbooks/schedule.yml", *hosts,
         "-e", "stage=live", "-e", json.dumps(own)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PATH": "/bin", "LC_ALL": "C.UTF-8", "HOME": str(tmp_path), "ANSIBLE_CONFIG": f"{PROJECT}/ansible.cfg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    script = (tmp_path / "out" / "n.sh").read_text()
    wanted = ("--user deploy", "--become ", "--become-user app", f"--private-key {tmp_path}/keys/id", "-e stage=live")
    assert [each for each in wanted if each not in script] == []
