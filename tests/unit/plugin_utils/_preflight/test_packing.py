from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible import constants

from ansible_collections.hosting.alembic.plugins.module_utils._release.digest import hash_shipped
from ansible_collections.hosting.alembic.plugins.plugin_utils._preflight.packing import pack
from tests.codes import refused
from tests.unit.stage import FIXTURES, unpack


@pytest.fixture(autouse=True)
def local_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").mkdir()
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path / "one"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    shutil.copytree(FIXTURES / "generic", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "requirements.txt").write_text("alembic\n")
    (folder / "hook.sh").write_text("#!/bin/sh\n")
    (folder / "hook.sh").chmod(0o755)
    return folder


def packed(source: Path, wheelhouse: str = "", **more: Any) -> dict[str, Any]:
    facts = {"pip_arguments": [], "python": "python3", "virtualenv": "", **more}
    packages = facts.pop("packages", [])
    found = pack(source, "requirements.txt", packages, wheelhouse, **facts)
    return {**found, **found.get("installation", {})}


def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Be another ansible-playbook."""
    (tmp_path / name).mkdir()
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path / name))


def test_the_same_content_is_the_same_bytes(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = packed(source)
    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    (copy / "alembic.ini").chmod(0o600)
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "env.pyc").write_text("bytecode")
    elsewhere(tmp_path, monkeypatch, "two")
    two = packed(copy)

    assert Path(one["archive"]).read_bytes() == Path(two["archive"]).read_bytes()
    assert one["archive"] != two["archive"]
    assert (one["release"], one["content"]) == (two["release"], two["content"])


def test_what_is_unpacked_is_what_was_packed(source: Path, tmp_path: Path) -> None:
    (source / "link.py").symlink_to("migrations/env.py")
    (source / "migrations" / "café 店.py").write_text("x")
    found = packed(source)

    with tarfile.open(found["archive"]) as tar:
        assert all((member.uid, member.gid, member.mtime, member.uname) == (0, 0, 0, "") for member in tar)
    unpack(Path(found["archive"]), tmp_path / "out")

    assert hash_shipped(tmp_path / "out") == found["content"] == hash_shipped(source)
    assert os.access(tmp_path / "out" / "hook.sh", os.X_OK)
    assert not os.access(tmp_path / "out" / "alembic.ini", os.X_OK)


def test_it_is_packed_once_a_run(source: Path) -> None:
    first = Path(packed(source)["archive"])
    before = first.stat().st_ino

    assert Path(packed(source)["archive"]).stat().st_ino == before


@pytest.mark.parametrize(
    "more",
    [{"packages": ["psycopg2-binary"]}, {"python": "python3.12"}, {"virtualenv": "/srv/v"}, {"pip_arguments": ["-q"]}],
)
def test_what_is_installed_is_part_of_the_releases_name(source: Path, more: dict[str, Any]) -> None:
    plain, other = packed(source), packed(source, **more)

    assert plain["release"] != other["release"]
    assert plain["content"] == other["content"]


def test_requirements_are_read_where_they_are(source: Path) -> None:
    assert packed(source)["requirements"] == "alembic\n"
    (source / "requirements.txt").unlink()
    assert packed(source)["requirements"] == ""


def test_wheels_are_known_by_name_and_content(source: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "a.whl").write_text("one")
    one = packed(source, str(wheels))
    (wheels / "a.whl").write_text("two")
    two = packed(source, str(wheels))

    assert len({one["wheelhouse"], two["wheelhouse"], ""}) == 3
    assert one["release"] != two["release"]
    with tarfile.open(two["wheelhouse_archive"]) as tar:
        assert tar.getnames() == ["a.whl"]


def test_what_is_not_a_migrations_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with refused("source-missing", "migrate_source"):
        packed(tmp_path / "empty")


def test_a_link_that_leads_out_is_refused_and_nothing_is_packed(source: Path, tmp_path: Path) -> None:
    (source / "link").symlink_to("../outside")

    with refused("source-leads-out"):
        packed(source)
    assert not list((tmp_path / "one").rglob("*.tar.gz"))
