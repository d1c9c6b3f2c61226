"""Restores by a user who may make no schema: what mariadb-dump writes before and after is equal to the letter."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed, Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import hash_file
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import beside, foreign_keys, swap
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import refused
from tests.lab.fixtures import MariaDatabase
from tests.lab.shell import CommandFailed
from tests.lab.waiting import wait_until
from tests.unit.module_utils._engines.mariadb.test_restore import _RARE, CHANGES, OBJECTS
from tests.unit.module_utils._engines.mariadb.test_restore import engine_of as superuser_engine_of
from tests.unit.stage import in_process

#: As one user has made it: a trigger of another definer is not his to make.
OWN_OBJECTS = OBJECTS.replace("definer = 'gone'@'nowhere' ", "") + (
    f"create table `{'long' * 16}` (id int primary key, up int,"
    " constraint `b``c` foreign key (up) references parents (id) on update cascade);"
    f"insert into `{'long' * 16}` values (1, 1);"
    "create table unnamed (id int primary key, up int, foreign key (up) references parents (id),"
    " foreign key (up) references unnamed (id)); insert into unnamed values (1, 1);"
)
#: What runs daily; the others are left to `make faults`.
DAILY = {"a column more in a table that others refer to"}


def engine_of(database: MariaDatabase, **more: Any) -> Any:
    """Return the engine with the rights of the database's own user."""
    root = str(database.server.folder / "root")
    return build_engine(Database("app", database.url), Job.from_options("upgrade", {"root": root, **more}))


def as_user(database: MariaDatabase, statements: str) -> list[list[str]]:
    """Execute statements as the database's own user."""
    return database.server._execute(statements, database.name, database.user, database.password)


def ours(database: MariaDatabase) -> list[str]:
    """Return the tables in it that restores have made."""
    names = [name for (name,) in database.execute("show tables")]
    return [name for name in names if name.startswith("hosting_alembic_")]


def archive_of(database: MariaDatabase, folder: Path) -> Archive:
    def work() -> Archive:
        found = engine_of(database).dump(folder, True, lambda _: None)
        return Archive(found.path, [], found.row_counts, frozenset(), found.activity, hash_file(found.path))

    return in_process(work)


def restore(database: MariaDatabase, archive: Archive, guard: Callable[[], None] = lambda: None, **more: Any) -> Any:
    def work() -> Any:
        return find_restorer(engine_of(database, **more)).restore(archive, "run", lambda _: None, guard)

    return in_process(work)


def die_half_way(database: MariaDatabase, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a restore die when the tables are out, without undoing anything."""

    def dying(*_: Any) -> str:
        raise KeyboardInterrupt

    def work() -> None:
        restorer = find_restorer(engine_of(database))
        for name in ("move_in", "end_or_undo"):
            monkeypatch.setattr(swap, name, dying)
        with pytest.raises(KeyboardInterrupt):
            restorer.restore(archive, "run", lambda _: None, lambda: None)

    in_process(work)
    monkeypatch.undo()


def recover(database: MariaDatabase) -> None:
    in_process(lambda: engine_of(database).lock(5, lambda _: None).release())


@pytest.fixture
def owned(mariadb_database: MariaDatabase) -> Iterator[MariaDatabase]:
    """A database with one of each, as its own user has made it."""
    as_user(mariadb_database, OWN_OBJECTS)
    schemas = mariadb_database.server.execute("show databases")
    yield mariadb_database
    assert mariadb_database.server.execute("show databases") == schemas


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(words, id=name, marks=[] if name in DAILY else [pytest.mark.exhaustive])
        for name, words in CHANGES.items()
    ],
)
def test_whatever_has_changed_comes_back_to_the_letter(owned: MariaDatabase, tmp_path: Path, change: str) -> None:
    before = owned.dump()
    archive = archive_of(owned, tmp_path)
    as_user(owned, change)
    restored = restore(owned, archive)
    assert owned.dump() == before
    assert all(name.startswith(restored.retained) for name in ours(owned)) or not restored.retained
    assert not [name for name in ours(owned) if "_new_" in name]
    # What is retained is neither backed up nor restored, and a second restore finds nothing to do.
    again = tmp_path / "again"
    again.mkdir()
    assert archive_of(owned, again).row_counts == archive.row_counts
    kept = ours(owned)
    assert restore(owned, archive).retained == ""
    assert ours(owned) == kept


@pytest.mark.exhaustive
@pytest.mark.parametrize("objects", [OWN_OBJECTS, _RARE], ids=["common", "rare"])
def test_everything_can_be_replaced_at_once(mariadb_database: MariaDatabase, tmp_path: Path, objects: str) -> None:
    as_user(mariadb_database, objects)
    before = mariadb_database.dump()
    archive = archive_of(mariadb_database, tmp_path)
    restore(mariadb_database, archive, restore_loses_writes=True)
    assert mariadb_database.dump() == before


@pytest.mark.exhaustive
def test_what_was_replaced_is_kept_and_can_be_dropped(owned: MariaDatabase, tmp_path: Path) -> None:
    archive = archive_of(owned, tmp_path)
    as_user(
        owned, "update parents set n = 'by others'; create table made (id int primary key); insert into made values (7)"
    )
    restored = restore(owned, archive)
    rows = {name: owned.execute(f"select * from `{name}`") for name in ours(owned) if not name.endswith("_state")}
    assert ["7"] in itertools.chain(*rows.values())
    assert ["1", "by others"] in itertools.chain(*rows.values())

    def work() -> tuple[list[Any], list[Any]]:
        restorer = find_restorer(engine_of(owned))
        found = restorer.list_retained()
        restorer.drop_retained(found[0])
        return found, restorer.list_retained()

    before = owned.dump()
    found, left = in_process(work)
    assert [(copy.name, copy.run) for copy in found] == [(restored.retained, "run")]
    assert found[0].size
    assert left == []
    assert ours(owned) == []
    assert owned.dump() == before


@pytest.mark.exhaustive
def test_no_one_writes_between_the_last_check_and_the_move(owned: MariaDatabase, tmp_path: Path) -> None:
    archive = archive_of(owned, tmp_path)
    as_user(owned, "alter table parents add column c int")

    def guard() -> None:
        with pytest.raises(CommandFailed, match="Lock wait timeout"):
            owned.execute("set lock_wait_timeout = 1; insert into parents (n) values ('between')")

    restore(owned, archive, guard)
    assert owned.execute("select count(*) from parents") == [["2"]]


@pytest.mark.exhaustive
def test_a_guard_that_refuses_leaves_all_as_it_was(owned: MariaDatabase, tmp_path: Path) -> None:
    archive = archive_of(owned, tmp_path)
    as_user(owned, "alter table parents add column c int; drop trigger first")
    before = owned.dump()

    def guard() -> None:
        raise Refused("no", "for the test", code="others-wrote")

    with refused("others-wrote"):
        restore(owned, archive, guard)
    assert owned.dump() == before
    assert ours(owned) == []


class _Dies(BaseException):
    pass


@pytest.mark.parametrize(
    "number", [pytest.param(each, marks=[] if each == 14 else [pytest.mark.exhaustive]) for each in range(24)]
)
def test_a_restore_that_died_is_undone_or_ended(
    owned: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """It dies before the nth statement that moves, drops or makes anything, and cannot undo anything itself."""
    archive = archive_of(owned, tmp_path)
    old = owned.dump()
    as_user(
        owned, "alter table parents add column c int; drop view another_view; drop trigger first; drop procedure one"
    )
    new = owned.dump()
    calls = itertools.count()

    def dying(real: Any) -> Any:
        def call(*arguments: Any) -> Any:
            words = arguments[1] if isinstance(arguments[1], str) else ""
            if not words.startswith(("select", "set session", "lock tables")) and next(calls) == number:
                raise _Dies
            return real(*arguments)

        return call

    def dying_at_once(*_: Any) -> str:
        raise _Dies

    def work() -> bool:
        for name in ("run_sql", "advance", "run_pieces", "run_behind", "name_keys"):
            monkeypatch.setattr(swap, name, dying(vars(swap)[name]))
        monkeypatch.setattr(foreign_keys, "_change", dying(vars(foreign_keys)["_change"]))
        monkeypatch.setattr(swap, "end_or_undo", dying_at_once)
        monkeypatch.setattr(swap.Swap, "_give_up", lambda _self: None)
        try:
            find_restorer(engine_of(owned)).restore(archive, "run", lambda _: None, lambda: None)
        except (_Dies, Failed):
            return True
        return False

    died = in_process(work)
    recover(owned)
    assert owned.dump() in ((old, new) if died else (old,))
    assert not [name for name in ours(owned) if "_new_" in name]
    restore(owned, archive)
    assert owned.dump() == old


@pytest.mark.exhaustive
def test_no_row_is_written_that_a_foreign_key_forbids(owned: MariaDatabase, tmp_path: Path) -> None:
    """Another session tries it all the time, while tables move and while foreign keys get their names."""
    archive = archive_of(owned, tmp_path)
    as_user(owned, "alter table parents add column c int")
    ended, tried = threading.Event(), itertools.count()

    def write() -> None:
        server = owned.server
        with pymysql.connect(
            unix_socket=str(server.socket), user=server.user, password=server.password, database=owned.name
        ) as other:
            other.autocommit(True)
            while not ended.is_set():
                with suppress(pymysql.err.MySQLError), other.cursor() as cursor:
                    cursor.execute(f"insert into children (id, parent) values ({next(tried) + 100}, 4711)")

    def work() -> int:
        restorer = find_restorer(engine_of(owned))
        with ThreadPoolExecutor(3) as pool:
            others = [pool.submit(write) for _each in range(3)]
            try:
                restorer.restore(archive, "run", lambda _: None, lambda: None)
            finally:
                ended.set()
            for other in others:
                other.result()
        return next(tried)

    assert in_process(work) > 100
    assert owned.execute("select count(*) from children where parent = 4711") == [["0"]]
    keys = owned.execute(
        "select constraint_name from information_schema.table_constraints where table_schema = database()"
    )
    assert ["up"] in keys
    assert not [name for (name,) in keys if name.startswith("hosting_alembic_key")]


@pytest.mark.exhaustive
def test_a_client_that_goes_on_behind_its_killed_run_leaves_nothing(owned: MariaDatabase, tmp_path: Path) -> None:
    """The next run waits for it before it drops what it loads."""
    archive = archive_of(owned, tmp_path)
    as_user(owned, "alter table parents add column c int")
    before = owned.dump()

    def load() -> None:
        def slow(lines: Any, *rest: Any) -> Any:
            first, *others = real(lines, *rest)
            yield from (first, b"do sleep(2);\n", *others, b"-- more than a pipe takes\n" * 10_000)

        real = vars(beside)["prefix_dump"]
        vars(beside).update(prefix_dump=slow)
        threading.Timer(1, os._exit, (9,)).start()
        beside.Beside(engine_of(owned), archive, lambda _: None).load()

    # The lock of the run that was killed is gone; its client is not.
    with suppress(AssertionError):
        in_process(load)
    working = "select id from information_schema.processlist where info like 'do sleep(2)%'"
    assert owned.execute(working)
    in_process(lambda: beside.drop_left(engine_of(owned)))
    wait_until(lambda: not owned.execute(working), "the client goes on")
    in_process(lambda: beside.drop_left(engine_of(owned)))
    assert ours(owned) == []
    assert owned.dump() == before


@pytest.mark.exhaustive
@pytest.mark.parametrize("phase", ["begun", "out", "in"])
def test_a_forged_restore_is_neither_ended_nor_undone(mariadb_database: MariaDatabase, phase: str) -> None:
    """Any user of the database may write a table that says so, with a script that an administrator would execute."""
    name, server = "hosting_alembic_old_20261129000000", mariadb_database.server
    facts = {"of": mariadb_database.name, "run": "run", "made": "", "phase": phase, "beside": f"{name}0"}
    script = f"grant all privileges on *.* to '{mariadb_database.user}'@'%' with grant option;\n"
    packed = json.dumps([script]).encode().hex()
    as_user(
        mariadb_database,
        f"create table t (id int primary key); create table {name}_state"
        " (id int primary key, facts longtext, `back` longblob, `forth` longblob);"
        f"insert into {name}_state values (1, '{json.dumps(facts)}', 0x{packed}, 0x{packed})",
    )
    for engine in (engine_of, superuser_engine_of):

        def lock(of: Callable[..., Any] = engine) -> None:
            of(mariadb_database).lock(5, lambda _: None).release()

        with refused("restore-not-proven", name):
            in_process(lock)
    grants = server.execute(f"show grants for '{mariadb_database.user}'@'%'")
    assert not [grant for (grant,) in grants if "ALL PRIVILEGES ON *.*" in grant]
    assert ours(mariadb_database) == [f"{name}_state"]


@pytest.mark.exhaustive
def test_another_host_does_not_end_a_restore_and_a_history_stays(
    owned: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_user(owned, "create table h (id int) with system versioning; insert into h values (1), (2)")
    as_user(owned, "delete from h where id = 1")
    history = "select id from h for system_time all order by id"
    old, archive = owned.dump(), archive_of(owned, tmp_path)
    as_user(owned, "alter table parents add column c int")
    new = owned.dump()

    die_half_way(owned, archive, monkeypatch)
    with refused("restore-not-proven"):
        in_process(lambda: engine_of(owned, root=str(tmp_path / "another")).lock(5, lambda _: None).release())
    recover(owned)
    assert owned.dump() == new
    assert ours(owned) == []
    restore(owned, archive)
    assert owned.dump() == old
    assert owned.execute(history) == [["1"], ["2"]]


def _restored(database: MariaDatabase, folder: Path) -> str:
    """Restore a table of the database, and return the prefix of what was replaced."""
    archive = archive_of(database, folder)
    as_user(database, "alter table parents add column c int")
    return str(restore(database, archive).retained)


def _dying_restore(database: MariaDatabase, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have a restore die when the tables are out, and return the prefix of these."""
    archive = archive_of(database, folder)
    as_user(database, "alter table parents add column c int")

    die_half_way(database, archive, monkeypatch)
    (state,) = [name for name in ours(database) if name.startswith("hosting_alembic_old_") and name.endswith("_state")]
    return state.removesuffix("_state")


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "of_all",
    [
        "alter table `{name}` add column tenant int",
        "create trigger `t_{number}` before insert on `{name}` for each row set @a = 1",
    ],
)
def test_what_a_revision_does_to_all_tables_keeps_nothing_from_the_database(
    owned: MariaDatabase, tmp_path: Path, of_all: str
) -> None:
    retained = _restored(owned, tmp_path)
    for number, name in enumerate(ours(owned)):
        as_user(owned, of_all.format(name=name, number=number))
    owned.execute("set global log_bin_trust_function_creators = 1")

    recover(owned)

    (tmp_path / "second").mkdir()
    archive_of(owned, tmp_path / "second")
    listed = in_process(lambda: [copy.name for copy in find_restorer(engine_of(owned)).list_retained()])
    assert listed == [retained]


@pytest.mark.exhaustive
def test_a_restore_whose_own_table_was_dropped_is_refused_and_its_tables_stay(
    owned: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = _dying_restore(owned, tmp_path, monkeypatch)
    as_user(owned, f"drop table {prefix}_state")
    there = ours(owned)

    with refused("restore-not-proven", prefix):
        recover(owned)

    assert ours(owned) == there


@pytest.mark.exhaustive
@pytest.mark.parametrize("phase", ["in", "done"])
def test_how_far_a_restore_is_its_tables_show_and_not_its_words(
    owned: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    prefix = _dying_restore(owned, tmp_path, monkeypatch)
    as_user(owned, f"update {prefix}_state set facts = json_set(facts, '$.phase', '{phase}')")

    recover(owned)

    assert [column for column, *_rest in owned.execute("show columns from parents")][-1] == "c"
    assert ours(owned) == []


@pytest.mark.exhaustive
def test_tables_of_the_application_with_names_of_ours_are_refused(owned: MariaDatabase, tmp_path: Path) -> None:
    name = "hosting_alembic_old_20261129000000_x_0123456789"
    as_user(owned, f"create table {name} (id int primary key); insert into {name} values (1)")

    def work() -> list[str]:
        engine = engine_of(owned)
        found = engine.list_obstacles(engine.open_own_connection(), tmp_path)
        return [str(each) for each in found if each.code == "restore-not-proven"]

    (found,) = in_process(work)
    assert name[:34] in found
    with refused("restore-not-proven"):
        recover(owned)
    assert owned.execute(f"select id from {name}") == [["1"]]


@pytest.mark.exhaustive
def test_an_empty_table_that_this_host_has_not_noted_stays(owned: MariaDatabase) -> None:
    name = "hosting_alembic_old_20261129000000_state"
    as_user(owned, f"create table {name} (id int primary key)")

    recover(owned)

    assert ours(owned) == [name]


@pytest.mark.exhaustive
def test_what_a_database_refers_to_that_the_user_does_not_see_is_not_pruned(
    owned: MariaDatabase, tmp_path: Path
) -> None:
    retained = _restored(owned, tmp_path)
    kept = next(name for name in ours(owned) if name.startswith(f"{retained}_parents"))
    other = f"{owned.name}_other"
    owned.execute(
        f"create database {other}; create table {other}.child (id int primary key, up int,"
        f" foreign key (up) references {owned.name}.{kept} (id))"
    )
    try:

        def drop() -> None:
            restorer = find_restorer(engine_of(owned))
            (copy,) = restorer.list_retained()
            restorer.drop_retained(copy)

        with refused("retained-copy-in-use"):
            in_process(drop)
        assert kept in ours(owned)
        owned.execute(f"drop database {other}")
        in_process(drop)
        assert ours(owned) == []
    finally:
        owned.execute(f"drop database if exists {other}")
