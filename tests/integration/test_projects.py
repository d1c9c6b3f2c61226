"""Projects as people have them: what belongs into a release is shipped, and each application keeps its own."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.site import Site, Source, assert_says
from tests.integration.targets import SQLiteTarget
from tests.integration.virtualenvs import from_wheelhouse
from tests.lab import PROJECT

pytestmark = pytest.mark.exhaustive


def releases(site: Site) -> list[Path]:
    return [path for path in (site.root / "releases").glob("[!.]*") if not path.is_symlink()]


def test_a_project_folder_with_its_virtualenv_database_and_log_stays_one_release(site: Site) -> None:
    source = site.source("generic")
    instance = source.folder / "instance"
    instance.mkdir()
    target = SQLiteTarget(instance / "app.db")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", source.folder / "venv"], check=True)
    source.replace(
        "from alembic import context",
        "import logging\n\nfrom alembic import context\n\n"
        "logging.basicConfig(filename='alembic.log', level=logging.INFO, force=True)",
    )
    (instance / "notes.txt").write_text("of this machine")
    settings: dict[str, Any] = {
        "migrate_source": source, "migrate_databases": [target.entry], "migrate_exclude": ["instance/*.txt"],
    }  # fmt: skip

    site.run("migrate", **settings)
    with closing(sqlite3.connect(target.path)) as connection, connection:
        connection.execute("insert into item (id, name) values (1, 'a customer')")

    assert site.run("migrate", **settings).changed == 0
    (release,) = releases(site)
    assert not [*release.rglob("app.db*"), *release.rglob("pyvenv.cfg"), *release.rglob("notes.txt")]
    assert target.rows("select id, name from item") == [(1, "a customer")]
    site.run("rollback", **settings)
    assert target.revisions == []


def test_an_editable_requirement_brings_the_code_of_its_release(
    site: Site, sqlite: SQLiteTarget, tmp_path: Path
) -> None:
    source = site.source("generic")
    package = source.folder / "src" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("RELEASE = 1\n")
    (source.folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "shop"\nversion = "1"\n'
    )
    (source.folder / "requirements.txt").write_text("-e .\nalembic\n")
    settings: dict[str, Any] = {
        "migrate_source": source,
        "migrate_databases": [sqlite.entry],
        **from_wheelhouse(tmp_path / "wheels", "alembic", "setuptools"),
    }
    site.run("migrate", **settings)

    (package / "__init__.py").write_text("RELEASE = 2\n")
    source.add(
        "0003",
        "0002",
        "from shop import RELEASE\nop.execute(f\"insert into item (id, name) values ({RELEASE}, 'by')\")",
    )
    site.run("migrate", **settings)

    assert sqlite.revisions == ["0003"]
    assert sqlite.rows("select id from item") == [(2,)]


def application(folder: Path, name: str, variables: dict[str, Any]) -> list[str]:
    """Write an application's file of variables as docs/how_to/several_applications.md lays it out."""
    page = (PROJECT / "docs" / "how_to" / "several_applications.md").read_text()
    documented = next(yaml.safe_load(block) for block in re.findall(r"(?ms)^```yaml\n(.*?)^```$", page))
    assert set(variables) <= set(documented)
    path = folder / "applications" / f"{name}.yml"
    path.parent.mkdir(exist_ok=True)
    entries = [{**entry, "name": name} for entry in variables["migrate_databases"]]
    path.write_text(yaml.safe_dump({**variables, "migrate_databases": entries}))
    return ["-e", f"@{path}"]


def test_a_second_application_below_one_root_changes_nothing_of_the_first(site: Site, tmp_path: Path) -> None:
    first, second = SQLiteTarget(tmp_path / "first.db"), SQLiteTarget(tmp_path / "second.db")
    sources: list[Source] = [site.source("generic", "first"), site.source("generic", "second")]
    sources[0].add("a3", "0002", "op.execute('create table first (id integer)')", "op.drop_table('first')")
    sources[1].add("b3", "0002", "op.execute('create table second (id integer)')", "op.drop_table('second')")
    applications = [
        application(site.folder, name, {"migrate_source": str(source.folder), "migrate_databases": [target.entry]})
        for source, target, name in zip(sources, (first, second), ("shop", "forum"))
    ]
    for each in applications:
        site.run("migrate", *each)
    assert (first.revisions, second.revisions) == (["a3"], ["b3"])

    assert_says(site.run("status", *applications[0]).output, "shop a3")
    site.run("backup", *applications[0])
    assert site.run("migrate", *applications[0]).changed == 0
    site.run("rollback", *applications[0])

    assert (first.revisions, second.revisions) == ([], ["b3"])
    both = [{**target.entry, "name": name} for target, name in ((first, "shop"), (second, "forum"))]
    (listed,) = site.run("backups", migrate_databases=both).results("List the backups of every database")
    runs = {entry["name"]: len(entry["backups"]) for entry in listed["databases"]}
    assert runs == {"shop": 3, "forum": 1}
