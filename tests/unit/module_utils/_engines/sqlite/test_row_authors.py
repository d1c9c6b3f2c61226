"""Rows in what a run has made, distinguished from those that were there at its end."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Writes, WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.probe import open_read_only
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.row_authors import ContentDigest
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.write_digests import count_and_digest
from tests.unit.stage import script

BEFORE = WrittenRows(["column t.a  notnull 0 default None key 0 hidden 0", "table t"], frozenset({"main.version"}))
#: What a run has made: a table with a row of its own, and columns of one that was there.
MADE = """
create table t (a, n default 0, at default (datetime()), own);
create table version (number);
create table made (a);
insert into made values ('own');
insert into t (a, own) values (1, 'own'), (2, null);
"""


def content_digest(file: Path) -> ContentDigest:
    with open_read_only(file) as reader:
        return ContentDigest.of(reader, BEFORE)


def later(file: Path, statements: str, not_shared: bool = True) -> Writes:
    script(file, MADE)
    earlier = json.loads(json.dumps(content_digest(file).as_facts(not_shared)))
    script(file, statements)
    return content_digest(file).find_later_writes(earlier)


@pytest.mark.parametrize(
    ("statements", "certain"),
    [
        ("", {}),
        ("insert into version values (1)", {}),
        ("insert into made values ('theirs')", {"made": 1}),
        ("update made set a = 'theirs'", {"made": 1}),
        ("delete from made", {}),
        ("update t set n = 7 where a = 1", {"n of t": 1}),
        ("update t set own = 'theirs' where a = 2", {"own of t": 1}),
    ],
)
def test_what_others_wrote_later(file: Path, statements: str, certain: dict[str, int]) -> None:
    assert later(file, statements) == Writes(certain)


@pytest.mark.parametrize("not_shared", [True, False])
def test_a_digest_of_an_older_version_is_known_by_its_keys(file: Path, not_shared: bool) -> None:
    script(file, MADE)
    earlier = content_digest(file).as_facts(not_shared)
    earlier["alone"] = earlier.pop("not_shared")

    assert (content_digest(file).find_later_writes(earlier) == Writes({})) is not_shared


@pytest.mark.parametrize(
    ("statements", "not_shared", "of"),
    [
        # A value that was put in the place of the run's own, and one that SQLite has filled in.
        ("update t set own = 'theirs' where a = 1", True, "own of t"),
        ("insert into t (a) values (3)", True, "at of t"),
        # Others had written before the run's end, so that this may be theirs.
        ("", False, "made"),
    ],
)
def test_what_may_be_others(file: Path, statements: str, not_shared: bool, of: str) -> None:
    found = later(file, statements, not_shared)

    assert not found.tables
    assert f" in {of} may be another session's" in found.unknown


def test_without_a_digest_all_that_is_there_may_be_others(file: Path) -> None:
    script(file, MADE)

    found = content_digest(file).find_later_writes({})

    assert not found.tables
    assert "1 row in made may be" in found.unknown


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2000])
def test_a_digest_is_that_which_journals_hold(file: Path, count: int) -> None:
    script(file, "create table t (a, b)")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany("insert into t values (?, ?)", [(n, str(n)) for n in range(count)])
        rows = [(n, bytearray(str(n).encode())) for n in range(count)]
        lists = [repr(rows[start : start + 1000]) for start in range(0, count, 1000)]
        digest = hashlib.sha256("".join(lists).encode()).hexdigest()

        assert count_and_digest(connection, "t", ["a", "b"]) == (count, digest)
