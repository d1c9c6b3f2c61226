"""What is not shipped, over real files."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._release.digest import (
    hash_all,
    hash_shipped,
    is_as_shipped,
    list_files,
)
from tests.codes import refused
from tests.unit.stage import script


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for name in ("env.py", "data/2026/rows.csv", "data/seed.sql", "env/settings.py", "versions/0001.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def names(folder: Path, *patterns: str) -> list[str]:
    return [str(path.relative_to(folder)) for path in list_files(folder, patterns)]


def test_sqlite_is_known_by_its_content_whatever_it_is_called(source: Path) -> None:
    before = hash_shipped(source)
    for name in ("app.db", "instance.data", "data/customers"):
        script(source / name, "pragma journal_mode = wal; create table t (a)")
        for suffix in ("-wal", "-shm", "-journal"):
            (source / f"{name}{suffix}").touch()
    (source / "opened.sqlite3").touch()
    assert hash_shipped(source) == before
    assert "app.db" in names(source, "!app.db")


def test_what_is_only_called_like_a_database_is_shipped(source: Path) -> None:
    (source / "words.db").write_text("a,b")
    (source / "notes-journal").write_text("text")
    assert {"words.db", "notes-journal"} <= set(names(source))


@pytest.mark.parametrize("name", ["venv", "env2", ".venv", "tools/py"])
def test_a_virtualenv_is_left_out_whatever_it_is_called(source: Path, name: str) -> None:
    before = hash_shipped(source)
    (source / name / "bin").mkdir(parents=True)
    (source / name / "pyvenv.cfg").write_text("home = /usr/bin")
    (source / name / "bin" / "python").symlink_to("/usr/bin/python3")
    assert hash_shipped(source) == before
    assert "env/settings.py" in names(source)


def test_an_environment_of_conda_and_the_file_of_a_worktree_are_left_out(source: Path) -> None:
    before = hash_shipped(source)
    (source / "env2" / "conda-meta").mkdir(parents=True)
    (source / "env2" / "conda-meta" / "history").write_text("==> 2026-11-29 <==")
    (source / "env2" / "python").symlink_to("/usr/bin/python3")
    for folder in (source, source / "versions"):
        (folder / ".git").write_text(f"gitdir: {source.parent}/repository/.git/worktrees/source")
    assert hash_shipped(source) == before


@pytest.mark.parametrize(
    ("patterns", "gone"),
    [
        (["*.csv"], {"data/2026/rows.csv"}),
        (["data/"], {"data/2026/rows.csv", "data/seed.sql"}),
        (["/data"], {"data/2026/rows.csv", "data/seed.sql"}),
        (["2026"], {"data/2026/rows.csv"}),
        (["/2026"], set()),
        (["seed.sql/"], set()),
        (["data/*.sql"], {"data/seed.sql"}),
        (["data/**/*.csv", "**/seed.sql"], {"data/2026/rows.csv", "data/seed.sql"}),
        (["data/**"], {"data/2026/rows.csv", "data/seed.sql"}),
        (["*.sql", "!seed.sql"], set()),
        (["seed.s[pq]l"], {"data/seed.sql"}),
        (["seed.s[!q]l"], set()),
        (["s??d.sql"], {"data/seed.sql"}),
        (["data*.csv"], set()),
    ],
)
def test_patterns_are_those_of_a_gitignore(source: Path, patterns: list[str], gone: set[str]) -> None:
    assert set(names(source)) - set(names(source, *patterns)) == gone


@pytest.mark.parametrize("kind", ["FIFO", "socket"])
def test_what_is_not_a_file_is_refused_by_name_and_can_be_left_out(source: Path, kind: str) -> None:
    path = source / "odd"
    if kind == "FIFO":
        os.mkfifo(path)
    else:
        here = Path.cwd()
        os.chdir(source)  # a socket's path may not be long
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("odd")
        os.chdir(here)
    with refused("source-not-shippable", "odd", kind, "migrate_exclude: [odd]"):
        hash_shipped(source)
    assert "odd" not in names(source, "odd")


def test_a_release_is_as_shipped_when_a_log_or_a_database_appears_in_it(source: Path) -> None:
    content, shipped = hash_all(source)
    assert content == hash_shipped(source)
    (source / "alembic.log").write_text("INFO")
    script(source / "app.db", "create table t (a)")
    (source / "shop.egg-info").mkdir()
    (source / "shop.egg-info" / "PKG-INFO").write_text("Name: shop")
    (source / "build" / "lib").mkdir(parents=True)
    (source / "build" / "lib" / "shop.py").write_text("")
    assert is_as_shipped(source, content, shipped)


@pytest.mark.parametrize("change", ["versions/0001.py", "versions/0002.py", "-env.py", "data/seed.sql"])
def test_a_release_is_not_as_shipped_when_code_or_a_shipped_file_differs(source: Path, change: str) -> None:
    content, shipped = hash_all(source)
    if change.startswith("-"):
        (source / change[1:]).unlink()
    else:
        (source / change).write_text("other")
    assert not is_as_shipped(source, content, shipped)


def test_a_pattern_that_is_none_is_refused_by_name(source: Path) -> None:
    with refused("exclude-invalid", "'[b-a]'", "migrate_exclude"):
        names(source, "[b-a]")
