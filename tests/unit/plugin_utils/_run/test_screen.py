# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our own lines are on the screen of a person, and never within data."""

from __future__ import annotations

import pytest
from ansible import constants

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
