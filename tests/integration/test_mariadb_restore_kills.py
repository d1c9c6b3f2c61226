"""A server that is killed in the middle of a restore, while another session writes."""

from __future__ import annotations

import difflib
import itertools
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import foreign_keys, swap
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from tests.integration.targets import MariaDBTarget
from tests.lab.fixtures import MariaDatabase, maria_database
from tests.lab.mariadb import MariaDBServer
from tests.unit.module_utils._engines.mariadb import test_places, test_restore
from tests.unit.module_utils._engines.mariadb.test_restore import archive_of, engine_of, schemas_beside
from tests.unit.stage import in_process

#: What `make test` runs; the other runs are left to `make faults`.
DAILY = {9, 12, 14}
#: Both the table that a run has changed and the one that it has not are written by another session.
TABLES = """
create table parents (id int auto_increment primary key, word varchar(20));
create table children (id int primary key, parent int, constraint up foreign key (parent) references parents (id));
create table aside (id int auto_increment primary key, word varchar(20));
create table gone (id int primary key);
insert into parents (word) values ('a'), ('b');
insert into children values (1, 1);
insert into gone values (7);
create trigger first before insert on children for each row set @a = 1;
create view names as select word from parents;
"""
CHANGE = """
alter table parents add column c int;
create table made (id int primary key, parent int, constraint made_up foreign key (parent) references parents (id));
drop view names;
drop trigger first;
drop table gone;
"""


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDBServer]:
    with MariaDBServer() as own:
        yield own


#: Where replaced tables go: into a schema beside the database, or, of a user who may make none, into itself.
WAYS = {"beside": test_restore.engine_of, "within": test_places.engine_of}


@pytest.fixture
def database(server: MariaDBServer) -> Iterator[MariaDatabase]:
    with maria_database(server) as found:
        test_places.as_user(found, TABLES)
        yield found
        for schema in schemas_beside(found):
            server.execute(f"set foreign_key_checks = 0; drop database `{schema}`")


class Writer:
    """Another session, with a list of what the server has acknowledged to it."""

    def __init__(self, database: MariaDatabase) -> None:
        self.acknowledged: list[tuple[str, str]] = []
        self._target = MariaDBTarget(database)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _write(self) -> None:
        numbers = itertools.count()
        while not self._ended.wait(0.01):
            with suppress(pymysql.err.MySQLError, OSError), closing(self._target.connect()) as connection:
                connection.autocommit(True)
                while not self._ended.wait(0.003):
                    number = next(numbers)
                    table, word = ("parents", "aside")[number % 2], f"w{number}"
                    # A table may be away for a moment: the connection stays.
                    try:
                        with connection.cursor() as cursor:
                            cursor.execute(f"insert into {table} (word) values ('{word}')")
                    except pymysql.err.ProgrammingError:
                        continue
                    self.acknowledged.append((table, word))


def written(database: MariaDatabase) -> set[tuple[str, str]]:
    """What is in the database, and in what restores have kept."""
    found = set()
    for schema in (database.name, *schemas_beside(database)):
        for table in ("parents", "aside"):
            kept = [name for name in test_places.ours(database) if f"_{table}_" in name]
            for name in (table, *kept) if schema == database.name else (table,):
                with suppress(Exception):
                    found |= {(table, word) for (word,) in database.server.execute(f"select word from {name}", schema)}
    return found


def definitions(database: MariaDatabase) -> str:
    lines = re.sub(r" AUTO_INCREMENT=\d+", "", database.dump()).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("INSERT", "(", "--")))


def recover(
    database: MariaDatabase,
    process: subprocess.Popen[bytes],
    writer: Writer,
    seconds: float,
    engine_for: Callable[..., Any] = engine_of,
) -> int:
    """Start a killed server again, recover, let others write, and return how much was acknowledged before that."""
    process.wait(10)
    database.server.process = None
    database.server.start()
    in_process(lambda: engine_for(database).lock(10, lambda _: None).release())
    before = len(writer.acknowledged)
    time.sleep(seconds)
    return before


#: Twice the statements of a restore.
NUMBERS = [
    pytest.param(way, each, marks=[] if each in DAILY and way == "beside" else [pytest.mark.exhaustive])
    for way, most in (("beside", 26), ("within", 30))
    for each in range(most)
]


@pytest.mark.parametrize(("way", "number"), NUMBERS)
def test_a_server_that_is_killed_in_a_restore(
    database: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, number: int
) -> None:
    """It is killed before or while the nth statement that moves, drops or makes anything is executed."""
    old = definitions(database)
    archive = archive_of(database, tmp_path)
    database.execute(CHANGE)
    new = definitions(database)
    process, calls = database.server.process, itertools.count()
    assert process
    killers: list[threading.Timer] = []

    def killing(real: Any) -> Any:
        def call(*arguments: Any) -> Any:
            words = arguments[1] if isinstance(arguments[1], str) else ""
            if not words.startswith(("select", "set session", "lock tables")) and next(calls) == number // 2:
                killers.append(threading.Timer(0.001 if number % 2 else 0, os.kill, (process.pid, signal.SIGKILL)))
                killers[0].start()
                if not number % 2:
                    killers[0].join()
            return real(*arguments)

        return call

    def work() -> bool:
        for name in ("run_sql", "advance", "run_pieces"):
            monkeypatch.setattr(swap, name, killing(vars(swap)[name]))
        if way == "within":
            monkeypatch.setattr(foreign_keys, "_change", killing(vars(foreign_keys)["_change"]))
        engine = WAYS[way](database, restore_loses_writes=True, lock_wait=5)
        with suppress(Failed):
            find_restorer(engine).restore(archive, "run", lambda _: None, lambda: None)
        for killer in killers:
            killer.join()
        return bool(killers)

    with Writer(database) as writer:
        assert in_process(work), "there are fewer statements"
        wait = recover(database, process, writer, 0.1, WAYS[way])
    assert len(writer.acknowledged) > wait > 0
    now = definitions(database)
    assert now in (old, new), "".join(difflib.unified_diff(old.splitlines(True), now.splitlines(True)))
    assert [name for name in (*schemas_beside(database), *test_places.ours(database)) if "_new_" in name] == []
    assert set(writer.acknowledged) <= written(database)
    assert database.execute("select word from parents where id < 3 order by id") == [["a"], ["b"]]
    assert database.execute("select * from children") == [["1", "1"]]
    if now == old:
        assert database.execute("select id from gone") == [["7"]]


#: Triggers of which one was made while the database had other defaults: these are made again behind others that refuse.
OF_OTHER_DEFAULTS = """
alter database character set latin1;
create trigger early before insert on parents for each row set new.word = concat(new.word, '!');
alter database character set utf8mb4;
create trigger late before insert on parents for each row set new.word = concat(new.word, '?');
"""


@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.08, 0.12, 0.2])
def test_a_server_that_is_killed_while_triggers_of_other_defaults_are_made(
    database: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    database.execute(OF_OTHER_DEFAULTS)
    defaults = database.execute("select @@collation_database")
    old, archive = definitions(database), archive_of(database, tmp_path)
    database.execute(CHANGE)
    new = definitions(database)
    process = database.server.process
    assert process
    real = vars(swap)["run_behind"]

    def killing(*arguments: Any) -> Any:
        threading.Timer(seconds, os.kill, (process.pid, signal.SIGKILL)).start()
        return real(*arguments)

    def work() -> None:
        monkeypatch.setattr(swap, "run_behind", killing)
        engine = engine_of(database, restore_loses_writes=True, lock_wait=5)
        with suppress(Failed):
            find_restorer(engine).restore(archive, "run", lambda _: None, lambda: None)

    with Writer(database) as writer:
        in_process(work)
        wait = recover(database, process, writer, 0.2)
    assert len(writer.acknowledged) > wait > 0
    now = definitions(database)
    assert now in (old, new), "".join(difflib.unified_diff(old.splitlines(True), now.splitlines(True)))
    assert database.execute("select @@collation_database") == defaults
    kept = written(database)
    assert [word for table, word in writer.acknowledged if table == "aside" and (table, word) not in kept] == []
    last = [f"{word}!?" for table, word in writer.acknowledged[wait:] if table == "parents"]
    assert {("parents", word) for word in last} <= kept
