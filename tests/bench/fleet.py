"""Hosts over SSH: what a run costs that has nothing to do, and what shipping costs."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from ..lab import PROJECT, hosts, wheels
from ..lab.shell import CommandFailed, run
from .histories import alembic_project
from .measure import Contender, Played, Ratio, playbook, take_turns

HOSTS = 10
REVISIONS = 1000
ROOT = "/var/lib/hosting-alembic"
ELSEWHERE = "/var/lib/bench"

PING = [
    {
        "name": "Ping",
        "hosts": "{{ migrate_hosts | default('all') }}",
        "gather_facts": False,
        "tasks": [{"name": "Ping", "ansible.builtin.ping": {}}],
    }
]

UNARCHIVE = [
    {
        "name": "Send one archive",
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Unpack it",
                "ansible.builtin.unarchive": {"src": "{{ bench_archive }}", "dest": "{{ bench_destination }}"},
            }
        ],
    }
]


@dataclass
class Fleet:
    """The hosts, and what the playbooks need to reach them."""

    lab: hosts.Lab
    folder: Path
    inventory: Path
    env: dict[str, str]

    def playbook(self, name: Path | str, **variables: str) -> Played:
        """Run a playbook on all hosts."""
        return playbook(name, self.inventory, self.env, **variables)

    def write(self, name: str, play: object) -> Path:
        """Write a playbook of the plain way."""
        path = self.folder / name
        path.write_text(yaml.safe_dump(play, sort_keys=False))
        return path

    def on_each(self, script: str) -> None:
        """Run a line of shell on every host from outside, which is not timed."""
        for name in self.lab.hosts:
            self.lab.execute(name, "sh", "-c", script)


@contextmanager
def fleet(state: Path, folder: Path, count: int = HOSTS) -> Iterator[Fleet]:
    """Start the hosts, and remove them whatever happens."""
    lab = hosts.up(state, hosts=count)
    sockets = folder / "ssh"
    try:
        sockets.mkdir(mode=0o700)
        inventory = folder / "inventory"
        inventory.mkdir()
        (inventory / "lab.yml").write_text(lab.inventory.read_text())
        variables = {
            "ansible_become": True,
            "migrate_root": ROOT,
            "migrate_manifests": str(folder / "manifests"),
            "migrate_source": str(PROJECT / "migrations"),
            "migrate_databases": [{"name": "app", "url": f"sqlite:///{ROOT}/app.db"}],
            "migrate_wheelhouse": str(wheels.wheelhouse(PROJECT / "migrations" / "requirements.txt")),
        }
        (inventory / "variables.yml").write_text(yaml.safe_dump({"hosting": {"vars": variables}}))
        yield Fleet(lab, folder, inventory, {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets)})
    finally:
        for socket in sockets.iterdir():
            try:
                run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "nobody"])
            except CommandFailed:
                continue  # it had gone by itself
        hosts.down(state)


def no_op(on: Fleet, turns: int) -> list[Ratio]:
    """Compare migrate.yml on hosts at head with a ping of the same hosts."""
    ping = on.write("ping.yml", PING)
    on.playbook("migrate.yml")  # ships, installs and upgrades; and warms the connections
    printed = on.playbook("migrate.yml").output
    if "changed=0" not in printed or "changed=1" in printed:
        raise RuntimeError(f"the second run was meant to change nothing:\n{printed}")
    on.playbook(ping)
    ours = Contender("migrate.yml at head", lambda _turn: _discard(on.playbook("migrate.yml")))
    theirs = Contender("a play of one ping", lambda _turn: _discard(on.playbook(ping)))
    take_turns([ours, theirs], turns)
    return [Ratio(f"nothing to do on {HOSTS} hosts, beside a ping of them", ours, theirs, 2)]


def shipping(on: Fleet, turns: int) -> list[Ratio]:
    """Compare the first shipping of a large history with unpacking one archive of the same files."""
    project = alembic_project(on.folder / "large", REVISIONS)
    archive = on.folder / "large.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(project, ".")
    send = on.write("unarchive.yml", UNARCHIVE)
    # The virtualenv that the first run has made is the same on all hosts; shipping does not make one.
    virtualenv = on.lab.execute("host1", "sh", "-c", f"echo {ROOT}/virtualenvs/*").strip()
    on.playbook(on.write("ping.yml", PING))

    def ship(turn: int) -> None:
        on.playbook(
            "playbooks/ship.yml",
            migrate_root=f"{ELSEWHERE}/ours{turn}",
            migrate_source=str(project),
            migrate_virtualenv=virtualenv,
            migrate_wheelhouse="",
        )

    def unarchive(turn: int) -> None:
        on.playbook(send, bench_archive=str(archive), bench_destination=f"{ELSEWHERE}/theirs{turn}")

    ours = Contender("playbooks/ship.yml", ship, lambda _turn: on.on_each(f"mkdir -p {ELSEWHERE}"))
    theirs = Contender("unarchive", unarchive, lambda turn: on.on_each(f"mkdir -p {ELSEWHERE}/theirs{turn}"))
    take_turns([ours, theirs], turns)
    _check(on, f"test $(ls {ELSEWHERE}/ours0/releases/current/source/migrations/versions | wc -l) -ge {REVISIONS}")
    return [
        Ratio(f"{REVISIONS:,} revision files to {HOSTS} hosts for the first time, beside unarchive", ours, theirs, 3)
    ]


def _check(on: Fleet, script: str) -> None:
    for name in on.lab.hosts:
        on.lab.execute(name, "sh", "-c", script)


def _discard(_played: Played) -> None:
    """Let the whole command count."""
