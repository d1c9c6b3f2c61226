# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check of retired words finds each kind of text, and leaves the technical senses alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import words

REJECTED, _NOT_YET = words.load()

PYTHON = '''"""The module knows what somebody wrote."""

class LeadBack:
    def settle(self, told):
        """Return the number of rows."""
        # Nobody reads this.
        raise Refused("The file is no directory.")
'''


def found_in(path: Path, text: str) -> list[tuple[int, str]]:
    """Return the line and the word of each finding in a text."""
    path.write_text(text, encoding="utf-8")
    lines = words.check(path, REJECTED)
    return [(int(line.split(":")[1]), line.split("'")[1]) for line in lines]


def test_python_is_read_in_its_docstrings_comments_messages_and_names(tmp_path: Path) -> None:
    found = found_in(tmp_path / "code.py", PYTHON)

    assert found == [
        (1, "somebody"), (3, "Lead Back"), (4, "settle"), (4, "told"), (6, "Nobody"), (7, "is no d"),
    ]  # fmt: skip


def test_strings_of_tests_are_data(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()

    assert found_in(tmp_path / "tests" / "test_code.py", 'ROW = "a room for somebody"\n') == []


def test_a_phrase_may_be_broken_over_two_lines(tmp_path: Path) -> None:
    assert found_in(tmp_path / "page.md", "One line.\nThis is the way\nback to it.\n") == [(2, "way back")]


def test_a_file_name_is_an_identifier(tmp_path: Path) -> None:
    assert found_in(tmp_path / "lead_back.yml", "[]\n") == [(1, "lead back")]


@pytest.mark.parametrize(
    "right",
    [
        "ansible-playbook migrate.yml --ask-vault-pass",
        "There is no backup.",
        "The run is no longer in progress.",
        "What the output looks like",
        "Everything is understood by a standard reader.",
        "goes back to 2019",
    ],
)
def test_technical_senses_are_right(tmp_path: Path, right: str) -> None:
    assert found_in(tmp_path / "page.md", right) == []


def test_each_file_that_is_not_clean_yet_exists() -> None:
    names = [str(path.relative_to(words.PROJECT)) for path in words.files()]

    assert [name for name in _NOT_YET if not any(path.startswith(name) for path in names)] == []
