"""Other ways to run it than by hand: an execution environment, ansible-runner, one inventory over two controllers."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.integration.fleet import Fleet
from tests.integration.site import PLAYBOOKS, Running, Site
from tests.integration.targets import PostgresTarget, SQLiteTarget, program
from tests.lab import PROJECT, ansible
from tests.lab.shell import run

EXECUTION_ENVIRONMENT = PROJECT / "execution-environment.yml"


def built(folder: Path) -> Path:
    run([ansible.BIN / "ansible-galaxy", "collection", "build", "--output-path", folder], cwd=PROJECT)
    (tarball,) = folder.glob("hosting-alembic-*.tar.gz")
    return tarball


def test_the_execution_environment_is_one_and_takes_the_tarball_that_is_built(tmp_path: Path) -> None:
    tarball = built(tmp_path)
    shutil.copy(EXECUTION_ENVIRONMENT, tmp_path)
    context = tmp_path / "context"
    done = program(
        ansible.BIN / "ansible-builder",
        "create",
        "--file",
        tmp_path / EXECUTION_ENVIRONMENT.name,
        "--context",
        context,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert yaml.safe_load(EXECUTION_ENVIRONMENT.read_text())["version"] == 3
    containerfile = (context / "Containerfile").read_text()
    assert "COPY _build/collections /build/collections" in containerfile
    assert (context / "_build" / "collections" / tarball.name).read_bytes() == tarball.read_bytes()
    (wanted,) = yaml.safe_load((context / "_build" / "requirements.yml").read_text())["collections"]
    assert wanted == {"name": f"/build/collections/{tarball.name}", "type": "file"}


def test_it_runs_under_ansible_runner_from_a_clean_directory(site: Site, sqlite: SQLiteTarget, tmp_path: Path) -> None:
    """As AWX does it: a project with the collection in it, an inventory, extra variables, and nothing else."""
    runner = tmp_path / "runner"
    project = runner / "project"
    project.mkdir(parents=True)
    collections = runner / "requirements_collections"
    words: list[str | Path] = [
        "collection",
        "install",
        built(tmp_path),
        "--offline",
        "--collections-path",
        project / "collections",
    ]
    run([ansible.BIN / "ansible-galaxy", *words], cwd=project, env={"ANSIBLE_COLLECTIONS_PATH": str(collections)})
    imported = [{"name": "Migrate", "ansible.builtin.import_playbook": "hosting.alembic.migrate"}]
    (project / "site.yml").write_text(yaml.safe_dump(imported))
    shutil.copytree(site.source("generic").folder, project / "shop")
    text = site.inventory(migrate_source=project / "shop", migrate_databases=[sqlite.entry]).read_text()
    (runner / "inventory").mkdir()
    (runner / "inventory" / "hosts.yml").write_text(text)
    (runner / "env").mkdir()
    (runner / "env" / "envvars").write_text(yaml.safe_dump({"ANSIBLE_COLLECTIONS_PATH": str(collections)}))
    (runner / "env" / "extravars").write_text(yaml.safe_dump({"migrate_target": "0001", "migrate_run": "job-17"}))
    home = tmp_path / "home"
    home.mkdir()

    def job(ident: str) -> str:
        # Nothing of the checkout and nothing of this user's is found from there.
        env = {"HOME": str(home), "PATH": f"{ansible.BIN}:{os.environ['PATH']}", "ANSIBLE_CONFIG": str(home)}
        words: list[str | Path] = ["run", runner, "--playbook", "site.yml", "--ident", ident]
        return run([ansible.BIN / "ansible-runner", *words], cwd=home, env=env)

    job("first")
    assert sqlite.revisions == ["0001"]
    assert (runner / "artifacts" / "first" / "status").read_text() == "successful"
    assert (runner / "artifacts" / "first" / "rc").read_text() == "0"
    (runner / "env" / "extravars").write_text("{}")
    assert "upgraded" in job("second")
    assert sqlite.revisions == ["0002"]
    assert [path.name for path in home.iterdir() if path.name != ".ansible"] == []


def test_one_inventory_is_sliced_over_two_controllers_at_once(
    tmp_path: Path, newest_virtualenv: Path, site: Site, more_postgres: Callable[[], PostgresTarget]
) -> None:
    """Each host has a database of its own and one that all of them share; every revision counts its runs."""
    shared = more_postgres()
    source = site.source("generic").keep("0001")
    count = "op.execute(\"INSERT INTO item (id, name) SELECT coalesce(max(id), 0) + 1, '{}' FROM item\")"
    for number in (2, 3, 4):
        slow = "time.sleep(0.5)\n" if number == 2 else ""
        source.add(f"{number:04}", f"{number - 1:04}", slow + count.format(number))
    fleet = Fleet(tmp_path, newest_virtualenv, 4)
    for name in fleet.names:
        own = fleet.database(name).entry
        fleet.own[name] = {"migrate_databases": [shared.entry, own]}
    inventory = fleet.inventory(migrate_source=source)

    def slice_of(names: list[str]) -> Running:
        return Running(PLAYBOOKS / "migrate.yml", "--limit", ",".join(names), inventory=inventory)

    with slice_of(fleet.names[::2]) as one, slice_of(fleet.names[1::2]) as other:
        printed = one.end(seconds=300) + other.end(seconds=300)
    assert shared.revisions == ["0004"]
    assert fleet.revisions() == fleet.at(web1=4, web2=4, web3=4, web4=4)
    once = [("2",), ("3",), ("4",)]
    for database in [shared, *map(fleet.database, fleet.names)]:
        assert database.rows("SELECT name FROM item ORDER BY id") == once, printed
    committed: Counter[str] = Counter()
    for name in fleet.names:
        events: list[dict[str, Any]] = fleet.events(name, shared.name)
        committed.update(event["revision"] for event in events if event["event"] == "committed")
    assert committed == {"0001": 1, "0002": 1, "0003": 1, "0004": 1}
    assert len(list(fleet.manifests.glob("*.json"))) == 2
