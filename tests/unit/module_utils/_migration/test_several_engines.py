"""An env.py from Alembic's template for several databases: each is an entry, which env.py migrates alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.usefixtures("shipped")
def test_it_is_rehearsed_on_a_copy_and_the_database_stays(host: Host, tmp_path: Path) -> None:
    path = script(tmp_path / "engine2.db", "create table mine (a)")
    before = path.read_bytes()

    result = host.result("rehearse", database(path, "b", engine_name="engine2"))

    verdicts = {revision["revision"]: revision["verdict"] for revision in result["revisions"]}
    assert verdicts == {"0001": "reversible", "0002": "reversible"}, result
    assert path.read_bytes() == before
