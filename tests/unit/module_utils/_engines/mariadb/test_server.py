"""Servers on which nothing is done, by what real ones say of themselves, and a proxy in between."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.server import find_kind
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.versions import parse_version
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import refused
from tests.lab.fixtures import MariaDatabase
from tests.lab.mariadb import MariaDBServer
from tests.lab.proxy import proxy
from tests.unit.stage import in_process


def connects(url: str) -> None:
    def work() -> None:
        engine: Any = build_engine(Database("app", url), Job.from_options("plan", {"root": "/nowhere"}))
        engine.open_own_connection().close()

    in_process(work)


@pytest.mark.parametrize(
    ("settings", "code", "named"),
    [
        # For a newer one, SQLAlchemy reads what this server has not.
        ({"version": "5.7.10-log"}, "server-untested", "5.7.10"),
        ({"version": "10.4.34-MariaDB"}, "server-too-old", "10.4.34"),
        ({"version": "5.5.68-MariaDB"}, "server-too-old", "5.5.68"),
        ({"version": "10.11.6-MariaDB-maxscale"}, "connection-pooler", "maxscale"),
        (
            {"wsrep-on": "ON", "wsrep-provider": "none", "binlog-format": "ROW", "wsrep-cluster-address": "gcomm://"},
            "server-is-galera",
            "wsrep_on",
        ),
    ],
)
def test_a_server_that_is_not_supported_is_refused(settings: dict[str, str], code: str, named: str) -> None:
    with MariaDBServer(durable=False, settings=settings) as server:
        server.create_database("app")
        with refused(code, named):
            connects(server.url("app"))


def test_a_proxy_that_numbers_sessions_itself_is_refused(mariadb_database: MariaDatabase) -> None:
    server = mariadb_database.server
    with proxy(server) as port, refused("connection-pooler", "4711"):
        connects(mariadb_database.url.replace(f":{server.port}/", f":{port}/"))
    connects(mariadb_database.url)


@pytest.mark.parametrize(
    ("version", "comment", "kind"),
    [
        ("10.11.6-MariaDB-0+deb12u1", "Debian 12", "MariaDB"),
        ("11.8.2-MariaDB-log", "MariaDB Server", "MariaDB"),
        ("10.6.16", "MariaDB Server", "MariaDB"),
        ("10.5.23-MariaDB-cll-lve", "MariaDB Server", "MariaDB"),
        ("8.0.36", "MySQL Community Server - GPL", "MySQL"),
        ("8.4.3", "MySQL Community Server - GPL", "MySQL"),
        ("9.1.0-commercial", "MySQL Enterprise Server - Commercial", "MySQL"),
        ("8.0.36-0ubuntu0.22.04.1", "(Ubuntu)", "MySQL or one of its relatives"),
        ("8.0.35-27", "Percona Server (GPL), Release 27", "Percona Server"),
        ("8.0.28", "Source distribution", "MySQL or one of its relatives"),
        ("8.0.11-TiDB-v7.5.0", "TiDB Server (Apache License 2.0)", "TiDB"),
    ],
)
def test_what_a_server_is(version: str, comment: str, kind: str) -> None:
    """None of them but MariaDB runs in these tests."""
    assert find_kind(version, comment) == kind


@pytest.mark.parametrize(
    ("words", "number"),
    [("10.11.6-MariaDB-0+deb12u1", (10, 11)), ("5.5.5-10.6.1", (5, 5)), ("11.8.2", (11, 8)), ("none", (0, 0))],
)
def test_the_number_of_a_version(words: str, number: tuple[int, int]) -> None:
    assert parse_version(words) == number
