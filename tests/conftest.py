"""Fixtures for all tests, and a note of what was skipped for the end of `make test`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab import memory_disk
from tests.lab.fixtures import lab, mariadb_database, mariadb_server, postgres_database, postgres_server

__all__ = ["lab", "mariadb_database", "mariadb_server", "postgres_database", "postgres_server"]

memory_disk.use()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """No test is skipped silently: the last lines of `make test` name it with the reason."""
    notes = os.environ.get("HOSTING_ALEMBIC_NOT_RUN")
    skipped = terminalreporter.getreports("skipped")
    if not notes or not skipped:
        return
    with Path(notes).open("a") as file:
        for report in skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            file.write(f"{report.nodeid}: {reason}\n")
