from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._schedule import at_night
from ansible_collections.hosting.alembic.plugins.plugin_utils._schedule.files import Places, Schedule, script
from tests.lab import PROJECT

WINDOW = {"days": ["sat"], "start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"}


def test_what_this_shell_alone_knows_is_written_into_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = PROJECT / "collections"
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", f"/opt/x:{ours}")

    monkeypatch.setenv("ANSIBLE_REMOTE_USER", "deploy")

    found = at_night.environment(str(PROJECT))

    assert found["ANSIBLE_REMOTE_USER"] == "deploy"
    assert found["ANSIBLE_COLLECTIONS_PATH"] == f"/opt/x:{ours}"
    schedule = Schedule("nightly", "hosting.alembic.migrate", str(tmp_path), [WINDOW], environment={"A": "it's"})
    text = script(schedule, Places(tmp_path, tmp_path / "log", tmp_path / "lock", tmp_path, tmp_path))
    lines = [line for line in text.splitlines() if line.startswith(("A=", "export A"))]
    printed = subprocess.run(["sh", "-c", ";".join([*lines, "env"])], capture_output=True, text=True, check=True).stdout
    assert "A=it's" in printed.splitlines()


def test_a_vault_needs_a_file_with_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE", raising=False)
    folder = tmp_path / "inventory" / "group_vars"
    folder.mkdir(parents=True)
    (tmp_path / "inventory" / "hosts.yml").write_text("all:\n  hosts: {web1: }\n")
    plain = Schedule("nightly", "hosting.alembic.migrate", str(tmp_path), [WINDOW], ["inventory/hosts.yml"])
    assert not list(plain._problems())
    (folder / "all.yml").write_text("password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3131\n")

    for source in ("inventory/hosts.yml", "inventory", str(tmp_path / "inventory")):
        requested = at_night.vault_without_password(str(tmp_path), [source], "", [])
        assert Path(requested).name == "all.yml"
        assert not at_night.vault_without_password(str(tmp_path), [source], "file", [])
        assert not at_night.vault_without_password(str(tmp_path), [source], "", ["--vault-id", "a@b"])
    assert "migrate_schedule_vault_password_file" in " ".join(plain._problems())
    assert not at_night.vault_without_password(str(tmp_path), ["web1,web2", "nowhere"], "", [])
    for words in (["-e", "@inventory/group_vars/all.yml"], ["--extra-vars=@inventory/group_vars/all.yml"]):
        assert at_night.vault_without_password(str(tmp_path), ["web1,"], "", words), words


def test_a_mailer_is_missed_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    there = any(os.access(f"{folder}/sendmail", os.X_OK) for folder in ("/usr/sbin", "/usr/lib", "/sbin"))
    assert at_night.missing_mailer() is not there
    (tmp_path / "mail").touch(0o755)
    assert not at_night.missing_mailer()
