"""Several hosts on this machine, each below a folder of its own, and rollouts over them."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.integration.site import PLAYBOOKS, Source, event_of
from tests.integration.targets import SQLiteTarget
from tests.lab import ansible

#: A port of this machine at which no program listens: connecting fails at once, as it does to a host that is down.
UNREACHABLE = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}

#: What a revision does so that it fails on the hosts that are to fail.
FAILS = (
    'op.add_column("item", sa.Column("late", sa.Integer()))\nif os.environ.get("FAILS"):\n    sys.exit("told to fail")'
)


@dataclass
class Fleet:
    """Hosts web1, web2 and so on; each has a SQLite database of its own."""

    folder: Path
    virtualenv: Path
    count: int
    #: Variables of single hosts.
    own: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    #: Every playbook that a test of this session has run to its end.
    exercised: set[str] = field(default_factory=set)

    @property
    def names(self) -> list[str]:
        return [f"web{number}" for number in range(1, self.count + 1)]

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    def manifest(self) -> dict[str, Any]:
        """The manifest that was written last."""
        paths = sorted(self.manifests.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return dict(json.loads(paths[-1].read_text()))

    def states(self) -> dict[str, str]:
        return {name: host["state"] for name, host in self.manifest()["hosts"].items()}

    def database(self, name: str) -> SQLiteTarget:
        return SQLiteTarget(self.folder / name / "app.db")

    def revisions(self) -> dict[str, list[str]]:
        """The heads of each host's database, read from the database."""
        return {name: self.database(name).revisions for name in self.names}

    def at(self, **numbers: int) -> dict[str, list[str]]:
        """What ``revisions`` says when each host is at a revision; the others are at none."""
        return {name: [f"{numbers[name]:04}"] if name in numbers else [] for name in self.names}

    def inventory(self, **variables: Any) -> Path:
        hosts = {}
        for name in self.names:
            (self.folder / name).mkdir(exist_ok=True)
            own = dict(self.own.get(name, {}))
            entry = {**self.database(name).entry, "name": "app", "environment": own.pop("environment", {})}
            here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
            root = {"migrate_root": str(self.folder / name / "root")}
            hosts[name] = {**here, **root, "migrate_databases": [entry], **own}
        common = {
            "migrate_virtualenv": str(self.virtualenv),
            "migrate_manifests": str(self.manifests),
            "migrate_reconnect_timeout": 1,
            **{key: _plain(value) for key, value in variables.items()},
        }
        groups = {group: {"hosts": dict.fromkeys(names)} for group, names in self.groups.items()}
        path = self.folder / f"inventory-{len(list(self.folder.glob('inventory-*')))}.yml"
        path.write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": common, "children": groups}}, sort_keys=False))
        return path

    def run(
        self, verb: str, *words: str, code: int = 0, env: dict[str, str] | None = None, **variables: Any
    ) -> ansible.Outcome:
        """Run a playbook over the fleet and assert its exit code."""
        outcome = ansible.playbook(PLAYBOOKS / f"{verb}.yml", *words, inventory=self.inventory(**variables), env=env)
        return outcome.ended(code)

    def events(self, name: str, database: str = "app") -> list[dict[str, Any]]:
        """What the journals of a host's database say, the oldest first."""
        paths = (self.folder / name / "root" / "journals" / database).glob("*.jsonl")
        found = [event for path in paths for event in map(event_of, path.read_text().splitlines()) if event]
        return sorted(found, key=lambda event: str(event["at"]))


def _plain(value: Any) -> Any:
    return str(value.folder) if isinstance(value, Source) else value
