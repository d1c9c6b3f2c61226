"""What an administrator types where a database's user may not restore it."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import threading
from pathlib import Path
from typing import Any

import pymysql
import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import NOT_POSSIBLE
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import hash_file
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import refused
from tests.lab.fixtures import MariaDatabase
from tests.lab.mariadb import MariaDBServer
from tests.lab.waiting import wait_until
from tests.unit.module_utils._engines.mariadb.test_restore import schemas_beside
from tests.unit.stage import in_process


def engine_of(database: MariaDatabase) -> Any:
    """Return the engine with the rights of a customer."""
    root = str(database.server.folder / "root")
    return build_engine(Database("app", database.url), Job.from_options("upgrade", {"root": root}))


def backed_up(engine: Any, folder: Path) -> Archive:
    """Dump a database, and return the dump with the fingerprint of that moment."""
    dump = engine.dump(folder, True, lambda _: None)
    fingerprint = engine.open_own_connection().run(engine.read_fingerprint, frozenset())
    return Archive(dump.path, fingerprint, dump.row_counts, frozenset(), dump.activity, hash_file(dump.path))


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
        archive = backed_up(engine, tmp_path)
        rights = find_restorer(engine).find_restore_rights(archive)
        assert rights is not None
        assert engine.choose_restore_method().rights == rights[0]
        return engine.choose_restore_method().obstacle.code, rights[0], archive

    def restore() -> Any:
        return find_restorer(engine_of(mariadb_database)).restore(archive, "run", lambda _: None, lambda: None)

    code, command, archive = in_process(prepare)
    mariadb_database.execute("alter table items add column more int")
    assert code == NOT_POSSIBLE
    with refused(NOT_POSSIBLE):
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


def by_hand(database: MariaDatabase, folder: Path, left: str = "") -> tuple[str, Path]:
    """Return the printed command, as far as it is the same here, and the dump."""

    def prepare() -> tuple[str, Path]:
        engine = build_engine(
            Database("app", database.server.url(database.name)), Job.from_options("upgrade", {"root": "/"})
        )
        archive = backed_up(engine, folder)
        database.execute(left)
        return find_restorer(engine).build_manual_command(archive), archive.path

    command, dump = in_process(prepare)
    # The password is what a person types; root of this server has none.
    typed = command.replace("--user=root --password", f"--no-defaults --user=root --socket={database.server.socket}")
    return typed.replace(f"--host={database.server.host}", ""), dump


def test_the_printed_command_brings_a_dump_back_and_keeps_what_it_replaces(
    mariadb_database: MariaDatabase, tmp_path: Path
) -> None:
    mariadb_database.execute(_OBJECTS)
    before = mariadb_database.dump()
    left = (
        "insert into items values (2, ''); create table made (id int); drop event counts;"
        " create view v as select * from made; alter table made rename made_so"
    )
    command, _dump = by_hand(mariadb_database, tmp_path, left)
    subprocess.run(["sh", "-c", command], check=True)
    assert mariadb_database.dump() == before
    (kept,) = tmp_path.glob("*replaced*.sql")
    assert "(2,'')" in kept.read_text()
    (views,) = tmp_path.glob("*replaced*-views.txt")
    assert "`made`.`id`" in views.read_text().replace(f"`{mariadb_database.name}`.", "")
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
            engine = build_engine(Database("app", url), Job.from_options("upgrade", {"root": "/nowhere"}))
            archive, restorer = backed_up(engine, tmp_path), find_restorer(engine)
            rights, by_user = restorer.find_restore_rights(archive), restorer.build_user_command(archive)
            return engine.choose_restore_method().obstacle, rights, by_user

        def restore() -> None:
            engine = build_engine(Database("app", url), Job.from_options("upgrade", {"root": str(tmp_path / "root")}))
            archive = backed_up(engine, tmp_path)
            server.execute("drop trigger g", "app")
            find_restorer(engine).restore(archive, "run", lambda _: None, lambda: None)

        obstacle, rights, by_user = in_process(work)
        assert obstacle.code == NOT_POSSIBLE
        assert not by_user
        server.execute(statements_of(rights[0]))
        assert in_process(work)[:2] == (None, ("", {}))
        in_process(restore)
        assert server.execute("select trigger_name from information_schema.triggers where trigger_schema = 'app'")


#: What a database has, as its own user has made it; of each kind one.
_OWN = """
create table parents (id int primary key);
create table children
  (id int primary key, parent int, constraint `of parent` foreign key (parent) references parents (id));
insert into parents values (1);
insert into children values (1, 1);
create sequence numbers;
create view first_view as select id from parents;
create view second_view as select id from first_view;
create trigger marks before insert on parents for each row set @a = 1;
create procedure one() select 1;
create function two() returns int return 2;
create event counts on schedule every 1 day starts '2030-01-01 00:00:00' do set @a = 1;
"""
#: What a revision that has failed leaves, and what others have made meanwhile.
_LEFT = """
create table grandchildren (child int, foreign key (child) references children (id));
create table `it's ``new``\n; drop` (id int);
create view third_view as select * from second_view;
create procedure made() select 1;
create event `is made` on schedule every 1 day do set @a = 1;
alter table children drop foreign key `of parent`;
drop view first_view;
drop trigger marks;
insert into parents values (2);
alter database character set latin1;
set sql_mode = oracle;
delimiter //
create package pack as procedure x; end;
//
create package body pack as procedure x as begin null; end; end;
//
"""


def of_user(database: MariaDatabase, statements: str) -> None:
    """Execute statements as the user who owns one database and nothing else."""
    words = ["mariadb", "--no-defaults", f"--socket={database.server.socket}", f"--user={database.user}", database.name]
    environment = {**os.environ, "MYSQL_PWD": database.password}
    subprocess.run(words, input=statements, text=True, check=True, env=environment)


def typed(command: str, password: str) -> tuple[int, str]:
    """Type a command at a terminal, and the password each time that it is requested; return its exit code."""
    child, terminal = pty.fork()
    if not child:
        os.execvp("sh", ["sh", "-c", command])  # noqa: S606 - as a person types it
    screen, answered = "", 0
    while True:
        try:
            screen += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # how Linux reports that the other end is closed
            break
        if screen.count("Enter password:") > answered:
            answered += 1
            os.write(terminal, f"{password}\n".encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), screen


def printed_after(database: MariaDatabase, folder: Path, left: str) -> tuple[str, Path]:
    """Dump a database, leave something in it, and return what is printed then, and the dump."""

    def work() -> tuple[str, Path]:
        engine = engine_of(database)
        archive = backed_up(engine, folder)
        of_user(database, left)
        return find_restorer(engine).build_user_command(archive), archive.path

    return in_process(work)


def test_a_user_who_owns_one_database_alone_brings_it_back_as_it_was(
    mariadb_database: MariaDatabase, tmp_path: Path
) -> None:
    others = mariadb_database.server.execute("show databases")
    of_user(mariadb_database, _OWN)
    before = mariadb_database.dump()
    command, _dump = printed_after(mariadb_database, tmp_path, _LEFT)
    assert mariadb_database.password not in command
    for left in ("", f"insert into parents values (3);{_LEFT}", "insert into parents values (4)"):
        of_user(mariadb_database, left)
        code, screen = typed(command, mariadb_database.password)
        assert code == 0, screen
        assert mariadb_database.dump() == before
        defaults = "select default_character_set_name from information_schema.schemata where schema_name = database()"
        assert mariadb_database.execute(defaults) == [["utf8mb4"]]
    assert mariadb_database.server.execute("show databases") == others
    kept = [path.read_text() for path in tmp_path.glob("*-replaced-*.sql")]
    assert len(kept) == 3
    assert len([text for text in kept if "(2)" in text]) == 2  # the second has not written over the first
    assert len([text for text in kept if "(3)" in text]) == 1
    assert len([text for text in kept if "(4)" in text]) == 1
    assert len([text for text in kept if "is made" in text]) == 2
    # No dump can have this one: what it reads is gone.
    views = [path.read_text() for path in tmp_path.glob("*-replaced-*-views.txt")]
    assert len([text for text in views if "`second_view`.`id`" in text]) == 2


def test_a_command_that_was_cut_off_in_the_middle_is_typed_again(
    mariadb_database: MariaDatabase, tmp_path: Path
) -> None:
    of_user(mariadb_database, _OWN)
    before, server = mariadb_database.dump(), mariadb_database.server
    command, _dump = printed_after(mariadb_database, tmp_path, _LEFT)
    now = mariadb_database.execute("show tables")
    waits = (
        f"select id from information_schema.processlist where user = '{mariadb_database.user}'"
        " and state like 'Waiting for table metadata lock' and info like 'drop table%'"
    )
    ended: list[tuple[int, str]] = []
    typing = threading.Thread(target=lambda: ended.append(typed(command, mariadb_database.password)))
    holder = pymysql.connect(
        unix_socket=str(server.socket), user=server.user, password=server.password, database=mariadb_database.name
    )
    with holder, holder.cursor() as cursor:
        cursor.execute("start transaction")
        cursor.execute("select * from parents")
        typing.start()
        wait_until(lambda: server.execute(waits), "a table is being dropped")
        server.execute(f"kill {server.execute(waits)[0][0]}")
        typing.join()
    assert ended[0][0] != 0
    assert mariadb_database.execute("show tables") not in ([], now)  # some are dropped, and not all

    code, screen = typed(command, mariadb_database.password)
    assert code == 0, screen
    assert mariadb_database.dump() == before
    # The first has all that there was.
    first = min(tmp_path.glob("*-replaced-*.sql"))
    assert "(2)" in first.read_text()
    assert "`made`" in first.read_text()


@pytest.mark.parametrize("damage", ["a row is gone", "it is gone"])
def test_a_dump_that_is_not_the_proven_one_drops_nothing(
    mariadb_database: MariaDatabase, tmp_path: Path, damage: str
) -> None:
    of_user(mariadb_database, _OWN)
    command, dump = printed_after(mariadb_database, tmp_path, "create table made (id int)")
    before, words = mariadb_database.dump(), dump.read_bytes()
    dump.unlink()
    if damage == "a row is gone":
        dump.write_bytes(words.replace(b"(1,1)", b"(1,2)"))
    code, screen = typed(command, mariadb_database.password)
    assert code != 0
    assert "Enter password" not in screen
    assert mariadb_database.dump() == before


@pytest.mark.parametrize("made", ["trigger r before insert on t for each row set @a = 1", "view v as select id from t"])
def test_what_the_user_may_not_make_again_is_a_case_for_an_administrator(
    mariadb_database: MariaDatabase, tmp_path: Path, made: str
) -> None:
    """The dump has it, and the revision that failed has dropped it."""
    mariadb_database.execute(f"create table t (id int); create {made}")
    old = mariadb_database.dump()

    def work() -> tuple[str, str, Archive]:
        engine = engine_of(mariadb_database)
        archive = backed_up(engine, tmp_path)
        mariadb_database.execute(f"drop {' '.join(made.split()[:2])}; alter table t add column c int")
        rights = find_restorer(engine).find_restore_rights(archive)
        assert rights is not None
        return find_restorer(engine).build_user_command(archive), rights[0], archive

    by_user, rights, archive = in_process(work)
    assert not by_user
    mariadb_database.server.execute(statements_of(rights))
    in_process(lambda: find_restorer(engine_of(mariadb_database)).restore(archive, "r", lambda _: None, lambda: None))
    assert mariadb_database.dump() == old
    for name in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"drop database `{name}`")
