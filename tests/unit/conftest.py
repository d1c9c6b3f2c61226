"""The fixtures of the unit tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.keys import Person, age_person, end_agent, gpg_person
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


@pytest.fixture(params=["age", "age in a file", "gpg", "gpg in binary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    """A person who can open backups, by each of the ways to name them."""
    # A socket's path may not be long, and GnuPG makes one in its home.
    with tempfile.TemporaryDirectory(prefix="keys-") as made:
        folder = Path(made) / "person"
        if request.param.startswith("age"):
            found = age_person(folder, in_a_file=request.param == "age in a file")
        else:
            found = gpg_person(folder, armoured=request.param == "gpg")
        yield found
        end_agent(found)


@pytest.fixture
def age(tmp_path: Path) -> Person:
    """A person with a key of age."""
    return age_person(tmp_path / "age")
