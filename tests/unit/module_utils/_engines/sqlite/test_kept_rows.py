"""Tables whose rows are those of the backup although a run has changed them."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.kept_rows import find_unchanged_tables
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.known_rows import KnownRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.write_witness import (
    ChangeCounter,
    read_file_state,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.written_tables import WrittenTables
from tests.unit.stage import script

TABLES = (
    "create table t (a, b); insert into t values (1, 2); create table other (a, b); insert into other values (3, 4);"
    "create virtual table v using fts5(a); create virtual table w using fts5(a); insert into v values ('x')"
)


def written(file: Path, statements: list[str]) -> WrittenTables:
    """Write to a file and return what was heard of it."""
    heard = WrittenTables()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        heard.listen(connection)
        for statement in statements:
            connection.execute(statement)
    return heard


@pytest.mark.parametrize(
    ("statements", "unchanged"),
    [
        (["alter table t add column c default 7"], ["t"]),
        (["alter table t add column c", "alter table t rename column c to d"], ["t"]),
        (["update t set a = a"], ["t"]),
        (["update t set a = 9"], []),
        (["alter table t drop column a", "alter table t add column a"], []),
        (["alter table t rename a to c", "alter table t rename b to a", "alter table t rename c to b"], []),
        (["alter table t rename to x", "alter table other rename to t", "alter table x rename to other"], []),
        (["alter table v rename to x", "alter table w rename to v", "alter table x rename to w"], []),
        (["drop table t", "create table t (a, b)"], []),
        (
            [
                "alter table t add column c",
                "pragma writable_schema = on",
                "update sqlite_master set sql = replace(sql, 'a, b', 'b, a') where name = 't'",
            ],
            [],
        ),
        (
            [
                "alter table t add column c",
                "create trigger r after insert on other begin update t set a = 9; end",
                "insert into other values (5, 6)",
            ],
            [],
        ),
    ],
)
def test_the_tables_that_kept_their_rows_are_known(file: Path, statements: list[str], unchanged: list[str]) -> None:
    script(file, TABLES)
    backup = file.with_name("backup")
    shutil.copy(file, backup)
    heard = written(file, statements)
    found = find_unchanged_tables(backup, file, heard.counts, heard.rows, nullcontext)
    assert [table for table in found if table in ("t", "other", "v", "w")] == unchanged


def test_rows_that_no_statement_wrote_are_not_read(file: Path) -> None:
    script(file, TABLES)
    backup = file.with_name("backup")
    shutil.copy(file, backup)
    script(backup, "update t set a = 9")  # no session does that: so it shows whether they were read
    heard = written(file, ["alter table t add column c", "create index i on t (c)"])
    assert find_unchanged_tables(backup, file, heard.counts, heard.rows, nullcontext) == ["t"]
    assert find_unchanged_tables(backup, file, heard.counts, {*heard.rows, "t"}, nullcontext) == []


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_what_is_known_ends_with_the_next_commit(file: Path, mode: str) -> None:
    script(file, f"pragma journal_mode = {mode}; {TABLES}")
    counter, known, backup = ChangeCounter(file), KnownRows(), Path("backup")
    known.of(backup, read_file_state(file, counter))["t"] = True
    assert known.of(backup, read_file_state(file, counter)) == {"t": True}
    script(file, "update t set a = 9")
    assert known.of(backup, read_file_state(file, counter)) == {}


def test_what_is_known_is_of_one_backup_and_one_state() -> None:
    known, backup = KnownRows(), Path("backup")
    known.of(backup, "state")["t"] = True
    assert known.of(Path("another"), "state") == {}
    known.of(backup, "")["t"] = True
    assert known.of(backup, "") == {}
