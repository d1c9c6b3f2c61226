"""The collection as others get it: built, installed into an empty path, run from an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.integration.site import Site, assert_says
from tests.integration.targets import SQLiteTarget
from tests.lab import PROJECT, ansible
from tests.lab.shell import run


@pytest.mark.both_cores
def test_the_built_tarball_migrates_from_an_empty_folder_with_an_inventory_alone(
    site: Site, sqlite: SQLiteTarget, tmp_path: Path
) -> None:
    galaxy = ansible.BIN / "ansible-galaxy"
    run([galaxy, "collection", "build", "--output-path", tmp_path], cwd=PROJECT)
    tarball = next(tmp_path.glob("hosting-alembic-*.tar.gz"))
    collections = tmp_path / "collections"
    # Nothing of the checkout and nothing of this user's is found from there.
    home = {"HOME": str(tmp_path / "home"), "ANSIBLE_COLLECTIONS_PATH": str(collections)}
    (tmp_path / "home").mkdir()
    empty = tmp_path / "empty"
    empty.mkdir()
    run([galaxy, "collection", "install", tarball, "--collections-path", collections, "--offline"], cwd=empty, env=home)
    installed = {path.name for path in (collections / "ansible_collections/hosting/alembic").iterdir()}
    assert {"meta", "playbooks", "plugins", "roles", "LICENSE", "MANIFEST.json"} <= installed
    assert not installed & {"tests", "molecule", "migrations", "inventory", ".venv", "ansible.cfg", "collections"}

    source = site.source("generic")
    inventory = empty / "inventory.yml"
    text = site.inventory(migrate_source=source, migrate_databases=[sqlite.entry]).read_text()
    inventory.write_text(yaml.safe_dump(yaml.safe_load(text)))
    for _ in range(2):
        outcome = ansible.playbook("hosting.alembic.migrate", inventory=inventory, env=home, cwd=empty).ended()
        assert sqlite.revisions == ["0002"]
    assert outcome.changed == 0
    outcome = ansible.playbook("hosting.alembic.status", inventory=inventory, env=home, cwd=empty).ended()
    assert_says(outcome.output, "app 0002")
    assert [path.name for path in empty.iterdir()] == ["inventory.yml"]
