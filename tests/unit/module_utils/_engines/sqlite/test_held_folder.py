"""A folder that is held open while names in it are read, and copies that are made in it."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite import held_folder
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.held_folder import (
    HeldFolder,
    copy_durably,
)


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


Copy = Callable[[int, int, int, int, int], int]
KERNELS = ["ordinary", "a part at a time", "none", "cannot at all", "two file systems", "says nothing", "gives up"]


def _kernel(kind: str) -> Copy | None:
    """Return what a kernel of some kind copies of so many bytes."""
    real: Copy = os.copy_file_range

    def copy(source: int, target: int, count: int, begin: int, there: int) -> int:
        if kind in ("cannot at all", "two file systems") or (kind == "gives up" and begin):
            raise OSError(errno.EXDEV if kind == "two file systems" else errno.EOPNOTSUPP, "no")
        return 0 if kind == "says nothing" else real(source, target, min(count, 1000), begin, there)

    return {"none": None, "ordinary": real}.get(kind, copy)


@pytest.mark.parametrize("size", [0, 1, 999, 5000, 300_000])
@pytest.mark.parametrize("kind", KERNELS)
def test_a_copy_has_the_same_bytes_whatever_the_kernel_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, size: int
) -> None:
    content = os.urandom(size)
    (tmp_path / "backup").write_bytes(content)
    if kernel := _kernel(kind):
        monkeypatch.setattr(os, "copy_file_range", kernel)
    else:
        monkeypatch.delattr(os, "copy_file_range")

    with HeldFolder(tmp_path) as folder:
        target = folder.create("copy")
        assert copy_durably(tmp_path / "backup", target) == hashlib.sha256(content).hexdigest()
        os.close(target)

    assert (tmp_path / "copy").read_bytes() == content


@pytest.mark.parametrize("at", [0, 2500, 4999])
def test_the_digest_of_a_copy_is_that_of_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """One byte that is written wrongly: the backup that was read has the right digest."""
    content = bytes(5000)
    (tmp_path / "backup").write_bytes(content)
    real: Callable[[int, int, int], int] = held_folder.copy_piece

    def wrong(source: int, target: int, begin: int) -> int:
        count = real(source, target, begin)
        if begin <= at < begin + count:
            os.pwrite(target, b"\1", at)
        return count

    monkeypatch.setattr(held_folder, "copy_piece", wrong)
    with HeldFolder(tmp_path) as folder:
        target = folder.create("copy")
        assert copy_durably(tmp_path / "backup", target) != hashlib.sha256(content).hexdigest()
        os.close(target)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_copy_that_fails_is_not_tried_in_another_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(*_: object) -> int:
        raise OSError(number, "no")

    (tmp_path / "backup").write_bytes(b"content")
    monkeypatch.setattr(os, "copy_file_range", fails)
    with HeldFolder(tmp_path) as folder:
        target = folder.create("copy")
        with pytest.raises(OSError, match="no") as failure:
            copy_durably(tmp_path / "backup", target)
        os.close(target)
    assert failure.value.errno == number
