"""Where AUTOINCREMENT goes on, while others are given numbers."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.sequences import set_forward
from tests.unit.stage import script, sql

NUMBERED = "create table numbered (id integer primary key autoincrement); insert into numbered values (2);"


@pytest.mark.parametrize("begins", ["", "delete from sqlite_sequence;"])
@pytest.mark.parametrize(("given", "last"), [("", 5), ("insert into numbered values (9)", 9)])
def test_a_number_that_others_are_given_meanwhile_is_not_given_again(
    file: Path, begins: str, given: str, last: int
) -> None:
    script(file, f"{NUMBERED} {begins}")
    waiting = [given] if given else []

    def meanwhile(statement: str) -> None:
        if "sqlite_sequence" in statement and statement.lstrip().startswith(("update", "insert")) and waiting:
            script(file, waiting.pop())

    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.set_trace_callback(meanwhile)
        notes = set_forward(connection, {"numbered": 5})

    assert waiting == []
    assert list(notes) == ["numbered"]
    assert "the next number of table numbered is 6, not" in notes["numbered"]
    assert sql(file, "select seq from sqlite_sequence where name = 'numbered'") == [(last,)]
