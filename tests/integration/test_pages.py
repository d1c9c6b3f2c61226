# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tutorial and the pages of the playbooks show what their commands print, in the order of the pages."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.lab import PROJECT


@pytest.mark.exhaustive
def test_the_pages_show_what_the_commands_print() -> None:
    requested = [sys.executable, str(PROJECT / "docs" / "transcripts.py"), "--check"]
    done = subprocess.run(requested, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
