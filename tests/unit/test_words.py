# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check of retired words finds each kind of text, and leaves the technical senses alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import words

REJECTED, OLDER = words.load()

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


def test_a_key_in_python_and_a_name_in_yaml_are_identifiers(tmp_path: Path) -> None:
    assert found_in(tmp_path / "code.py", 'STATES = {"led_back": "leadBack", "__enter__": ".aside-"}\n') == [
        (1, "lead Back"),
        (1, "led back"),
    ]
    assert found_in(tmp_path / "play.yml", "a: 1\nregister: __migrate_led_back\n") == [(2, "led back")]
    assert found_in(tmp_path / "play.yml", "file: backups/led_back.json and lead_back.yml\n") == []


@pytest.mark.parametrize("word", ["someone", "some one", "some\none"])
def test_a_space_may_be_left_out(tmp_path: Path, word: str) -> None:
    assert len(found_in(tmp_path / "page.md", f"It belongs to {word} else.\n")) == 1


def test_each_word_of_an_older_version_is_still_read() -> None:
    found = {name: words.check(words.PROJECT / name, REJECTED) for name in OLDER}

    assert {
        (name, word)
        for name in OLDER
        for word in OLDER[name]
        if not any(f": {word!r}; " in line for line in found[name])
    } == set()
