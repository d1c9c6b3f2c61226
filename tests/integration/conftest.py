"""The fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.site import Site
from tests.integration.targets import MariaDBTarget, PostgresTarget, SQLiteTarget, Target
from tests.integration.virtualenvs import virtualenv
from tests.lab.fixtures import Database, MariaDatabase, maria_database, owned_database
from tests.lab.mariadb import MariaDBServer
from tests.lab.postgres import PostgresServer

_EXHAUSTIVE = Path(__file__).with_name("exhaustive.txt")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make test` leaves to `make faults`.

    Raises:
        pytest.UsageError: a name in the list is not a test any more.
    """
    here = {f"{item.path.name}::{item.name}": item for item in items if item.path.parent == _EXHAUSTIVE.parent}
    functions = {name.partition("[")[0] for name in here}
    for name in _EXHAUSTIVE.read_text().splitlines()[1:]:
        if name in here:
            here[name].add_marker(pytest.mark.exhaustive)
        elif name.partition("[")[0] in functions and len(here) > len(functions):
            raise pytest.UsageError(f"{_EXHAUSTIVE.name}: there is no test {name}")


@pytest.fixture(scope="session")
def newest_virtualenv() -> Path:
    return virtualenv("newest")


@pytest.fixture
def site(tmp_path: Path, newest_virtualenv: Path) -> Site:
    """A host with nothing on it but a virtualenv."""
    variables = {
        "migrate_root": str(tmp_path / "root"),
        "migrate_virtualenv": str(newest_virtualenv),
        "migrate_manifests": str(tmp_path / "manifests"),
    }
    return Site(tmp_path, variables)


@pytest.fixture
def sqlite(tmp_path: Path) -> SQLiteTarget:
    return SQLiteTarget(tmp_path / "app.db")


@pytest.fixture
def mariadb(mariadb_database: MariaDatabase) -> MariaDBTarget:
    return MariaDBTarget(mariadb_database)


@pytest.fixture
def postgres(postgres_database: Database) -> PostgresTarget:
    return PostgresTarget(postgres_database)


@pytest.fixture
def targets(sqlite: SQLiteTarget, postgres: PostgresTarget) -> list[Target]:
    """An empty database of each engine, both migrated by the same run."""
    return [sqlite, postgres]


@pytest.fixture
def more_mariadb(mariadb_server: MariaDBServer) -> Iterator[Callable[[], MariaDBTarget]]:
    """Further empty databases of the session's server, each with a user of its own."""
    with ExitStack() as made:
        yield lambda: MariaDBTarget(made.enter_context(maria_database(mariadb_server)))


@pytest.fixture
def more_postgres(postgres_server: PostgresServer) -> Iterator[Callable[[], PostgresTarget]]:
    """Further empty databases of the session's server, each with an owner of its own."""
    with ExitStack() as made:
        yield lambda: PostgresTarget(made.enter_context(owned_database(postgres_server)))


@pytest.fixture
def creator(postgres: PostgresTarget) -> PostgresTarget:
    """A database whose owner may create others."""
    postgres.database.server.execute(f'ALTER ROLE "{postgres.database.user}" CREATEDB')
    return postgres
