"""What differs between a file and its backup, beside what SQLite's own shell says of both."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.comparison import Comparison
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive, WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_write_tracker
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.compare import compare
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.written_tables import WrittenTables
from tests.unit.stage import database, script

ALL = {"*": 1}
SCHEMA = """
pragma user_version = 7;
pragma application_id = 99;
create table parent (id integer primary key autoincrement, name varchar(20) not null default 'x',
    price numeric check (price >= 0), constraint named unique (name));
create table child (id integer primary key, parent_id integer references parent (id) deferrable initially deferred,
    code text unique on conflict ignore, note text collate nocase, twice integer as (id * 2));
create table keyed (a text, b integer, primary key (a, b)) without rowid;
create index ix_note on child (note) where note is not null;
create view seen as select name from parent;
create trigger moved after update on parent begin update child set note = 'moved' where parent_id = new.id; end;
create virtual table search using fts5 (body, tokenize = "porter ascii");
insert into parent (name, price) values ('a', 1.25), ('b', 2), ('c', null);
insert into child (id, parent_id, code, note) values (1, 1, 'x', cast(x'ff00' as text)), (2, 2, 'y', x'00');
insert into keyed values ('k', 1), ('k', 2);
insert into search values ('running away');
create table alembic_version (version_num text);
insert into alembic_version values ('r1');
"""


def rebuilt(table: str, old: str, new: str) -> str:
    """Return what writes a table's definition anew, as batch mode does, with something replaced in it."""
    definition = next(part for part in SCHEMA.split(";") if part.strip().startswith(f"create table {table} "))
    assert old in definition
    columns = {"child": "id, parent_id, code, note", "parent": "id, name, price", "keyed": "a, b"}[table]
    made = definition.replace(old, new).replace(f"create table {table} ", "create table rebuilt ")
    return (
        f"pragma foreign_keys = off; pragma legacy_alter_table = on; {made};"
        f"insert into rebuilt ({columns}) select {columns} from {table};"
        f"drop table {table}; alter table rebuilt rename to {table};"
        "create index if not exists ix_note on child (note) where note is not null;"
        "create trigger if not exists moved after update on parent begin"
        " update child set note = 'moved' where parent_id = new.id; end;"
    )


CHANGES = {
    "user_version": "pragma user_version = 8",
    "application_id": "pragma application_id = 1",
    "page size": "pragma journal_mode = delete; pragma page_size = 8192; vacuum",
    "auto_vacuum": "pragma auto_vacuum = full; vacuum",
    "a foreign key that is no longer deferrable": rebuilt("child", " deferrable initially deferred", ""),
    "another ON CONFLICT": rebuilt("child", "on conflict ignore", "on conflict replace"),
    "a collation": rebuilt("child", "collate nocase", "collate rtrim"),
    "a generated column": rebuilt("child", "id * 2", "id * 3"),
    "a CHECK": rebuilt("parent", "price >= 0", "price > 0"),
    "the CHECK's name": rebuilt("parent", "check (price", "constraint positive check (price"),
    "a constraint's name": rebuilt("parent", "constraint named ", ""),
    "a default": rebuilt("parent", "default 'x'", "default 'X'"),
    "a length": rebuilt("parent", "varchar(20)", "varchar(21)"),
    "AUTOINCREMENT": rebuilt("parent", " autoincrement", ""),
    "NOT NULL": rebuilt("parent", " not null", ""),
    "WITHOUT ROWID": rebuilt("keyed", " without rowid", ""),
    "the order of a key": rebuilt("keyed", "(a, b)", "(b, a)"),
    "a trigger that a batch lost": rebuilt("parent", "name", "name") + "drop trigger moved",
    "another trigger": "drop trigger moved; create trigger moved before update on parent begin select 1; end",
    "a view": "drop view seen; create view seen as select name, id from parent",
    "a view that is gone": "drop view seen",
    "an index's condition": "drop index ix_note; create index ix_note on child (note)",
    "an index's order": "drop index ix_note; create index ix_note on child (note desc) where note is not null",
    "a tokenizer": 'drop table search; create virtual table search using fts5 (body, tokenize = "ascii");'
    "insert into search values ('running away')",
    "what a virtual table holds": "insert into search values ('more')",
    "a table more": "create table more (a)",
    "a table less": "drop table keyed",
    "a column more": "alter table keyed add column c",
    "a column that was emptied": "update parent set price = null",
    "a value rounded": "update parent set price = round(price)",
    "text that is a blob now": "update parent set name = cast(name as blob) where id = 1",
    "an integer that is real now": "update child set note = 1.0 where id = 2",
    "bytes of text that is not UTF-8": "update child set note = cast(x'fe00' as text) where id = 1",
    "what stands after a zero byte": "update child set note = cast(x'ff0001' as text) where id = 1",
    "a row less": "delete from keyed where b = 2",
    "a row more": "insert into keyed values ('z', 1)",
    "two tables that swapped names": "pragma legacy_alter_table = on;"
    "create table other as select a, b + 1 as b from keyed;"
    "alter table keyed rename to x; alter table other rename to keyed; alter table x rename to other",
    "where a sequence goes on": "insert into parent (name) values ('z'); delete from parent where name = 'z'",
    "the version table's definition": "alter table alembic_version add column more",
}
SAME = {
    "nothing": "select 1",
    "a rebuilt table": rebuilt("parent", "name", "name"),
    "quotes, comments and white space": rebuilt("child", "code text", '"code"  TEXT /* the code */'),
    "clauses of a column as those of the table": rebuilt("parent", "default 'x'", "default 'x'").replace(
        "constraint named unique (name)", "constraint named\n unique (name)"
    ),
    "a CHECK in another place": rebuilt("parent", "check (price >= 0), constraint", ", check (price >= 0), constraint"),
    "rows in another order": "create table o as select * from keyed; delete from keyed;"
    "insert into keyed select * from o order by b desc; drop table o",
    "VACUUM": "vacuum",
    "statistics": "analyze",
    "a revision's stamp": "update alembic_version set version_num = 'r0'",
    "an empty list of sequences": "create table s (a integer primary key autoincrement); drop table s",
}


def dump(path: Path) -> str:
    """Return what SQLite's shell says of a file."""
    settings = "".join(f"pragma {name};" for name in ("user_version", "application_id", "page_size", "auto_vacuum"))
    # Its dump ends a text at a zero byte.
    bytes_of_text = "select hex(note) from child"
    command = ["sqlite3", str(path), ".dump", settings, bytes_of_text]
    return subprocess.run(command, check=True, capture_output=True, text=True, errors="surrogateescape").stdout


def compared(file: Path, change: str, wrote: dict[str, int]) -> tuple[Comparison, bool]:
    """Change a file, compare it with what it was, and return that and whether the shell's dumps differ."""
    script(file, SCHEMA)
    backup = file.with_name("backup")
    shutil.copy(file, backup)
    before = dump(file)
    script(file, change)
    archive = Archive(backup, [], None, frozenset({"main.alembic_version"}))
    return compare(file, archive, WrittenRows([], wrote=wrote), 1 << 30, nullcontext), dump(file) != before


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_a_difference(file: Path, change: str) -> None:
    found, differs = compared(file, change, ALL)

    assert differs
    assert not found.is_equal


@pytest.mark.parametrize("change", SAME.values(), ids=SAME.keys())
def test_what_means_the_same_is_none(file: Path, change: str) -> None:
    found, _differs = compared(file, change, ALL)

    assert found.differences == []


def test_rows_are_others_where_the_run_has_not_written(file: Path) -> None:
    found, _differs = compared(file, "insert into keyed values ('z', 1); delete from child", {"child": 1})

    assert found.rows == ["rows of table child differ"]
    assert found.others == ["rows of table keyed differ"]
    assert not found.is_equal


def test_a_file_that_is_too_large_is_not_compared(file: Path) -> None:
    script(file, SCHEMA)

    found = compare(file, Archive(file, [], None, frozenset()), WrittenRows([]), 10, nullcontext)

    assert found.not_compared
    assert not found.is_equal


@pytest.mark.parametrize(
    ("written_rows", "is_equal"),
    [
        (WrittenRows([]), True),
        (WrittenRows([], wrote={"sqlite_sequence": 1}), False),
        (WrittenRows([], unseen=["another program"]), False),
        (WrittenRows([], is_open=True), False),
    ],
)
def test_a_sequence_differs_where_the_run_may_have_set_it(
    tmp_path: Path, written_rows: WrittenRows, is_equal: bool
) -> None:
    before = script(tmp_path / "before.db", SCHEMA)
    now = Path(shutil.copy(before, tmp_path / "now.db"))
    script(now, "update sqlite_sequence set seq = 0 where name = 'parent'")

    assert compare(now, Archive(before, [], None, frozenset()), written_rows, 1 << 30, nullcontext).is_equal is is_equal


@pytest.mark.parametrize(("sets", "is_equal"), [("seq + 1", True), ("seq - 1", False), ("null", False), ("'x'", False)])
def test_a_table_that_the_run_renamed_set_no_sequence_forward(tmp_path: Path, sets: str, is_equal: bool) -> None:
    before = script(tmp_path / "before.db", SCHEMA)
    now = Path(shutil.copy(before, tmp_path / "now.db"))
    written = WrittenTables()
    with closing(sqlite3.connect(now)) as connection:
        written.listen(connection)
        connection.execute("alter table keyed rename to other")
        connection.execute("alter table other rename to keyed")
    assert written.counts.keys() >= {"keyed", "other", "sqlite_sequence.name"}
    script(now, f"update sqlite_sequence set seq = {sets} where name = 'parent'")

    found = compare(
        now, Archive(before, [], None, frozenset()), WrittenRows([], wrote=written.counts), 9**9, nullcontext
    )

    assert found.is_equal is is_equal
    assert (found.others + found.rows) == ["the sequence of table parent differ"]


@pytest.mark.parametrize(("number", "others"), [(4, ["the sequence of table parent differs"]), (0, [])])
def test_a_sequence_that_was_set_forward_differs_only_where_it_does(
    tmp_path: Path, number: int, others: list[str]
) -> None:
    before = script(tmp_path / "before.db", SCHEMA)
    now = Path(shutil.copy(before, tmp_path / "now.db"))
    script(now, f"update sqlite_sequence set seq = seq + {number} where name = 'parent'")

    written_rows = WrittenRows([], set_forward=frozenset({"parent"}))

    assert compare(now, Archive(before, [], None, frozenset()), written_rows, 1 << 30, nullcontext).others == others


def test_a_setting_that_others_may_have_changed_excuses_no_definition_that_differs(tmp_path: Path) -> None:
    before = script(tmp_path / "before.db", SCHEMA)
    now = Path(shutil.copy(before, tmp_path / "now.db"))
    engine = build_engine(database(now), Job("rollback", str(tmp_path), run="r1"))
    archive = Archive(before, [], None, frozenset())
    script(now, "pragma user_version = 8")
    assert find_write_tracker(engine).compare_schema(archive, WrittenRows([]), lambda _: None) == (
        2 * (["user_version was 7 and is 8"],)
    )

    script(now, "create table stays (a)")
    words, others = find_write_tracker(engine).compare_schema(archive, WrittenRows([]), lambda _: None)
    engine.close()

    assert words == ["user_version was 7 and is 8", "table stays was not there before"]
    assert others == []
