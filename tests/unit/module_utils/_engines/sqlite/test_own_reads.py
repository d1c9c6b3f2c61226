"""Reads of our own while env.py holds the file for itself, as SQLAlchemy's recipe for transactional DDL does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stage import Host, database, heads, script, sql, tables

ENV = """
from alembic import context
from sqlalchemy import create_engine, event, pool

engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)


@event.listens_for(engine, "connect")
def connects(connection, _record):
    connection.isolation_level = None
    connection.execute("pragma cache_size = 10")


@event.listens_for(engine, "begin")
def begins(connection):
    connection.exec_driver_sql("BEGIN {kind}")


with engine.connect() as connection:
    context.configure(connection=connection, {options})
    with context.begin_transaction():
        context.run_migrations()
"""
MANY_ROWS = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 4000)"
CASES = [
    (kind, options, mode)
    for kind in ("", "EXCLUSIVE")
    for options in ("transactional_ddl=True", "transactional_ddl=True, transaction_per_migration=True", "")
    for mode in (("delete", "wal") if "per_migration" in options else ("delete",))
]


def release(host: Host, kind: str, options: str) -> None:
    """Ship two revisions: one that spills SQLite's cache, and one that comes after it."""
    host.ship("generic")
    source = host.layout.release("generic") / "source" / "migrations"
    (source / "env.py").write_text(ENV.format(kind=kind, options=options))
    for path in (source / "versions").glob("*.py"):
        path.unlink()
    host.revise("generic", "r1", None, "op.execute(\"update mine set b = b || 'x'\")", "pass")  # type: ignore[arg-type]
    host.revise("generic", "r2", "r1", "op.execute('create table more (a)')", "op.execute('drop table more')")


@pytest.fixture
def mine(file: Path) -> Path:
    """A file that is larger than its cache will be."""
    return script(file, f"create table mine (a, b); insert into mine {MANY_ROWS} select i, hex(zeroblob(200)) from n")


@pytest.mark.parametrize(("kind", "options", "mode"), CASES)
def test_a_transaction_that_lets_no_session_read_is_migrated(
    host: Host, mine: Path, kind: str, options: str, mode: str
) -> None:
    script(mine, f"pragma journal_mode = {mode}")
    release(host, kind, options)

    result = host.result("upgrade", database(mine), lock_wait=0)

    assert (result["outcome"], result["error"]) == ("upgraded", None)
    assert [step["revision"] for step in result["applied"]] == ["r1", "r2"]
    assert heads(mine) == ["r2"]
    assert "more" in tables(mine)


@pytest.mark.parametrize("options", ["transactional_ddl=True", "transaction_per_migration=True"])
def test_one_that_fails_is_reverted(host: Host, mine: Path, options: str) -> None:
    release(host, "EXCLUSIVE", options)
    host.revise("generic", "r3", "r2", "op.execute('create table half (a)'); raise RuntimeError('no')")
    before = sql(mine, "select a, b from mine")

    assert host.result("upgrade", database(mine), lock_wait=0)["outcome"] == "failed"
    result = host.result("downgrade", database(mine))

    assert result["outcome"] in ("downgraded", "restored", "untouched")
    assert sql(mine, "select a, b from mine") == before
    assert tables(mine) <= {"mine", "alembic_version"}


def test_others_who_wrote_before_it_began_are_seen(host: Host, mine: Path) -> None:
    """A process that writes between the backup and BEGIN EXCLUSIVE is seen by the file's change counter alone."""
    release(host, "EXCLUSIVE", "transactional_ddl=True")
    source = host.layout.release("generic") / "source" / "migrations"
    insert = "insert into mine values (0, 0)"
    other = f"__import__('sqlite3').connect({str(mine)!r}, isolation_level=None).execute({insert!r})"
    written = (source / "env.py").read_text()
    (source / "env.py").write_text(
        f"from pathlib import Path\nif list(Path({str(host.root)!r}).glob('**/manifest.json')):\n    {other}\n{written}"
    )
    host.revise("generic", "r3", "r2", "raise RuntimeError('no')")

    assert host.result("upgrade", database(mine), lock_wait=0)["outcome"] == "failed"
    (failed,) = [event for event in host.events() if event["event"] == "failed"]

    assert failed["content"] is None
    host.result("downgrade", database(mine))
    assert sql(mine, "select count(*) from mine where a = 0") == [(1,)]
