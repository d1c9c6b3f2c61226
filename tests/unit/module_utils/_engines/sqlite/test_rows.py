"""Rows beside those of a backup."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.rows import (
    list_changed_tables,
    open_with_backup,
)
from tests.unit.stage import script

ROWS = (
    "insert into t with recursive n (i) as (select 1 union all select i + 1 from n where i < 2500) select i, 'x' from n"
)


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ("update t set b = 'y' where a = 2400", ["t"]),
        ("update t set b = 'X' where a = 7", ["t"]),
        ("update t set b = cast(b as blob) where a = 7", ["t"]),
        ("update t set a = cast(a as real) where a = 7", ["t"]),
        ("update t set b = cast(x'ff' as text) where a = 7", ["t"]),
        ("update t set b = 'x' || char(0) || 'y' where a = 7", ["t"]),
        ("update t set b = null where a = 7", ["t"]),
        ("update t set rowid = rowid + 5000", []),
        ("delete from t where a = 2500", ["t"]),
        ("insert into t values (2501, 'x')", ["t"]),
        ("insert into t select * from t where a = 1; delete from t where a = 2", ["t"]),
        ("drop table t", ["t"]),
        ("delete from version", []),
        ("create table further (a)", []),
        ("alter table t add column c default 1; create index i on t (b, a)", []),
        ("alter table t rename to old; create table t (b, a); insert into t select b, a from old order by a desc", []),
    ],
)
def test_a_table_differs_by_its_rows_alone(file: Path, written: str, changed: list[str]) -> None:
    script(
        file, f"create table t (a, b collate nocase); create table version (n); insert into version values (1); {ROWS}"
    )
    backup = file.with_name("backup")
    shutil.copy(file, backup)
    script(file, written)
    with open_with_backup(backup, file, nullcontext) as connection:
        assert list_changed_tables(connection, frozenset({"main.version"})) == changed


@pytest.mark.parametrize(
    ("columns", "written"),
    [
        ("a integer primary key, b varchar", "update t set b = cast(b as blob) where a = 7"),
        ("a integer primary key, b varchar", "update t set b = b || char(0) where a = 7"),
        ("a integer primary key, b varchar", "update t set a = 9000 where a = 7"),
        # The one integer that a real number equals and does not become.
        ("a integer primary key desc, b text", "update t set a = -9223372036854775808.0 where a < 0"),
        ("a integer unique, b text", "update t set a = -9223372036854775808.0 where a < 0"),
        ("a numeric, b char(3)", "update t set a = -9223372036854775808.0 where a < 0"),
    ],
)
def test_the_storage_class_counts_wherever_equal_values_can_have_two(file: Path, columns: str, written: str) -> None:
    script(file, f"create table t ({columns}); {ROWS}; update t set a = -9223372036854775807 - 1 where a = 9")
    backup = file.with_name("backup")
    shutil.copy(file, backup)
    script(file, written)
    with open_with_backup(backup, file, nullcontext) as connection:
        assert list_changed_tables(connection, frozenset()) == ["t"]


def test_what_is_known_of_a_table_is_not_read_again(file: Path) -> None:
    script(file, "create table t (a); insert into t values (1)")
    backup = file.with_name("backup")
    shutil.copy(file, backup)
    script(file, "update t set a = 2")
    known = {"t": True}
    with open_with_backup(backup, file, nullcontext) as connection:
        assert list_changed_tables(connection, frozenset(), None, known) == []
        known.clear()
        assert list_changed_tables(connection, frozenset(), None, known) == ["t"]
    assert known == {"t": False}
