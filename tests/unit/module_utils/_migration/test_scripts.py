from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._migration.scripts import (
    build_configuration,
    load_script_directory,
    set_url,
)
from ansible_collections.hosting.alembic.plugins.module_utils._release.source import Source
from tests.codes import refused
from tests.unit.stage import FIXTURES, in_process


def loaded(folder: Path, options: dict[str, str] | None = None, url: str = "sqlite:////srv/a.db") -> Any:
    """Return the URL and the heads that a folder leads to."""

    def work() -> Any:
        config = build_configuration(Source(folder), options or {})
        set_url(config, url, "")
        return config.get_main_option("sqlalchemy.url"), sorted(
            load_script_directory(config, Source(folder)).get_heads()
        )

    return in_process(work)


@pytest.mark.parametrize("fixture", ["generic", "pyproject", "async"])
def test_a_project_folder_is_read_by_its_own_configuration(fixture: str) -> None:
    Source(FIXTURES / fixture).check()

    assert loaded(FIXTURES / fixture) == ("sqlite:////srv/a.db", ["0002"])


def test_a_pyproject_alone_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "100% mine"
    shutil.copytree(FIXTURES / "pyproject", folder)
    (folder / "alembic.ini").unlink()
    Source(folder).check()

    assert loaded(folder)[1] == ["0002"]


def test_a_pyproject_may_name_several_locations_with_folders_in_them(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "pyproject" / "migrations", tmp_path / "db")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.alembic]\nscript_location = "%(here)s/db"\nprepend_sys_path = ["src"]\n'
        'version_locations = ["%(here)s/db/core", "%(here)s/db/more"]\nrecursive_version_locations = true\n'
        'file_template = "%%(year)d/%%(month).2d/%%(rev)s_%%(slug)s"\n'
    )
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "of_the_shop.py").write_text("HERE = True\n")
    for number, path in enumerate(sorted((tmp_path / "db" / "versions").glob("*.py"))):
        folder = tmp_path / "db" / ("core", "more")[number] / "2026" / f"{number + 1:02}"
        folder.mkdir(parents=True)
        (folder / path.name).write_text("import of_the_shop\n" + path.read_text())
    Source(tmp_path).check()

    assert loaded(tmp_path)[1] == ["0002"]


def test_a_script_directory_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "100% mine"
    shutil.copytree(FIXTURES / "generic" / "migrations", folder)
    Source(folder).check()

    assert loaded(folder)[1] == ["0002"]


def test_options_go_before_the_releases_own(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(FIXTURES / "generic", folder)
    (folder / "migrations" / "versions").rename(folder / "elsewhere")

    assert loaded(folder)[1] == []
    assert loaded(folder, {"version_locations": "%(here)s/elsewhere"})[1] == ["0002"]


def test_an_ini_beside_env_py_is_found_through_its_option(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "generic" / "migrations", tmp_path / "migrations")
    shutil.copy(FIXTURES / "generic" / "alembic.ini", tmp_path / "migrations")
    Source(tmp_path).check()

    found = Source(tmp_path).find_ini({"script_location": "migrations"})
    assert found == tmp_path / "migrations" / "alembic.ini"
    assert loaded(tmp_path, {"script_location": "%(here)s/migrations"})[1] == ["0002"]


@pytest.mark.parametrize("password", ["100%", "%(here)s", "%%", "a$b"])
def test_a_url_is_handed_over_as_it_is(password: str) -> None:
    url = f"postgresql://u:{password}@server/shop"

    assert loaded(FIXTURES / "generic", url=url)[0] == url


def test_what_holds_no_migrations_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")

    with refused("source-missing", "env.py", "alembic.ini", "migrate_source"):
        Source(tmp_path).check()


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("revision = 'x'\ndown_revision = 'gone'\n", "`alembic heads`"),
        ("raise SystemExit(1)", "`alembic heads`"),
        ("import nothing_like", "migrate_packages"),
    ],
)
def test_revisions_that_do_not_load_are_refused(tmp_path: Path, text: str, remedy: str) -> None:
    folder = tmp_path / "project"
    shutil.copytree(FIXTURES / "generic", folder)
    (folder / "migrations" / "versions" / "0003.py").write_text(text)

    with refused("revisions-not-loadable", remedy):
        loaded(folder)
