"""Tables that come back with triggers, while others write into them all the time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import HALF_WAY, Failed
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import client_input
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from tests.codes import failed
from tests.lab.fixtures import MariaDatabase
from tests.unit.module_utils._engines.mariadb.test_restore import archive_of, engine_of, restore, schemas_beside
from tests.unit.stage import in_process

_TABLES = """
create table t (id int auto_increment primary key, n int, stamp varchar(9));
create table log (id int auto_increment primary key, of_row int);
create table kept (id int auto_increment primary key, n int, stamp varchar(9));
create trigger t_stamps before insert on t for each row set new.stamp = 'stamped';
create trigger t_logs after insert on t for each row insert into log (of_row) values (new.id);
create trigger kept_stamps before insert on kept for each row set new.stamp = 'stamped';
"""
_CHANGES = """
alter table t add column x int;
drop trigger kept_stamps;
create trigger kept_stamps before insert on kept for each row set new.stamp = concat('stam', 'ped');
"""


@pytest.fixture
def busy(mariadb_database: MariaDatabase) -> Iterator[MariaDatabase]:
    mariadb_database.execute(_TABLES)
    yield mariadb_database
    for schema in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"set foreign_key_checks = 0; drop database if exists `{schema}`")


class Writers:
    """Sessions that insert rows into both tables as fast as they can."""

    def __init__(self, database: MariaDatabase) -> None:
        self._database = database
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(name,), daemon=True) for name in ("t", "kept") * 2]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)

    def _write(self, table: str) -> None:
        server = self._database.server
        options: Any = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
        connection = pymysql.connect(database=self._database.name, autocommit=True, **options)
        with closing(connection), connection.cursor() as cursor:
            while not self._ended.is_set():
                with suppress(pymysql.err.MySQLError):
                    cursor.execute(f"insert into {table} (n) values (1)")


def test_no_row_comes_in_without_its_triggers_unnoticed(busy: MariaDatabase, tmp_path: Path) -> None:
    archive = archive_of(busy, tmp_path)
    busy.execute(_CHANGES)

    def work() -> str:
        """Return what the restore named, if anything."""
        writers = Writers(busy)

        def guard() -> None:
            writers.__enter__()

        try:
            find_restorer(engine_of(busy)).restore(archive, "run", lambda _: None, guard)
        except Failed as failure:
            return str(failure)
        finally:
            threading.Event().wait(0.3)
            writers.__exit__()
        return ""

    named = in_process(work)
    assert int(busy.execute("select count(*) from t")[0][0]) > 1
    assert busy.execute("select count(*) from kept where stamp is null") == [["0"]]
    missing = int(busy.execute("select count(*) from t where stamp is null")[0][0])
    # Sessions that wait for the table to be there may be faster than the lock; that is not left unsaid.
    assert (f"[{HALF_WAY}]" in named and "table t" in named) == (missing > 0), (missing, named)


def test_what_was_written_before_the_triggers_were_there_is_named(
    busy: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_of(busy, tmp_path)
    busy.execute("alter table t add column x int")
    real = client_input.feed

    def feed(engine: Any, schema: str, lines: Any, *more: Any, **others: Any) -> Any:
        found = list(lines)
        if len(found) > 1 and found[1].startswith(b"rename table"):  # another session is faster
            found.insert(2, b"insert into t (n) values (77);\n")
        return real(engine, schema, found, *more, **others)

    monkeypatch.setattr(client_input, "feed", feed)
    with failed(HALF_WAY, "table t"):
        restore(busy, archive)
    monkeypatch.undo()
    assert busy.execute("select n, stamp from t") == [["77", "NULL"]]
    in_process(lambda: engine_of(busy).lock(5, lambda _: None).release())
    busy.execute("insert into t (n) values (78)")
    assert busy.execute("select n from t where stamp = 'stamped'") == [["78"]]
