from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import (
    Layout,
    build_key,
    check_run_id,
    make_private_directory,
    write_durably,
)
from tests.codes import refused
from tests.unit.stage import names


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("name", ["shop", "shop-2", "a.b_c"])
def test_a_plain_name_is_its_own_folder(name: str) -> None:
    assert build_key(name) == name


def test_similar_names_get_folders_of_their_own() -> None:
    names = ["Shop", "SHOP", "shop!", "shop?", "shop/../x", "магазин", "店", "..", ".", "", "a" * 300, "a" * 299]
    keys = [build_key(name) for name in names]

    assert len(set(keys)) == len(names)
    assert not any("/" in key or key.startswith(".") or len(key) > 64 for key in keys)


@pytest.mark.parametrize("run", ["", "../up", "a/b", ".hidden", "a b", "x" * 65, "a\n", "*"])
def test_a_run_id_that_is_not_a_file_name_is_refused_with_what_to_use(run: str) -> None:
    with refused("run-id-invalid"):
        check_run_id(run)


def test_a_run_id_may_look_like_a_time() -> None:
    assert check_run_id("20261122T030000Z-5f3a9c") == "20261122T030000Z-5f3a9c"


def test_folders_are_private(tmp_path: Path) -> None:
    assert mode(make_private_directory(tmp_path / "a" / "b")) == 0o700


@pytest.mark.parametrize("planted", ["link", "dangling link", "file"])
def test_what_is_in_a_folders_place_is_refused(tmp_path: Path, planted: str) -> None:
    path = tmp_path / "root"
    if planted == "file":
        path.write_text("mine")
    else:
        path.symlink_to(tmp_path if planted == "link" else tmp_path / "nowhere")

    with refused("directory-not-usable", path):
        make_private_directory(path)


def test_a_file_is_replaced_whole_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text("old")
    path.chmod(0o644)

    write_durably(path, "new ✓")

    assert path.read_text(encoding="utf-8") == "new ✓"
    assert mode(path) == 0o600
    assert names(tmp_path) == ["facts.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text("old")

    with pytest.raises(UnicodeEncodeError):
        write_durably(path, "\udcff")

    assert path.read_text() == "old"


def test_everything_of_a_database_lies_below_the_root() -> None:
    layout = Layout(Path("/srv/root"))

    assert layout.locate_journal("../../etc", "r1").parent.parent == Path("/srv/root/journals")
    assert layout.locate_backups("../../etc").parent == Path("/srv/root/backups")
    with pytest.raises(Refused):
        layout.locate_journal("app", "../../etc/passwd")
    with pytest.raises(Refused):
        layout.locate_worker("../r1", "upgrade")


def test_a_folder_that_the_file_system_refuses_is_named() -> None:
    with refused("directory-not-usable", "/proc/root-of-ours", "No such file or directory", "df /proc"):
        make_private_directory(Path("/proc/root-of-ours/releases"))
