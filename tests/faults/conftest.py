"""The faults happen to the hosts and databases of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.conftest import mariadb, more_postgres, newest_virtualenv, postgres, site, sqlite, targets
from tests.lab.fixtures import LOGS
from tests.lab.mariadb import MariaDBServer

__all__ = ["mariadb", "more_postgres", "newest_virtualenv", "postgres", "site", "sqlite", "targets"]


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """One server for all faults, which may kill it: what it has committed is then in the hands of the kernel."""
    settings = {"innodb-flush-log-at-trx-commit": "2"}
    with MariaDBServer(durable=False, settings=settings, log=LOGS / "mariadb-faults.log") as server:
        yield server
