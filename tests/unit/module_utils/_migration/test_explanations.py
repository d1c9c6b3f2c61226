from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._migration.explanations import choose_advice
from ansible_collections.hosting.alembic.plugins.module_utils._release.digest import list_files
from tests.codes import assert_error
from tests.unit.module_utils._migration.test_env_variants import (
    CONNECT,
    RUN,
    START,
    VARIANTS,
    Variant,
    by_alembic,
    dump,
    source_of,
)
from tests.unit.stage import Host, database


def test_tables_that_were_made_without_alembic_are_stamped(host: Host, file: Path) -> None:
    host.ship("generic")
    subprocess.run(["sqlite3", str(file), "create table item (id integer primary key, name text)"], check=True)

    error = host.result("upgrade", database(file))["error"]

    assert_error(error, "revision-failed", "already exists", "alembic stamp")
    assert "stamp" not in choose_advice(Exception("table item already exists"), at_base=False)


def test_what_is_printed_about_stamping_leads_on(host: Host, file: Path, tmp_path: Path) -> None:
    source_of(tmp_path / "project", VARIANTS["plain"])
    host.ship("generic")
    by_alembic(tmp_path / "project", file, VARIANTS["plain"], "upgrade", "0001")
    subprocess.run(["sqlite3", str(file), "drop table alembic_version"], check=True)
    failed = host.result("upgrade", database(file))
    assert host.result("downgrade", database(file))["after"] == []

    assert_error(failed["error"], "revision-failed", "`alembic stamp REVISION`")
    by_alembic(tmp_path / "project", file, VARIANTS["plain"], "stamp", "0001")
    again = host.result("upgrade", database(file), run="r2", retry_failed=True)

    assert (again["outcome"], again["before"], again["after"]) == ("upgraded", ["0001"], ["0002"])


def test_a_column_that_is_there_is_stamped_too(host: Host, file: Path) -> None:
    host.ship("generic")
    host.revise("generic", "0000", "none", "op.execute('alter table mine add column a')")
    versions = host.layout.release("generic") / "source" / "migrations" / "versions"
    (versions / "0000.py").write_text((versions / "0000.py").read_text().replace("'none'", "None"))
    first = versions / "0001_items.py"
    first.write_text(first.read_text().replace("down_revision = None", "down_revision = '0000'"))
    subprocess.run(["sqlite3", str(file), "create table mine (a)"], check=True)

    error = host.result("upgrade", database(file))["error"]

    assert_error(error, "revision-failed", "duplicate column name", "alembic stamp")


@pytest.mark.parametrize(
    ("ends", "how", "remedy"),
    [
        ("os._exit(0)", "with exit code 0", "os._exit()"),
        ("os._exit(3)", "with exit code 3", "os._exit()"),
        ("os.execv('/bin/true', ['true'])", "with exit code 0", "os._exit()"),
        ("os.kill(os.getpid(), 9)", "by signal 9", "set migrate_workers to 1"),
    ],
)
def test_where_env_py_ends_its_process_for_an_upgrade_no_other_command_is_printed(
    host: Host, file: Path, tmp_path: Path, ends: str, how: str, remedy: str
) -> None:
    only = f"import os\nif config.cmd_opts.cmd[0].__name__ == 'upgrade':\n    {ends}\n"
    variant = Variant(START + only + RUN + CONNECT)
    source_of(tmp_path / "project", variant)
    source_of(host.layout.release(host.ship("generic")) / "source", variant)
    subprocess.run(["sqlite3", str(file), "create table mine (a)"], check=True)

    (obstacle,) = host.plan(database(file), plan_timeout=30)["obstacles"]
    result = host.result("upgrade", database(file), plan_timeout=30)

    assert by_alembic(tmp_path / "project", file, variant, "current") == ""  # this works, so it is of no help
    assert result["outcome"] == "refused"
    for error in (obstacle, result["error"]):
        assert_error(error, "env-py-ended", how, remedy)
        assert "alembic current" not in error["remedy"]


@pytest.mark.parametrize(
    ("where", "code"),
    [("env.py", "env-py-failed"), ("the revision", "revisions-not-loadable"), ("its upgrade", "revision-failed")],
)
def test_a_module_that_is_not_installed_is_named(host: Host, file: Path, where: str, code: str) -> None:
    """What works on the machine of the author, `alembic heads`, is of no help."""
    missing = "import shop_models.tables"
    source = host.layout.release(host.ship("generic")) / "source" / "migrations"
    host.revise("generic", "0003", "0002", missing if where == "its upgrade" else "pass")
    if where != "its upgrade":
        path = source / ("env.py" if where == "env.py" else "versions/0003.py")
        path.write_text(f"{missing}\n{path.read_text()}")
    subprocess.run(["sqlite3", str(file), "create table mine (a)"], check=True)

    result = host.result("upgrade", database(file))

    assert_error(result["error"], code, "'shop_models'", "migrate_packages", "prepend_sys_path")
    assert "alembic heads" not in result["error"]["remedy"]


def test_a_rehearsal_says_so_too(host: Host, file: Path) -> None:
    host.ship("generic")
    subprocess.run(["sqlite3", str(file), "create table item (id integer primary key, name text)"], check=True)

    error = host.result("rehearse", database(file))["error"]

    assert_error(error, "revision-failed", "already exists", "alembic stamp")


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

    assert_error(error, "target-not-reached", "configure()")
    assert "run_migrations" not in error["remedy"]


def test_a_transaction_that_env_py_had_begun_is_known_and_nothing_is_kept(host: Host, file: Path) -> None:
    source = host.layout.release(host.ship("generic")) / "source" / "migrations"
    # SQLAlchemy 2 begins a transaction for it, which Alembic does not commit then.
    begins = "    connection.execute(text('pragma foreign_keys = off'))\n    run(connection)"
    (source / "env.py").write_text(START + RUN + CONNECT.replace("    run(connection)", begins))
    subprocess.run(["sqlite3", str(file), "create table mine (a); insert into mine values (1)"], check=True)
    before = dump(file)

    failed = host.result("upgrade", database(file))
    host.do("downgrade", database(file))

    assert failed["outcome"] == "failed"
    assert_error(failed["error"], "target-not-reached", "configure()")
    assert dump(file) == before


def test_a_link_of_a_virtualenv_is_not_to_be_replaced(tmp_path: Path) -> None:
    python = tmp_path / "env2" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/usr/bin/python3")

    with pytest.raises(Refused) as caught:
        list(list_files(tmp_path))

    assert "migrate_exclude: [env2/]" in caught.value.remedy
    assert "Replace it" not in caught.value.remedy


def test_an_env_py_that_reads_another_url_from_a_file_is_reported_which(host: Host, file: Path) -> None:
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

    assert_error(obstacle, "env-py-other-database", "DATABASE_URL", "migrations/.env")
    assert file.read_bytes() == before


def test_a_number_in_the_environment_is_text_there(host: Host, file: Path) -> None:
    source = host.layout.release(host.ship("generic")) / "source" / "migrations" / "env.py"
    source.write_text("import os\nassert os.environ['PORT'] == '5432'\n" + source.read_text())
    subprocess.run(["sqlite3", str(file), "create table mine (a)"], check=True)

    assert host.plan(database(file, environment={"PORT": 5432}))["obstacles"] == []


@pytest.mark.parametrize("where", ["in a revision", "before"])
def test_an_exit_before_the_end_of_the_migrations_is_not_a_success(host: Host, file: Path, where: str) -> None:
    leaves = "import sys; sys.exit(0)"
    variant = Variant(START + (f"{leaves}\n" if where == "before" else "") + RUN + CONNECT, upgrade=leaves)
    source_of(host.layout.release(host.ship("generic")) / "source", variant)
    subprocess.run(["sqlite3", str(file), "create table mine (a)"], check=True)

    result = host.result("upgrade", database(file))

    assert result["outcome"] == ("refused" if where == "before" else "failed")
    assert "SystemExit: 0" in result["error"]["why"]
