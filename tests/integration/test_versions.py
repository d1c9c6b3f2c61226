"""The oldest and the newest of what a release may bring along, and each driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.codes import assert_code
from tests.integration.site import Site, assert_says
from tests.integration.targets import PostgresTarget, SQLiteTarget, Target, program
from tests.integration.virtualenvs import oldest_python, virtualenv


def round_trip(site: Site, settings: dict[str, Any], *targets: Target) -> None:
    """Up, again, a failure, back: what every version has to be able to do."""
    settings = {**settings, "migrate_databases": [target.entry for target in targets]}
    source = settings["migrate_source"]
    outcome = site.run("migrate", **settings)
    for target in targets:
        assert target.revisions == ["0002"]
        assert_says(outcome.output, f"{target.name} upgraded base 0002 2")
        target.fill()
    with unasked(site):
        assert site.run("migrate", **settings).changed == 0
    source.add("0003", "0002", "op.create_table('half', sa.Column('id', sa.Integer()))\nraise RuntimeError('broken')")
    outcome = site.run("migrate", code=2, **settings)
    for target in targets:
        assert_code(outcome, "revision-failed", "0003", "broken", database=target.name)
        assert target.revisions == ["0002"]
        assert target.tables() == ["item"]
    site.run("rollback", **settings)
    assert [target.tables() for target in targets] == [[] for _ in targets]


@contextmanager
def unasked(site: Site) -> Iterator[None]:
    """Let env.py fail: where nothing is to be done, a read of the version table is enough with every driver."""
    env = site.root / "releases" / "current" / "source" / "migrations" / "env.py"
    kept = env.read_text()
    env.write_text("raise SystemExit('it was asked')")
    yield
    env.write_text(kept)


def versions_in(place: Path, *packages: str) -> list[str]:
    """What is installed there, so that a test says which version it is about."""
    script = f"import importlib.metadata as m; print(*map(m.version, {packages!r}))"
    done = program(place / "bin" / "python", "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_alembic_1_8_and_sqlalchemy_1_4_on_python_3_9(site: Site, targets: list[Target]) -> None:
    python = oldest_python()
    if python is None:
        pytest.skip("no Python 3.9 here, the oldest that hosts may have")
    place = virtualenv("oldest", python)
    alembic, sqlalchemy = versions_in(place, "alembic", "sqlalchemy")
    assert alembic.startswith("1.8.")
    assert sqlalchemy.startswith("1.4.")
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_virtualenv": place}
    # The host's own Python is as old: it runs the modules.
    settings["ansible_python_interpreter"] = python
    round_trip(site, settings, *targets)


@pytest.mark.both_cores
def test_the_newest_with_psycopg2(site: Site, postgres: PostgresTarget) -> None:
    round_trip(site, {"migrate_source": site.source("generic")}, postgres)


def test_the_newest_with_psycopg_3(site: Site, postgres: PostgresTarget) -> None:
    place = virtualenv("psycopg")
    assert versions_in(place, "psycopg")[0].startswith("3.")
    round_trip(site, {"migrate_source": site.source("generic"), "migrate_virtualenv": place}, postgres)


class AsyncSQLite(SQLiteTarget):
    """A file that env.py reaches through an asynchronous driver."""

    @property
    def entry(self) -> dict[str, Any]:
        return {"name": self.name, "url": self.url.replace("sqlite:", "sqlite+aiosqlite:")}


def test_the_newest_with_asyncpg_and_an_async_env_py(
    site: Site, sqlite: SQLiteTarget, postgres: PostgresTarget
) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("async"), "migrate_virtualenv": virtualenv("asyncpg")}
    round_trip(site, settings, AsyncSQLite(sqlite.path), postgres)


#: An engine of the application, with its pool, that env.py imports and does not dispose of.
APPLICATION = """
import os
from sqlalchemy.ext.asyncio import create_async_engine
engine = create_async_engine(os.environ["DATABASE_URL"])
"""
ITS_ENGINE = """
import asyncio
from alembic import context
from shop.db import engine

def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def go():
    async with engine.connect() as connection:
        await connection.run_sync(run)

asyncio.run(go())
"""


def test_an_asynchronous_engine_of_the_application_with_options_of_its_driver(
    site: Site, postgres: PostgresTarget
) -> None:
    source = site.source("async")
    (source.folder / "shop").mkdir()
    (source.folder / "shop" / "db.py").write_text(APPLICATION)
    source.env.write_text(ITS_ENGINE)
    url = postgres.url.replace("postgresql:", "postgresql+asyncpg:") + "?prepared_statement_cache_size=0"
    settings: dict[str, Any] = {
        "migrate_source": source,
        "migrate_virtualenv": virtualenv("asyncpg and psycopg2"),
        "migrate_databases": [{"name": "app", "url": url, "url_variables": ["DATABASE_URL"]}],
    }

    for revision in ("0001", "0002"):  # the second time there is something to back up, and a pool that was used
        site.run("migrate", migrate_target=revision, **settings)
        assert postgres.revisions == [revision]
