from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._discovery import files
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.files import find_files
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.source import Source


def found(*patterns: object) -> list[str]:
    return [row["path"] for row in find_files(Source(name="s", template={}, files=tuple(map(str, patterns))))]


def test_files_of_patterns_once_each_and_no_link(tmp_path: Path) -> None:
    for name in ("a/app.db", "b/app.db", "b/app.db-wal", "b/other.db", ".hidden/app.db", "c/app.db/inner"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "app.db").symlink_to(tmp_path / "a" / "app.db")
    (tmp_path / "e").mkdir()
    os.mkfifo(tmp_path / "e" / "app.db")

    here = [str(tmp_path / "a/app.db"), str(tmp_path / "b/app.db")]
    assert found(tmp_path / "*" / "app.db*") == here
    assert found(tmp_path / "*" / "app.db", tmp_path / "[ab]" / "app.db") == here
    # What the inventory itself names may be a link: an administrator has made it.
    assert found(tmp_path / "linked" / "*.db") == [str(tmp_path / "linked" / "app.db")]


def test_the_columns_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "shop.db").touch()
    (row,) = find_files(Source(name="s", template={}, files=(f"{tmp_path}/*.db",)))
    assert row == {"path": f"{tmp_path}/shop.db", "name": "shop.db", "stem": "shop", "folder": tmp_path.name}


def test_a_folder_that_is_not_there_is_not_an_empty_one(tmp_path: Path) -> None:
    assert found(tmp_path / "*.db") == []
    with pytest.raises(Refused) as caught:
        found(tmp_path / "mount" / "*.db")
    assert caught.value.code == "discovery-failed"


def test_a_folder_without_an_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_MOST_READ", 10)
    for number in range(11):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(Refused) as caught:
        found(tmp_path / "*.db")
    assert caught.value.code == "discovery-failed"
