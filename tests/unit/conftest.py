"""What the unit tests ask for by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stage import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on which nothing was done yet."""
    return Host(tmp_path / "root")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a database may be; nothing is there."""
    folder = tmp_path / "databases"
    folder.mkdir()
    return folder / "app.db"
