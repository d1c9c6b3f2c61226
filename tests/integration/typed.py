"""A printed command, typed as it was printed, and the marks of the tests that do so."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.lab import PROJECT, ansible


def types(*places: str) -> pytest.MarkDecorator:
    """Mark a test that types what some places print; tests/unit/test_printed_places.py finds each of them."""
    return pytest.mark.types(*places)


def typed(command: str, folder: Path = PROJECT, env: Mapping[str, str] | None = None) -> ansible.Outcome:
    """Paste a command into a shell, in the folder where the run was started."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    ours = {**kept, "PATH": f"{ansible.BIN}:{kept.get('PATH', '')}", "ANSIBLE_NOCOLOR": "1", **(env or {})}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=ours, capture_output=True, text=True, timeout=300, check=False
    )
    return ansible.Outcome(done.returncode, done.stdout + done.stderr)


def printed(output: str, before: str) -> str:
    """The first command that is behind some words, to the end of its line or of its part of a sentence."""
    command = r"((?:\S+=\S+ )?\S*ansible-playbook (?:(?!; ).)*?)"
    line = rf"^(?!fatal|\[WARNING\]).*?(?i:{re.escape(before)}){command}(?:;.*)?$"
    found = re.search(line, output, re.MULTILINE)
    assert found, f"no command behind {before!r}:\n{output}"
    return found[1]
