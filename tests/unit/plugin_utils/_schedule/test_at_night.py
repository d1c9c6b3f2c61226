from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._schedule import at_night
from ansible_collections.hosting.alembic.plugins.plugin_utils._schedule.files import Places, Schedule, render_script
from tests.lab import PROJECT

WINDOW = {"days": ["sat"], "start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"}


def test_what_this_shell_alone_knows_is_written_into_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = PROJECT / "collections"
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", f"/opt/x:{ours}")

    monkeypatch.setenv("ANSIBLE_REMOTE_USER", "deploy")

    found = at_night.build_environment(str(PROJECT))

    assert found["ANSIBLE_REMOTE_USER"] == "deploy"
    assert found["ANSIBLE_COLLECTIONS_PATH"] == f"/opt/x:{ours}"
    schedule = Schedule("nightly", "hosting.alembic.migrate", str(tmp_path), [WINDOW], environment={"A": "it's"})
    text = render_script(schedule, Places(tmp_path, tmp_path / "log", tmp_path / "lock", tmp_path, tmp_path))
    lines = [line for line in text.splitlines() if line.startswith(("A=", "export A"))]
    printed = subprocess.run(["sh", "-c", ";".join([*lines, "env"])], capture_output=True, text=True, check=True).stdout
    assert "A=it's" in printed.splitlines()


def test_a_vault_needs_a_file_with_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE", raising=False)
    folder = tmp_path / "inventory" / "group_vars"
    folder.mkdir(parents=True)
    (tmp_path / "inventory" / "hosts.yml").write_text("all:\n  hosts: {web1: }\n")
    plain = Schedule("nightly", "hosting.alembic.migrate", str(tmp_path), [WINDOW], ["inventory/hosts.yml"])
    assert not list(plain._list_problems())
    (folder / "all.yml").write_text("password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3131\n")

    for source in ("inventory/hosts.yml", "inventory", str(tmp_path / "inventory")):
        requested = at_night.find_vault_without_password(str(tmp_path), [source], "", [])
        assert Path(requested).name == "all.yml"
        assert not at_night.find_vault_without_password(str(tmp_path), [source], "file", [])
        assert not at_night.find_vault_without_password(str(tmp_path), [source], "", ["--vault-id", "a@b"])
    assert "migrate_schedule_vault_password_file" in " ".join(plain._list_problems())
    assert not at_night.find_vault_without_password(str(tmp_path), ["web1,web2", "nowhere"], "", [])
    for words in (["-e", "@inventory/group_vars/all.yml"], ["--extra-vars=@inventory/group_vars/all.yml"]):
        assert at_night.find_vault_without_password(str(tmp_path), ["web1,"], "", words), words


def test_a_mailer_is_missed_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    there = any(os.access(f"{folder}/sendmail", os.X_OK) for folder in ("/usr/sbin", "/usr/lib", "/sbin"))
    assert at_night.lacks_mailer() is not there
    (tmp_path / "mail").touch(0o755)
    assert not at_night.lacks_mailer()


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["-bK"], "-bK"),
        (["--limit", "web", "-bkK"], "-bkK"),
        (["--ask-become-p"], "--ask-become-p"),
        (["--ask-vault-passw"], "--ask-vault-passw"),
        (["-vJ"], "-vJ"),
        (["--ste"], "--ste"),
        (["--vault-id=shop@prompt"], "--vault-id=shop@prompt"),
        (["--vault-id", "shop@prompt"], "--vault-id shop@prompt"),
        (["--vault-id", "prompt"], "--vault-id prompt"),
        (["-K"], "-K"),
        (["-b", "-e", "kind=K", "-l", "web"], ""),
        (["-lK"], ""),
        (["--vault-id", "shop@file", "--tags", "step"], ""),
        (["--no-such-option"], ""),
    ],
)
def test_what_prompts_is_found_as_ansible_playbook_reads_it(words: list[str], word: str) -> None:
    assert at_night.find_prompting(words) == word


def test_how_this_shell_reaches_hosts_is_taken_over_and_the_rest_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
        monkeypatch.delenv(name)
    reached = {"ANSIBLE_SSH_ARGS": "-J jump", "ANSIBLE_HOST_KEY_CHECKING": "false", "ANSIBLE_TRANSPORT": "ssh"}
    lost = {"ANSIBLE_SSH_PASSWORD": "sesame", "ANSIBLE_ROLES_PATH": "/srv/roles", "ANSIBLE_NOCOLOR": "1"}
    for name, value in {**reached, **lost}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)

    found = at_night.build_environment(str(tmp_path))
    (warning,) = at_night.list_lost_settings([])

    assert {name: found.get(name) for name in (*reached, *lost)} == {**dict.fromkeys(lost), **reached}
    assert warning.startswith("ANSIBLE_ROLES_PATH, ANSIBLE_SSH_PASSWORD: ")
    assert "sesame" not in warning
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    assert "private_key_file" in at_night.list_lost_settings([])[1]
    assert len(at_night.list_lost_settings(["--private-key", "id"])) == 1
