"""Whether env.py is where the configuration says, over real folders."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._preflight.checks import list_problems
from ansible_collections.hosting.alembic.plugins.plugin_utils._preflight.env_py import refuse_without_env_py
from tests.codes import refused
from tests.unit.stage import FIXTURES


def revision(folder: Path) -> None:
    folder.mkdir()
    (folder / "first.py").write_text('revision = "1"\n')


@pytest.mark.parametrize("fixture", sorted(path.name for path in FIXTURES.iterdir() if any(path.rglob("env.py"))))
def test_every_sample_has_its_env_py(fixture: str, tmp_path: Path) -> None:
    refuse_without_env_py(FIXTURES / fixture, {})
    without = Path(shutil.copytree(FIXTURES / fixture, tmp_path / "without"))
    for env_py in without.rglob("env.py"):
        env_py.unlink()
    with refused("env-py-missing"):
        refuse_without_env_py(without, {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("alembic.ini", "[alembic]\nscript_location = %(here)s/db\n"),
        ("alembic.ini", "[alembic]\nscript_location = db\n"),
        ("pyproject.toml", '[tool.alembic]\nscript_location = "%(here)s/db"\n'),
    ],
)
def test_a_script_directory_without_env_py_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "db").mkdir()
    with refused("env-py-missing", "/db"):
        refuse_without_env_py(tmp_path, {})
    (tmp_path / "db" / "env.py").write_text("")
    with refused("release-empty", "/db/versions"):
        refuse_without_env_py(tmp_path, {})
    revision(tmp_path / "db" / "versions")
    refuse_without_env_py(tmp_path, {})
    with refused("release-empty"):
        refuse_without_env_py(tmp_path, {}, ["versions/"])
    with refused("env-py-missing", "env.py"):
        refuse_without_env_py(tmp_path, {}, ["db/"])


def test_a_fifo_among_the_revisions_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = db\n")
    (tmp_path / "db" / "versions").mkdir(parents=True)
    (tmp_path / "db" / "env.py").write_text("")
    os.mkfifo(tmp_path / "db" / "versions" / "first.py")
    with refused("release-empty"):
        refuse_without_env_py(tmp_path, {})


@pytest.mark.parametrize("in_options", [False, True])
def test_a_revision_may_be_in_any_of_the_locations(tmp_path: Path, in_options: bool) -> None:
    locations = "%(here)s/db/core %(here)s/db/more"
    options = {"version_locations": locations} if in_options else {}
    line = "" if in_options else f"version_locations = {locations}\n"
    (tmp_path / "alembic.ini").write_text(f"[alembic]\nscript_location = db\n{line}")
    (tmp_path / "db" / "core").mkdir(parents=True)
    (tmp_path / "db" / "env.py").write_text("")
    (tmp_path / "db" / "more").mkdir()
    with refused("release-empty", "/db/core", "/db/more"):
        refuse_without_env_py(tmp_path, options)
    revision(tmp_path / "db" / "more" / "2026")
    refuse_without_env_py(tmp_path, options)


@pytest.mark.parametrize(
    ("line", "env_py"),
    [
        ("version_locations = shop:versions", ""),
        ("version_locations = elsewhere", ""),
        ("sourceless = true", ""),
        ("", "context.script.version_locations = [here]"),
    ],
)
def test_what_only_the_host_can_find_is_not_refused(tmp_path: Path, line: str, env_py: str) -> None:
    (tmp_path / "alembic.ini").write_text(f"[alembic]\nscript_location = db\n{line}\n")
    (tmp_path / "db" / "versions").mkdir(parents=True)
    (tmp_path / "db" / "env.py").write_text(env_py)
    refuse_without_env_py(tmp_path, {})
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = db\n")
    (tmp_path / "db" / "env.py").write_text("")
    with refused("release-empty"):  # the same without what only the host can find
        refuse_without_env_py(tmp_path, {})


def test_a_package_is_left_to_the_host(tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = shop:migrations\n")
    refuse_without_env_py(tmp_path, {})
    with refused("env-py-missing"):  # the option outranks it
        refuse_without_env_py(tmp_path, {"script_location": "shop"})


@pytest.mark.parametrize(
    ("value", "wrong"), [(5432, False), (1.5, False), ("", False), (True, True), (None, True), ([], True)]
)
def test_a_number_in_environment_is_a_text_and_nothing_else_is(tmp_path: Path, value: object, wrong: bool) -> None:
    entry = {"name": "app", "url": "sqlite://", "environment": {"PORT": value}}
    found = list_problems({"source": str(tmp_path), "databases": [entry]})
    assert bool(found) is wrong, found
    assert all("PORT" in sentence for sentence in found)
