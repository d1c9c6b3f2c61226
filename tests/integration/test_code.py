"""The code of the modules: kept on the host, sent where it is not there, and never more of it than is needed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.codes import assert_code
from tests.integration.site import Site
from tests.integration.targets import SQLiteTarget
from tests.lab import PROJECT
from tests.lab.module_calls import recorded
from tests.lab.waiting import wait_until


class Counted:
    """Playbooks whose calls of modules on the host are counted."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, own = site, recorded(folder)
        self.env, self._calls = {**os.environ, **own}, Path(own["CALLS"])

    def run(self, verb: str, *words: str, **settings: Any) -> list[str]:
        """Run a playbook and return which modules ran on the host."""
        self._calls.write_text("")
        self.site.run(verb, *words, env=self.env, **settings)
        return self._calls.read_text().split()


def archives(site: Site) -> dict[str, tuple[int, int]]:
    """Each file of code on the host, with what shows that it was written again."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (site.root / "code").iterdir()}


def newer_collection(folder: Path) -> dict[str, str]:
    """Copy the collection as its next version, and return the environment in which Ansible finds that."""
    place = folder / "newer" / "ansible_collections" / "hosting" / "alembic"
    for name in ("plugins", "roles", "playbooks", "meta"):
        shutil.copytree(PROJECT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "galaxy.yml", place)
    with (place / "plugins" / "module_utils" / "_core" / "errors.py").open("a") as file:
        file.write("\n# The next version.\n")
    return {"ANSIBLE_COLLECTIONS_PATH": str(folder / "newer")}


@pytest.fixture
def settings(site: Site, sqlite: SQLiteTarget) -> dict[str, Any]:
    return {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}


def test_code_is_sent_to_a_host_that_lacks_it_and_then_never_again(
    site: Site, sqlite: SQLiteTarget, settings: dict[str, Any], tmp_path: Path
) -> None:
    counted = Counted(site, tmp_path)
    # The first plan finds no root, and makes none: its code is not kept.
    assert counted.run("migrate", **settings) == [
        *("plan_info", "plan_info", "release", "release", "release", "plan_info", "upgrade"),
    ]
    kept = archives(site)
    assert len([name for name in kept if name.endswith(".zip")]) == 2
    assert counted.run("migrate", **settings) == ["plan_info"]
    assert archives(site) == kept
    assert sqlite.revisions == ["0002"]


def test_code_that_was_altered_is_replaced_before_it_is_used(
    site: Site, settings: dict[str, Any], tmp_path: Path
) -> None:
    counted = Counted(site, tmp_path)
    counted.run("migrate", **settings)
    (archive,) = [path for path in (site.root / "code").glob("*.zip") if len(path.stem) == 64]
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    assert counted.run("plan", **settings) == ["plan_info", "plan_info"]
    assert archive.read_bytes() == content


def test_check_mode_works_without_keeping_code(
    site: Site, sqlite: SQLiteTarget, settings: dict[str, Any], tmp_path: Path
) -> None:
    counted = Counted(site, tmp_path)
    site.run("ship", **settings)
    shutil.rmtree(site.root / "code")
    tree = site.tree()
    outcome = site.run("migrate", "--check", **settings)
    assert outcome.changed == 1
    assert site.tree() == tree
    assert counted.run("plan", "--check", **settings) == ["plan_info", "plan_info"]
    assert site.tree() == tree
    assert not sqlite.path.exists()


def test_a_link_in_the_place_of_the_code_is_refused_and_nothing_of_it_runs(
    site: Site, settings: dict[str, Any], tmp_path: Path
) -> None:
    site.run("ship", **settings)
    shutil.rmtree(site.root / "code")
    (tmp_path / "elsewhere").mkdir()
    (site.root / "code").symlink_to(tmp_path / "elsewhere")
    assert_code(site.run("migrate", code=2, **settings), "directory-not-usable")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_it_works_without_pipelining(site: Site, sqlite: SQLiteTarget, settings: dict[str, Any]) -> None:
    env = {**os.environ, "ANSIBLE_PIPELINING": "False"}
    variables = {**settings, "ansible_pipelining": False}
    site.run("migrate", env=env, **variables)
    assert sqlite.revisions == ["0002"]
    assert site.run("migrate", env=env, **variables).changed == 0


def test_a_worker_of_one_version_is_followed_by_the_next(
    site: Site, sqlite: SQLiteTarget, settings: dict[str, Any], tmp_path: Path
) -> None:
    site.run("migrate", **settings)
    before = archives(site)
    gate = tmp_path / "gate"
    waits = f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.05)\n"
    settings["migrate_source"].add("0003", "0002", waits + "op.create_table('part', sa.Column('id', sa.Integer()))")
    with site.start("migrate", migrate_run="earlier", **settings) as running:
        running.wait_for("revision 1 of 1")
        running.kill()
    newer = {**os.environ, **newer_collection(tmp_path)}
    with site.start("recover", env=newer, **settings) as recovery:
        wait_until(lambda: len(archives(site)) == len(before) + 2, "the next version is not kept")
        assert before.items() <= archives(site).items()
        gate.touch()
        recovery.end()
    assert sqlite.revisions == ["0003"]
    assert site.run("migrate", env=newer, **settings).changed == 0
