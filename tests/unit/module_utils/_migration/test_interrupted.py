# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where in its revision an error was raised, and by which statement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._migration.interrupted import find_failing_place

REVISION = """
revision, down_revision = "b2", "a1"
def upgrade(connection, sa):
    connection.execute(sa.text("INSERT INTO itme VALUES ('sesame', 'it''s')"))
"""


def raised(tmp_path: Path, text: str) -> BaseException:
    """Return what a revision raises."""
    path = tmp_path / "versions" / "b2_total.py"
    found: dict[str, Any] = {}
    exec(compile(text, str(path), "exec"), found)  # noqa: S102 - as Alembic loads a revision
    with sa.create_engine("sqlite://").connect() as connection:
        try:
            found["upgrade"](connection, sa)
        except Exception as error:  # noqa: BLE001 - what it is, the test says
            return error
    raise AssertionError("it did not fail")


def test_it_names_file_line_and_statement_without_its_data(tmp_path: Path) -> None:
    assert find_failing_place(raised(tmp_path, REVISION)) == "versions/b2_total.py:4: INSERT INTO itme …"


def test_an_error_without_a_statement_has_its_place(tmp_path: Path) -> None:
    text = 'revision, down_revision = "b2", "a1"\ndef upgrade(connection, sa):\n    raise RuntimeError("no")\n'
    assert find_failing_place(raised(tmp_path, text)) == "versions/b2_total.py:3"


def test_what_is_not_of_a_revision_has_none() -> None:
    assert find_failing_place(RuntimeError("no")) == ""
    assert find_failing_place(None) == ""


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("ALTER TABLE plan ADD COLUMN price INTEGER", "ALTER TABLE plan ADD COLUMN price INTEGER"),
        ("ALTER ROLE x PASSWORD E'it\\'s secret'", "ALTER ROLE x …"),
        ("/* it's */ CREATE SERVER s OPTIONS (password 'secret')", ""),
        ("CREATE TABLE a (b text DEFAULT 'secret')", "CREATE TABLE a (b text DEFAULT …"),
        ("DO $body$ select 'secret' $body$", "DO …"),
        ('UPDATE item SET name = "secret"', "UPDATE item …"),
        ("insert into cards values (4111111111111111)", "insert into cards …"),
        ("select 'secret'", ""),
        ("delete from item where name = secret", "delete from item …"),
    ],
)
def test_of_a_statement_nothing_is_shown_that_may_be_data(statement: str, shown: str) -> None:
    error = RuntimeError("no")
    error.statement = statement  # type: ignore[attr-defined]
    assert find_failing_place(error) == shown
