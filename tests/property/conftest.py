"""The fixtures of the property tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.lab.postgres import PostgresServer
from tests.property.examples import NOT_YET


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the kinds that are left out, so that they are not taken for proven."""
    for engine, kinds in NOT_YET.items():
        for kind, why in kinds.items():
            terminalreporter.write_line(f"left out of the random examples of {engine}: {kind}: {why}")
