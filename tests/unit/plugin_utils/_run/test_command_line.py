from __future__ import annotations

import ast
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from ansible import constants

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import build_playbook_command
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.command_line import (
    _OURS,
    Invocation,
    read_invocation,
)
from tests.lab import PROJECT

RESTORE = build_playbook_command("restore", migrate_restore_run="r1", migrate_restore_databases=["it's"])


def started(here: Path = PROJECT, **arguments: Any) -> Invocation:
    """How ansible-playbook would have been started with what Ansible makes of its command line."""
    return read_invocation({"args": ("migrate.yml",), **arguments}, here)


def words(command: str) -> list[str]:
    """The words that a shell makes of a command."""
    return shlex.split(command)


@pytest.fixture(autouse=True)
def found_by_ansible(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the checkout, whose ansible.cfg says where the collection is."""
    monkeypatch.syspath_prepend(str(PROJECT / "collections"))
    for name in ("ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_CONFIG", "ANSIBLE_INVENTORY", "ANSIBLE_VAULT_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_a_command_repeats_inventory_and_vault_and_is_limited_to_its_host(tmp_path: Path) -> None:
    run = started(
        tmp_path,
        inventory=(str(tmp_path / "inv" / "my hosts.yml"), "/etc/hosts.yml", "web1,web2"),
        vault_password_files=(str(tmp_path / ".vault"),),
        vault_ids=("prod@prompt",),
        ask_vault_pass=True,
    )

    found = words(run.complete_commands(RESTORE, "web1"))

    assert found[0] == "ansible-playbook"
    assert found[1:7] == ["-i", "inv/my hosts.yml", "-i", "/etc/hosts.yml", "-i", "web1,web2"]
    assert found[7:11] == ["--vault-id", "prod@prompt", "--vault-password-file", ".vault"]
    assert found[11:14] == ["--ask-vault-pass", "--limit", "web1"]
    assert found[14] == str(PROJECT / "playbooks" / "restore.yml")
    assert found[15:18] == ["-e", "migrate_restore_run=r1", "-e"]
    assert json.loads(found[18]) == {"migrate_restore_databases": ["it's"]}


def test_a_host_is_reached_as_in_this_run() -> None:
    run = started(remote_user="deploy", private_key_file="/k", become=True, become_ask_pass=True, ssh_extra_args="-v")

    found = words(run.complete_commands(RESTORE, "web1"))

    assert found[1:9] == [
        "--become",
        "--ask-become-pass",
        "--private-key",
        "/k",
        "--user",
        "deploy",
        "--ssh-extra-args",
        "-v",
    ]
    assert "sshpass" not in started(ssh_common_args="-o ProxyCommand='sshpass -p geheim ssh x'").complete_commands(
        RESTORE
    )


def test_in_the_checkout_a_command_for_the_hosts_of_the_run_is_the_short_one() -> None:
    assert started().complete_commands(f"Type: {RESTORE}") == f"Type: {RESTORE}"
    limited = started(subset="eu:!web3").complete_commands(build_playbook_command("migrate", migrate_run="r1"))
    assert words(limited) == ["ansible-playbook", "--limit", "eu:!web3", "migrate.yml", "-e", "migrate_run=r1"]


def test_a_collection_is_named_where_it_was_named() -> None:
    run = started(args=("hosting.alembic.migrate",))

    assert words(run.complete_commands(RESTORE, "web1"))[:4] == [
        "ansible-playbook",
        "--limit",
        "web1",
        "hosting.alembic.restore",
    ]


def test_where_ansible_does_not_find_the_collection_by_itself_its_place_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(PROJECT / "collections"))

    command = started().complete_commands(build_playbook_command("recover"), "web1")

    assert command == (
        f"ANSIBLE_COLLECTIONS_PATH={PROJECT / 'collections'} ansible-playbook --limit web1 playbooks/recover.yml"
    )
    assert started().complete_commands(command, "web1") == command


def test_what_only_this_shells_environment_says_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inventory = tmp_path / "inventory"
    for name, value in {
        "ANSIBLE_INVENTORY": inventory,
        "ANSIBLE_VAULT_PASSWORD_FILE": tmp_path / "password",
        "ANSIBLE_REMOTE_USER": "deploy",
        "ANSIBLE_BECOME": "true",
        "ANSIBLE_CONFIG": PROJECT / "ansible.cfg",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(constants, "CONFIG_FILE", str(PROJECT / "ansible.cfg"))

    run = started(tmp_path, inventory=(str(inventory),), remote_user="deploy", become=True)
    command = run.complete_commands(build_playbook_command("recover"), "web1")

    assert words(command)[:-1] == [
        f"ANSIBLE_CONFIG={PROJECT / 'ansible.cfg'}",
        "ansible-playbook",
        *("-i", "inventory", "--vault-password-file", "password", "--become", "--user", "deploy", "--limit", "web1"),
    ]
    assert run.complete_commands(command, "web1") == command
    there = started(PROJECT).complete_commands(build_playbook_command("recover"), "web1")
    assert words(there)[:3] == ["ansible-playbook", "--vault-password-file", str(tmp_path / "password")]
    assert started(PROJECT).complete_commands(there, "web1") == there


def test_to_migrate_again_is_to_start_ones_own_playbook_again() -> None:
    run = started(args=("site.yml",))

    assert "site.yml" in words(run.complete_commands(build_playbook_command("migrate"), migrates=True))
    assert "site.yml" not in words(run.complete_commands(build_playbook_command("migrate")))
    assert "site.yml" not in words(run.complete_commands(RESTORE, migrates=True))
    assert not started(args=(str(PROJECT / "migrate.yml"),)).own_playbooks
    assert not started(args=(str(PROJECT / "playbooks" / "plan.yml"),)).own_playbooks


def test_settings_are_repeated_and_secrets_and_decisions_are_not(tmp_path: Path) -> None:
    databases = json.dumps(
        {"migrate_databases": [{"password": "geheim"}], "migrate_root": "/srv/a b", "mine": "geheim"}
    )
    extra = (
        f"@{tmp_path / 'vars.yml'}",
        databases,
        "migrate_workers=4 migrate_run=r0 migrate_retry_failed=true",
        "t=geheim",
    )
    run = started(tmp_path, extra_vars=(*extra, "migrate_packages='[a@https://geheim@host/]'", "{not yaml: ["))

    command = run.complete_commands(build_playbook_command("migrate", migrate_retry_failed=["app"]))

    assert "geheim" not in command
    found = words(command)
    given = [found[at + 1] for at, word in enumerate(found) if word == "-e"]
    assert given[0] == "@vars.yml"
    assert json.loads(given[1]) == {"migrate_root": "/srv/a b"}
    assert given[2] == "migrate_workers=4"
    assert json.loads(given[3]) == {"migrate_retry_failed": ["app"]}
    assert len(given) == 4
    assert run.left_out == ("migrate_databases", "mine", "t", "migrate_packages", "what could not be read")
    assert "mine" in run.note([command])[0]
    assert run.note(["no command"]) == []


def test_sources_are_not_repeated_and_a_list_is_not_accepted_twice(tmp_path: Path) -> None:
    source = {"name": "s", "command": ["/bin/list"], "template": {"password": "geheim"}}
    extra = (json.dumps({"migrate_discover": [source], "migrate_only": "shop"}), "migrate_discover_accept=true")
    run = started(tmp_path, extra_vars=extra)

    command = run.complete_commands(build_playbook_command("restore", migrate_restore_run="r1"))

    assert "geheim" not in command
    found = words(command)
    assert [found[at + 1] for at, word in enumerate(found) if word == "-e"] == [
        "migrate_only=shop",
        "migrate_restore_run=r1",
    ]
    assert run.left_out == ("migrate_discover",)


@pytest.mark.parametrize(
    "text",
    [
        "ansible-playbook playbooks/restore.yml -e migrate_before_restore=/tmp/evil.yml",
        'ansible-playbook playbooks/restore.yml -e \'{"ansible_connection": "local"}\'',
        "run /opt/ansible-playbook playbooks/restore.yml",
        "could not read migrate.yml",
    ],
)
def test_what_is_not_a_command_of_ours_stays_as_it_is(text: str) -> None:
    assert started(subset="web1").complete_commands(text) == text


def test_a_command_is_completed_once_and_has_no_full_stop() -> None:
    refusal = Refused(
        "Database 'a' is held",
        "",
        f"forward: by hand, then: {build_playbook_command('migrate')}; back: {RESTORE}",
        code="database-held",
    )
    run = started(inventory=("/hosts",))

    once = run.complete_commands(str(refusal), "web1")

    assert run.complete_commands(once, "web1") == once
    assert once.count("--limit web1") == 2
    assert words(once.partition("back: ")[2])[-1] == '{"migrate_restore_databases": ["it\'s"]}'
    assert str(
        Refused("It failed", "", f"{build_playbook_command('recover')}; then wait", code="revision-failed")
    ).endswith("then wait.")


def test_data_is_completed_at_every_depth() -> None:
    data = {"databases": [{"error": {"remedy": build_playbook_command("recover")}, "seconds": 1.5}], "none": None}

    found = started(inventory=("/hosts",)).complete_all(data, "web1")

    remedy = "ansible-playbook -i /hosts --limit web1 playbooks/recover.yml"
    assert found == {"databases": [{"error": {"remedy": remedy}, "seconds": 1.5}], "none": None}


@pytest.mark.parametrize("value", ["a b", "it's", "{x}", "1", "ü", '"', "a=b"])
def test_any_value_is_one_word_and_comes_out_as_it_went_in(value: str) -> None:
    command = words(build_playbook_command("restore", migrate_restore_backup=value))

    assert command[:3] == ["ansible-playbook", "playbooks/restore.yml", "-e"]
    assert len(command) == 4
    known = {"migrate_restore_backup": value}
    assert command[3] == f"migrate_restore_backup={value}" or json.loads(command[3]) == known


def variables_of_commands() -> set[str]:
    """Return every variable that our code gives to a printed command, by its own name."""
    found: set[str] = set()
    for path in (PROJECT / "plugins").rglob("*.py"):
        text = path.read_text()
        if "build_playbook_command(" not in text and "find_restore_rights" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call):
                found.update(keyword.arg or "" for keyword in node.keywords)
            elif isinstance(node, ast.Dict):
                found.update(str(key.value) for key in node.keys if isinstance(key, ast.Constant))
    return {name for name in found if name.startswith("migrate_")}


def test_each_variable_of_a_printed_command_is_known_as_ours() -> None:
    found = variables_of_commands()

    assert {"migrate_restore_run", "migrate_restore_method", "migrate_end_maintenance"} <= found
    assert found <= _OURS
