"""Names with line breaks in them: read in a dump, and brought back with all that has such a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.dump_file import read_dump
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.dump_lines import (
    join_lines,
    split_definition,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.dump_rows import ReadDump
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.dump_text import select_table_lines
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer, find_write_tracker
from tests.lab.fixtures import MariaDatabase
from tests.unit.module_utils._engines.mariadb.test_restore import archive_of, engine_of, restore, schemas_beside
from tests.unit.module_utils._engines.mariadb.test_undo import removed
from tests.unit.stage import in_process

#: Each begins as another line of a dump does.
_OBJECTS = """
create table `a
b` (id int primary key, `c;
d` int default 1 comment 'x
`y', key `k
l` (`c;
d`), constraint `up;
x` check (concat(`c;
d`) <> 'it''s `'));
insert into `a
b` values (1, 2), (3, 4);
create table `-- c
(INSERT INTO ``x`` VALUES` (id int primary key, `;
DELIMITER ;;` int, twice int as (id * 2));
insert into `-- c
(INSERT INTO ``x`` VALUES` (id) values (1);
create table `parts
y` (id int primary key) partition by range (id) (partition `(low
x` values less than (10), partition `'high` values less than maxvalue);
insert into `parts
y` values (1), (11);
create table `'` (id int primary key); create table `\\` (id int primary key); create table ```
``` (id int primary key);
insert into `'` values (1);
create sequence `s;
t`;
create view `v
w` as select * from `a
b`;
delimiter //
create trigger `t
r` before insert on `a
b` for each row set @a = 1//
create procedure `p
q`() begin select 'x
`'; end//
create event `e
f` on schedule every 1 day starts '2030-01-01 00:00:00' do select 1//
create event `e
g` on schedule every 1 day starts '2030-01-01 00:00:00' do select 2//
delimiter ;
"""
_TABLES = {"a\nb", "-- c\n(INSERT INTO `x` VALUES", "parts\ny", "'", "\\", "`\n`"}
_CHANGES = {
    "tables": "alter table `a\nb` add column more int; drop table `-- c\n(INSERT INTO ``x`` VALUES`",
    "rows": "update `a\nb` set `c;\nd` = 7; delete from `parts\ny`; insert into ```\n``` values (5)",
    "the rest": "drop view `v\nw`; drop trigger `t\nr`; drop procedure `p\nq`; drop event `e\nf`;drop sequence `s;\nt`",
    "what is new": "create table `n\nn` (id int primary key); create view `x\nx` as select 1 as one;"
    " create procedure `y\ny`() select 1; create event `z\nz` on schedule every 1 day do select 1",
    "a partition": "alter table `parts\ny` drop partition `(low\nx`",
}


@pytest.fixture
def stocked(mariadb_database: MariaDatabase) -> MariaDatabase:
    mariadb_database.execute(_OBJECTS)
    return mariadb_database


def drop_beside(database: MariaDatabase) -> None:
    for name in schemas_beside(database):
        database.server.execute(f"drop database `{name}`")


def test_a_dump_with_such_names_counts_and_is_read_as_it_was_written(stocked: MariaDatabase, tmp_path: Path) -> None:
    archive = archive_of(stocked, tmp_path)
    counts = {name.partition(".")[2]: count for name, count in (archive.row_counts or {}).items()}
    assert set(counts) == _TABLES
    assert (counts["a\nb"], counts["-- c\n(INSERT INTO `x` VALUES"], counts["parts\ny"]) == (2, 1, 2)
    with archive.path.open("rb") as lines:
        found = ReadDump.of(lines)
    assert set(found.definitions.tables) == _TABLES
    assert {name: rows for name, (rows, _sum) in found.rows.items()} == {
        name: count for name, count in counts.items() if count
    }
    assert found.definitions.not_understood == []
    assert set(found.definitions.routines) == {"procedure p\nq", "event e\nf", "event e\ng"}
    assert read_dump(archive.path).others == {"view": 1, "trigger": 1, "procedure": 1, "event": 2}
    text = archive.path.read_bytes()
    assert b"".join(join_lines(text.splitlines(keepends=True))) == text
    assert b"PROCEDURE" not in b"".join(select_table_lines(text.splitlines(keepends=True)))


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
def test_all_of_it_comes_back_to_the_letter(stocked: MariaDatabase, tmp_path: Path, change: str) -> None:
    before, archive = stocked.dump(), archive_of(stocked, tmp_path)

    def differs() -> bool:
        found = find_write_tracker(engine_of(stocked)).compare(archive, WrittenRows(before=[]), 1 << 30, lambda _: None)
        assert found.not_compared == []
        return bool(found.schema or found.rows)

    assert not in_process(differs)
    stocked.execute(change)
    assert in_process(differs)
    restore(stocked, archive)
    assert stocked.dump() == before
    assert not in_process(differs)
    drop_beside(stocked)


def test_all_tables_are_replaced_at_once(stocked: MariaDatabase, tmp_path: Path) -> None:
    before, archive = stocked.dump(), archive_of(stocked, tmp_path)

    def work() -> str:
        engine = engine_of(stocked, restore_loses_writes=True)
        return str(find_restorer(engine).restore(archive, "run", lambda _: None, lambda: None).retained)

    retained = in_process(work)
    assert stocked.dump() == before
    assert stocked.server.execute("select * from `a\nb`", retained) == [["1", "2"], ["3", "4"]]
    drop_beside(stocked)


def test_where_a_failed_revision_has_made_such_a_name_nothing_is_dropped(stocked: MariaDatabase) -> None:
    """The journal has a statement without its line breaks, so that it may mean another table."""
    change = "create table `n\nn` (id int primary key)"
    assert removed(stocked, change)[0] == []
    assert stocked.execute("select count(*) from `n\nn`") == [["0"]]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("CREATE TABLE `a\nb` (\n  `c` int\n)", ["CREATE TABLE `a\nb` (", "  `c` int", ")"]),
        ("a ```\n```\n`b``\n`", ["a ```\n```", "`b``\n`"]),
        ("`a` comment 'it''s `',\n`b'`,\n'\\'`'\nc", ["`a` comment 'it''s `',", "`b'`,", "'\\'`'", "c"]),
        ("`a\u2028b\x85`\n`c", ["`a\u2028b\x85`", "`c"]),
        ("", [""]),
    ],
)
def test_which_lines_a_definition_has(text: str, lines: list[str]) -> None:
    assert split_definition(text) == lines


def test_what_is_never_closed_ends_with_the_text() -> None:
    lines = [b"CREATE TABLE `a\n", b"b (\n", b");\n"]
    assert list(join_lines(lines)) == [b"".join(lines)]
    rows = [b"INSERT INTO `a` VALUES\n", b"(1,'`'),\n", b"(2,'''');\n", b"(`\n", b"`)\n"]
    assert list(join_lines(rows)) == [*rows[:3], b"(`\n`)\n"]
    body = [b"DELIMITER ;;\n", b"`\n", b"'\n", b";;\n", b"DELIMITER ;\n", b"x\n"]
    assert list(join_lines(body)) == body


def test_a_name_of_many_quotes_is_read_at_once() -> None:
    """Where a column is invisible, rows name all: a pattern that tries each way to read this one has no end."""
    head = b"INSERT INTO `t` (`" + b"``" * 31 + b"`, `a\nb`) VALUES\n"
    assert list(join_lines([*head.splitlines(keepends=True), b"(1,2);\n"])) == [head, b"(1,2);\n"]
