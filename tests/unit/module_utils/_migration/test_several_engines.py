"""An env.py from a template for several databases: each is an entry, which env.py migrates alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from tests.codes import assert_error
from tests.unit.stage import Host, database, heads, script, sql

#: What the revisions do to each engine, and back.
REVISIONS = {
    "0001": {
        "engine1": ("op.create_table('customer', sa.Column('id', sa.Integer()))", "op.drop_table('customer')"),
        "engine2": ("op.create_table('invoice', sa.Column('id', sa.Integer()))", "op.drop_table('invoice')"),
    },
    "0002": {
        "engine1": ("op.add_column('customer', sa.Column('name', sa.Text()))", "op.drop_column('customer', 'name')"),
        "engine2": ("op.execute('INSERT INTO invoice VALUES (7)')", "op.execute('DELETE FROM invoice WHERE id = 7')"),
    },
}


def alembic(folder: Path, *arguments: str) -> None:
    """Run Alembic's own program."""
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run(
        [sys.executable, "-m", "alembic", *arguments], cwd=folder, check=True, capture_output=True, env=environment
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What ``alembic init`` and ``alembic revision`` make, with something in the revisions."""
    folder = tmp_path / "project"
    folder.mkdir()
    alembic(folder, "init", "--template", "multidb", "migrations")
    for revision, engines in REVISIONS.items():
        alembic(folder, "revision", "--rev-id", revision, "--message", "change")
        (path,) = (folder / "migrations" / "versions").glob(f"{revision}_*.py")
        text = path.read_text()
        for engine, (upgrade, downgrade) in engines.items():
            for verb, statement in (("upgrade", upgrade), ("downgrade", downgrade)):
                begins = rf"(def {verb}_{engine}\(\)[^:]*:\n(?:    \"\"\".*\"\"\"\n)?)"
                text = re.sub(f"{begins}    pass", rf"\1    {statement}", text)
        assert "    pass" not in text
        path.write_text(text)
    return folder


@pytest.fixture
def shipped(host: Host, project: Path) -> Path:
    """The source of a release of it, run by the virtualenv that runs the tests."""
    source = host.layout.release(host.ship("generic")) / "source"
    shutil.rmtree(source)
    shutil.copytree(project, source)
    source.chmod(0o700)
    return source


def dump(path: Path) -> str:
    return subprocess.run(["sqlite3", str(path), ".dump"], check=True, capture_output=True, text=True).stdout


def by_alembic_alone(project: Path, folder: Path) -> dict[str, str]:
    """Upgrade a database for each engine by ``alembic upgrade``, and return their dumps."""
    ini = project / "alembic.ini"
    files = {name: folder / f"{name}.db" for name in ("engine1", "engine2")}
    text = ini.read_text()
    for name, path in files.items():
        text = re.sub(rf"(\[{name}\]\nsqlalchemy.url = ).*", rf"\1sqlite:///{path}", text)
    other = project / "other.ini"
    other.write_text(text)
    alembic(project, "-c", str(other), "upgrade", "head")
    other.unlink()
    return {name: dump(path) for name, path in files.items()}


@pytest.mark.usefixtures("shipped")
def test_each_engine_is_an_entry_that_is_migrated_alone(host: Host, project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "by alembic"
    folder.mkdir()
    expected = by_alembic_alone(project, folder)
    ours = {name: script(tmp_path / f"{name} of ours.db", "select 1") for name in expected}
    for path in ours.values():
        path.touch()

    for number, (name, path) in enumerate(ours.items()):
        result = host.result("upgrade", database(path, name, engine_name=name), run=f"r{number}")
        assert (result["outcome"], [step["revision"] for step in result["applied"]]) == ("upgraded", ["0001", "0002"])

    assert {name: dump(path) for name, path in ours.items()} == expected
    for name, path in ours.items():
        assert host.plan(database(path, name, engine_name=name), run="")["pending"] == []


@pytest.mark.usefixtures("shipped")
def test_a_name_that_alembic_ini_does_not_have_is_refused_at_the_plan(host: Host, tmp_path: Path) -> None:
    path = script(tmp_path / "engine1.db", "create table mine (a)")

    plan = host.plan(database(path, "a", engine_name="engin1"), run="")

    assert_error(plan["obstacles"][0], "engine-name-unknown", "'engin1'", "engine1, engine2")


def test_an_entry_without_a_name_is_refused_with_the_names(host: Host, shipped: Path, tmp_path: Path) -> None:
    files = {name: script(tmp_path / f"{name}.db", "create table mine (a)") for name in ("engine1", "engine2")}
    ini = shipped / "alembic.ini"
    text = ini.read_text()
    for name, path in files.items():
        text = re.sub(rf"(\[{name}\]\nsqlalchemy.url = ).*", rf"\1sqlite:///{path}", text)
    ini.write_text(text)
    before = {path: dump(path) for path in files.values()}

    plan = host.plan(database(files["engine1"], "a"), run="")

    assert_error(plan["obstacles"][0], "env-py-other-database", "engine1, engine2", "engine_name")
    assert {path: dump(path) for path in files.values()} == before


def test_one_that_fails_is_reverted_and_the_other_one_is_not_touched(host: Host, shipped: Path, tmp_path: Path) -> None:
    first, second = (script(tmp_path / f"{name}.db", "create table mine (a)") for name in ("engine1", "engine2"))
    (path,) = (shipped / "migrations" / "versions").glob("0002_*.py")
    path.write_text(path.read_text().replace("INSERT INTO invoice", "INSERT INTO no_such_table"))
    before = dump(second)

    assert host.result("upgrade", database(first, "a", engine_name="engine1"))["outcome"] == "upgraded"
    after = dump(first)
    assert host.result("upgrade", database(second, "b", engine_name="engine2"))["outcome"] == "failed"
    back = host.result("downgrade", database(second, "b", engine_name="engine2"))

    assert back["outcome"] in ("downgraded", "untouched", "restored")
    assert [line for line in dump(second).splitlines() if "alembic_version" not in line] == before.splitlines()
    assert (dump(first), heads(first)) == (after, ["0002"])
    assert sql(first, "select * from customer") == []


#: As Flask-Migrate's: engines that the application has, which are opened all before the first is migrated.
_OF_AN_APPLICATION = """
import os

import sqlalchemy as sa
from alembic import context

engines = {name: sa.create_engine(os.environ[variable]) for name, variable in {"": "MAIN", "stock": "STOCK"}.items()}
connections = {name: engine.connect() for name, engine in engines.items()}
transactions = [connection.begin() for connection in connections.values()]
for name, connection in connections.items():
    context.configure(connection=connection, upgrade_token=f"{name}_upgrades", downgrade_token=f"{name}_downgrades")
    context.run_migrations(engine_name=name)
for transaction in transactions:
    transaction.commit()
for connection in connections.values():
    connection.close()
"""
_NAMED = {
    "0001": "op.create_table(f'thing{engine_name}', sa.Column('id', sa.Integer()))",
    "0002": "op.execute(f'insert into thing{engine_name} values (7)')",
}


@pytest.fixture
def binds(host: Host, tmp_path: Path) -> dict[str, Path]:
    """The databases of an application that has two, and its release."""
    source = host.layout.release(host.ship("generic")) / "source"
    (source / "migrations" / "env.py").write_text(_OF_AN_APPLICATION)
    for path in (source / "migrations" / "versions").glob("*.py"):
        path.unlink()
    for revision, down in (("0001", None), ("0002", "0001")):
        (source / "migrations" / "versions" / f"{revision}.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n\n"
            f"revision, down_revision = {revision!r}, {down!r}\n\n\n"
            f"def upgrade(engine_name):\n    {_NAMED[revision]}\n"
        )
    return {name: script(tmp_path / f"{name}.db", "create table mine (a)") for name in ("default", "stock")}


def bind(binds: dict[str, Path], name: str, **options: Any) -> Database:
    variables = {"default": "MAIN", "stock": "STOCK"}
    environment = {variables[each]: f"sqlite:///{path}" for each, path in binds.items() if each != name}
    return database(binds[name], name, url_variables=[variables[name]], environment=environment, **options)


def test_each_bind_of_an_application_is_an_entry_that_is_migrated_alone(host: Host, binds: dict[str, Path]) -> None:
    before = dump(binds["stock"])

    result = host.result("upgrade", bind(binds, "default", engine_name="default"), run="r1")
    assert result["outcome"] == "upgraded", result
    assert sql(binds["default"], "select * from thing") == [(7,)]
    assert dump(binds["stock"]) == before

    after = dump(binds["default"])
    assert host.result("upgrade", bind(binds, "stock", engine_name="stock"), run="r2")["outcome"] == "upgraded"
    assert sql(binds["stock"], "select * from thingstock") == [(7,)]
    assert dump(binds["default"]) == after


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({}, "env-py-other-database", ["calls this one default", "engine_name"]),
        ({"engine_name": "stok"}, "engine-name-unknown", ["'stok'", "default, stock"]),
        ({"engine_name": "default"}, "env-py-other-database", []),
    ],
)
def test_a_bind_that_is_not_the_entrys_is_refused(
    host: Host, binds: dict[str, Path], options: dict[str, str], code: str, words: list[str]
) -> None:
    before = {name: dump(path) for name, path in binds.items()}

    plan = host.plan(bind(binds, "stock", **options), run="")

    assert_error(plan["obstacles"][0], code, *words)
    assert {name: dump(path) for name, path in binds.items()} == before


@pytest.mark.usefixtures("shipped")
def test_it_is_rehearsed_on_a_copy_and_the_database_stays(host: Host, tmp_path: Path) -> None:
    path = script(tmp_path / "engine2.db", "create table mine (a)")
    before = path.read_bytes()

    result = host.result("rehearse", database(path, "b", engine_name="engine2"))

    verdicts = {revision["revision"]: revision["verdict"] for revision in result["revisions"]}
    assert verdicts == {"0001": "reversible", "0002": "reversible"}, result
    assert path.read_bytes() == before
