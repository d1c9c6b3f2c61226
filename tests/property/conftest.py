"""What the property tests ask for by name."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.lab.postgres import PostgresServer


@pytest.fixture(scope="session")
def owner(postgres_server: PostgresServer) -> Iterator[tuple[str, str]]:
    """A role for all examples, and another one that may be granted something."""
    name = f"own_{secrets.token_hex(4)}"
    password = postgres_server.create_role(name)
    yield name, password
    postgres_server.execute(f'DROP ROLE "{name}"')


@pytest.fixture(scope="session")
def reader(postgres_server: PostgresServer) -> None:
    postgres_server.create_role("property_reader", options="NOLOGIN")
