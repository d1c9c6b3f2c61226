"""Others who write while a database is migrated, and a ledger of what was acknowledged to them."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from tests.lab.waiting import wait_until

#: What one place holds: of each writer, the numbers of its writes that can be read there.
State = dict[str, int]
TABLES = ("inserted", "updated", "deleted", "truncated", "commented", "granted", "counted", "stored", "paired", "mixed")
COLUMNS = 400

POSTGRESQL = (
    *(f"CREATE TABLE {name} (n integer)" for name in TABLES if name not in ("deleted", "updated", "granted", "stored")),
    "CREATE TABLE updated (n integer)",
    "INSERT INTO updated VALUES (0)",
    "CREATE TABLE deleted AS SELECT g AS n FROM generate_series(1, 20000) g",
    f"CREATE TABLE granted ({', '.join(f'c{number} integer' for number in range(1, COLUMNS + 1))})",
    "CREATE SEQUENCE numbers",
    "CREATE TABLE stored (o oid)",
    "INSERT INTO stored SELECT lo_from_bytea(0, '\\x00')",
    "CREATE TABLE old (id integer PRIMARY KEY, a varchar(50))",
    "INSERT INTO old SELECT g, 'row ' || g FROM generate_series(1, 100) g",
)
_NUMBERS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {})"
SQLITE = (
    *(f"CREATE TABLE {name} (n INTEGER)" for name in TABLES),
    "INSERT INTO updated VALUES (0)",
    f"INSERT INTO deleted {_NUMBERS.format(20000)} SELECT n FROM c",
    "CREATE TABLE old (id INTEGER PRIMARY KEY, a VARCHAR(50))",
    f"INSERT INTO old {_NUMBERS.format(100)} SELECT n, 'row ' || n FROM c",
)
#: One transaction each; ``{n}`` is the number of the write, which goes up by one.
_WRITES_POSTGRESQL = {
    "inserted": "INSERT INTO inserted VALUES ({n})",
    "updated": "UPDATE updated SET n = {n}",
    "deleted": "DELETE FROM deleted WHERE n = {n}",
    "truncated": "TRUNCATE truncated; INSERT INTO truncated VALUES ({n})",
    "commented": "COMMENT ON TABLE commented IS '{n}'",
    "granted": "GRANT SELECT (c{n}) ON granted TO property_reader",
    "counted": "SELECT nextval('numbers')",
    "stored": "SELECT lo_put(o, {n}, '\\xff') FROM stored",
    "paired": "INSERT INTO paired VALUES ({n}); DELETE FROM paired WHERE n < {n}",
    "mixed": "INSERT INTO mixed VALUES ({n}); SELECT 1",
}
_WRITES_SQLITE = {
    "inserted": "INSERT INTO inserted VALUES ({n})",
    "updated": "UPDATE updated SET n = {n}",
    "deleted": "DELETE FROM deleted WHERE n = {n}",
    "truncated": "BEGIN IMMEDIATE; DELETE FROM truncated; INSERT INTO truncated VALUES ({n}); COMMIT",
    "paired": "BEGIN IMMEDIATE; INSERT INTO paired VALUES ({n}); DELETE FROM paired WHERE n < {n}; COMMIT",
    "counted": "PRAGMA user_version = {n}",
    "commented": "PRAGMA application_id = {n}",
    "stored": "BEGIN IMMEDIATE; SAVEPOINT inner; INSERT INTO stored VALUES ({n}); RELEASE inner; COMMIT",
    "granted": "REPLACE INTO granted (rowid, n) VALUES (1, {n})",
    "mixed": "INSERT INTO mixed VALUES ({n}); SELECT 1",
}
#: The newest write of each that a place holds.
_READS_POSTGRESQL = {
    "inserted": "SELECT coalesce(max(n), 0) FROM {s}.inserted",
    "updated": "SELECT max(n) FROM {s}.updated",
    "deleted": "SELECT coalesce(min(n), 20001) - 1 FROM {s}.deleted",
    "truncated": "SELECT coalesce(max(n), 0) FROM {s}.truncated",
    "commented": "SELECT coalesce(obj_description('{s}.commented'::regclass), '0')::integer",
    "granted": "SELECT count(*) FROM pg_attribute WHERE attrelid = '{s}.granted'::regclass AND attacl IS NOT NULL",
    "counted": "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {s}.numbers",
    "stored": "SELECT octet_length(lo_get(o)) - 1 FROM {s}.stored",
    "paired": "SELECT coalesce(max(n), 0) FROM {s}.paired",
    "mixed": "SELECT coalesce(max(n), 0) FROM {s}.mixed",
}
#: Large objects have no schema: a restore in place keeps a copy of them in a table.
_READS_BETWEEN = {"stored": "SELECT octet_length(data) - 1 FROM {s}.large_objects JOIN {s}.stored ON o = id"}
_READS_SQLITE = {
    "inserted": "SELECT coalesce(max(n), 0) FROM inserted",
    "updated": "SELECT max(n) FROM updated",
    "deleted": "SELECT coalesce(min(n), 20001) - 1 FROM deleted",
    "truncated": "SELECT coalesce(max(n), 0) FROM truncated",
    "paired": "SELECT coalesce(max(n), 0) FROM paired",
    "counted": "PRAGMA user_version",
    "commented": "PRAGMA application_id",
    **{name: f"SELECT coalesce(max(n), 0) FROM {name}" for name in ("stored", "granted", "mixed")},
}


class Writers(ABC):
    """Ten at work, each with a connection of its own that it opens again when it is ended."""

    writes: dict[str, str]

    def __init__(self) -> None:
        self.acknowledged = dict.fromkeys(self.writes, 0)
        self._ended = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[Writers]:
        """Write until the block is left."""
        threads = [threading.Thread(target=self._write, args=(name,)) for name in self.writes]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join(60)

    def have_written_more(self) -> None:
        """Come back when most of them have been acknowledged something since."""
        before = dict(self.acknowledged)
        wait_until(
            lambda: sum(self.acknowledged[name] > before[name] for name in before) > len(before) // 2,
            "nobody writes any more",
        )

    def _write(self, name: str) -> None:
        connection: Any = None
        while not self._ended.wait(0.01):
            number = self.acknowledged[name] + 1
            if name == "granted" and number > COLUMNS:
                return
            try:
                connection = connection or self.connect()
                self.execute(connection, self.writes[name].replace("{n}", str(number)))
                self.acknowledged[name] = number
            except (psycopg2.Error, sqlite3.Error):
                # Whether it was committed is unknown: it is written again, which changes nothing if it was.
                with contextlib.suppress(psycopg2.Error, sqlite3.Error):
                    connection.close() if connection else None
                connection = None
        if connection:
            connection.close()

    @abstractmethod
    def connect(self) -> Any:
        """A connection of one's own."""

    @abstractmethod
    def execute(self, connection: Any, statements: str) -> None:
        """One write; it is acknowledged when this comes back."""


class PostgresWriters(Writers):
    writes = _WRITES_POSTGRESQL

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def connect(self) -> Any:
        return psycopg2.connect(self._url)

    def execute(self, connection: Any, statements: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '10s'")
            cursor.execute(statements)
        connection.commit()


#: A writer in a process of its own. It prints the number of each write when that is acknowledged.
_SQLITE_WRITER = """
import os, sqlite3, sys, time
path, sql, mode, stop = sys.argv[1:]
parent, number, connection = os.getppid(), 0, None
while not os.path.exists(stop) and os.getppid() == parent:
    time.sleep(0.01)
    try:
        # A file that is being replaced is not there for a moment, and must not be made by a writer.
        if not connection:
            connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, isolation_level=None, timeout=5)
            connection.execute(f"PRAGMA journal_mode = {mode}")
        for statement in sql.replace("{n}", str(number + 1)).split("; "):
            connection.execute(statement)
    except sqlite3.Error:
        # Whether it was committed is unknown: it is written again, which changes nothing if it was.
        if connection:
            connection.close()
        connection = None
        continue
    number += 1
    print(number, flush=True)
"""


class SQLiteWriters(Writers):
    """Processes: SQLite's locks do not survive in a process that is forked while a thread of it writes."""

    writes = _WRITES_SQLITE

    def __init__(self, path: Path, mode: str, stop: Path) -> None:
        super().__init__()
        self._path = path
        self._mode = mode
        self._stop = stop

    @contextmanager
    def at_work(self) -> Iterator[Writers]:
        """Write until the block is left."""
        with super().at_work():
            try:
                yield self
            finally:
                self._stop.touch()

    def _write(self, name: str) -> None:
        command = [
            *(sys.executable, "-c", _SQLITE_WRITER),
            *(str(self._path), self.writes[name], self._mode, str(self._stop)),
        ]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                self.acknowledged[name] = int(line)

    def connect(self) -> Any:
        """Leave it to the processes."""

    def execute(self, connection: Any, statements: str) -> None:
        """Leave it to the processes."""


def read_postgresql(rows: Callable[[str], list[list[str]]], schema: str = "public") -> State:
    """What a database, or a schema that was retained in it, holds of the writers."""
    reads = _READS_POSTGRESQL if schema == "public" else {**_READS_POSTGRESQL, **_READS_BETWEEN}
    return {name: int(rows(sql.replace("{s}", schema))[0][0]) for name, sql in reads.items()}


def read_sqlite(path: Path) -> State:
    """What a file holds of the writers."""
    with closing(sqlite3.connect(path)) as connection:
        return {name: int(connection.execute(sql).fetchone()[0]) for name, sql in _READS_SQLITE.items()}
