# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our own lines are on the screen of a person, and never within data."""

from __future__ import annotations

import re

import pytest
from ansible import constants
from ansible.utils import color

from ansible_collections.hosting.alembic.plugins.plugin_utils._run.screen import show


@pytest.mark.parametrize(
    ("callback", "printed"),
    [
        ("default", "web1\n  app upgraded\n"),
        ("ansible.builtin.default", "web1\n  app upgraded\n"),
        ("json", ""),
        ("ansible.posix.json", ""),
        ("ansible.posix.jsonl", ""),
    ],
)
def test_lines_are_printed_unless_standard_output_is_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], callback: str, printed: str
) -> None:
    monkeypatch.setattr(constants, "DEFAULT_STDOUT_CALLBACK", callback)
    show(["web1", "  app upgraded"])
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("line", "coloured"),
    [
        ("  app       failed   b27d94e01a68", ["failed"]),
        ("  1 failed: web3", ["failed"]),
        ("  app       HELD", ["HELD"]),
        ("10 databases: 4 not begun, 2 failed", ["failed"]),
        ("  app on web3: Revision 3c81 failed [revision-failed]: lock held by pid 4", []),
    ],
)
def test_an_outcome_is_coloured_and_not_the_word_within_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, coloured: list[str]
) -> None:
    monkeypatch.setattr(color, "ANSIBLE_COLOR", True)
    show([line])
    assert re.findall(r"\x1b\[[\d;]*m(.*?)\x1b\[0m", capsys.readouterr().out) == coloured
