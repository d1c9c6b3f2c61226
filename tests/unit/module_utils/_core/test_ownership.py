"""Whose migrate_root is, before anything that lies there is executed or believed."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.ownership import (
    find_problem,
    refuse_if_not_ours,
    refuse_if_root_is_not_ours,
)
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import make_private_directory
from ansible_collections.hosting.alembic.plugins.module_utils._release.lookup import find_virtualenv_python
from tests.codes import refused
from tests.unit.modules.test_modules import call
from tests.unit.stage import Host

NO_ID = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is ours, in one that is."""
    made = tmp_path / "above" / "root"
    made.mkdir(parents=True)
    return made


def test_a_folder_of_ours_below_a_folder_for_all_users_is_ours(folder: Path) -> None:
    folder.parent.chmod(0o1777)  # as /tmp
    assert find_problem(folder) == ""
    assert find_problem(folder / "not" / "there" / "yet") == ""


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o722])
@pytest.mark.parametrize("which", ["above", "root"])
def test_a_folder_that_all_users_may_write_to_is_not(folder: Path, mode: int, which: str) -> None:
    (folder if which == "root" else folder.parent).chmod(mode)
    assert find_problem(folder).endswith(f" {folder if which == 'root' else folder.parent}")
    assert find_problem(folder / "x") != ""


def test_links_are_followed_and_all_that_they_lead_through_counts(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("above/root")
    assert find_problem(link / "x") == ""
    folder.parent.chmod(0o777)
    assert find_problem(link / "x").endswith(f" {folder.parent}")
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    assert "link" in find_problem(loop)


def give_to_unprivileged(path: Path, command: tuple[str, ...]) -> None:
    subprocess.run([*command, "chown", "-h", str(NO_ID), str(path)], check=True)


@pytest.fixture
def as_root() -> tuple[str, ...]:
    """What makes a command root's; the tests need that for packages too."""
    return () if os.geteuid() == 0 else ("sudo", "-n")


@pytest.mark.parametrize("which", ["above", "root", "link"])
def test_what_is_another_users_is_not_ours(folder: Path, as_root: tuple[str, ...], which: str) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    places = {"above": folder.parent, "root": folder, "link": link}
    give_to_unprivileged(places[which], as_root)
    assert find_problem(link).startswith(f"{places[which]} ")


@pytest.mark.parametrize("below", ["", "releases", "journals"])
def test_nothing_of_a_root_that_is_another_users_is_executed(
    host: Host, tmp_path: Path, as_root: tuple[str, ...], below: str
) -> None:
    host.ship("generic")
    ran = tmp_path / "ran"
    release = host.layout.current.resolve()
    link = release / "virtualenv"
    link.unlink()
    planted = link / "bin" / "python"
    planted.parent.mkdir(parents=True)
    planted.write_text(f"#!/bin/sh\ntouch {ran}\n")
    planted.chmod(0o755)
    place = host.root / below
    place.mkdir(exist_ok=True)
    give_to_unprivileged(place, as_root)
    options: dict[str, Any] = {
        "root": str(host.root),
        "databases": [{"name": "app", "url": f"sqlite:///{tmp_path / 'app.db'}"}],
    }

    answers = [
        call("plan_info", **options),
        call("status_info", **options),
        call("upgrade", run="r1", **options),
        call("recover", run="r2", **options),
        call("prune", **options),
        call("fetch_backups", root=str(host.root), databases=["app"], backup_copy_to="controller:/x"),
    ]

    assert not ran.exists()
    for answer in answers:
        assert answer["failed"]
        assert answer["code"] == "path-not-private"
        assert "migrate_root" in answer["msg"]


def test_a_virtualenv_into_which_others_write_is_refused(host: Host) -> None:
    digest = host.ship("generic")
    link = host.layout.release(digest) / "virtualenv"
    link.unlink()
    packages = link / "lib" / "python3.99" / "site-packages"
    packages.mkdir(parents=True)
    (link / "bin").mkdir()
    (link / "bin" / "python").symlink_to("/usr/bin/env")
    assert find_virtualenv_python(str(host.root), digest)
    packages.chmod(0o777)
    with refused("path-not-private", packages):
        find_virtualenv_python(str(host.root), digest)


@pytest.mark.parametrize("below", ["root", "deeper/root"])
def test_a_file_above_the_root_is_a_refusal_that_says_what_to_type(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("")

    with refused("directory-not-usable", "migrate_root", file / below, "Not a directory", "ls -ld"):
        refuse_if_not_ours(file / below, "migrate_root")
    with refused("directory-not-usable"):
        make_private_directory(file / below)
    assert file.read_text() == ""


@pytest.mark.parametrize("tag", [0x02, 0x08])
@pytest.mark.parametrize(("rights", "is_refused"), [(7, True), (5, False)])
def test_a_folder_that_a_list_opens_to_another_users_is_refused(
    tmp_path: Path, tag: int, rights: int, is_refused: bool
) -> None:
    folder = tmp_path / "root"
    folder.mkdir(mode=0o700)
    entries = [(0x01, 7, -1), (tag, rights, 65533), (0x04, 0, -1), (0x10, rights, -1), (0x20, 0, -1)]
    entries.sort()
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(folder, "system.posix_acl_access", packed)

    found = find_problem(folder)

    assert bool(found) is is_refused


@pytest.mark.parametrize("others", [5, 7])
def test_the_mask_of_a_list_limits_nothing_for_all_users(tmp_path: Path, others: int) -> None:
    give_default_list(tmp_path, group=5, mask=5, others=others)

    assert ("(getfacl -d)" in find_problem(tmp_path)) is (others == 7)


@pytest.mark.parametrize("has_group_of_folder", [True, False])
@pytest.mark.parametrize("mask", [5, 7])
def test_the_group_that_is_made_owner_in_a_folder_is_judged(
    tmp_path: Path, as_root: tuple[str, ...], mask: int, has_group_of_folder: bool
) -> None:
    subprocess.run([*as_root, "chgrp", str(NO_ID), str(tmp_path)], check=True)
    subprocess.run([*as_root, "chmod", "2750" if has_group_of_folder else "0750", str(tmp_path)], check=True)
    give_default_list(tmp_path, group=7, mask=mask, others=0)

    found = find_problem(tmp_path)

    assert found.endswith("(getfacl -d)") is (mask == 7 and has_group_of_folder), found


def give_default_list(folder: Path, group: int, mask: int, others: int) -> None:
    entries = [(0x01, 7, -1), (0x04, group, -1), (0x10, mask, -1), (0x20, others, -1)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(folder, "system.posix_acl_default", packed)


def test_what_is_made_in_a_folder_of_ours_is_not_opened_by_a_default_list(tmp_path: Path) -> None:
    entries = [(0x01, 7, -1), (0x02, 7, 65533), (0x04, 0, -1), (0x10, 7, -1), (0x20, 0, -1)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(tmp_path, "system.posix_acl_default", packed)

    made = make_private_directory(tmp_path / "root" / "releases")
    (made / "file").touch()

    for path in (made, made.parent, made / "file"):
        assert not [name for name in os.listxattr(path) if name.startswith("system.posix_acl")]
    assert find_problem(made) == ""
    (tmp_path / "given").mkdir(mode=0o700)
    assert find_problem(tmp_path / "given").endswith(f"{tmp_path / 'given'} (getfacl -d)")


def test_a_root_that_depends_on_a_working_directory_is_refused() -> None:
    with refused("root-relative", "absolute"):
        refuse_if_root_is_not_ours(Path("migrations"))
