"""What is journaled and printed of a statement."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._migration.statements import shorten


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("create user u identified by 'topsecret'", "create user u identified by '…'"),
        ("create user u -- it's ours\n identified by 'topsecret'", "create user u identified by '…'"),
        ("create user u /* don't */ identified by 'top''secret'", "create user u identified by '…'"),
        ("create user u # don't\n identified by 'topsecret'", "create user u identified by '…'"),
        ("alter table `it's` comment 'topsecret'", "alter table `it's` comment '…'"),
        (r"insert into t values ('top\'secret', \"topsecret\")".replace(r"\"", '"'), "insert into t values ('…', '…')"),
        ("insert into t values ('topsecret", "insert into t values ('…'"),
        ("/* topsecret", ""),
        ("create  table\n t (a   integer)", "create table t (a integer)"),
    ],
)
def test_strings_and_comments_are_left_out(statement: str, expected: str) -> None:
    assert shorten(statement) == expected


def test_a_long_statement_is_cut_after_its_strings() -> None:
    found = shorten(f"insert into t values ({'1, ' * 500} 'topsecret')")

    assert len(found) == 160
    assert "topsecret" not in found
