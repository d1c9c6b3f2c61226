"""Each test that docs/security.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parents[3]


def test_every_row_names_a_test_that_is_there() -> None:
    text = (PROJECT / "docs" / "security.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    sources = "".join(path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))
    assert rows
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row.split("|")[-2])
        assert named, row
        assert not [name for name in named if f"def {name}(" not in sources], row
