"""One database of a real MariaDB server, by the engine alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import client_tools
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.dump_file import read_dump
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import refused
from tests.lab.fixtures import MariaDatabase
from tests.lab.mariadb import MariaDBServer
from tests.lab.shell import CommandFailed
from tests.lab.waiting import wait_until
from tests.unit.stage import in_process

#: One of each kind of object.
OBJECTS = """
create table parents (id int primary key auto_increment, name varchar(50) default 'x' comment 'a  b', photo blob,
  twice int generated always as (id * 2) virtual, key by_name (name), fulltext key words (name)) comment 'of all';
create table children (id int primary key, parent int, constraint up foreign key (parent) references parents (id)
  on delete cascade, constraint positive check (id > 0));
create table parts (id int primary key, at_all enum('a', 'b') character set latin1) partition by range (id)
  (partition low values less than (10), partition high values less than maxvalue);
create sequence numbers start with 5;
create view names as select p.name from parents p join children c on c.parent = p.id;
insert into parents (name, photo) values ('a\\nb;),(', x'00ff'), ('it''s', null);
insert into children values (1, 1);
delimiter //
create procedure two(in a int, out b varchar(9)) begin select 1; end//
create trigger shout before insert on parents for each row begin set new.name = upper(new.name); end//
create event tidy on schedule every 1 day starts '2030-01-01 00:00:00' do delete from parts//
delimiter ;
"""


def engine_of(database: MariaDatabase, **more: Any) -> Any:
    return build_engine(Database("app", database.url), Job.from_options("upgrade", {"root": "/nowhere", **more}))


def fingerprint(database: MariaDatabase, opens: Callable[[MariaDatabase], Any] = engine_of) -> list[str]:
    def work() -> list[str]:
        engine = opens(database)
        lines: list[str] = engine.open_own_connection().run(engine.read_fingerprint, frozenset())
        return lines

    return in_process(work)


def with_objects(database: MariaDatabase) -> None:
    """Make one of each, and let the user see the bodies of routines that another user has made."""
    database.server.execute(f"grant select on mysql.proc to '{database.user}'@'%'")
    database.execute(OBJECTS)


def test_it_is_found_by_both_names_and_is_the_same_database(mariadb_database: MariaDatabase) -> None:
    def work() -> list[str]:
        urls = [mariadb_database.url, mariadb_database.url.replace("mysql+pymysql", "mariadb+pymysql")]
        urls.append(mariadb_database.url.replace("mysql+pymysql", "mysql"))
        engines = [build_engine(Database("app", url), Job.from_options("plan", {"root": "/nowhere"})) for url in urls]
        return [f"{engine.name} {engine.read_own_identity()}" for engine in engines]

    found = in_process(work)
    assert len(set(found)) == 1
    assert found[0].startswith(f"mariadb {mariadb_database.name} on ")


def test_two_runs_exclude_each_other(mariadb_database: MariaDatabase) -> None:
    def work() -> list[bool]:
        engine, other = engine_of(mariadb_database), engine_of(mariadb_database)
        lock = engine.lock(1, print)
        seen = [other.try_lock() is None, str(lock.read_own_session()) in other.read_lock_holder()]
        engine.close()  # keeps the connection that has the lock
        seen += [
            engine.open_own_connection().query_rows("select connection_id()")[0][0] != lock.read_own_session(),
            other.try_lock() is None,
        ]
        with refused("database-locked", str(lock.read_own_session())):
            other.lock(0, print)
        lock.release()
        # The server learns from the closed connection that it was given back.
        wait_until(other.try_lock, "the lock to be free", 20)
        return seen

    assert in_process(work) == [True] * 4


def test_a_lock_that_was_lost_is_noticed(mariadb_database: MariaDatabase) -> None:
    def work() -> None:
        engine = engine_of(mariadb_database)
        lock = engine.lock(1, print)
        lock.check()
        mariadb_database.server.execute(f"kill {lock.read_own_session()}")
        time.sleep(0.2)
        lock.check()

    with refused("lock-lost"):
        in_process(work)


def test_no_timeout_of_the_server_ends_the_session_that_holds_the_lock(mariadb_database: MariaDatabase) -> None:
    def work() -> Any:
        return (
            engine_of(mariadb_database)
            .open_own_connection()
            .query_rows("select @@wait_timeout, @@max_statement_time")[0]
        )

    mariadb_database.server.execute("set global wait_timeout = 5, global max_statement_time = 1")
    try:
        assert in_process(work) == (31536000, 0.0)
    finally:
        mariadb_database.server.execute("set global wait_timeout = 28800, global max_statement_time = 0")


def test_the_session_of_a_dead_run_is_waited_for_and_then_killed(mariadb_database: MariaDatabase) -> None:
    def work() -> tuple[list[str], bool]:
        reported: list[str] = []
        engine, dead = engine_of(mariadb_database), engine_of(mariadb_database)
        own = dead.open_own_connection()
        own.run(dead.lock_migrating, 0)
        number = own.query_rows("select connection_id()")[0][0]
        engine.end_migrating(0.5, reported.append)
        return [line for line in reported if str(number) in line], own.is_broken()

    reported, is_broken = in_process(work)
    assert reported
    assert is_broken


def test_a_reader_waits_for_a_lock_as_long_as_it_may(mariadb_database: MariaDatabase) -> None:
    mariadb_database.execute("create table t (a int)")

    def work() -> tuple[float, bool]:
        engine, other = engine_of(mariadb_database), engine_of(mariadb_database)
        other.open_own_connection().query_rows("lock tables t write")
        began = time.monotonic()
        with refused("read-lock-timeout"):
            engine.read_at_once("select * from t")
        seconds = time.monotonic() - began
        other.open_own_connection().query_rows("unlock tables")
        return seconds, engine.read_at_once("select * from t") == []

    seconds, is_read = in_process(work)
    assert 0.9 < seconds < 3
    assert is_read


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("alter table parents modify name varchar(51) default 'x'", "varchar(51)"),
        ("alter table parents alter name set default 'y'", "'y'"),
        ("alter table parents drop key by_name", "by_name"),
        ("alter table parents comment 'other'", "other"),
        ("alter table parents row_format = compressed", "COMPRESSED"),
        ("alter table children drop foreign key up", "FOREIGN KEY"),
        ("alter table children drop constraint positive", "positive"),
        ("alter table parts drop partition high", "high"),
        ("alter sequence numbers increment by 3", "increment by 3"),
        ("alter algorithm = merge view names as select name from parents", "MERGE"),
        ("drop trigger shout", "shout"),
        ("drop procedure two", "two"),
        ("alter event tidy disable", "DISABLED"),
        ("alter database character set latin1", "latin1"),
        ("create table empty (a int) engine = aria", "Aria"),
    ],
)
def test_a_change_of_the_schema_shows_in_the_fingerprint(
    mariadb_database: MariaDatabase, change: str, word: str
) -> None:
    with_objects(mariadb_database)
    before = set(fingerprint(mariadb_database))
    mariadb_database.execute(change)
    changed = before ^ set(fingerprint(mariadb_database))
    assert [line for line in changed if word in line]


def test_rows_and_counters_do_not_show_in_the_fingerprint(mariadb_database: MariaDatabase) -> None:
    with_objects(mariadb_database)
    before = fingerprint(mariadb_database)
    mariadb_database.execute("insert into parents (name) values ('more'); select nextval(numbers); analyze table parts")
    assert fingerprint(mariadb_database) == before


def test_a_dump_holds_all_and_comes_back_to_the_letter(mariadb_database: MariaDatabase, tmp_path: Path) -> None:
    with_objects(mariadb_database)
    before, lines = mariadb_database.dump(), fingerprint(mariadb_database)

    def work() -> Any:
        engine = engine_of(mariadb_database)
        assert engine.list_obstacles(engine.open_own_connection(), tmp_path) == []
        return engine.dump(tmp_path, True, print)

    done = in_process(work)
    assert done.row_counts == {
        f"{mariadb_database.name}.{table}": count for table, count in (("parents", 2), ("children", 1), ("parts", 0))
    }
    assert done.path.stat().st_mode & 0o077 == 0
    server, name = mariadb_database.server, mariadb_database.name
    server.execute(f"drop database {name}; create database {name} character set utf8mb4")
    server.execute(done.path.read_text(), name)
    assert mariadb_database.dump() == before
    assert fingerprint(mariadb_database) == lines


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        (b"CREATE TABLE `children`", b"CREATE TABLE `other`"),
        (b"(1,1);", b";"),
        (b"/*!50003 CREATE*/", b"/*!50003 LEFT OUT*/"),
        (b"DROP PROCEDURE IF EXISTS", b""),
        (b"DROP EVENT IF EXISTS", b""),
        (b"/*!50001 VIEW ", b""),
        (b"-- Dump completed", b""),
    ],
)
def test_a_dump_that_lacks_something_does_not_count(
    mariadb_database: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: bytes, instead: bytes
) -> None:
    with_objects(mariadb_database)
    run_tool = client_tools.run_tool

    def lesser(tool: Any, words: list[str], *rest: Any, **more: Any) -> str:
        answer = run_tool(tool, words, *rest, **more)
        if "--routines" in words:
            path = Path(more["output"].name)
            assert part in path.read_bytes()
            path.write_bytes(path.read_bytes().replace(part, instead))
        return answer

    def work() -> None:
        engine = engine_of(mariadb_database)
        monkeypatch.setattr(client_tools, "run_tool", lesser)
        engine.dump(tmp_path, True, print)

    with refused("dump-invalid"):
        in_process(work)


def test_a_table_that_was_another_one_during_the_dump_is_noticed(
    mariadb_database: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mariadb_database.execute("create table t (a int); insert into t values (1), (2)")
    run_tool = client_tools.run_tool

    def with_truncate(tool: Any, words: list[str], *rest: Any, **more: Any) -> str:
        answer = run_tool(tool, words, *rest, **more)
        if "--routines" in words:
            time.sleep(1.1)  # the server knows the second
            mariadb_database.execute("alter table t add b int; alter table t drop b")
        return answer

    def work() -> None:
        engine = engine_of(mariadb_database)
        monkeypatch.setattr(client_tools, "run_tool", with_truncate)
        engine.dump(tmp_path, True, print)

    with refused("schema-changes-meanwhile"):
        in_process(work)


def test_the_history_of_a_versioned_table_is_in_the_dump(mariadb_database: MariaDatabase, tmp_path: Path) -> None:
    mariadb_database.execute(
        "create table t (a int) with system versioning;insert into t values (1); update t set a = 2; update t set a = 3"
    )

    def work() -> Any:
        engine = engine_of(mariadb_database)
        return engine.dump(tmp_path, True, print)

    assert in_process(work).row_counts == {f"{mariadb_database.name}.t": 3}


def test_tables_without_transactions_are_locked_while_they_are_dumped(
    mariadb_database: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mariadb_database.execute("create table t (a int) engine = myisam; insert into t values (1)")
    run_tool = client_tools.run_tool
    seen: list[list[list[str]]] = []

    def spy(tool: Any, words: list[str], *rest: Any, **more: Any) -> str:
        if "--routines" in words:
            with pytest.raises(CommandFailed, match="1205"):
                mariadb_database.execute("set lock_wait_timeout = 1; insert into t values (2)")
            seen.append(mariadb_database.execute("select count(*) from t"))
        return run_tool(tool, words, *rest, **more)

    def work() -> Any:
        engine = engine_of(mariadb_database)
        monkeypatch.setattr(client_tools, "run_tool", spy)
        return engine.dump(tmp_path, True, print).row_counts, seen

    counts, locked = in_process(work)
    assert counts == {f"{mariadb_database.name}.t": 1}
    assert locked == [[["1"]]]
    mariadb_database.execute("insert into t values (2)")


def test_tables_without_transactions_are_named_or_refused(mariadb_database: MariaDatabase, tmp_path: Path) -> None:
    mariadb_database.execute("create table t (a int) engine = myisam; create table plain (a int)")

    def work() -> list[Any]:
        found: list[Any] = []
        for choice in ("lock", "refuse"):
            engine = engine_of(mariadb_database, nontransactional_tables=choice)
            codes = [each.code for each in engine.list_obstacles(engine.open_own_connection(), tmp_path)]
            notes = engine.list_backup_notes()
            try:
                engine.dump(tmp_path, True, print)
                found.append((codes, notes, "dumped"))
            except Refused as refusal:
                found.append((codes, notes, refusal.code))
        return found

    locked, refusing = in_process(work)
    assert (locked[0], locked[2]) == ([], "dumped")
    assert [["t (MyISAM)" in note, "plain" in note] for note in locked[1]] == [[True, False]]
    assert (refusing[0], refusing[2]) == (["table-not-transactional"], "table-not-transactional")
    mariadb_database.execute("alter table t engine = innodb")
    locked, refusing = in_process(work)
    assert (locked, refusing) == (([], [], "dumped"), ([], [], "dumped"))


def test_a_plan_reads_the_tables_without_transactions_once(mariadb_database: MariaDatabase, tmp_path: Path) -> None:
    mariadb_database.execute("create table t (a int) engine = myisam")
    server, user = mariadb_database.server, mariadb_database.user

    def work() -> int:
        engine = engine_of(mariadb_database)
        engine.list_obstacles(engine.open_own_connection(), tmp_path)
        return len(engine.list_backup_notes())

    server.execute("set global log_output = 'TABLE', global general_log = on")
    try:
        assert in_process(work) == 1
    finally:
        server.execute("set global general_log = off")
    counted = f"user_host like '{user}%' and argument like '%information\\_schema.engines%'"
    assert server.execute(f"select count(*) from mysql.general_log where {counted}") == [["1"]]


def test_a_table_without_transactions_that_others_keep_locked_ends_the_backup(
    mariadb_database: MariaDatabase, tmp_path: Path
) -> None:
    mariadb_database.execute("create table t (a int) engine = aria")

    def work() -> None:
        other = engine_of(mariadb_database).open_own_connection()
        other.query_rows("lock tables t write")
        engine_of(mariadb_database, backup_lock_wait=1).dump(tmp_path, False, print)

    with refused("database-in-use", "t (Aria)"):
        in_process(work)


@pytest.mark.parametrize(
    ("revoked", "named"), [("TRIGGER", "TRIGGER"), ("EVENT", "EVENT"), ("SHOW VIEW", "SHOW VIEW"), ("SELECT", "SELECT")]
)
def test_a_user_who_cannot_see_all_is_an_obstacle(
    mariadb_database: MariaDatabase, tmp_path: Path, revoked: str, named: str
) -> None:
    pattern = mariadb_database.name.replace("_", "\\_")
    mariadb_database.server.execute(f"revoke {revoked} on `{pattern}`.* from '{mariadb_database.user}'@'%'")

    def work() -> Any:
        engine = engine_of(mariadb_database)
        return [(each.code, each.why) for each in engine.list_obstacles(engine.open_own_connection(), tmp_path)]

    ((code, why),) = in_process(work)
    assert code == "privileges-missing"
    assert named in why


def test_a_routine_of_another_user_is_an_obstacle(mariadb_database: MariaDatabase, tmp_path: Path) -> None:
    mariadb_database.execute("create procedure hidden() select 1")

    def work() -> Any:
        engine = engine_of(mariadb_database)
        return [
            (each.code, "hidden" in each.why) for each in engine.list_obstacles(engine.open_own_connection(), tmp_path)
        ]

    assert in_process(work) == [("privileges-missing", True)]


def test_a_disk_that_is_too_small_for_the_dump_is_an_obstacle(
    mariadb_database: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are not text are written with two letters each."""
    mariadb_database.execute(
        "create table t (b longblob); insert into t values (repeat('x', 4000000)); analyze table t"
    )

    def work() -> Any:
        engine = engine_of(mariadb_database)
        found = []
        for free in (6_000_000, 20_000_000):
            monkeypatch.setattr("shutil.disk_usage", lambda _place, free=free: shutil._ntuple_diskusage(0, 0, free))
            found.append([each.code for each in engine.list_obstacles(engine.open_own_connection(), tmp_path)])
        return found

    assert in_process(work) == [["disk-too-small"], []]


def test_a_view_of_what_is_gone_is_an_obstacle(mariadb_database: MariaDatabase, tmp_path: Path) -> None:
    mariadb_database.execute("create table t (a int); create view ghost as select a from t; drop table t")

    def work() -> Any:
        engine = engine_of(mariadb_database)
        return [
            (each.code, "ghost" in each.why) for each in engine.list_obstacles(engine.open_own_connection(), tmp_path)
        ]

    assert in_process(work) == [("view-invalid", True)]


def test_a_server_that_is_read_only_is_an_obstacle(mariadb_database: MariaDatabase, tmp_path: Path) -> None:
    def work() -> Any:
        engine = engine_of(mariadb_database)
        return [each.code for each in engine.list_obstacles(engine.open_own_connection(), tmp_path)]

    mariadb_database.server.execute("set global read_only = on")
    try:
        assert in_process(work) == ["server-is-standby"]
    finally:
        mariadb_database.server.execute("set global read_only = off")


def test_a_database_that_is_not_there_cannot_be_reached(mariadb_database: MariaDatabase) -> None:
    def work() -> None:
        url = mariadb_database.server.url("nowhere")
        build_engine(Database("app", url), Job.from_options("plan", {"root": "/nowhere"})).open_own_connection()

    with refused("database-unreachable"):
        in_process(work)


def test_a_dump_that_the_server_would_not_load_does_not_count(mariadb_database: MariaDatabase, tmp_path: Path) -> None:
    mariadb_database.execute("create table t (id int, bytes longblob); insert into t values (1, repeat('x', 9000000))")

    def work() -> Any:
        return engine_of(mariadb_database).dump(tmp_path, True, print)

    with refused("dump-not-loadable", "18,000,0") as failure:
        in_process(work)
    server = mariadb_database.server
    before = server.execute("select @@global.max_allowed_packet")[0][0]
    server.execute(failure.value.remedy.partition("types: ")[2].partition(";")[0])
    try:
        path = in_process(work).path
        server.execute("create table t2 as select * from t; delete from t", mariadb_database.name)
        server.execute(path.read_text(), mariadb_database.name)
        assert mariadb_database.execute("select count(*) from t join t2 using (id, bytes)") == [["1"]]
    finally:
        server.execute(f"set global max_allowed_packet = {before}")


def test_the_longest_statement_that_a_server_takes_is_in_a_backup(
    mariadb_database: MariaDatabase, tmp_path: Path
) -> None:
    """One byte more is not."""

    def work() -> Any:
        return engine_of(mariadb_database).dump(tmp_path, True, print)

    mariadb_database.execute("create table t (words longtext); insert into t values (repeat('x', 2000000))")
    longest = read_dump(in_process(work).path).longest
    server = mariadb_database.server
    before = server.execute("select @@global.max_allowed_packet")[0][0]
    server.execute("set global max_allowed_packet = 2001920")
    try:
        for more, is_taken in ((2001919 - longest, True), (2001920 - longest, False)):
            mariadb_database.execute(f"update t set words = repeat('x', {2000000 + more})")
            if not is_taken:
                with refused("dump-not-loadable"):
                    in_process(work)
                continue
            path = in_process(work).path
            mariadb_database.execute("drop table t")
            server.execute(path.read_text(), mariadb_database.name)
    finally:
        server.execute(f"set global max_allowed_packet = {before}")


@pytest.mark.parametrize("engine_name", ["innodb", "innodb partition by hash (id) partitions 2"])
def test_a_queue_that_is_filled_and_emptied_meanwhile_does_not_prevent_a_backup(
    mariadb_database: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine_name: str
) -> None:
    mariadb_database.execute(f"create table jobs (id int primary key) engine = {engine_name}")
    run_tool = client_tools.run_tool
    attempts: list[Path] = []

    def with_jobs(tool: Any, words: list[str], *rest: Any, **more: Any) -> str:
        if "--routines" not in words:
            return run_tool(tool, words, *rest, **more)
        mariadb_database.execute("insert into jobs values (1), (2)")
        answer = run_tool(tool, words, *rest, **more)
        mariadb_database.execute("delete from jobs")
        attempts.append(Path(more["output"].name))
        return answer

    def work() -> tuple[int, Any, int]:
        engine = engine_of(mariadb_database)
        monkeypatch.setattr(client_tools, "run_tool", with_jobs)
        dump = engine.dump(tmp_path, True, print)
        return len(attempts), dump.row_counts, read_dump(dump.path).rows["jobs"]

    assert in_process(work) == (3, {f"{mariadb_database.name}.jobs": 2}, 2)


def test_two_spellings_of_one_database_have_one_lock(tmp_path: Path) -> None:
    def work(server: MariaDBServer) -> list[Any]:
        job = Job.from_options("upgrade", {"root": "/nowhere"})
        one, two = (build_engine(Database("app", server.url(name)), job) for name in ("shop", "Shop"))
        first, second = one.try_lock(), two.try_lock()
        dump = two.dump(tmp_path, True, lambda _: None)
        return [first is not None, second is not None, two.read_lock_holder(), dump.row_counts]

    with MariaDBServer(durable=False, settings={"lower-case-table-names": "1"}) as server:
        server.execute("create database shop; create table shop.item (id int)")
        is_first, is_second, holder, counts = in_process(lambda: work(server))
    assert (is_first, is_second) == (True, False)
    assert "admin" in holder
    assert counts == {"shop.item": 0}


@pytest.mark.parametrize("name", ["shop_1", "my-shop%"])
def test_the_grant_that_is_printed_means_this_database_and_no_other(
    mariadb_database: MariaDatabase, tmp_path: Path, name: str
) -> None:
    server, user = mariadb_database.server, mariadb_database.user
    for each in (name, "shopA1", "my-shop2"):
        server.execute(f"create database `{each}`")
    pattern = name.replace("_", "\\_").replace("%", "\\%")
    server.execute(f"grant all on `{pattern}`.* to '{user}'@'%'; revoke trigger on `{pattern}`.* from '{user}'@'%'")

    def work() -> list[tuple[str, str]]:
        url = server.url(name, user=user, password=mariadb_database.password)
        engine = build_engine(Database("app", url), Job.from_options("upgrade", {"root": "/nowhere"}))
        return [(each.code, each.remedy) for each in engine.list_obstacles(engine.open_own_connection(), tmp_path)]

    try:
        ((code, remedy),) = in_process(work)
        assert code == "privileges-missing"
        server.execute(remedy)
        assert in_process(work) == []
        seen = server._execute("show databases", "", user, mariadb_database.password)
        assert {each for (each,) in seen} == {name, mariadb_database.name, "information_schema"}
    finally:
        for each in (name, "shopA1", "my-shop2"):
            server.drop_database(each)
