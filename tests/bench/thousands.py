"""Thousands of databases of one host that are found and have nothing to do, and what the host needs in memory."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ..lab.postgres import PostgresServer
from .histories import alembic_project
from .measure import BIN, Contender, Limited, Played, must, playbook, take_turns
from .memory import peak

REVISIONS = 20
#: Beside the most, the number that memory is compared with.
FEW = 100
#: In the command of the host's process, which has none of its own where the module comes through a pipe.
_MODULE = "AnsiballZ_plan_info"


class Found(ABC):
    """Where the databases of one engine lie, and how they are found."""

    name: str
    most: int
    #: Seconds that all of them may take.
    limit: float

    @abstractmethod
    def fill(self, project: Path) -> None:
        """Make all of them, at head."""

    @abstractmethod
    def source(self, count: int) -> dict[str, Any]:
        """Return the source of databases that finds so many of them."""


class Files(Found):
    """SQLite: a folder of files."""

    name, most, limit = "SQLite", 2000, 6.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def fill(self, project: Path) -> None:
        """Copy one."""
        first = self._folder / "t0000.db"
        _upgrade(project, f"sqlite:///{first}")
        for number in range(1, self.most):
            shutil.copyfile(first, self._folder / f"t{number:04}.db")

    def source(self, count: int) -> dict[str, Any]:
        """Return a pattern of paths: of four digits, the first two of a hundred are nothing."""
        pattern = "t00*.db" if count == FEW else "t*.db"
        return {"files": [str(self._folder / pattern)], "template": {"name": "{stem}", "url": "sqlite:///{path}"}}


class Server(Found):
    """PostgreSQL: a server of our own."""

    name, most, limit = "PostgreSQL", 1000, 10.0

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def fill(self, project: Path) -> None:
        """Make one the template of the others."""
        self._server.create_database("t0000")
        _upgrade(project, self._server.url("t0000", driver="psycopg2"))
        names = (f"t{number:04}" for number in range(1, self.most))
        self._server.execute("".join(f'CREATE DATABASE "{name}" TEMPLATE t0000 STRATEGY wal_log;\n' for name in names))

    def source(self, count: int) -> dict[str, Any]:
        """Return a statement on the server's own list."""
        pattern = "t00%" if count == FEW else "t%"
        url = self._server.url("{datname}", driver="psycopg2").replace("%7B", "{").replace("%7D", "}")
        return {
            "url": self._server.url("postgres"),
            "sql": f"select datname from pg_database where datname like '{pattern}' and not datistemplate",
            "template": {"name": "{datname}", "url": url},
        }


def _upgrade(project: Path, url: str) -> None:
    must([BIN / "alembic", "--config", project / "alembic.ini", "upgrade", "head"], {"DATABASE_URL": url})


@contextmanager
def files(folder: Path) -> Iterator[Found]:
    """Let SQLite have a folder."""
    yield Files(folder / "sqlite")


@contextmanager
def server(_folder: Path) -> Iterator[Found]:
    """Start a PostgreSQL server, and remove it whatever happens."""
    with PostgresServer() as running:
        yield Server(running)


def thousands(folder: Path, turns: int) -> list[Limited]:
    """Measure the plan of all, and the memory of the host's process for a hundred and for all."""
    folder.mkdir()
    project = alembic_project(folder / "project", REVISIONS)
    found: list[Limited] = []
    for place_of in (files, server):
        with place_of(folder) as place:
            place.fill(project)
            found += _Plans(folder / f"host-{place.name.lower()}", project, place).measure(turns)
    return found


class _Plans:
    """Plans of one engine's databases on one host."""

    def __init__(self, folder: Path, project: Path, place: Found) -> None:
        self._folder = folder
        folder.mkdir()
        self._place = place
        self._project = project

    def _inventory(self, count: int) -> Path:
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": str(BIN / "python"),
            "migrate_root": str(self._folder / "root"),
            "migrate_manifests": str(self._folder / "manifests"),
            "migrate_source": str(self._project),
            "migrate_virtualenv": str(BIN.parent),
            "migrate_discover": [{"name": f"all{count}", **self._place.source(count)}],
        }
        path = self._folder / f"{count}.yml"
        path.write_text(yaml.safe_dump({"all": {"hosts": {"localhost": variables}}}))
        return path

    def _plan(self, count: int, **variables: str) -> Played:
        """Plan so many.

        Raises:
            RuntimeError: they are not all at head.
        """
        played = playbook("playbooks/plan.yml", self._inventory(count), None, **variables)
        if f"{count} databases: {count} at head" not in played.output:
            raise RuntimeError(f"{count} databases were meant to be at head:\n{played.output}")
        return played

    def measure(self, turns: int) -> list[Limited]:
        """Run with the release on the host, which leaves records of those that are at head, then measure."""
        place = self._place
        playbook("playbooks/ship.yml", self._inventory(FEW))
        for count in (FEW, place.most):
            playbook("migrate.yml", self._inventory(count))
        all_of_them = Contender(
            f"plan of {place.most:,} {place.name} databases at head",
            lambda _turn: self._plan(place.most).seconds("Plan every database"),
        )
        take_turns([all_of_them], turns)
        needed = {}
        for count in (FEW, place.most):
            with peak(f"{count} databases", _MODULE, closely=True) as memory:
                self._plan(count, ansible_pipelining="false")
            if not memory.largest_named:
                raise RuntimeError(f"The host's process was not seen with {count} databases")
            needed[count] = memory.largest_named
        return [
            Limited(f"{all_of_them.name}, found by themselves, the whole task", all_of_them.median, "s", place.limit),
            Limited(
                f"memory of the host's process, {place.most:,} {place.name} databases beside {FEW}:"
                f" {needed[place.most] >> 20} MB beside {needed[FEW] >> 20} MB",
                needed[place.most] / needed[FEW],
                "times",
                1.2,
            ),
        ]
