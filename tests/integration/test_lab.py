"""The ground of the other tests: servers that are real, hosts that answer, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import ansible, hosts, podman
from tests.lab.fixtures import Database
from tests.lab.shell import CommandFailed


def test_a_database_belongs_to_a_role_without_powers(postgres_database: Database) -> None:
    rows = postgres_database.execute(
        "SELECT pg_get_userbyid(datdba), rolsuper FROM pg_database JOIN pg_roles ON pg_roles.oid = datdba"
        " WHERE datname = current_database()"
    )
    assert rows == [[postgres_database.user, "f"]]


def test_hosts_answer_over_ssh_and_reach_the_database_server(lab: hosts.Lab, tmp_path: Path) -> None:
    assert lab.postgres
    play = tmp_path / "play.yml"
    play.write_text(
        """
- hosts: hosting
  gather_facts: false
  tasks:
    - name: Query the server
      ansible.builtin.command: psql --no-psqlrc -Atc "SELECT current_setting('server_encoding')" {{ url }}
      changed_when: false
""",
    )
    run = ansible.playbook(play, inventory=lab.inventory, variables={"url": lab.postgres.url()}).ended()
    assert set(run.stats) == {"host1", "host2"}
    assert [result["stdout"] for result in run.results("Query the server")] == ["UTF8", "UTF8"]


def test_a_lab_that_fails_to_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "SSHD", ["false"])
    monkeypatch.setattr(hosts, "_wait_for_ssh", lambda _: podman.podman("no-such-verb"))
    before = podman.podman("ps", "--all", "--quiet"), podman.podman("network", "ls", "--quiet")
    with pytest.raises(CommandFailed):
        hosts.up(tmp_path / "lab")
    assert (podman.podman("ps", "--all", "--quiet"), podman.podman("network", "ls", "--quiet")) == before
    assert hosts.load(tmp_path / "lab") is None
