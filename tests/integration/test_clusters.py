"""Servers that were cloned from one image have the same system identifier, and are not one server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database as Entry
from tests.integration.fleet import Fleet
from tests.integration.servers import Clone
from tests.integration.site import FIXTURES
from tests.integration.targets import PostgresTarget
from tests.lab.fixtures import Database
from tests.lab.postgres import PostgresServer
from tests.unit.conftest import host
from tests.unit.stage import Host

__all__ = ["host"]


@pytest.fixture
def clone(postgres: PostgresTarget, postgres_server: PostgresServer) -> Iterator[PostgresTarget]:
    """The same database on a clone of its server."""
    with Clone(fsync=False, primary=postgres_server) as running:
        of = postgres.database
        there = PostgresTarget(Database(running, of.name, of.user, of.password))
        identifier = "select system_identifier from pg_control_system()"
        assert there.rows(identifier) == postgres.rows(identifier)
        yield there


def test_a_clone_is_another_server_and_another_name_of_one_is_not(
    host: Host, postgres: PostgresTarget, clone: PostgresTarget
) -> None:
    host.ship("generic")
    also_here = postgres.url.replace("127.0.0.1", "localhost")
    urls = {"here": postgres.url, "also_here": also_here, "there": clone.url}
    entries = [Entry(name, url) for name, url in urls.items()]

    # By env.py, and as it is answered where a database is known to be at head.
    for known in (False, True):
        here, here_too, there = (host.plan(entry)["instance"] for entry in entries)
        assert here == here_too != there
        for entry in () if known else entries:
            assert host.result("upgrade", entry, run=entry.name)["after"] == ["0002"]


@pytest.mark.exhaustive
def test_hosts_with_clones_of_one_server_are_both_migrated(
    postgres: PostgresTarget, clone: PostgresTarget, tmp_path: Path, newest_virtualenv: Path
) -> None:
    fleet = Fleet(tmp_path, newest_virtualenv, 2)
    for name, target in zip(fleet.names, (postgres, clone)):
        fleet.own[name] = {"migrate_databases": [{"name": "app", "url": target.url}]}

    fleet.run("migrate", migrate_source=str(FIXTURES / "generic"), migrate_rollout=["100%"])

    assert [target.revisions for target in (postgres, clone)] == [["0002"], ["0002"]]
    assert [target.tables() for target in (postgres, clone)] == [["item"], ["item"]]
