from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._release.digest import hash_shipped, list_files
from tests.codes import refused


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text("env")
    (folder / "versions" / "0001.py").write_text("one")
    return folder


def names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in list_files(folder)]


def test_caches_and_bytecode_are_left_out(source: Path) -> None:
    before = hash_shipped(source)
    for cache in ("__pycache__", ".git", ".venv", "versions/__pycache__", ".mypy_cache", "node_modules"):
        (source / cache).mkdir()
        (source / cache / "x").write_text("noise")
    (source / "env.pyc").write_text("bytecode")

    assert names(source) == ["env.py", "versions/0001.py"]
    assert hash_shipped(source) == before


def test_hidden_files_count(source: Path) -> None:
    (source / ".env").write_text("A=1")

    assert ".env" in names(source)


def test_the_order_does_not_depend_on_the_file_system(source: Path) -> None:
    copy = source.with_name("copy")
    for path in reversed(list(list_files(source))):
        place = copy / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)

    assert names(copy) == names(source)
    assert hash_shipped(copy) == hash_shipped(source)


def test_the_digest_knows_content_name_and_executable_bit(source: Path) -> None:
    seen = {hash_shipped(source)}
    for change in (
        lambda: (source / "env.py").write_text("other"),
        lambda: (source / "env.py").rename(source / "env2.py"),
        lambda: (source / "env2.py").chmod(0o755),
        lambda: (source / "link").symlink_to("env2.py"),
        (source / "empty").touch,
    ):
        change()
        seen.add(hash_shipped(source))

    assert len(seen) == 6


def test_the_digest_does_not_know_times_and_other_permissions(source: Path) -> None:
    before = hash_shipped(source)
    os.utime(source / "env.py", (1, 1))
    (source / "env.py").chmod(0o600)

    assert hash_shipped(source) == before


def test_moving_bytes_from_one_file_to_the_next_is_another_digest(tmp_path: Path) -> None:
    digests = set()
    for number, (first, second) in enumerate((("ab", "c"), ("a", "bc"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "x").write_text(first)
        (folder / "y").write_text(second)
        digests.add(hash_shipped(folder))

    assert len(digests) == 2


@pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "inner/../../outside", "via"])
def test_a_link_that_leads_out_is_refused(source: Path, target: str) -> None:
    source.with_name("outside").write_text("secret")
    (source / "via").symlink_to("../outside") if target == "via" else None
    (source / "link").symlink_to(target)

    with refused("source-leads-out", "link"):
        hash_shipped(source)


def test_a_link_to_a_folder_outside_is_refused(source: Path) -> None:
    (source / "shared").symlink_to("..")

    with refused("source-leads-out", "shared"):
        list(list_files(source))


def test_an_absolute_link_is_refused_although_it_leads_inside(source: Path) -> None:
    (source / "link").symlink_to(source / "env.py")

    with refused("source-leads-out", "link"):
        list(list_files(source))


def test_a_folder_that_begins_alike_is_outside(source: Path) -> None:
    source.with_name("migrations2").mkdir()
    (source / "link").symlink_to("../migrations2")

    with refused("source-leads-out", "link"):
        list(list_files(source))


def test_links_inside_are_kept_as_links(source: Path) -> None:
    (source / "link").symlink_to("env.py")
    (source / "folder").symlink_to("versions")

    assert names(source) == ["env.py", "folder", "link", "versions/0001.py"]
