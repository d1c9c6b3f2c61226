"""Run a playbook as a person would, and know what it did without reading what it printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from . import PROJECT

BIN = Path(sys.executable).parent


@dataclass
class Outcome:
    """How a run ended: the exit code, what it printed, and each result as data."""

    code: int
    output: str
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def stats(self) -> dict[str, dict[str, int]]:
        """Per host: ok, changed, failures, unreachable, rescued, skipped. Empty when no play ran."""
        found = [event["hosts"] for event in self.events if event["kind"] == "stats"]
        return dict(found[-1]) if found else {}

    @property
    def changed(self) -> int:
        return sum(host["changed"] for host in self.stats.values())

    def results(self, task: str, host: str = "", kind: str = "") -> list[dict[str, Any]]:
        """The results of every task whose name holds ``task``, in the order they came."""
        return [
            event["result"]
            for event in self.events
            if "result" in event
            and task in event["task"]
            and host in ("", event["host"])
            and kind in ("", event["kind"])
        ]

    def handlers(self) -> list[str]:
        return [event["task"] for event in self.events if event["kind"] == "handler"]

    def ended(self, code: int = 0) -> Outcome:
        """Assert the exit code, with everything the run printed when it is another."""
        assert self.code == code, f"the run ended with {self.code}, not {code}:\n{self.output}"
        return self


def playbook(
    name: Path | str,
    *words: str,
    inventory: Path | str | None = None,
    variables: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    programs: Path = BIN,
    cwd: Path = PROJECT,
    timeout: float = 600,
) -> Outcome:
    """Run ``ansible-playbook name`` in the checkout; ``variables`` become extra variables of any type."""
    with tempfile.TemporaryDirectory(prefix="hosting-alembic-run-") as folder:
        record = Path(folder) / "record.jsonl"
        argv = [str(programs / "ansible-playbook"), str(name), *words]
        if inventory:
            argv += ["--inventory", str(inventory)]
        if variables:
            extra = Path(folder) / "variables.yml"
            extra.write_text(yaml.safe_dump(dict(variables)))
            argv += ["--extra-vars", f"@{extra}"]
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={**_environment(record, programs), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout,
            check=False,
        )
        lines = record.read_text().splitlines() if record.exists() else []
    return Outcome(done.returncode, done.stdout, [json.loads(line) for line in lines])


def _environment(record: Path, programs: Path) -> dict[str, str]:
    """This process's environment, without settings of Ansible that a developer may have exported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {
        **kept,
        "PATH": f"{programs}:{kept.get('PATH', '')}",
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "record",
        "ANSIBLE_NOCOLOR": "1",
        "HOSTING_ALEMBIC_RECORD": str(record),
    }
