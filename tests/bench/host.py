"""One ``migrate_root`` on this machine, and its verbs called as the modules call them, without the start of Ansible."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..lab import PROJECT
from ..lab.shell import run
from .measure import BIN, must, playbook

Result = dict[str, Any]

_ENTRY = "from ansible_collections.hosting.alembic.plugins.module_utils._verbs.entry import main; main()"


@dataclass(frozen=True)
class Host:
    """A host with a release of a project on it."""

    project: Path
    root: Path
    release: str

    @classmethod
    def ship(cls, folder: Path, project: Path) -> Host:
        """Ship a project below a folder."""
        root = folder / "root"
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": str(BIN / "python"),
            "migrate_root": str(root),
            "migrate_manifests": str(folder / "manifests"),
            "migrate_source": str(project),
            "migrate_virtualenv": str(BIN.parent),
            "migrate_databases": [{"name": "none", "url": f"sqlite:///{folder}/none.db"}],
        }
        inventory = folder / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"all": {"hosts": {"localhost": variables}}}))
        playbook("playbooks/ship.yml", inventory)
        return cls(project, root, (root / "releases" / "current").readlink().name)

    def do(self, verb: str, name: str, url: str, **options: Any) -> Result:
        """Have a verb done to one database, to its end, and return its result.

        Raises:
            RuntimeError: the verb was refused as a whole.
        """
        databases = [{"name": name, "url": url}]
        job = {"verb": verb, "root": str(self.root), "release": self.release, "run": name, "databases": databases}
        # It is called once and answers at the end; a module is called every few seconds, so as to report progress.
        printed = run(
            [BIN / "python", "-c", _ENTRY],
            text=json.dumps({**job, "follow": 3600, **options}),
            env={"PYTHONPATH": str(PROJECT / "collections")},
            timeout=3600,
        )
        answer = json.loads(printed)
        if "refused" in answer:
            raise RuntimeError(f"{verb} was refused: {answer['refused']}")
        [result] = answer["databases"] if verb == "plan" else answer["results"]
        return dict(result)

    def ended(self, outcome: str, verb: str, name: str, url: str, **options: Any) -> Result:
        """Have a verb done that has to end in one way.

        Raises:
            RuntimeError: it did not; a time without work behind it means nothing.
        """
        result = self.do(verb, name, url, **options)
        if result["outcome"] != outcome:
            raise RuntimeError(f"{verb} of {name} was meant to end {outcome}: {result}")
        return result

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what the journal of the one run on a database says."""
        path = self.root / "journals" / name / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def forget(self, name: str) -> None:
        """Remove a database's backups, which are large."""
        shutil.rmtree(self.root / "backups" / name, ignore_errors=True)

    def alembic(self, verb: str, target: str, url: str) -> None:
        """Call the bare program."""
        must([BIN / "alembic", "--config", self.project / "alembic.ini", verb, target], {"DATABASE_URL": url})
