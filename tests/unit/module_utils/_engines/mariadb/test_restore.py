"""Restores of MariaDB: what mariadb-dump writes before and after is equal to the letter."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed, Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import hash_file
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import beside, swap
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.dump_text import select_table_lines
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.swap_state import build_schema_names
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer, find_write_tracker
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import refused
from tests.lab.fixtures import MariaDatabase
from tests.lab.shell import CommandFailed
from tests.unit.stage import in_process

#: Everything that a dump has to bring back, and that a move between schemas may lose.
OBJECTS = """
set sql_mode = '';
create table parents (id int auto_increment primary key, n varchar(20));
create table children (id int primary key, parent int, words text, next int generated always as (id + 1) stored,
  after_next int generated always as (id + 2) virtual, seen datetime default '0000-00-00 00:00:00',
  constraint up foreign key (parent) references parents (id) on delete cascade, fulltext key found (words));
create table parts (id int primary key) partition by range (id)
  (partition low values less than (10), partition high values less than maxvalue);
create table texts (id int primary key, old varchar(30) character set utf8mb3, older varchar(30) character set latin1,
  bytes blob, facts json) default charset = latin1;
create table full_up (id tinyint auto_increment primary key, half float, tenth double, at_once datetime(6));
create table crashed (a int) engine = aria;
create sequence numbers start with 5;
insert into parents (n) values ('a;\\n-- x'), ('b');
insert into children (id, parent, words, seen) values (1, 1, 'hello world', '0000-00-00 00:00:00');
insert into parts values (1), (11);
insert into texts values (1, 'größe', 'größe\\r\\n\\0x', x'00ff41', '{"a": 1}');
insert into full_up values (127, 1.5, 0.1, '2026-01-01 01:02:03.4');
insert into crashed values (4);
delimiter //
create trigger first before insert on children for each row begin declare x int; set x = 1; /* stays */ end//
create definer = 'gone'@'nowhere' trigger second after insert on children for each row set @a = 1//
create procedure one() begin select 1; /* stays */ end//
create function two() returns int deterministic return 2//
create event tidy on schedule every 1 day starts '2030-01-01 00:00:00' do delete from parts//
delimiter ;
create view names as select * from parents;
create view another_view as select id from names;
"""

#: One change each, by what it changes.
CHANGES = {
    "a table that is new, with a trigger": "create table made (id int primary key);"
    "create trigger of_made before insert on made for each row set @c = 1",
    "a column more in a table that others refer to": "alter table parents add column c int",
    "a table that refers to another": "alter table children drop column words",
    "a foreign key": "alter table children drop foreign key up",
    "a partitioned table": "alter table parts drop partition low",
    "character sets": "alter table texts modify older varchar(30) character set utf8mb4",
    "a table at the end of its AUTO_INCREMENT": "alter table full_up drop column half",
    "a table that is not transactional": "alter table crashed add column b int",
    "a table that is gone": "drop table texts",
    "a sequence that is gone": "drop sequence numbers",
    "a view that others read": "drop view another_view; create or replace view names as select id from parents",
    "a column that views read": "alter table parents drop column n",
    "a view of what is gone": "create table gone (id int); create view of_it as select * from gone; drop table gone",
    "views that are new and gone": "drop view another_view; create view other as select 1 as one",
    "a view in the place of a table": "drop table full_up; create view full_up as select 1 as id",
    "a trigger": "drop trigger first",
    "a trigger that is new": "create trigger third before insert on parts for each row set @b = 1",
    "a routine": "drop procedure one",
    "routines that are new": "create function three() returns int deterministic return 3; drop function two",
    "an event": "alter event tidy disable",
    "rows": "delete from parents where id = 2; update texts set old = 'x'; truncate table parts",
    "nothing": "",
}


def engine_of(database: MariaDatabase, **more: Any) -> Any:
    """Return the engine with the superuser's rights."""
    url = database.server.url(database.name)
    root = str(database.server.folder / "root")
    return build_engine(Database("app", url), Job.from_options("upgrade", {"root": root, **more}))


def archive_of(database: MariaDatabase, folder: Path) -> Archive:
    def work() -> Archive:
        engine = engine_of(database)
        dump = engine.dump(folder, True, lambda _: None)
        return Archive(dump.path, [], dump.row_counts, frozenset(), dump.activity, hash_file(dump.path))

    return in_process(work)


def schemas_beside(database: MariaDatabase) -> list[str]:
    begins = tuple(name for kind in ("new", "old") for name in build_schema_names(database.name, kind))
    return [name for (name,) in database.server.execute("show databases") if name.startswith(begins)]


def restore(database: MariaDatabase, archive: Archive, guard: Callable[[], None] = lambda: None) -> Any:
    def work() -> Any:
        return find_restorer(engine_of(database)).restore(archive, "run", lambda _: None, guard)

    return in_process(work)


@pytest.fixture
def stocked(mariadb_database: MariaDatabase) -> Any:
    """A database with one of each, as the superuser has made it; what restores leave beside it is dropped."""
    mariadb_database.execute(OBJECTS)
    yield mariadb_database
    for name in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"set foreign_key_checks = 0; drop database `{name}`")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_has_changed_comes_back_to_the_letter(stocked: MariaDatabase, tmp_path: Path, change: str) -> None:
    before = stocked.dump()
    archive = archive_of(stocked, tmp_path)
    stocked.execute(change)
    restore(stocked, archive)
    assert stocked.dump() == before


def test_a_sequence_that_has_given_out_values_goes_on_behind_them_and_is_named(
    stocked: MariaDatabase, tmp_path: Path
) -> None:
    archive = archive_of(stocked, tmp_path)
    [[given]] = stocked.execute("alter table parents add column c int; select nextval(numbers)")

    restored = restore(stocked, archive)

    [left] = restored.not_restored
    assert "sequence numbers" in left
    [[then]] = stocked.execute("select nextval(numbers)")
    assert int(then) > int(given)


def test_what_was_replaced_is_kept_and_can_be_dropped(stocked: MariaDatabase, tmp_path: Path) -> None:
    archive = archive_of(stocked, tmp_path)
    stocked.execute(
        "update parents set n = 'by others'; create table made (id int primary key); insert into made values (7)"
    )
    restored = restore(stocked, archive)
    assert stocked.server.execute("select distinct n from parents", restored.retained) == [["by others"]]
    assert stocked.server.execute("select id from made", restored.retained) == [["7"]]

    def work() -> tuple[list[Any], list[Any]]:
        restorer = find_restorer(engine_of(stocked))
        found = restorer.list_retained()
        restorer.drop_retained(found[0])
        return found, restorer.list_retained()

    found, left = in_process(work)
    assert [(copy.name, copy.run) for copy in found] == [(restored.retained, "run")]
    assert found[0].made
    assert found[0].size
    assert left == []
    assert schemas_beside(stocked) == []


def test_privileges_on_tables_stay(stocked: MariaDatabase, tmp_path: Path) -> None:
    reader = f"{stocked.name}_r"
    stocked.server.create_user(reader)
    stocked.execute(f"grant select on parents to '{reader}'@'%'; grant update (n) on parents to '{reader}'@'%'")
    before = stocked.execute(f"show grants for '{reader}'@'%'")
    archive = archive_of(stocked, tmp_path)
    stocked.execute("alter table parents add column c int")
    restore(stocked, archive)
    assert stocked.execute(f"show grants for '{reader}'@'%'") == before
    stocked.server.execute(f"drop user '{reader}'@'%'")


def test_no_one_writes_between_the_last_check_and_the_move(stocked: MariaDatabase, tmp_path: Path) -> None:
    archive = archive_of(stocked, tmp_path)
    stocked.execute("alter table parents add column c int")

    def guard() -> None:
        with pytest.raises(CommandFailed, match="Lock wait timeout"):
            stocked.execute("set lock_wait_timeout = 1; insert into parents (n) values ('between')")

    restore(stocked, archive, guard)
    assert stocked.execute("select count(*) from parents") == [["2"]]


def test_a_guard_that_refuses_leaves_all_as_it_was(stocked: MariaDatabase, tmp_path: Path) -> None:
    archive = archive_of(stocked, tmp_path)
    stocked.execute("alter table parents add column c int; drop trigger first")
    before = stocked.dump()

    def guard() -> None:
        raise Refused("no", "for the test", code="others-wrote")

    with refused("others-wrote"):
        restore(stocked, archive, guard)
    assert stocked.dump() == before
    assert schemas_beside(stocked) == []


def test_a_transaction_that_others_have_open_prevents_it(stocked: MariaDatabase, tmp_path: Path) -> None:
    archive = archive_of(stocked, tmp_path)
    stocked.execute("alter table parents add column c int")
    before = stocked.dump()

    def work() -> Any:
        other = engine_of(stocked).open_own_connection()
        other.query_rows("start transaction")
        other.query_rows("insert into parents (n) values ('open')")
        engine = engine_of(stocked, lock_wait=2, lock_timeout=1)
        return find_restorer(engine).restore(archive, "run", lambda _: None, lambda: None)

    with refused("database-in-use"):
        in_process(work)
    assert stocked.dump().replace("AUTO_INCREMENT=4", "AUTO_INCREMENT=3") == before
    assert schemas_beside(stocked) == []


@pytest.mark.parametrize("number", range(20))
def test_a_restore_that_died_is_undone_or_ended(
    stocked: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """It dies before the nth statement that moves, drops or makes anything, and cannot undo anything itself."""
    archive = archive_of(stocked, tmp_path)
    old = stocked.dump()
    stocked.execute(
        "alter table parents add column c int; drop view another_view; drop trigger first; drop procedure one;"
    )
    new = stocked.dump()
    calls = itertools.count()

    class Dies(BaseException):
        pass

    def dying(real: Any) -> Any:
        def call(*arguments: Any) -> Any:
            words = arguments[1] if isinstance(arguments[1], str) else ""
            if not words.startswith(("select", "set session", "lock tables")) and next(calls) == number:
                raise Dies
            return real(*arguments)

        return call

    def dying_at_once(*_: Any) -> str:
        raise Dies

    def work() -> bool:
        for name in ("run_sql", "advance", "run_pieces", "run_behind"):
            monkeypatch.setattr(swap, name, dying(vars(swap)[name]))
        monkeypatch.setattr(swap, "end_or_undo", dying_at_once)
        monkeypatch.setattr(swap.Swap, "_give_up", lambda _self: None)
        try:
            find_restorer(engine_of(stocked)).restore(archive, "run", lambda _: None, lambda: None)
        except (Dies, Failed):
            return True
        return False

    died = in_process(work)

    def recover() -> None:
        engine_of(stocked).lock(5, lambda _: None).release()

    in_process(recover)
    assert stocked.dump() in ((old, new) if died else (old,))
    assert [name for name in schemas_beside(stocked) if "_new_" in name] == []
    restore(stocked, archive)
    assert stocked.dump() == old


def test_a_forecast_leaves_a_restore_that_died_alone(
    stocked: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the restore had loaded is all that could end it."""
    archive = archive_of(stocked, tmp_path)
    old = stocked.dump()
    stocked.execute("alter table parents add column c int")
    new = stocked.dump()

    def dying(*_: Any) -> str:
        raise KeyboardInterrupt

    def work() -> tuple[str, list[str]]:
        restorer = find_restorer(engine_of(stocked))  # which loads what is replaced here
        for name in ("move_in", "end_or_undo"):
            monkeypatch.setattr(swap, name, dying)
        with pytest.raises(KeyboardInterrupt):
            restorer.restore(archive, "run", lambda _: None, lambda: None)
        monkeypatch.undo()
        left = schemas_beside(stocked)
        writes = find_write_tracker(engine_of(stocked)).foresee_writes(archive, {}, None)
        assert schemas_beside(stocked) == left
        engine_of(stocked).lock(5, lambda _: None).release()
        return str(writes), left

    _writes, left = in_process(work)
    assert len(left) == 2
    assert stocked.dump() in (old, new)
    assert schemas_beside(stocked) == []


#: What is rarer.
_RARE = r"""
set names utf8mb4;
create table `a``b c;ü` (`id;` int primary key comment 'it''s; "two"\nlines', `x y` uuid default uuid(), ip inet6,
  hidden int invisible default 5, at_all set('a', 'b c'), where_to point not null, spatial key (where_to),
  key down (`x y` desc), constraint `so``so` check (`id;` <> 7)) comment 'a;
b' row_format = compressed;
insert into `a``b c;ü` (`id;`, ip, at_all, where_to) values (1, '::1', 'a,b c', point(1, 2));
create table by_hash (id int, at_day date, primary key (id, at_day)) partition by range (year(at_day))
  subpartition by hash (id) subpartitions 2
  (partition old values less than (2000), partition rest values less than maxvalue);
insert into by_hash values (1, '1999-01-01'), (2, '2026-01-01');
create sequence s start with 7 increment by 3 cycle maxvalue 100;
create table numbered (id bigint default nextval(s) primary key, d decimal(30, 10), y year, t time(3), b bit(64));
insert into numbered (d, y, t, b) values (1.5, 2026, '-12:00:00.125', b'1');
create table itself (id int primary key, up int, constraint itself_up foreign key (up) references itself (id));
insert into itself values (1, 1);
create table one (id int primary key, other int, key (other));
create table two (id int primary key, other int, key (other));
alter table one add constraint to_two foreign key (other) references two (id);
alter table two add constraint to_one foreign key (other) references one (id);
insert into two values (1, null); insert into one values (1, 1); update two set other = 1;
"""


@pytest.mark.parametrize("objects", [OBJECTS, _RARE], ids=["common", "rare"])
def test_everything_can_be_replaced_at_once(mariadb_database: MariaDatabase, tmp_path: Path, objects: str) -> None:
    mariadb_database.execute(objects)
    before = mariadb_database.dump()
    archive = archive_of(mariadb_database, tmp_path)

    def work() -> Any:
        engine = engine_of(mariadb_database, restore_loses_writes=True)
        return find_restorer(engine).restore(archive, "run", lambda _: None, lambda: None)

    restored = in_process(work)
    assert mariadb_database.dump() == before
    count = "select count(*) from information_schema.tables where table_type <> 'VIEW' and table_schema = '{}'"
    here, there = (
        int(mariadb_database.server.execute(count.format(name))[0][0])
        for name in (mariadb_database.name, restored.retained)
    )
    assert there == here + 1  # with what it says of itself
    for name in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"set foreign_key_checks = 0; drop database `{name}`")


def test_rows_that_no_longer_fit_come_back(mariadb_database: MariaDatabase, tmp_path: Path) -> None:
    """What was made before innodb_strict_mode was there, or while a check was not enforced."""
    columns = ", ".join(f"c{number} varchar(255)" for number in range(60))
    mariadb_database.execute(
        f"set innodb_strict_mode = 0, check_constraint_checks = 0;"
        f"create table w (id int primary key, {columns}) row_format = compact charset latin1;"
        "create table c (id int primary key, constraint positive check (id > 0));"
        "insert into w (id) values (1); insert into c values (-1)"
    )
    before = mariadb_database.dump()
    archive = archive_of(mariadb_database, tmp_path)
    mariadb_database.execute("update w set id = 2; delete from c")
    restore(mariadb_database, archive)
    assert mariadb_database.dump() == before
    for name in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"drop database `{name}`")


def _cut(table: bytes, error: Exception | None) -> Callable[[Any], Any]:
    """Return what reads the lines of a dump to the first row of a table, and ends there as if that were the end."""

    def lines_of(lines: Any) -> Any:
        for line in select_table_lines(lines):
            if line.startswith(b"INSERT INTO `%s`" % table):
                if error:
                    raise error
                return
            yield line

    return lines_of


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), None], ids=["an error", "no error"])
@pytest.mark.parametrize("table", [b"parents", b"texts"])
def test_a_dump_that_is_not_read_to_its_end_replaces_nothing(
    stocked: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None, table: bytes
) -> None:
    archive = archive_of(stocked, tmp_path)
    stocked.execute("alter table parents add column c int; alter table texts add column c int")
    before = stocked.dump()

    def work() -> None:
        monkeypatch.setattr(beside, "select_table_lines", _cut(table, error))
        find_restorer(engine_of(stocked)).restore(archive, "run", lambda _: None, lambda: None)

    with refused("restore-replaced-nothing", *([error.strerror] if isinstance(error, OSError) else [])):
        in_process(work)
    assert stocked.dump() == before
    assert schemas_beside(stocked) == []


@pytest.mark.parametrize("known", ["by its digest", "by its rows"])
def test_a_dump_that_loses_rows_while_it_is_loaded_replaces_nothing(
    stocked: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    archive = archive_of(stocked, tmp_path)
    stocked.execute("alter table parents add column c int")
    before = stocked.dump()
    lesser = archive.path.read_bytes().replace(b"(1,'a;", b"(3,'a;").replace(b",\n(2,'b')", b"")
    assert lesser != archive.path.read_bytes()
    rows = {} if known == "by its digest" else archive.row_counts
    if known == "by its rows":
        archive.path.write_bytes(lesser)
    archive = replace(archive, row_counts=rows, sha256="" if rows else archive.sha256)

    def work() -> None:
        real = vars(beside)["record"]

        def changes_then(*arguments: Any) -> None:
            archive.path.write_bytes(lesser)
            real(*arguments)

        monkeypatch.setattr(beside, "record", changes_then)
        find_restorer(engine_of(stocked)).restore(archive, "run", lambda _: None, lambda: None)

    with refused("restore-replaced-nothing"):
        in_process(work)
    assert stocked.dump() == before
    assert schemas_beside(stocked) == []
