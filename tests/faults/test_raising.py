"""Every call of every module that a playbook makes raises once: the run fails, and the database is old or new.

ansible-core returns no ``msg`` and none of the module's own keys then. The modules raise under the host's own Python,
by a hook that its ``site`` loads; nothing of the product is replaced.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.faults.digest import digest
from tests.integration.site import Site, Source
from tests.integration.targets import SQLiteTarget
from tests.lab import ansible
from tests.lab.module_calls import recorded

#: What each playbook calls, in order, on a host with a service to stop and a statement to check.
CALLS = {
    "migrate": "plan_info release release plan_info maintenance upgrade health maintenance",
    "migrate that fails": "plan_info release release plan_info maintenance upgrade downgrade maintenance",
    "backup": "backup",
    "backups": "backups_info",
    "rollback": "status_info rollback maintenance rollback maintenance",
    "restore": "restore maintenance restore maintenance",
    "rehearse": "plan_info release release plan_info rehearse",
    "recover": "recover maintenance",
    "prune": "prune",
    "status": "status_info",
    "plan": "plan_info",
    "ship": "release release",
}
_DAILY = {
    ("migrate", "maintenance", 1),
    ("backup", "backup", 1),
    ("rollback", "rollback", 1),
    ("rollback", "rollback", 2),
}


def _cases() -> list[object]:
    found: list[object] = []
    for verb, words in CALLS.items():
        called = words.split()
        for index, module in enumerate(called):
            case = (verb, module, called[: index + 1].count(module))
            marks = [pytest.mark.daily, pytest.mark.both_cores] if case in _DAILY else []
            found.append(pytest.param(*case, id="-".join(map(str, case)), marks=marks))
    return found


class Stage:
    """A database that one run has brought to revision 0002, a newer release, and a service."""

    def __init__(self, site: Site, target: SQLiteTarget, folder: Path) -> None:
        self.site, self.target, self.folder = site, target, folder
        self.source: Source = site.source("generic", "release")
        self.running = folder / "running"
        self.running.touch()
        path = str(self.running)
        service = {"name": "shop", "start": ["touch", path], "stop": ["rm", path], "status": ["test", "-e", path]}
        check = {"sql": "SELECT 1", "expect": 1}
        self.settings: dict[str, Any] = {"migrate_databases": [target.entry], "migrate_source": self.source}
        self.settings.update(migrate_services=[service], migrate_health_checks=[check])
        self.environment = recorded(folder)
        self.calls, self.raised = Path(self.environment["CALLS"]), Path(self.environment["RAISED"])

    def prepare(self, verb: str) -> None:
        """Bring the host to where a verb has something to do."""
        self.site.run("migrate", **self.settings)
        self.target.fill()
        self.old = digest(self.target)
        if verb in ("migrate", "rehearse", "ship"):
            self.source.add(
                "0003", "0002", "op.create_table('part', sa.Column('id', sa.Integer()))", "op.drop_table('part')"
            )
        if verb == "migrate that fails":
            broken = "op.create_table('part', sa.Column('id', sa.Integer()))\nraise RuntimeError('on purpose')"
            self.source.add("0003", "0002", broken, "pass")

    def add_a_revision_that_waits(self) -> None:
        """Add a revision that waits for the call that raises, and then makes a table."""
        waits = f"while not os.path.exists({str(self.raised)!r}):\n    time.sleep(0.02)"
        self.source.add("0003", "0002", f"{waits}\nop.create_table('part', sa.Column('id', sa.Integer()))", "pass")

    def run(self, verb: str, raises: str, **more: Any) -> ansible.Outcome:
        """Run a playbook whose modules may raise; whatever its exit code."""
        if verb == "restore":
            more.setdefault("migrate_restore_databases", [self.target.entry["name"]])
        inventory = self.site.inventory(**self.settings, **more)
        environment = {**os.environ, **self.environment, "RAISES": raises}
        return ansible.playbook(f"playbooks/{verb.split(maxsplit=1)[0]}.yml", inventory=inventory, env=environment)


@pytest.mark.parametrize(("verb", "module", "number"), _cases())
def test_a_module_that_raises_fails_the_run(
    site: Site, sqlite: SQLiteTarget, tmp_path: Path, verb: str, module: str, number: int
) -> None:
    stage = Stage(site, sqlite, tmp_path)
    stage.prepare(verb)
    backups = site.backups(sqlite.entry["name"])

    outcome = stage.run(verb, f"{module}:{number}:{number}")

    assert stage.raised.exists(), f"{verb} makes no call {number} of {module}:\n{outcome.output}"
    assert outcome.code not in (0, 4), outcome.output
    assert outcome.stats["here"]["failures"] == 1, outcome.output
    found = sqlite.revisions
    if verb == "backup":
        assert site.backups(sqlite.entry["name"]) == backups
    if verb == "migrate" and (module, number) != ("maintenance", 2):
        assert (found, digest(sqlite)) == (["0002"], stage.old)
    if verb == "migrate that fails" and module == "downgrade":
        # The failed revision was not undone, and the run has reported so: the next one does.
        site.run("recover", **stage.settings)
    if verb in ("migrate that fails", "backup", "rehearse", "ship", "plan", "status", "prune", "recover"):
        assert (sqlite.revisions, digest(sqlite)) == (["0002"], stage.old)
    if verb in ("rollback", "restore") and (module, number) != ("maintenance", 2):
        assert (found, digest(sqlite)) == (["0002"], stage.old)


@pytest.mark.parametrize("verb", CALLS)
def test_every_call_is_known(site: Site, sqlite: SQLiteTarget, tmp_path: Path, verb: str) -> None:
    stage = Stage(site, sqlite, tmp_path)
    stage.prepare(verb)
    stage.run(verb, "-:0:0")
    assert stage.calls.read_text().split() == CALLS[verb].split()


@pytest.mark.daily
def test_a_worker_is_followed_again_after_a_call_that_raised(site: Site, sqlite: SQLiteTarget, tmp_path: Path) -> None:
    stage = Stage(site, sqlite, tmp_path)
    stage.prepare("migrate")
    stage.add_a_revision_that_waits()

    outcome = stage.run("migrate", "upgrade:2:2")

    assert outcome.ended(0).stats["here"]["failures"] == 0
    assert sqlite.revisions == ["0003"]


def test_a_worker_that_cannot_be_followed_is_not_a_success(site: Site, sqlite: SQLiteTarget, tmp_path: Path) -> None:
    stage = Stage(site, sqlite, tmp_path)
    stage.prepare("migrate")
    stage.add_a_revision_that_waits()

    outcome = stage.run("migrate", "upgrade:2:99")

    assert outcome.code not in (0, 4), outcome.output
    assert sqlite.revisions == ["0003"], "the worker went on, and nothing of it was wrong"


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_copy_that_could_not_be_fetched_is_reported_and_there_after_the_next_run(
    site: Site, sqlite: SQLiteTarget, tmp_path: Path, number: int
) -> None:
    """The host is called for what waits, for the content of two backups, and once more to remember what came."""
    stage = Stage(site, sqlite, tmp_path)
    stage.prepare("backup")
    to = {"migrate_backup_copy_to": f"controller:{tmp_path / 'taken'}"}

    outcome = stage.run("backup", f"fetch_backups:{number}:{number}", **to)

    assert stage.raised.exists(), outcome.output
    copies = [result["copies"] for result in outcome.results("Back up each database")]
    assert [bool(each["problems"]) for each in copies] == [number < 4], copies
    stage.run("backup", "-:0:0", **to).ended(0)
    backups = [folder.name for folder in site.backups(sqlite.entry["name"])]
    fetched = tmp_path / "taken" / "here" / "app"
    assert sorted(path.name for path in fetched.iterdir()) == sorted(backups)
