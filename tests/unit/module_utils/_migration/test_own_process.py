"""Each run of env.py has a process of its own: what an application can do once in a process, each attempt can do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed
from ansible_collections.hosting.alembic.plugins.module_utils._core.processes import Died
from ansible_collections.hosting.alembic.plugins.module_utils._core.progress import Progress
from ansible_collections.hosting.alembic.plugins.module_utils._engines.interface import Lock
from ansible_collections.hosting.alembic.plugins.module_utils._migration.own_process import Standby
from ansible_collections.hosting.alembic.plugins.module_utils._migration.reported_error import make_reportable
from tests.codes import failed
from tests.lab.waiting import wait_until
from tests.unit.stage import Host, database, heads, script, sql, tables

#: What stays in the modules of an application: an engine bound to the first event loop, models that exist once.
APP = """
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool
from alembic import context
engine = create_async_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=StaticPool)
metadata = sa.MetaData()
calls = []
"""
ENV_PY = """
import asyncio
import sqlalchemy as sa
from alembic import context
import shop

shop.calls.append("env.py")
if len(shop.calls) > 1:
    raise RuntimeError("env.py has run before in this process")
sa.Table("item", shop.metadata, sa.Column("id", sa.Integer))


def migrate(connection):
    context.configure(connection=connection, target_metadata=shop.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


async def run():
    async with shop.engine.connect() as connection:
        await connection.run_sync(migrate)


asyncio.run(run())
"""

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin immediate")
print("held", flush=True)
sys.stdin.read()
"""


def shipped(host: Host) -> None:
    source = host.layout.release(host.ship("generic")) / "source"
    (source / "migrations" / "env.py").write_text(ENV_PY)
    (source / "shop.py").write_text(APP)


@contextmanager
def locked_until_a_pause(host: Host, file: Path) -> Iterator[None]:
    """Hold SQLite's write lock, as an application does, until an attempt has timed out."""

    def hold() -> None:
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout
            assert process.stdin
            assert process.stdout.readline() == b"held\n"
            held.set()
            wait_until(lambda: happened(host, "waits") or done.is_set(), "nobody gave way")
            process.stdin.close()

    held, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(10)
        yield
    finally:
        done.set()
        thread.join()


def happened(host: Host, name: str) -> bool:
    return name in [event["event"] for event in host.events()]


def test_an_upgrade_that_waited_too_long_runs_env_py_in_another_process(host: Host, file: Path) -> None:
    shipped(host)
    script(file, "create table mine (a)")

    with locked_until_a_pause(host, file):
        one = database(file, url=f"sqlite+aiosqlite:///{file}")
        result = host.result("upgrade", one, lock_timeout=0.1, lock_wait=30)

    assert result["error"] is None, (result, host.events())
    assert result["outcome"] == "upgraded"
    assert happened(host, "waits")
    assert heads(file) == ["0002"]
    assert tables(file) == {"alembic_version", "item", "mine"}


def test_a_downgrade_that_waited_too_long_runs_env_py_in_another_process(host: Host, file: Path) -> None:
    shipped(host)
    host.revise("generic", "0003", "0002", "raise RuntimeError('on purpose')")
    script(file, "create table mine (a); insert into mine values (1)")
    one = database(file, url=f"sqlite+aiosqlite:///{file}")
    assert host.result("upgrade", one)["outcome"] == "failed"

    with locked_until_a_pause(host, file):
        result = host.result("downgrade", one, lock_timeout=0.1, lock_wait=30)

    assert (result["outcome"], result.get("error")) == ("downgraded", None), result
    assert [step["revision"] for step in result["undone"]] == ["0002", "0001"]
    assert happened(host, "waits")
    assert tables(file) - {"alembic_version"} == {"mine"}
    assert sql(file, "select a from mine") == [(1,)]


def test_a_rehearsal_runs_env_py_once_in_a_process(host: Host, file: Path) -> None:
    shipped(host)
    script(file, "create table mine (a)")

    result = host.result("rehearse", database(file, url=f"sqlite+aiosqlite:///{file}"))

    assert (result["outcome"], result["error"]) == ("rehearsed", None)
    assert [(each["verdict"], each["again"]) for each in result["revisions"]] == [("reversible", True)] * 2
    assert tables(file) == {"mine"}


class LostLock(Lock):
    """A lock whose connection was closed by the server."""

    def check(self) -> None:
        raise Failed("The lock was lost", "on purpose", code="lock-lost")

    def release(self) -> None:
        pass


def test_the_lock_is_checked_by_the_process_that_holds_it(tmp_path: Path) -> None:
    with Standby(lambda _request, lock, _progress: lock.check()) as standby, failed("lock-lost"):
        standby.call(None, LostLock(), Progress(tmp_path / "progress"))


def test_each_call_has_a_process_of_its_own_and_an_error_comes_back_by_its_text(tmp_path: Path) -> None:
    class OfTheApplication(Exception):
        """Its class is not known outside of the process that raises it."""

    def task(_request: object, _lock: object, _progress: object) -> tuple[int, object]:
        return os.getpid(), make_reportable(OfTheApplication("it says so"))

    with Standby(task) as standby:
        (one, error), (other, _error) = (
            standby.call(None, LostLock(), Progress(tmp_path / "progress")) for _ in range(2)
        )

    assert len({one, other, os.getpid()}) == 3
    assert (type(error).__name__, str(error)) == ("OfTheApplication", "it says so")


def test_a_process_that_ends_without_an_answer_is_noticed(tmp_path: Path) -> None:
    with Standby(lambda *_: os._exit(3)) as standby, pytest.raises(Died, match="code 3"):
        standby.call(None, LostLock(), Progress(tmp_path / "progress"))


def test_nothing_is_migrated_that_no_process_waits_for(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def task(*_: object) -> None:
        begun.with_suffix(".new").write_text(str(os.getpid()))
        begun.with_suffix(".new").rename(begun)
        signal.pause()

    waiting = os.fork()
    if waiting == 0:
        with Standby(task) as standby:
            standby.call(None, LostLock(), Progress(tmp_path / "progress"))
        os._exit(0)
    wait_until(begun.exists, "the task did not begin")
    os.kill(waiting, signal.SIGKILL)
    os.waitpid(waiting, 0)

    migrating = Path("/proc") / begun.read_text() / "stat"
    wait_until(lambda: not migrating.exists() or migrating.read_text().split()[2] == "Z", "it goes on")
