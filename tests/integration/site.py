"""One host of a test, this machine below a folder of its own, and its playbooks run as a person would run them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.lab import PROJECT, ansible

FIXTURES = PROJECT / "tests" / "fixtures"
PLAYBOOKS = PROJECT / "playbooks"


def printed(text: str) -> str:
    """A text without its line breaks and indentation, which differ with the width and the form of results."""
    return " ".join(text.split())


def assert_says(text: str, *phrases: str) -> None:
    """Every phrase is in the text, wherever its lines break."""
    missing = [phrase for phrase in phrases if printed(phrase) not in printed(text)]
    assert not missing, f"not said: {missing}\n{text}"


@dataclass
class Source:
    """A migrations directory of the test's own, made from a fixture."""

    folder: Path

    @property
    def versions(self) -> Path:
        return self.folder / "migrations" / "versions"

    @property
    def env(self) -> Path:
        return self.folder / "migrations" / "env.py"

    def keep(self, *revisions: str) -> Source:
        """Take the other revisions away: an older release."""
        for path in self.versions.glob("*.py"):
            if not path.name.startswith(revisions):
                path.unlink()
        return self

    def add(
        self, revision: str, builds_on: str | None, upgrade: str = "pass", downgrade: str | None = "pass"
    ) -> Source:
        """Write a revision; without a downgrade it has no such function at all."""
        down = repr(builds_on)
        text = f'"""revision {revision}"""\n\nimport os\nimport sys\nimport time\n\nimport sqlalchemy as sa\n'
        text += f"from alembic import op\n\nrevision = {revision!r}\ndown_revision = {down}\n"
        text += _function("upgrade", upgrade)
        if downgrade is not None:
            text += _function("downgrade", downgrade)
        (self.versions / f"{revision}.py").write_text(text)
        return self

    def replace(self, old: str, new: str) -> Source:
        """Change env.py as its author would."""
        text = self.env.read_text()
        assert old in text
        self.env.write_text(text.replace(old, new))
        return self


def _function(name: str, body: str) -> str:
    return f"\n\ndef {name}() -> None:\n" + "".join(f"    {line}\n" for line in body.splitlines())


@dataclass
class Site:
    """What an inventory says of one host, and the runs over it."""

    folder: Path
    variables: dict[str, Any]
    #: Every playbook that a test of this session has run to its end.
    exercised: set[str] = field(default_factory=set)
    #: How Ansible reaches it.
    connection: dict[str, Any] = field(default_factory=lambda: {"ansible_connection": "local"})

    @property
    def root(self) -> Path:
        return Path(self.variables["migrate_root"])

    def source(self, fixture: str, name: str = "") -> Source:
        """Copy a fixture; what a test does to it stays its own."""
        folder = self.folder / (name or fixture)
        shutil.copytree(FIXTURES / fixture, folder, ignore=shutil.ignore_patterns("__pycache__"))
        return Source(folder)

    def inventory(self, **variables: Any) -> Path:
        path = self.folder / f"inventory-{len(list(self.folder.glob('inventory-*')))}.yml"
        here = {**self.connection, "ansible_python_interpreter": sys.executable}
        everything = {**self.variables, **{key: _plain(value) for key, value in variables.items()}}
        path.write_text(yaml.safe_dump({"all": {"hosts": {"here": here}, "vars": everything}}))
        return path

    def run(
        self, verb: str, *words: str, code: int = 0, env: dict[str, str] | None = None, **variables: Any
    ) -> ansible.Outcome:
        """Run a playbook and assert its exit code."""
        playbook = PLAYBOOKS / f"{verb}.yml"
        outcome = ansible.playbook(playbook, *words, inventory=self.inventory(**variables), env=env)
        if outcome.stats:
            self.exercised.add(verb)
        return outcome.ended(code)

    def start(self, verb: str, *words: str, env: dict[str, str] | None = None, **variables: Any) -> Running:
        """Start a playbook and go on."""
        return Running(PLAYBOOKS / f"{verb}.yml", *words, inventory=self.inventory(**variables), env=env)

    def backups(self, name: str) -> list[Path]:
        return sorted(path for path in (self.root / "backups" / name).glob("*") if not path.name.startswith("."))

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the journals of a database say, the oldest first."""
        paths = (self.root / "journals" / name).glob("*.jsonl")
        found = [event for path in paths for event in map(event_of, path.read_text().splitlines()) if event]
        return sorted(found, key=lambda event: str(event["at"]))

    def tree(self) -> dict[str, str]:
        """What lies below the root: names, sizes and links, to compare with later."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            if "virtualenv" in path.relative_to(self.root).parts or "__pycache__" in path.parts:
                continue
            found[str(path.relative_to(self.root))] = str(path.readlink()) if path.is_symlink() else _size(path)
        return found


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else str(value.folder) if isinstance(value, Source) else value


def event_of(line: str) -> dict[str, Any]:
    """One event; a line that a full disk cut short is none."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return {}


def _size(path: Path) -> str:
    return "folder" if path.is_dir() else str(path.stat().st_size)


class Running:
    """A playbook that runs beside the test, which reads its lines as they come."""

    def __init__(self, playbook: Path, *words: str, inventory: Path, env: dict[str, str] | None = None) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment.update(env or {})
        # A session of its own: it can be ended with all that it started, and nothing else.
        self._process = subprocess.Popen(
            [str(ansible.BIN / "ansible-playbook"), str(playbook), "--inventory", str(inventory), *words],
            cwd=PROJECT,
            env={**environment, "PATH": f"{ansible.BIN}:{environment.get('PATH', '')}", "ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.lines: list[tuple[float, str]] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            with self._changed:
                self.lines.append((time.monotonic(), line.rstrip("\n")))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return "\n".join(line for _at, line in self.lines)

    def wait_for(self, pattern: str, seconds: float = 60) -> str:
        """Wait for a line; it is an error if the run ends without it."""
        wanted = re.compile(pattern)
        found: list[str] = []

        def poll() -> bool:
            found[:] = [line for _at, line in self.lines if wanted.search(line)]
            return bool(found) or self._ended

        with self._changed:
            self._changed.wait_for(poll, timeout=seconds)
        assert found, f"no line with {pattern!r}:\n{self.output}"
        return found[0]

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def code(self) -> int | None:
        """The exit code; None as long as it runs."""
        return self._process.poll()

    def end(self, code: int = 0, seconds: float = 120) -> str:
        """Wait for the end, assert the exit code, return all that was printed."""
        assert self._process.wait(timeout=seconds) == code, self.output
        self._reader.join(timeout=10)
        return self.output

    def kill(self) -> None:
        """End ansible-playbook and its forks as a lost terminal or a full memory would: no chance to tidy up."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(timeout=10)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self._process.stdout
        self._process.stdout.close()
