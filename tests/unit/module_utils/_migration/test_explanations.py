from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._migration.explanations import advice_for
from ansible_collections.hosting.alembic.plugins.module_utils.content import files_of
from ansible_collections.hosting.alembic.plugins.module_utils.errors import Refused
from tests.unit.stage import Host, database


def test_tables_that_were_made_without_alembic_are_stamped(host: Host, file: Path) -> None:
    host.ship("generic")
    subprocess.run(["sqlite3", str(file), "create table item (id integer primary key, name text)"], check=True)

    error = host.result("upgrade", database(file))["error"]

    assert "already exists" in error["why"]
    assert "alembic stamp" in error["remedy"]
    assert "stamp" not in advice_for(Exception("table item already exists"), at_base=False)


def test_a_rehearsal_says_so_too(host: Host, file: Path) -> None:
    host.ship("generic")
    subprocess.run(["sqlite3", str(file), "create table item (id integer primary key, name text)"], check=True)

    error = host.result("rehearse", database(file))["error"]

    assert "already exists" in error["why"]
    assert "alembic stamp" in error["remedy"]


def test_a_rehearsal_knows_a_transaction_that_env_py_had_begun(host: Host, file: Path) -> None:
    source = host.layout.release(host.ship("generic")) / "source"
    (source / "migrations" / "env.py").write_text(
        "from alembic import context\nfrom sqlalchemy import create_engine, text\n"
        "with create_engine(context.config.get_main_option('sqlalchemy.url')).connect() as connection:\n"
        "    connection.execute(text('select 1'))\n"
        "    context.configure(connection=connection)\n"
        "    with context.begin_transaction():\n        context.run_migrations()\n"
    )
    subprocess.run(["sqlite3", str(file), "create table mine (a)"], check=True)

    error = host.result("rehearse", database(file))["error"]

    assert "executes a statement before configure()" in error["why"]
    assert "after run_migrations" not in error["remedy"]


def test_a_link_of_a_virtualenv_is_not_to_be_replaced(tmp_path: Path) -> None:
    python = tmp_path / "env2" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/usr/bin/python3")

    with pytest.raises(Refused) as caught:
        list(files_of(tmp_path))

    assert "migrate_exclude: [env2/]" in caught.value.remedy
    assert "Replace it" not in caught.value.remedy


def test_an_env_py_that_reads_another_url_from_a_file_is_told_which(host: Host, file: Path) -> None:
    source = host.layout.release(host.ship("generic")) / "source"
    (source / "migrations" / ".env").write_text(f"DATABASE_URL=sqlite:///{file}-dev\n")
    env = source / "migrations" / "env.py"
    reads = "import os\nos.environ['DATABASE_URL'] = open('migrations/.env').read().strip().partition('=')[2]\n"
    text = env.read_text().replace("config = context.config", "config = context.config\n" + reads, 1)
    env.write_text(
        text.replace("connectable = engine_from_config(", "config.set_main_option('sqlalchemy.url', os.environ["
                     "'DATABASE_URL'])\n    connectable = engine_from_config(")
    )  # fmt: skip
    subprocess.run(["sqlite3", str(file), "create table mine (a)"], check=True)
    before = file.read_bytes()

    (obstacle,) = host.plan(database(file, url_variables=["DATABASE_URL"]))["obstacles"]

    assert "env.py does not connect" in obstacle["what"]
    assert "DATABASE_URL was set anew by migrations/.env" in obstacle["why"]
    assert file.read_bytes() == before


def test_a_number_in_the_environment_is_text_there(host: Host, file: Path) -> None:
    source = host.layout.release(host.ship("generic")) / "source" / "migrations" / "env.py"
    source.write_text("import os\nassert os.environ['PORT'] == '5432'\n" + source.read_text())
    subprocess.run(["sqlite3", str(file), "create table mine (a)"], check=True)

    assert host.plan(database(file, environment={"PORT": 5432}))["obstacles"] == []
