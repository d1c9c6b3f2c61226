"""The README shows the variables that the role has."""

from __future__ import annotations

import subprocess
import sys

from tests.lab import PROJECT


def test_the_readme_shows_the_variables_as_they_are() -> None:
    asked = [sys.executable, str(PROJECT / "docs" / "variables.py"), "--check"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
