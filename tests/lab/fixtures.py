"""What a test requires by name: a database, a server, hosts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import PROJECT, hosts
from .mariadb import MariaDBServer
from .postgres import PostgresServer
from .server import Server

LOGS = PROJECT / ".hosting-alembic" / "logs"


@dataclass(frozen=True)
class _Database:
    server: Server
    name: str
    user: str
    password: str

    @property
    def url(self) -> str:
        return self.server.url(self.name, user=self.user, password=self.password)

    @property
    def url_without_password(self) -> str:
        return self.server.url(self.name, user=self.user)

    def execute(self, statement: str) -> list[list[str]]:
        return self.server.execute(statement, self.name)


@dataclass(frozen=True)
class Database(_Database):
    """An empty database with an owner who is not a superuser, as hosting customers have it."""

    server: PostgresServer


@dataclass(frozen=True)
class MariaDatabase(_Database):
    """An empty database with a user who has all rights on it and none on anything else, as customers have."""

    server: MariaDBServer

    def dump(self) -> str:
        return self.server.dump(self.name)


def skip_before(server: PostgresServer, major: int, what: str) -> None:
    """Skip a test on a server of before a major version, which does not have what it is about."""
    there = int(server.execute("SHOW server_version_num")[0][0]) // 10000
    if there < major:
        pytest.skip(f"PostgreSQL {there} does not have {what}, which came with {major}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of a run. A test that stops or crashes its server starts one of its own."""
    # This one is never cut off, so it need not wait for the disk.
    with PostgresServer(fsync=False, log=LOGS / "postgres.log") as server:
        yield server


@contextmanager
def owned_database(server: PostgresServer) -> Iterator[Database]:
    """An empty database, which is dropped after the block, and its owner with it."""
    name = f"app_{secrets.token_hex(4)}"
    password = server.create_role(name)
    server.create_database(name, owner=name)
    yield Database(server, name, name, password)
    # A restore keeps what it replaced beside it; a test may have given the database to another user.
    owned = server.execute(f"SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = '{name}'")
    for each in {name, *(row[0] for row in owned)}:
        server.drop_database(each)
    server.execute(f'DROP ROLE "{name}"')


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[Database]:
    """An empty database of the test's own."""
    with owned_database(postgres_server) as database:
        yield database


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """One server for all tests of a run. A test that stops or crashes its server starts one of its own."""
    with MariaDBServer(durable=False, log=LOGS / "mariadb.log") as server:
        yield server


@contextmanager
def maria_database(server: MariaDBServer) -> Iterator[MariaDatabase]:
    """An empty database, which is dropped after the block, and its user with it."""
    name = f"app_{secrets.token_hex(4)}"
    password = server.create_user(name)
    server.create_database(name, owner=name)
    yield MariaDatabase(server, name, name, password)
    server.execute(f"SET foreign_key_checks = 0; DROP DATABASE IF EXISTS `{name}`")
    server.execute(f"DROP USER '{name}'@'%'")


@pytest.fixture
def mariadb_database(mariadb_server: MariaDBServer) -> Iterator[MariaDatabase]:
    """An empty database of the test's own."""
    with maria_database(mariadb_server) as database:
        yield database


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hosts.Lab]:
    """Two hosts behind SSH and a database server on their network."""
    folder: Path = tmp_path_factory.mktemp("lab")
    yield hosts.up(folder, hosts=2, postgres=True)
    hosts.down(folder)
