"""A folder that is held open while names in it are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.held_folder import HeldFolder


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("kind", ["file", "other", "short", "gone", "link", "pipe", "folder"])
@pytest.mark.parametrize("is_first", [True, False])
def test_only_a_regular_file_with_the_same_bytes_has_the_same(tmp_path: Path, kind: str, is_first: bool) -> None:
    (tmp_path / "mine").write_bytes(b"content")
    path = tmp_path / "theirs"
    contents = {"file": b"content", "other": b"c0ntent", "short": b"c"}
    if kind in contents:
        path.write_bytes(contents[kind])
    elif kind == "link":
        path.symlink_to("mine")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    names = ("theirs", "mine") if is_first else ("mine", "theirs")

    with HeldFolder(tmp_path) as folder:
        before = _descriptors()
        assert folder.has_same_content(*names) is (kind == "file")
        assert _descriptors() == before
