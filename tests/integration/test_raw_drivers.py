"""An env.py that connects by a driver itself, past SQLAlchemy: what it writes is not there after a plan."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.codes import assert_error
from tests.lab.fixtures import Database as Postgres
from tests.unit.conftest import file, host
from tests.unit.module_utils._migration.test_env_postgresql import RUN, START, shipped
from tests.unit.stage import PROJECT, Host

__all__ = ["file", "host"]

pytestmark = pytest.mark.exhaustive

ASYNC = "import asyncio\nasync def go():\n    {0}\nasyncio.run(go())\n"
PIECES = {
    "asyncpg": ASYNC.format(
        "one = await asyncpg.connect({url!r})\n    await one.execute({write!r})\n    await one.close()"
    ),
    "asyncpg, in a block": ASYNC.format(
        "one = await asyncpg.connect({url!r})\n    async with one.transaction():\n        await one.execute({write!r})"
    ),
    "asyncpg, its own commit": ASYNC.format(
        "one = await asyncpg.connect({url!r})\n    await one.execute('begin; {write}; commit')"
    ),
    "asyncpg, a pool": ASYNC.format(
        "async with asyncpg.create_pool({url!r}, min_size=1, max_size=1) as pool:\n"
        "        await pool.fetchval('select 1')\n        await pool.execute({write!r})"
    ),
    "asyncpg by name": "from asyncpg import connect\n"
    + ASYNC.format("one = await connect({url!r})\n    await one.execute({write!r})\n    await one.close()"),
    "psycopg": "with psycopg.connect({url!r}) as one:\n    one.execute({write!r})\n",
    "psycopg, its class": "with psycopg.Connection.connect({url!r}, autocommit=True) as one:\n"
    "    one.execute({write!r})\n",
    "psycopg, asynchronous": ASYNC.format(
        "async with await psycopg.AsyncConnection.connect({url!r}) as one:\n        await one.execute({write!r})"
    ),
    "psycopg2": "one = psycopg2.connect({url!r})\none.cursor().execute({write!r})\none.commit()\none.close()\n",
    "pg8000.dbapi": "import urllib.parse\nat = urllib.parse.urlsplit({url!r})\n"
    "one = pg8000.dbapi.connect(at.username, host=at.hostname, port=at.port, password=at.password, "
    "database=at.path[1:])\n"
    "one.cursor().execute({write!r})\none.commit()\none.close()\n",
    "pg8000.native": "import urllib.parse\nat = urllib.parse.urlsplit({url!r})\n"
    "one = pg8000.native.Connection(at.username, host=at.hostname, port=at.port, password=at.password, "
    "database=at.path[1:])\none.run({write!r})\none.close()\n",
}
PACKAGES = {"asyncpg": "asyncpg", "psycopg": "psycopg[binary]", "pg8000": "pg8000"}
GEVENT = "from gevent import monkey\nmonkey.patch_all()\n"


def package(name: str, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package where env.py finds it."""
    place = PROJECT / ".cache" / "packages" / f"{name}-{sys.version_info[0]}.{sys.version_info[1]}"
    if not (place / name).exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target", str(place), wanted]
        subprocess.run(pip, check=True)
    monkeypatch.syspath_prepend(str(place))


def installed_driver(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The module of a driver in ``PIECES``, with its package where env.py finds it."""
    driver = name.partition(",")[0].partition(" ")[0]
    top = driver.partition(".")[0]
    if top in PACKAGES:
        package(top, PACKAGES[top], monkeypatch)
    return driver


@pytest.mark.parametrize("patched", ["", GEVENT], ids=["plain", "gevent"])
@pytest.mark.parametrize("name", PIECES)
def test_what_it_writes_is_kept_from_lasting_in_a_plan_only(
    host: Host, postgres_database: Postgres, monkeypatch: pytest.MonkeyPatch, name: str, patched: str
) -> None:
    driver = installed_driver(name, monkeypatch)
    if patched:
        package("gevent", "gevent", monkeypatch)
    url = postgres_database.url.replace("+psycopg2", "")
    piece = PIECES[name].format(url=url, write="create table if not exists made (a int)")
    env_py = f"{patched}import {driver}\n{piece}{START}{RUN.format(schema=None, first='pass')}"
    one = shipped(host, postgres_database, env_py, "create table revised ()")
    made = "select count(*) from pg_class where relname = 'made'"

    obstacles = host.plan(one, plan_timeout=20)["obstacles"]

    assert postgres_database.execute(made) == [["0"]]
    assert_error(obstacles[0], "env-py-writes", "'app'")


@pytest.mark.parametrize("to_the_copy", [False, True], ids=["elsewhere", "to the copy"])
@pytest.mark.parametrize("name", PIECES)
def test_what_a_revision_writes_by_it_goes_to_the_copy_of_a_rehearsal_only(
    host: Host, postgres_database: Postgres, monkeypatch: pytest.MonkeyPatch, name: str, to_the_copy: bool
) -> None:
    driver = installed_driver(name, monkeypatch)
    postgres_database.execute(f'alter role "{postgres_database.user}" createdb')
    one = shipped(host, postgres_database, START + RUN.format(schema=None, first="pass"), "select 1")
    url = postgres_database.url.replace("+psycopg2", "")
    piece = PIECES[name].format(url=url, write="create table if not exists made (a int)")
    path = host.layout.release("generic") / "source" / "migrations" / "versions" / "a1.py"
    if to_the_copy:
        here = "op.get_context().config.get_main_option('sqlalchemy.url').replace('+psycopg2', '')"
        piece = f"here = {here}\n{piece.replace(repr(url), 'here')}"
    body = f"import {driver}\n{piece}".rstrip("\n").replace("\n", "\n    ")
    path.write_text(path.read_text().replace("op.execute('select 1')", body))

    result = host.result("rehearse", one)

    assert postgres_database.execute("select count(*) from pg_class where relname = 'made'") == [["0"]]
    if to_the_copy:
        assert (result["outcome"], result["error"]) == ("rehearsed", None)
    else:
        assert_error(result["error"], "rehearsal-writes-elsewhere")
