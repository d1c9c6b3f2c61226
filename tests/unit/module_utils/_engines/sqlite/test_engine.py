from __future__ import annotations

import os
import re
import shlex
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Integer, create_engine

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive, Identity
from ansible_collections.hosting.alembic.plugins.module_utils._engines.interface import Engine
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_rehearser, find_restorer
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import failed, refused
from tests.unit.stage import database, names, script, sql, tables

HOSTILE = [
    "it's.db",
    'say "hi".db',
    "a:b.db",
    "a?mode=ro.db",
    "a#b.db",
    "100%20.db",
    "café 店.db",
    "-rf.db",
    "a;b&c.db",
]


def engine_of(path: Path, **options: object) -> Engine:
    return build_engine(database(path), Job("upgrade", str(path.parent), run="r1", **options))  # type: ignore[arg-type]


def restore(engine: Engine, dump: Path) -> Path:
    """Restore a dump and return where the replaced file lies."""
    try:
        restored = find_restorer(engine).restore(
            Archive(dump, [], None, frozenset()), "r1", lambda _words: None, lambda: None
        )
    finally:
        engine.close()
    return Path(restored.retained)


def fingerprint(path: Path, *leave_out: str) -> list[str]:
    with engine_of(path).connect() as own:
        return own.run(engine_of(path).read_fingerprint, frozenset(leave_out))


@contextmanager
def writer(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """Hold a transaction open that has written and not committed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"pragma journal_mode = {mode}")
        connection.execute("insert into t values (1)")
        connection.execute("begin immediate")
        connection.execute("insert into t values (2)")
        yield connection


# Which database it is


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///app.db", "sqlite:///./app.db"])
def test_a_url_that_names_no_absolute_file_is_refused(tmp_path: Path, url: str) -> None:
    with refused("url-invalid", "sqlite:////"):
        build_engine(database(tmp_path, url=url), Job("plan", str(tmp_path)))


def test_reading_a_file_that_is_not_there_does_not_make_it(file: Path) -> None:
    engine = engine_of(file)

    assert not engine.is_present()
    assert engine.read_own_identity() == Identity("this host", str(file))
    with refused("database-unreachable"):
        engine.connect()
    assert not file.exists()


def test_links_to_one_file_are_one_database(file: Path) -> None:
    script(file, "create table t (a)")
    link = file.with_name("link.db")
    link.symlink_to(file)

    with engine_of(link).connect() as own:
        assert own.run(engine_of(link).read_identity) == engine_of(file).read_own_identity()


def test_links_to_one_file_have_one_lock(file: Path) -> None:
    script(file, "create table t (a)")
    link = file.parent / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(file)

    with engine_of(file).lock(0, lambda _words: None):
        assert engine_of(link).try_lock() is None


def test_a_restore_through_a_link_replaces_the_file_and_not_the_link(file: Path) -> None:
    script(file, "create table t (a); insert into t values (1)")
    dump = dumped(file)
    sql(file, "delete from t")
    link = file.with_name("link.db")
    link.symlink_to(file)

    retained = restore(engine_of(link), dump)

    assert link.is_symlink()
    assert sql(file, "select a from t") == [(1,)]
    assert sql(retained, "select a from t") == []


def test_a_file_that_is_not_a_database_is_refused(file: Path) -> None:
    file.write_text("These are not the pages of a database, and there are many of them." * 50)

    with refused("database-unreachable", "file is not a database"):
        engine_of(file).connect()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_names_are_names(file: Path, name: str) -> None:
    path = script(file.with_name("plain.db"), "create table t (a); insert into t values (1)").rename(
        file.with_name(name)
    )
    engine = build_engine(database(path, url=engine_url(path)), Job("upgrade", str(path.parent), run="r1"))
    folder = path.parent / "dump"
    folder.mkdir()

    assert engine.is_present()
    with engine.connect() as own:
        assert own.run(engine.read_identity).database == str(path)
    lock = engine.try_lock()
    assert lock is not None
    lock.release()
    dump = engine.dump(folder, True, lambda _: None)
    assert dump.row_counts == {"t": 1}
    sql(path, "delete from t")
    restore(engine, dump.path)

    assert sql(path, "select a from t") == [(1,)]
    assert names(path.parent) == sorted([name, "dump", f"{name}.aside-r1"])


def engine_url(path: Path) -> str:
    """Write a URL as its owner has to: what means something in a URL is escaped."""
    from sqlalchemy import URL  # noqa: PLC0415

    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def test_hostile_table_names_are_counted_and_distinguished(file: Path) -> None:
    names = ['say "hi"', "it's", "a:b", "a b", "店", "select", "semi;colon", "percent%s", "sqlitelike"]
    with closing(sqlite3.connect(file)) as connection, connection:
        for number, name in enumerate(names):
            quoted = name.replace('"', '""')
            connection.execute(f'create table "{quoted}" ("x:{number}" integer)')
            connection.executemany(f'insert into "{quoted}" values (?)', [(i,) for i in range(number)])

    engine = engine_of(file)
    with engine.connect() as own:
        assert own.run(engine.count_table_rows) == {name: number for number, name in enumerate(names)}
        lines = own.run(engine.read_fingerprint, frozenset())
    assert sum(line.startswith("column") for line in lines) == len(names)


# The fingerprint


BEFORE = """
create table parent (id integer primary key, name varchar(50) not null, price numeric default 0,
                     constraint positive check (price >= 0), unique (name));
create table child (id integer primary key, parent_id integer references parent (id));
create index ix_price on parent (price) where price > 10;
"""


@contextmanager
def operations(path: Path) -> Iterator[Operations]:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        yield Operations(MigrationContext.configure(connection))
    engine.dispose()


def test_a_table_that_batch_mode_rebuilt_equals_the_one_before(file: Path) -> None:
    script(file, BEFORE)
    before = fingerprint(file)
    with operations(file) as op, op.batch_alter_table("child") as batch:
        batch.alter_column("parent_id", existing_type=Integer(), nullable=False)
    assert fingerprint(file) != before
    with operations(file) as op, op.batch_alter_table("child") as batch:
        batch.alter_column("parent_id", existing_type=Integer(), nullable=True)

    # The rebuilt table is quoted in sqlite_master; nothing else has changed.
    rebuilt = sql(file, "select sql from sqlite_master where name = 'child'")[0][0]
    assert rebuilt.startswith('CREATE TABLE "child"')
    assert fingerprint(file) == before


def test_the_order_of_columns_and_white_space_do_not_count(file: Path) -> None:
    one = fingerprint(script(file, "create table t (a integer, b text); create index i on t (a)"))
    other = script(file.with_name("other.db"), 'create table "t"(b text,\n a integer);\ncreate  index "i" on [t] (`a`)')

    assert [line.lower() for line in fingerprint(other)] == [line.lower() for line in one]


@pytest.mark.parametrize(
    "after",
    [
        BEFORE.replace("varchar(50)", "varchar(51)"),
        BEFORE.replace("not null", ""),
        BEFORE.replace("default 0", "default 1"),
        BEFORE.replace("price >= 0", "price > 0"),
        BEFORE.replace("check (price >= 0)", "check (((price) >= 0))"),
        BEFORE.replace(", unique (name)", ""),
        BEFORE.replace("references parent (id)", "references parent (id) on delete cascade"),
        BEFORE.replace("references parent (id)", ""),
        BEFORE.replace("where price > 10", "where price > 11"),
        BEFORE.replace(" where price > 10", ""),
        BEFORE.replace("create index", "create unique index"),
        BEFORE.replace("create table child (id integer primary key", "create table child (id integer"),
        BEFORE.replace("primary key, parent_id", "primary key autoincrement, parent_id"),
        BEFORE + "create view v as select 1;",
        BEFORE + "create trigger g after insert on child begin select 1; end;",
        BEFORE + "create table more (a);",
        BEFORE.replace("references parent (id));", "references parent (id)) strict;"),
    ],
)
def test_every_change_of_the_schema_is_seen(file: Path, after: str) -> None:
    changed = script(file.with_name("after.db"), after)

    assert fingerprint(script(file, BEFORE)) != fingerprint(changed)


def test_only_the_version_table_that_is_named_is_left_out(file: Path) -> None:
    script(
        file, "create table alembic_version (v); create table other_version (v); create index x on other_version (v)"
    )

    assert fingerprint(file, "main.alembic_version", "main.other_version") == []
    assert len(fingerprint(file, "main.alembic_version")) == 3


def test_rows_do_not_count(file: Path) -> None:
    script(file, BEFORE)
    before = fingerprint(file)
    script(file, "insert into parent values (1, 'a', 5); insert into child values (1, 1); analyze")

    assert fingerprint(file) == before


# The lock


HOLD = """
import sys
from pathlib import Path
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.locks import FileLock
lock = FileLock.attempt(Path(sys.argv[1]), "run other")
print("held" if lock else "busy", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold the lock in another process, and yield once it is held."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLD, f"{path}-migrating"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=variables) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_two_processes_do_not_get_the_lock_at_once(file: Path) -> None:
    script(file, "create table t (a)")
    engine = engine_of(file)
    with holder(file) as process:
        assert engine.try_lock() is None
        assert engine.read_lock_holder() == "run other"
        waits: list[str] = []
        with refused("database-locked", "run other", "migrate_database_wait"):
            engine.lock(0.3, waits.append)
        assert set(waits) == {"waits for run other"}
        process.kill()
        process.wait()
        # A process that is killed holds nothing, although the file is still there.
        with engine.lock(5, waits.append) as lock:
            lock.check()
            assert engine.read_lock_holder() == "run r1"

    assert names(file.parent) == ["app.db"]


def test_the_lock_is_waited_for(file: Path) -> None:
    script(file, "create table t (a)")
    with holder(file) as process:

        def end(_printed: str) -> None:
            process.kill()
            process.wait()

        with engine_of(file).lock(10, end):
            pass


def test_a_lock_file_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with refused("lock-file-not-made"):
        engine_of(tmp_path / "nowhere" / "app.db").try_lock()


# Dump and restore


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_dump_with_an_open_writer_holds_what_was_committed(file: Path, mode: str) -> None:
    script(file, "create table t (a)")
    folder = file.parent / "dump"
    folder.mkdir()
    with writer(file, mode) as connection:
        dump = engine_of(file).dump(folder, True, lambda _: None)
        connection.execute("commit")

    assert dump.row_counts == {"t": 1}
    assert names(folder) == [dump.path.name]
    assert sql(dump.path, "select a from t") == [(1,)]
    assert sql(dump.path, "pragma journal_mode") == [("delete",)]
    assert stat.S_IMODE(dump.path.stat().st_mode) == 0o600


def test_a_wal_database_that_no_session_has_open_is_dumped(file: Path) -> None:
    script(file, "pragma journal_mode = wal; create table t (a); insert into t values (1)")
    folder = file.parent / "dump"
    folder.mkdir()

    assert engine_of(file).dump(folder, True, lambda _: None).row_counts == {"t": 1}


def test_a_dump_of_a_damaged_database_is_none(file: Path) -> None:
    script(file, "create table t (a); create index i on t (a)")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany("insert into t values (?)", [(f"row {n}" * 20,) for n in range(500)])
    with file.open("r+b") as handle:
        handle.seek(file.stat().st_size // 2)
        handle.write(os.urandom(8192))
    folder = file.parent / "dump"
    folder.mkdir()

    with failed("backup-damaged"):
        engine_of(file).dump(folder, True, lambda _: None)


def dumped(file: Path) -> Path:
    folder = file.parent / "dump"
    folder.mkdir()
    engine = engine_of(file)
    try:
        return engine.dump(folder, False, lambda _: None).path
    finally:
        engine.close()


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_restore_retains_what_it_replaces(file: Path, mode: str) -> None:
    script(file, f"pragma journal_mode = {mode}; create table t (a); insert into t values (1)")
    file.chmod(0o640)
    dump = dumped(file)
    killed_after(file, "insert into t values (2); create table later (a);")
    assert file.with_name("app.db-wal").exists() is (mode == "wal")

    retained = restore(engine_of(file), dump)

    assert sql(file, "select a from t") == [(1,)]
    assert tables(file) == {"t"}
    assert sql(retained, "select a from t order by a") == [(1,), (2,)]
    assert tables(retained) == {"t", "later"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sql(file, "pragma journal_mode") == [(mode,)]
    assert sql(file, "pragma integrity_check") == [("ok",)]
    assert names(file.parent) == ["app.db", "app.db.aside-r1", "dump"]


def killed_after(file: Path, statements: str) -> None:
    """Have statements executed by a process that is killed, so that a write-ahead log is not folded into its file."""
    killed = "import os, signal, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); "
    subprocess.run(
        [sys.executable, "-c", killed + "os.kill(os.getpid(), signal.SIGKILL)", file, statements], check=False
    )


def test_an_application_that_has_the_file_open_loses_nothing_by_a_restore(file: Path) -> None:
    """Its connection reads the replaced file; SQLite itself does not let it write there."""
    script(file, "create table t (a); insert into t values (1)")
    dump = dumped(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as application:
        application.execute("insert into t values (2)")
        restore(engine_of(file), dump)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            application.execute("insert into t values (3)")

    assert sql(file, "select a from t") == [(1,)]


def test_a_file_whose_write_ahead_log_a_session_has_open_is_not_replaced(file: Path) -> None:
    """In this mode SQLite would let it write, into a log that no session reads any more."""
    script(file, "pragma journal_mode = wal; create table t (a); insert into t values (1)")
    dump = dumped(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as application:
        application.execute("insert into t values (2)")
        with failed("restore-replaced-nothing"):
            restore(engine_of(file, lock_timeout=0.1), dump)
        application.execute("insert into t values (3)")

    assert sql(file, "select a from t order by a") == [(1,), (2,), (3,)]
    assert sql(file, "pragma journal_mode") == [("wal",)]
    assert names(file.parent) == ["app.db", "dump"]


def test_a_refused_guard_leaves_the_journal_mode_as_it_was(file: Path) -> None:
    script(file, "pragma journal_mode = wal; create table t (a)")
    dump = dumped(file)

    def guard() -> None:
        raise Refused("somebody wrote", code="others-wrote")

    with refused("others-wrote", "somebody wrote"):
        find_restorer(engine_of(file)).restore(Archive(dump, [], None, frozenset()), "r1", lambda _words: None, guard)

    assert sql(file, "pragma journal_mode") == [("wal",)]


def test_what_env_py_has_kept_open_is_in_nobodys_way(file: Path) -> None:
    script(file, "pragma journal_mode = wal; create table t (a)")
    dump = dumped(file)
    engine = engine_of(file)
    pool = create_engine(f"sqlite:///{file}")
    with engine.watch_connections(), pool.connect() as connection:
        connection.exec_driver_sql("insert into t values (2)")
        connection.commit()
    engine.open_own_connection().query_rows("select * from t")

    restore(engine, dump)

    assert sql(file, "select a from t") == []


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_restore_under_an_open_writer_fails_and_changes_nothing(file: Path, mode: str) -> None:
    script(file, "create table t (a)")
    dump = dumped(file)
    with writer(file, mode) as connection:
        with failed("restore-replaced-nothing", "sqlite3"):
            restore(engine_of(file, lock_timeout=0.1), dump)
        connection.execute("commit")

    assert sql(file, "select a from t order by a") == [(1,), (2,)]
    left = [name for name in names(file.parent) if "aside" in name or "restored" in name]
    assert left == []


def test_a_guard_that_refuses_leaves_everything_as_it_was(file: Path) -> None:
    script(file, "create table t (a); insert into t values (1)")
    dump = dumped(file)
    sql(file, "insert into t values (2)")

    def guard() -> None:
        raise Refused("somebody wrote", code="others-wrote")

    with refused("others-wrote", "somebody wrote"):
        find_restorer(engine_of(file)).restore(Archive(dump, [], None, frozenset()), "r1", lambda _words: None, guard)

    assert sql(file, "select a from t order by a") == [(1,), (2,)]
    assert names(file.parent) == ["app.db", "dump"]


def test_what_is_retained_is_found_and_dropped(file: Path) -> None:
    script(file, "create table t (a)")
    dump = dumped(file)
    first, second = restore(engine_of(file), dump), restore(engine_of(file), dump)

    found = find_restorer(engine_of(file)).list_retained()
    assert [(retained.name, retained.run, retained.size) for retained in found] == [
        (str(first), "r1", first.stat().st_size),
        (str(second), "r1-2", second.stat().st_size),
    ]
    find_restorer(engine_of(file)).drop_retained(found[0])

    assert not first.exists()
    assert second.exists()


def test_a_damaged_dump_is_not_restored(file: Path) -> None:
    script(file, "create table t (a); insert into t values (1)")
    dump = dumped(file)
    dump.write_bytes(dump.read_bytes()[:4096] + os.urandom(4096))
    sql(file, "insert into t values (2)")

    with failed("backup-damaged"):
        restore(engine_of(file), dump)

    assert sql(file, "select a from t order by a") == [(1,), (2,)]


def test_where_there_was_no_file_there_is_none_again(file: Path) -> None:
    folder = file.parent / "dump"
    folder.mkdir()
    dump = engine_of(file).dump(folder, True, lambda _: None)
    assert dump.path == folder
    script(file, "create table t (a)")

    restore(engine_of(file), dump.path)

    assert not file.exists()
    assert tables(file.with_name("app.db.aside-r1")) == {"t"}


@pytest.mark.parametrize("name", ["app.db", "it's my.db"])
def test_the_command_that_is_printed_for_a_person_works(file: Path, name: str) -> None:
    assert shutil.which("sqlite3"), "the tests need SQLite's shell: apt-get install sqlite3"
    file = script(file.with_name(name), "create table t (a); insert into t values (1)")
    dump = dumped(file)
    dump = dump.rename(dump.with_name("my dump.sqlite3"))
    sql(file, "update t set a = 2")

    command = find_restorer(engine_of(file)).build_manual_command(Archive(dump, [], None, frozenset()))
    for number in (3, 4):
        subprocess.run(command, shell=True, check=True)  # noqa: S602 - as a person types it
        assert sql(file, "select a from t") == [(1,)]
        sql(file, f"update t set a = {number}")

    kept = [path for path in file.parent.iterdir() if path.name.startswith(f"{file.name}.aside")]
    assert sorted(row for path in kept for row in sql(path, "select a from t")) == [(2,), (3,)]
    assert shlex.split(command)[:2] == ["sqlite3", str(file)]


def test_the_command_that_moves_a_new_file_away_keeps_each(file: Path) -> None:
    folder = file.parent / "dump"
    folder.mkdir()
    command = find_restorer(engine_of(file)).build_manual_command(Archive(folder, [], None, frozenset()))
    for number in (1, 2):
        script(file, f"create table t (a); insert into t values ({number})")
        subprocess.run(command, shell=True, check=True)  # noqa: S602 - as a person types it
        assert not file.exists()

    kept = file.parent.glob("app.db.aside*")
    assert sorted(row for path in kept for row in sql(path, "select a from t")) == [(1,), (2,)]


# What would stop it


def test_too_little_disk_is_an_obstacle_that_names_both_numbers(file: Path) -> None:
    script(file, "create table t (a)")
    # A sparse file claims more than any disk has.
    os.truncate(file, 1 << 43)

    with closing(sqlite3.connect(file)):
        obstacles = engine_of(file).list_obstacles(engine_of(file).connect(), file.parent)

    assert [obstacle.code for obstacle in obstacles] == ["disk-too-small"]
    assert len(re.findall(r"\d+(?:,\d{3})+", obstacles[0].why)) == 2
    assert obstacles[0].remedy


def test_space_is_required_for_what_may_come(file: Path) -> None:
    script(file, "create table t (a)")
    os.truncate(file, 1 << 43)

    def needed(**options: object) -> int:
        engine = engine_of(file, **options)
        (obstacle,) = engine.list_obstacles(engine.connect(), file.parent)
        return int(obstacle.why.partition(" bytes")[0].replace(",", ""))

    plain = needed(on_failure="hold")
    assert needed() == plain + (1 << 43)
    assert needed(on_failure="hold", backup_encrypt_to="age1…") == plain * 2


def test_sqlites_own_lock_is_waited_for_as_long_as_lock_timeout_says(file: Path) -> None:
    script(file, "create table t (a)")
    engine = engine_of(file, lock_timeout=0.25)

    with engine.watch_connections(), create_engine(f"sqlite:///{file}").connect() as connection:
        assert connection.exec_driver_sql("pragma busy_timeout").scalar() == 250
    with create_engine(f"sqlite:///{file}").connect() as connection:
        assert connection.exec_driver_sql("pragma busy_timeout").scalar() != 250


def test_a_lock_that_was_not_got_is_distinguished_from_other_errors(file: Path) -> None:
    script(file, "create table t (a)")
    with writer(file, "delete"), closing(sqlite3.connect(file, timeout=0)) as other:
        with pytest.raises(sqlite3.OperationalError) as caught:
            other.execute("insert into t values (3)")
        assert engine_of(file).is_lock_timeout(caught.value)
    assert not engine_of(file).is_lock_timeout(sqlite3.OperationalError("no such table: t"))


def test_values_that_are_in_other_rows_are_distinguished(file: Path) -> None:
    """A sum over hashes of tuples is the same for every third pair of them."""
    pairs = range(40)
    rows = "insert into {0}{1} values (1, '{2}{1}', null), (2, '{3}{1}', null);"
    made = "create table {0}{1} (id, name, note);"
    script(
        file,
        "".join(
            made.format(kind, n) + rows.format(kind, n, *order)
            for n in pairs
            for kind, order in (("a", "xy"), ("b", "yx"))
        ),
    )

    with engine_of(file).connect() as own:
        found = own.run(find_rehearser(engine_of(file)).read_contents, frozenset(), True)

    assert [n for n in pairs if found[f"a{n}"].digest == found[f"b{n}"].digest] == []
    assert [n for n in pairs if found[f"a{n}"].columns != found[f"b{n}"].columns] == []
