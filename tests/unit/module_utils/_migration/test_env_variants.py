"""What people write into env.py: by the command line of Alembic and by ours it comes to the same database."""

from __future__ import annotations

import os
import py_compile
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._plan.at_head import hash_packages, read_known_plans
from tests.codes import assert_error
from tests.unit.stage import FIXTURES, Host, database, heads

START = """
import os
from alembic import context
from sqlalchemy import create_engine, event, pool, text
config = context.config
url = config.get_main_option("sqlalchemy.url")
"""
RUN = """
def run(connection, **options):
    context.configure(connection=connection, target_metadata=None, **options)
    with context.begin_transaction():
        context.run_migrations()
"""
CONNECT = """
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    run(connection)
"""
ASYNC = """
import asyncio
from sqlalchemy.ext.asyncio import create_async_engine
engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"){pool})
async def go():
    async with engine.connect() as connection:
        await connection.run_sync(run)
asyncio.run(go())
"""
NAMES_OTHERS = """
here = os.path.dirname(os.path.abspath(__file__))
context.script.version_locations = [os.path.join(here, "sqlite")]
"""


@dataclass
class Variant:
    """An env.py, and what belongs to it."""

    env_py: str
    #: What the last revision does besides.
    upgrade: str = "pass"
    files: dict[str, str] = field(default_factory=dict)
    x_arguments: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


VARIANTS = {
    "plain": Variant(START + RUN + CONNECT),
    "in a transaction of the engine": Variant(
        START + RUN + "with create_engine(url).begin() as connection:\n    run(connection)\n"
    ),
    "one transaction a revision": Variant(
        START + RUN + CONNECT.replace("run(connection)", "run(connection, transaction_per_migration=True)")
    ),
    "as a batch": Variant(START + RUN + CONNECT.replace("run(connection)", "run(connection, render_as_batch=True)")),
    "a version table of its own": Variant(
        START + RUN + CONNECT.replace("run(connection)", "run(connection, version_table='mine_version')")
    ),
    "asks for the command": Variant(
        START
        + "assert config.cmd_opts.cmd[0].__name__ == 'upgrade' and config.cmd_opts.revision == 'head'\n"
        + "assert config.cmd_opts.x is None and config.cmd_opts.sql is False and config.cmd_opts.raiseerr is False\n"
        + "assert config.cmd_opts.config is None and config.cmd_opts.name == 'alembic'\n"
        + RUN
        + CONNECT
    ),
    "asks for the revision": Variant(
        START
        + RUN
        + CONNECT
        + "assert context.get_revision_argument() == '0002' and context.get_tag_argument() is None\n"
    ),
    "asks for the revision first": Variant(
        START
        + "assert context.get_revision_argument() == '0002'\nassert context.is_offline_mode() is False\n"
        + RUN
        + CONNECT
    ),
    "asks where it starts": Variant(
        START
        + "assert context.get_starting_revision_argument() is None and context.get_head_revision() == '0002'\n"
        + "assert context.get_tag_argument() is None\n"
        + RUN
        + CONNECT
    ),
    "asks what stands behind -x": Variant(
        START + "assert context.get_x_argument(as_dictionary=True) == {'tenant': 'a=b'}\n" + RUN + CONNECT,
        x_arguments=("tenant=a=b",),
    ),
    "takes an engine from the attributes": Variant(  # as pytest-alembic documents it
        START
        + RUN
        + "connectable = config.attributes.get('connection', None)\n"
        + "if connectable is None:\n    connectable = create_engine(url, poolclass=pool.NullPool)\n"
        + "with connectable.connect() as connection:\n    run(connection)\n"
    ),
    "sees whether the attributes have a connection": Variant(
        START + "assert 'connection' not in config.attributes\n" + RUN + CONNECT
    ),
    "names the locations itself": Variant(
        START
        + "here = os.path.dirname(os.path.abspath(__file__))\n"
        + "context.script.version_locations = [os.path.join(here, 'versions'), os.path.join(here, 'more')]\n"
        + RUN
        + CONNECT,
        files={
            "more/0003.py": "revision = '0003'\ndown_revision = '0002'\nfrom alembic import op\n"
            "def upgrade(): op.execute('create table more (a)')\ndef downgrade(): op.execute('drop table more')\n"
        },
    ),
    "registers its models once": Variant(
        START
        + "import builtins\nassert not hasattr(builtins, 'ran'), 'already defined'\nbuiltins.ran = True\n"
        + RUN
        + CONNECT
    ),
    "asynchronous": Variant(START + RUN + ASYNC.format(pool=", poolclass=pool.NullPool")),
    "an asynchronous engine of the application": Variant(START + RUN + ASYNC.format(pool="")),
    "reads a variable": Variant(
        START.replace('config.get_main_option("sqlalchemy.url")', 'os.environ["DATABASE_URL"]') + RUN + CONNECT,
        options={"url_variables": ["DATABASE_URL"]},
    ),
    "sets the option": Variant(
        START
        + "config.set_main_option('sqlalchemy.url', url)\n"
        + RUN
        + "from sqlalchemy import engine_from_config\n"
        + "with engine_from_config(config.get_section('alembic'), poolclass=pool.NullPool).connect() as connection:\n"
        + "    run(connection)\n"
    ),
    "prints and logs": Variant(
        START
        + "import logging, sys\nprint('x' * 100000)\nlogging.basicConfig(stream=sys.stderr, level=10)\n"
        + RUN
        + CONNECT
    ),
    "goes elsewhere": Variant(START + "os.chdir('/')\n" + RUN + CONNECT),
    "foreign keys by an event": Variant(
        START
        + "from sqlalchemy.engine import Engine\n"
        + "@event.listens_for(Engine, 'connect')\n"
        + "def pragma(connection, _record):\n    connection.execute('PRAGMA foreign_keys=ON')\n"
        + RUN
        + CONNECT
    ),
    "keeps its engine's pool": Variant(
        START
        + RUN
        + "engine = create_engine(url)\nconnection = engine.connect()\nrun(connection)\nconnection.close()\n"
    ),
    "two contexts": Variant(
        START
        + RUN
        + "with create_engine(url, poolclass=pool.NullPool).connect() as connection:\n"
        + "    run(connection)\n    run(connection, version_table='second')\n",
        files={
            "versions/0002_notes_on_items.py": "",
            "versions/0001_items.py": "",
            "versions/only.py": (
                "revision = 'only'\ndown_revision = None\nfrom alembic import op\n"
                "def upgrade(): op.execute('create table if not exists one (a)')\n"
                "def downgrade(): op.execute('drop table if exists one')\n"
            ),
        },
    ),
    "forks in a revision": Variant(
        START + RUN + CONNECT,
        upgrade="import os, time\n    pid = os.fork()\n    if pid == 0:\n        os._exit(0)\n    os.waitpid(pid, 0)",
    ),
    "leaves a process behind": Variant(
        START + RUN + CONNECT,
        upgrade="import os, time\n"
        "    if os.fork() == 0:\n        os.setsid()\n        time.sleep(20)\n        os._exit(0)\n",
    ),
    "ends by an exit": Variant(START + RUN + CONNECT + "import sys\nsys.exit(0)\n"),
    "migrates in a thread": Variant(
        START
        + RUN
        + "from concurrent.futures import ThreadPoolExecutor\n"
        + "def go():\n    with create_engine(url, poolclass=pool.NullPool).connect() as connection:\n"
        + "        run(connection)\n"
        + "with ThreadPoolExecutor() as pools: pools.submit(go).result()\n"
    ),
    "has every engine begin exclusively": Variant(
        START
        + "from sqlalchemy.engine import Engine\n"
        + "@event.listens_for(Engine, 'connect')\ndef opened(one, _record): one.isolation_level = None\n"
        + "@event.listens_for(Engine, 'begin')\ndef begins(one): one.exec_driver_sql('BEGIN EXCLUSIVE')\n"
        + RUN
        + CONNECT
    ),
    "starts a thread": Variant(
        START
        + "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        + RUN
        + CONNECT
    ),
}


def source_of(folder: Path, variant: Variant) -> None:
    """Write a variant's source."""
    shutil.copytree(FIXTURES / "generic", folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    (folder / "migrations" / "env.py").write_text(variant.env_py)
    for name, text in variant.files.items():
        path = folder / "migrations" / name
        path.parent.mkdir(exist_ok=True)
        if text:
            path.write_text(text)
        else:
            path.unlink()
    last = folder / "migrations" / "versions" / "0002_notes_on_items.py"
    if last.exists():
        last.write_text(
            last.read_text().replace("def upgrade() -> None:\n", f"def upgrade() -> None:\n    {variant.upgrade}\n")
        )


def by_alembic(folder: Path, file: Path, variant: Variant, *command: str) -> str:
    """Call Alembic as a person does in the migrations' own folder, and return what it printed."""
    ini = folder / "alembic.ini"
    lines = [line for line in ini.read_text().splitlines() if not line.startswith("sqlalchemy.url")]
    ini.write_text("\n".join(lines).replace("[alembic]", f"[alembic]\nsqlalchemy.url = sqlite:///{file}", 1) + "\n")
    arguments = [word for argument in variant.x_arguments for word in ("-x", argument)]
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments, *(command or ("upgrade", "head"))],
        cwd=folder, env={**os.environ, "DATABASE_URL": f"sqlite:///{file}"}, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def dump(file: Path) -> str:
    return subprocess.run(["sqlite3", str(file), ".dump"], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", VARIANTS)
def test_it_ends_as_by_alembic_itself(host: Host, file: Path, tmp_path: Path, name: str) -> None:
    variant = VARIANTS[name]
    theirs = tmp_path / "databases" / "theirs.db"
    source_of(tmp_path / "project", variant)
    by_alembic(tmp_path / "project", theirs, variant)
    source_of(host.layout.release(host.ship("generic")) / "source", variant)
    one = database(file, x_arguments=variant.x_arguments, **variant.options)

    # From a database that is there, so that it is planned, planned again under its lock, and upgraded.
    subprocess.run(["sqlite3", str(file), "create table gone (a); drop table gone"], check=True)
    assert host.plan(one)["obstacles"] == []
    result = host.result("upgrade", one)

    assert result["error"] is None
    assert result["outcome"] == "upgraded"
    assert dump(file) == dump(theirs)


def test_a_release_whose_locations_env_py_names_is_planned_for_a_file_that_is_not_there(host: Host, file: Path) -> None:
    source = host.layout.release(host.ship("generic")) / "source"
    (source / "migrations" / "versions").rename(source / "migrations" / "sqlite")
    where = "here = os.path.dirname(os.path.abspath(__file__))\n"
    names = "context.script.version_locations = [os.path.join(here, 'sqlite')]\n"
    (source / "migrations" / "env.py").write_text(START + where + names + RUN + CONNECT)

    planned = host.plan(database(file))
    assert [revision["revision"] for revision in planned["pending"]] == ["0001", "0002"]
    assert not file.exists()
    assert host.result("upgrade", database(file))["outcome"] == "upgraded"
    assert [row for row in dump(file).splitlines() if "alembic_version VALUES" in row] == [
        "INSERT INTO alembic_version VALUES('0002');"
    ]


@pytest.mark.parametrize("there", [True, False])
def test_a_release_without_a_revision_is_refused(host: Host, file: Path, there: bool) -> None:
    source = host.layout.release(host.ship("generic")) / "source"
    for path in (source / "migrations" / "versions").glob("*.py"):
        path.unlink()
    if there:
        subprocess.run(["sqlite3", str(file), "create table mine (a)"], check=True)

    (obstacle,) = host.plan(database(file))["obstacles"]

    assert_error(obstacle, "release-empty")
    assert file.exists() == there


def test_at_head_is_not_answered_from_a_record_when_revisions_outside_of_the_release_change(
    host: Host, file: Path, tmp_path: Path
) -> None:
    source = host.layout.release(host.ship("generic")) / "source"
    package = tmp_path / "package"
    (source / "migrations" / "versions").rename(package)
    one = database(file)
    options = {"alembic_options": {"version_locations": str(package)}}
    assert host.result("upgrade", one, **options)["outcome"] == "upgraded"
    assert host.plan(one, **options)["pending"] == []

    text = (package / "0002_notes_on_items.py").read_text()
    (package / "0003.py").write_text(text.replace('"0002"', '"0003"').replace('"0001"', '"0002"'))

    assert [revision["revision"] for revision in host.plan(one, **options)["pending"]] == ["0003"]


def test_the_migrations_of_a_package_that_was_upgraded_in_place_are_pending(
    host: Host, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an application's package that has its migrations in it, in a virtualenv that is kept."""
    source = host.layout.release(host.ship("generic")) / "source"
    package = tmp_path / "site-packages" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (source / "migrations").rename(package / "migrations")
    monkeypatch.syspath_prepend(str(package.parent))
    ini = source / "alembic.ini"
    ini.write_text(ini.read_text().replace("%(here)s/migrations", "shop:migrations"))
    one = database(file)
    assert host.result("upgrade", one)["outcome"] == "upgraded"
    assert host.plan(one)["pending"] == []
    env_py = package / "migrations" / "env.py"

    versions = package / "migrations" / "versions"
    text = (versions / "0002_notes_on_items.py").read_text()
    renamed = text.replace('"0002"', '"0003"').replace('"0001"', '"0002"').replace("note", "remark")
    (versions / "0003.py").write_text(renamed)

    assert [revision["revision"] for revision in host.plan(one)["pending"]] == ["0003"]
    assert host.result("upgrade", one, run="r2")["after"] == ["0003"]
    env_py.write_text("raise RuntimeError('of another release')")
    assert host.plan(one)["obstacles"]


def _add_third(versions: Path) -> None:
    text = (versions / "0002_notes_on_items.py").read_text()
    renamed = text.replace('"0002"', '"0003"').replace('"0001"', '"0002"').replace("note", "remark")
    (versions / "0003.py").write_text(renamed)


@pytest.mark.parametrize("how", ["a virtualenv", pytest.param("the folder itself", marks=pytest.mark.exhaustive)])
def test_a_link_that_is_switched_to_other_revisions_is_planned_in_full(
    host: Host, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    source = host.layout.release(host.ship("generic")) / "source"
    first, second = tmp_path / "1" / "shop", tmp_path / "2" / "shop"
    first.mkdir(parents=True)
    (first / "__init__.py").touch()
    (source / "migrations").rename(first / "migrations")
    shutil.copytree(first, second)
    _add_third(second / "migrations" / "versions")
    link = tmp_path / "current"
    link.symlink_to("1")
    monkeypatch.syspath_prepend(str(link))
    there = "shop:migrations" if how == "a virtualenv" else str(link / "shop" / "migrations")
    ini = source / "alembic.ini"
    ini.write_text(ini.read_text().replace("%(here)s/migrations", there))
    one = database(file)
    assert host.result("upgrade", one)["outcome"] == "upgraded"
    assert list(read_known_plans(host.job("plan", one))) == ["app"]

    link.unlink()
    link.symlink_to("2")

    assert [revision["revision"] for revision in host.plan(one)["pending"]] == ["0003"]


@pytest.mark.parametrize("first", [pytest.param("a", marks=pytest.mark.exhaustive), "none yet"])
def test_a_folder_that_env_py_finds_later_is_planned_in_full(
    host: Host, file: Path, tmp_path: Path, first: str
) -> None:
    source = host.layout.release(host.ship("generic")) / "source"
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    if first == "a":
        (plugins / "a").mkdir()
    names = (
        f"import glob\nfound = sorted(glob.glob({str(plugins)!r} + '/*'))\nif found:\n"
        "    own = os.path.join(os.path.dirname(__file__), 'versions')\n"
        "    context.script.version_locations = [own, *found]\n"
    )
    (source / "migrations" / "env.py").write_text(START + names + RUN + CONNECT)
    one = database(file)
    assert host.result("upgrade", one)["outcome"] == "upgraded"
    assert host.plan(one)["pending"] == []

    (plugins / "b").mkdir()
    text = (source / "migrations" / "versions" / "0002_notes_on_items.py").read_text()
    (plugins / "b" / "0003.py").write_text(text.replace('"0002"', '"0003"').replace('"0001"', '"0002"'))

    assert [revision["revision"] for revision in host.plan(one)["pending"]] == ["0003"]


@pytest.mark.parametrize("place", [pytest.param("", marks=pytest.mark.exhaustive), "__pycache__"])
def test_a_compiled_revision_outside_of_the_release_is_planned_in_full(
    host: Host, file: Path, tmp_path: Path, place: str
) -> None:
    source = host.layout.release(host.ship("generic")) / "source"
    package = tmp_path / "package"
    (source / "migrations" / "versions").rename(package)
    one = database(file)
    options = {"alembic_options": {"version_locations": str(package), "sourceless": "true"}}
    assert host.result("upgrade", one, **options)["outcome"] == "upgraded"
    assert list(read_known_plans(host.job("plan", one, **options))) == ["app"]

    text = (package / "0002_notes_on_items.py").read_text()
    third = tmp_path / "0003.py"
    third.write_text(text.replace('"0002"', '"0003"').replace('"0001"', '"0002"'))
    name = f"0003.{sys.implementation.cache_tag}.pyc" if place else "0003.pyc"
    py_compile.compile(str(third), str(package / place / name), doraise=True)

    assert [revision["revision"] for revision in host.plan(one, **options)["pending"]] == ["0003"]


def test_a_package_that_is_installed_later_is_planned_in_full(
    host: Host, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entry points may lead to more revisions."""
    packages = tmp_path / "site-packages"
    packages.mkdir()
    monkeypatch.syspath_prepend(str(packages))
    hash_packages.cache_clear()
    host.ship("generic")
    one = database(file)
    assert host.result("upgrade", one)["outcome"] == "upgraded"
    assert list(read_known_plans(host.job("plan", one))) == ["app"]

    (packages / "plugin-1.0.dist-info").mkdir()
    hash_packages.cache_clear()

    assert read_known_plans(host.job("plan", one)) == {}


QUERY = "if not context.get_head_revision():\n    raise RuntimeError('no head')\n"
ORDERS = {"first": QUERY + NAMES_OTHERS, "last": NAMES_OTHERS + QUERY}


@pytest.mark.parametrize("order", [pytest.param("first", marks=pytest.mark.exhaustive), "last"])
def test_env_py_that_reads_the_head_gets_that_of_the_locations_of_the_moment(
    host: Host, file: Path, tmp_path: Path, order: str
) -> None:
    variant = Variant(START + ORDERS[order] + RUN + CONNECT)
    theirs = tmp_path / "databases" / "theirs.db"
    source_of(tmp_path / "project", variant)
    source = host.layout.release(host.ship("generic")) / "source"
    source_of(source, variant)
    for folder in (tmp_path / "project", source):
        migrations = folder / "migrations"
        shutil.copytree(migrations / "versions", migrations / "sqlite")
        if order == "last":
            shutil.rmtree(migrations / "versions")
        _add_third(migrations / "sqlite")
    by_alembic(tmp_path / "project", theirs, variant)

    assert host.result("upgrade", database(file))["after"] == heads(theirs)
