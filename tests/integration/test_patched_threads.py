"""An application that patches threads, sockets and processes when it is imported, as servers by greenlets need it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.fixtures import Database as Postgres
from tests.unit.conftest import file, host
from tests.unit.module_utils._migration.test_env_postgresql import RUN, START, shipped
from tests.unit.stage import PROJECT, Host, database, script, sql, tables

__all__ = ["file", "host"]

pytestmark = pytest.mark.exhaustive

PATCHES = {
    "gevent": "from gevent import monkey\nmonkey.patch_all()\n",
    "eventlet": "import eventlet\neventlet.monkey_patch()\n",
}
ENV_PY = RUN.format(schema=None, first="pass")


@pytest.fixture(params=sorted(PATCHES))
def patch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The first lines of an env.py, and their package where env.py finds it."""
    name = str(request.param)
    place = PROJECT / ".cache" / "packages" / f"{name}-{sys.version_info[0]}.{sys.version_info[1]}"
    if not (place / name).exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target", str(place), name]
        subprocess.run(pip, check=True)
    monkeypatch.syspath_prepend(str(place))
    return PATCHES[name]


def test_a_sqlite_database_is_upgraded_and_reverted(host: Host, file: Path, patch: str) -> None:
    source = host.layout.release(host.ship("broken")) / "source" / "migrations"
    (source / "env.py").write_text(patch + (source / "env.py").read_text())
    script(file, "create table mine (a); insert into mine values (1)")

    assert host.result("upgrade", database(file))["outcome"] == "failed"
    result = host.result("downgrade", database(file))

    assert result["outcome"] in ("downgraded", "restored")
    assert tables(file) - {"alembic_version"} == {"mine"}
    assert sql(file, "select a from mine") == [(1,)]


def test_a_postgresql_database_is_planned_upgraded_and_reverted(
    host: Host, postgres_database: Postgres, patch: str
) -> None:
    one = shipped(host, postgres_database, patch + START + ENV_PY, "create table one ()")

    assert host.plan(one)["obstacles"] == []
    result = host.result("upgrade", one)

    assert (result["outcome"], result["error"]) == ("upgraded", None)
    host.revise("generic", "b2", "a1", "op.execute('create table two ()'); op.execute('wrong')", "pass")
    assert host.result("upgrade", one, run="r2")["outcome"] == "failed"
    assert host.result("downgrade", one, run="r2")["outcome"] == "untouched"
    assert postgres_database.execute("select version_num from alembic_version") == [["a1"]]
