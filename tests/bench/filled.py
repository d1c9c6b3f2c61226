"""Databases of a wanted size, made once and copied for every turn, and a history whose last revision fails."""

from __future__ import annotations

import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..lab.mariadb import MariaDBServer, program
from ..lab.postgres import PostgresServer
from .histories import alembic_project
from .host import Host
from .measure import must

#: Four tables. From the first of these revisions to the second, the last table gets a column and an index.
FULL, CHANGED = "r0007", "r0008"
TABLES = ("t0001", "t0002", "t0003", "t0004")

FAILS = '''\
"""Fail."""

revision = "r0009"
down_revision = "r0008"


def upgrade():
    raise RuntimeError("this is meant to fail")


def downgrade():
    pass
'''


def failing_project(folder: Path) -> Path:
    """Write the history, in which every revision is committed by itself; return its folder."""
    project = alembic_project(folder, 8)
    env = project / "migrations" / "env.py"
    each = "target_metadata=None, transaction_per_migration=True"
    env.write_text(env.read_text().replace("target_metadata=None", each))
    (project / "migrations" / "versions" / "r0009_fails.py").write_text(FAILS)
    return project


class Store(ABC):
    """Where the databases of one engine lie."""

    name: str
    #: What brings a dump back the plain way.
    plain: str
    #: How many times as long as that a restore may take, besides the seconds of ``allowance``.
    most: float
    #: What a downgrade may take more than a bare one, in seconds.
    most_more: float | None = None

    def allowance(self, size: int) -> float:
        """Return the seconds that a restore may take however little there is in a database of so many bytes.

        Python starts, and on a server the catalogs are read.
        """
        del size
        return 1

    @abstractmethod
    def fill(self, host: Host, size: int) -> None:
        """Make the database that is copied: of about so many bytes, at the revision ``FULL``."""

    @abstractmethod
    def copy(self, name: str) -> str:
        """Return the URL of a new copy."""

    @abstractmethod
    def remove(self, prefix: str) -> None:
        """Remove copies and what was made beside them, all whose names begin so."""

    @abstractmethod
    def restore(self, dump: Path, name: str) -> None:
        """Bring a dump back the plain way, into a copy that is there or beside it."""


class Folder(Store):
    """SQLite: a folder of files."""

    name = "SQLite"
    plain = "cp and sync"
    most = 3
    most_more = 3
    _ROW_BYTES = 57

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._full = folder / "full.sqlite"

    def allowance(self, size: int) -> float:
        """Allow for the start of Python, which counts for nothing beside 1 GB."""
        return 0 if size >= 1 << 30 else 1

    def fill(self, host: Host, size: int) -> None:
        """Fill the tables in one transaction."""
        self._full.unlink(missing_ok=True)
        host.alembic("upgrade", FULL, f"sqlite:///{self._full}")
        numbers = "with recursive number (n) as (select 1 union all select n + 1 from number where n < ?)"
        with closing(sqlite3.connect(self._full)) as connection, connection:
            for table in TABLES:
                statement = f"{numbers} insert into {table} (id, name) select n, hex(randomblob(24)) from number"
                connection.execute(statement, [size // len(TABLES) // self._ROW_BYTES])

    def copy(self, name: str) -> str:
        """Copy the file."""
        shutil.copyfile(self._full, self._folder / f"{name}.db")
        return f"sqlite:///{self._folder / name}.db"

    def remove(self, prefix: str) -> None:
        """Remove the files."""
        for path in self._folder.glob(f"{prefix}*"):
            path.unlink()

    def restore(self, dump: Path, name: str) -> None:
        """Copy the file over the database."""
        must(["sh", "-c", 'cp "$1" "$2" && sync "$2"', "restore", dump, self._folder / f"{name}.db"])


class Server(Store):
    """PostgreSQL: a server of our own, with fsync as it is by default."""

    name = "PostgreSQL"
    plain = "createdb and pg_restore"
    most = 1.3
    _ROW_BYTES = 106

    def __init__(self, running: PostgresServer) -> None:
        self._running = running

    def fill(self, host: Host, size: int) -> None:
        """Fill the tables, and leave nothing for autovacuum to do meanwhile."""
        self._running.drop_database("full")
        self._running.create_database("full")
        host.alembic("upgrade", FULL, self.url("full"))
        rows = size // len(TABLES) // self._ROW_BYTES
        value = "md5(n::text) || substr(md5((-n)::text), 1, 16)"
        for table in TABLES:
            self._running.execute(
                f"insert into {table} (id, name) select n, {value} from generate_series(1, {rows}) as n;\n"
                f"vacuum (analyze) {table};",
                "full",
            )

    def url(self, name: str) -> str:
        """Return a database's URL as SQLAlchemy reads it."""
        return self._running.url(name, driver="psycopg2")

    def copy(self, name: str) -> str:
        """Create the database from the full one, and let the disk come to rest."""
        self._running.execute(f'create database "{name}" template "full"')
        self._running.execute("checkpoint")
        return self.url(name)

    def remove(self, prefix: str) -> None:
        """Drop the databases."""
        for [name] in self._running.execute(f"select datname from pg_database where starts_with(datname, '{prefix}')"):
            self._running.drop_database(name)

    def dump(self, name: str, folder: Path) -> None:
        """Call pg_dump with the options that we call it with."""
        options = ["--format=directory", "--jobs=2", "--compress=6", "--lock-wait-timeout=60000"]
        must([self._running.bin / "pg_dump", *options, f"--file={folder}", f"--dbname={self._running.url(name)}"])

    def restore(self, dump: Path, name: str) -> None:
        """Restore beside, into a new database, which is left there."""
        self._running.create_database(f"{name}_plain")
        options = ["--jobs=2", "--exit-on-error"]
        must([self._running.bin / "pg_restore", *options, f"--dbname={self._running.url(f'{name}_plain')}", dump])


class MariaDB(Store):
    """MariaDB: a server of our own, with durable commits as they are by default."""

    name = "MariaDB"
    plain = "a load of the dump by mariadb"
    most = 1.3
    _ROW_BYTES = 106

    def __init__(self, running: MariaDBServer) -> None:
        self._running = running

    def fill(self, host: Host, size: int) -> None:
        """Fill the tables, and dump them: there are no templates."""
        self._running.drop_database("full")
        self._running.create_database("full")
        host.alembic("upgrade", FULL, self._running.url("full"))
        rows = size // len(TABLES) // self._ROW_BYTES
        value = "concat(md5(seq), substr(md5(-seq), 1, 16))"
        for table in TABLES:
            self._running.execute(f"insert into {table} (id, name) select seq, {value} from seq_1_to_{rows}", "full")
        self._call("mariadb-dump", "--single-transaction", "full", f"--result-file={self._dump}")

    @property
    def _dump(self) -> Path:
        return self._running.folder / "full.sql"

    def copy(self, name: str) -> str:
        """Load the dump of the full one."""
        self._load(self._dump, name)
        return self._running.url(name)

    def remove(self, prefix: str) -> None:
        """Drop the databases."""
        for [name] in self._running.execute("select schema_name from information_schema.schemata"):
            if name.startswith(prefix):
                self._running.drop_database(name)

    def restore(self, dump: Path, name: str) -> None:
        """Load beside, into a new database, which is left there."""
        self._load(dump, f"{name}_plain")

    def _load(self, dump: Path, name: str) -> None:
        self._running.create_database(name)
        self._call("mariadb", f"--execute=source {dump}", name)

    def _call(self, name: str, *words: str) -> None:
        server = self._running
        options = ["--no-defaults", f"--socket={server.socket}", f"--user={server.user}"]
        must([program(name), *options, *words], {"MYSQL_PWD": server.password})


@contextmanager
def folder_of_files(folder: Path) -> Iterator[Store]:
    """Let SQLite have a folder, and remove it whatever happens."""
    place = folder / "filled"
    place.mkdir()
    try:
        yield Folder(place)
    finally:
        shutil.rmtree(place)


@contextmanager
def mariadb(_folder: Path) -> Iterator[MariaDB]:
    """Start a MariaDB server, and remove it whatever happens."""
    with MariaDBServer() as running:
        yield MariaDB(running)


@contextmanager
def server(_folder: Path) -> Iterator[Server]:
    """Start a PostgreSQL server, and remove it whatever happens."""
    with PostgresServer() as running:
        yield Server(running)
