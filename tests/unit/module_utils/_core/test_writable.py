"""Whether a root can be written, checked as a user whom permissions bind."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.writable import refuse_if_root_cannot_be_written
from tests.codes import refused
from tests.unit.stage import as_unprivileged, in_process


def requested(folder: Path, root: Path) -> None:
    in_process(lambda: as_unprivileged(folder, lambda: refuse_if_root_cannot_be_written(root)))


@pytest.mark.parametrize("below", ["", "root", "a/root"])
def test_a_folder_of_another_users_is_refused(tmp_path: Path, below: str) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o755)
    with refused("root-not-writable", folder, "become"):
        requested(folder, folder / below)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    with refused("root-not-writable", tmp_path / "root"):
        refuse_if_root_cannot_be_written(tmp_path / "root")


def test_a_folder_that_can_be_made_is_not(tmp_path: Path) -> None:
    refuse_if_root_cannot_be_written(tmp_path / "a" / "root")
    assert list(tmp_path.iterdir()) == []  # it is checked, and not made
    (tmp_path / "a").write_text("")
    with refused("root-not-writable", tmp_path / "a"):
        refuse_if_root_cannot_be_written(tmp_path / "a" / "root")
