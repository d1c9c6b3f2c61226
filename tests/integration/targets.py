"""Databases as the tests see them: through a driver and the databases' own programs, never through our code."""

from __future__ import annotations

import sqlite3
import subprocess
from abc import ABC, abstractmethod
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pymysql

from tests.lab.fixtures import Database, MariaDatabase
from tests.lab.shell import run

Rows = list[tuple[Any, ...]]


class Target(ABC):
    """One database to migrate."""

    engine: str
    name: str
    url: str

    @abstractmethod
    def rows(self, statement: str) -> Rows:
        """Run one statement in a transaction of its own and return its rows."""

    @abstractmethod
    def tables(self) -> list[str]:
        """The names of all tables but Alembic's."""

    @abstractmethod
    def columns(self, table: str) -> list[str]:
        """The names of a table's columns, in their order."""

    @abstractmethod
    def dump(self) -> str:
        """The whole content as text, the same for the same content."""

    @property
    def entry(self) -> dict[str, Any]:
        """What the inventory says of it."""
        return {"name": self.name, "url": self.url}

    @property
    def revisions(self) -> list[str]:
        """What Alembic's own table says; empty when it is not there."""
        try:
            return sorted(row[0] for row in self.rows("SELECT version_num FROM alembic_version"))
        except (psycopg2.errors.UndefinedTable, sqlite3.OperationalError, pymysql.err.ProgrammingError):
            return []

    def fill(self, count: int = 3) -> None:
        """Put rows into the fixtures' table."""
        values = ", ".join(f"({number}, 'item {number}')" for number in range(1, count + 1))
        self.rows(f"INSERT INTO item (id, name) VALUES {values}")


class PostgresTarget(Target):
    """A database of the session's server, with an owner of its own."""

    engine = "postgresql"

    def __init__(self, database: Database) -> None:
        self.database = database
        self.name = database.name
        self.url = database.url

    def connect(self) -> Any:
        """A connection of another session, for a test to hold; nothing is committed by itself."""
        return psycopg2.connect(self.url, application_name="somebody else")

    def rows(self, statement: str) -> Rows:
        with closing(self.connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def tables(self) -> list[str]:
        statement = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ '^alembic_version'"
        return sorted(row[0] for row in self.rows(statement))

    def columns(self, table: str) -> list[str]:
        statement = (
            "SELECT column_name FROM information_schema.columns WHERE table_name = '{}' ORDER BY ordinal_position"
        )
        return [row[0] for row in self.rows(statement.format(table))]

    def dump(self, *words: str) -> str:
        text = run([self.database.server.bin / "pg_dump", *words, "--dbname", self.url])
        # They carry a number that is drawn anew for each dump.
        return "\n".join(line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


class MariaDBTarget(Target):
    """A database of the session's server, with a user of its own."""

    engine = "mariadb"

    def __init__(self, database: MariaDatabase) -> None:
        self.database = database
        self.name = database.name
        self.url = database.url
        #: What its entry says of rehearsals.
        self.rehearses: dict[str, str] = {}

    @property
    def entry(self) -> dict[str, Any]:
        return {**super().entry, **self.rehearses}

    def connect(self) -> Any:
        """A connection of another session, for a test to hold; nothing is committed by itself."""
        server, database = self.database.server, self.database
        return pymysql.connect(
            host=server.host, port=server.port, user=database.user, password=database.password, database=database.name
        )

    def rows(self, statement: str) -> Rows:
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            found = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
            connection.commit()
            return found

    def tables(self) -> list[str]:
        return sorted(row[0] for row in self.rows("SHOW TABLES") if not row[0].startswith("alembic_version"))

    def columns(self, table: str) -> list[str]:
        return [row[0] for row in self.rows(f"SHOW COLUMNS FROM `{table}`")]

    def dump(self) -> str:
        return self.database.dump()

    def allow_reverts(self) -> None:
        """Let its user do all that a revert may need."""
        server, user = self.database.server, self.database.user
        server.execute(
            f"grant all on `hosting\\_alembic\\_%`.* to '{user}'@'%'; grant process, set user on *.* to '{user}'@'%';"
            f"grant select on mysql.proc to '{user}'@'%'"
        )


@dataclass
class SQLiteTarget(Target):
    """A file."""

    path: Path
    name: str = "app"
    engine = "sqlite"

    @property
    def url(self) -> str:  # type: ignore[override]
        return f"sqlite:///{self.path}"

    def rows(self, statement: str) -> Rows:
        # A read must not make the file that the run is to make.
        if not self.path.exists():
            raise sqlite3.OperationalError(f"{self.path} is not there")
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return [tuple(row) for row in connection.execute(statement)]

    def tables(self) -> list[str]:
        statement = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'alembic_version%'"
        return sorted(row[0] for row in self.rows(statement))

    def columns(self, table: str) -> list[str]:
        return [row[1] for row in self.rows(f"PRAGMA table_info({table})")]

    def dump(self) -> str:
        if not self.path.exists():
            return "no file"
        with closing(sqlite3.connect(self.path)) as connection:
            return "\n".join(connection.iterdump())


def program(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it did, whatever that was."""
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, cwd=cwd)
