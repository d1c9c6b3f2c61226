"""What an administrator types where a database's user may not restore it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import NOT_PERMITTED
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import engine_for
from ansible_collections.hosting.alembic.plugins.module_utils._engines.restorers import restorer_of
from tests.codes import refused
from tests.lab.fixtures import MariaDatabase
from tests.lab.mariadb import MariaDBServer
from tests.unit.module_utils._engines.mariadb.test_restore import schemas_beside
from tests.unit.stage import in_process


def engine_of(database: MariaDatabase) -> Any:
    """Return the engine with the rights of a customer."""
    root = str(database.server.folder / "root")
    return engine_for(Database("app", database.url), Job.from_options("upgrade", {"root": root}))


def statements_of(command: str) -> str:
    """Return what a printed command executes."""
    words = shlex.split(command)
    assert words[0] == "mariadb"
    (statements,) = [word.removeprefix("--execute=") for word in words if word.startswith("--execute=")]
    return statements


def test_the_printed_grants_let_a_customer_restore(mariadb_database: MariaDatabase, tmp_path: Path) -> None:
    mariadb_database.execute(
        "create table items (id int primary key); insert into items values (1);"
        "create trigger of_superuser before insert on items for each row set @a = 1"
    )
    before = mariadb_database.dump()

    def prepare() -> tuple[Any, str, Archive]:
        engine = engine_of(mariadb_database)
        dump = engine.dump(tmp_path, True, lambda _: None)
        rights = restorer_of(engine).rights_for_restore()
        assert rights is not None
        archive = Archive(dump.path, [], dump.row_counts, frozenset(), dump.activity)
        return engine.restore_method().obstacle.code, rights[0], archive

    def restore() -> Any:
        return restorer_of(engine_of(mariadb_database)).restore(archive, "run", lambda _: None, lambda: None)

    code, command, archive = in_process(prepare)
    mariadb_database.execute("alter table items add column more int")
    assert code == NOT_PERMITTED
    with refused(NOT_PERMITTED):
        in_process(restore)

    mariadb_database.server.execute(statements_of(command))
    in_process(restore)
    assert mariadb_database.dump() == before
    for name in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"drop database `{name}`")


#: Of each kind one that a careless load would stop at, or execute.
_OBJECTS = """
set innodb_strict_mode = 0;
create table items (id int primary key, bytes longblob);
insert into items values (1, repeat('x', 7000000));
create sequence numbers;
create table numbered (id bigint default nextval(numbers) primary key, n int);
insert into numbered (n) values (1), (2);
create table wide (id int primary key, {columns}) row_format = compact charset latin1;
create event counts on schedule every 1 day starts '2030-01-01 00:00:00' do set @a = 1;
create procedure one() select 1;
""".format(columns=", ".join(f"c{number} varchar(255)" for number in range(60)))


def by_hand(database: MariaDatabase, folder: Path) -> tuple[str, Path]:
    """Return the printed command, as far as it is the same here, and the dump."""

    def prepare() -> tuple[str, Path]:
        engine = engine_for(
            Database("app", database.server.url(database.name)), Job.from_options("upgrade", {"root": "/"})
        )
        dump = engine.dump(folder, True, lambda _: None).path
        return restorer_of(engine).command_by_hand(dump), dump

    command, dump = in_process(prepare)
    # The password is what a person types; root of this server has none.
    typed = command.replace("--user=root --password", f"--no-defaults --user=root --socket={database.server.socket}")
    return typed.replace(f"--host={database.server.host}", ""), dump


def test_the_printed_command_brings_a_dump_back_and_keeps_what_it_replaces(
    mariadb_database: MariaDatabase, tmp_path: Path
) -> None:
    mariadb_database.execute(_OBJECTS)
    before = mariadb_database.dump()
    command, _dump = by_hand(mariadb_database, tmp_path)
    mariadb_database.execute("insert into items values (2, ''); create table made (id int); drop event counts")
    subprocess.run(["sh", "-c", command], check=True)
    assert mariadb_database.dump() == before
    (kept,) = tmp_path.glob("*replaced*")
    assert "(2,'')" in kept.read_text()
    assert schemas_beside(mariadb_database) == []


@pytest.mark.parametrize("damage", ["a statement fails", "it ends too early", "it is gone"])
def test_the_printed_command_replaces_nothing_by_a_dump_that_cannot_be_loaded(
    mariadb_database: MariaDatabase, tmp_path: Path, damage: str
) -> None:
    mariadb_database.execute("create table items (id int primary key); insert into items values (1)")
    command, dump = by_hand(mariadb_database, tmp_path)
    mariadb_database.execute("insert into items values (2)")
    before = mariadb_database.dump()
    words = dump.read_bytes()
    if damage == "it is gone":
        dump.unlink()
    elif damage == "it ends too early":
        dump.write_bytes(words[: words.index(b"(1)")])
    else:
        dump.write_bytes(words.replace(b"INSERT INTO", b"INSERT INTO no"))
    assert subprocess.run(["sh", "-c", command], check=False).returncode != 0
    assert mariadb_database.dump() == before
    for name in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"drop database `{name}`")


def test_the_printed_grants_are_enough_with_a_binary_log(tmp_path: Path) -> None:
    """Such a server lets only SUPER make triggers, unless it is set otherwise."""
    with MariaDBServer(durable=False, settings={"log-bin": "bin", "server-id": "1"}) as server:
        password = server.create_user("customer")
        server.create_database("app", owner="customer")
        server.execute("create table t (id int); create trigger g before insert on t for each row set @a = 1", "app")
        url = server.url("app", user="customer", password=password)

        def work() -> Any:
            engine = engine_for(Database("app", url), Job.from_options("upgrade", {"root": "/nowhere"}))
            return engine.restore_method().obstacle, restorer_of(engine).rights_for_restore()

        def restore() -> None:
            engine = engine_for(Database("app", url), Job.from_options("upgrade", {"root": str(tmp_path / "root")}))
            dump = engine.dump(tmp_path, True, lambda _: None)
            archive = Archive(dump.path, [], dump.row_counts, frozenset(), dump.activity)
            server.execute("drop trigger g", "app")
            restorer_of(engine).restore(archive, "run", lambda _: None, lambda: None)

        obstacle, rights = in_process(work)
        assert obstacle.code == NOT_PERMITTED
        server.execute(statements_of(rights[0]))
        assert in_process(work) == (None, ("", {}))
        in_process(restore)
        assert server.execute("select trigger_name from information_schema.triggers where trigger_schema = 'app'")
