from __future__ import annotations

from ansible_collections.hosting.alembic.plugins.module_utils._migration.state import (
    Position,
    find_lost_rows,
    list_differences,
)


def test_a_position_is_reported_by_all_heads_of_all_version_tables() -> None:
    assert str(Position({"main.a": ["2", "1"], "main.b": ["2"]})) == "1, 2"
    assert str(Position({"main.a": []})) == "base"


def test_differences_are_marked_as_in_a_diff_whatever_the_order() -> None:
    assert list_differences(["b", "a"], ["a", "b"]) == []
    assert list_differences(["a", "b old"], ["b new", "a"]) == ["+b new", "-b old"]


def test_lost_rows_are_fewer_rows_and_tables_that_are_gone() -> None:
    before = {"same": 1, "more": 1, "fewer": 3, "gone": 2, "empty and gone": 0}

    assert find_lost_rows(before, {"same": 1, "more": 2, "fewer": 1, "new": 0}) == {"fewer": [3, 1], "gone": [2, 0]}


def test_rows_that_were_not_counted_are_not_lost() -> None:
    assert find_lost_rows(None, {"a": 1}) == {}
    assert find_lost_rows({"a": 1}, None) == {}
