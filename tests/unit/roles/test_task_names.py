# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of plays and tasks are what a person reads while a run goes on: short, and an order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.unit.stage import PROJECT

FILES = [*(PROJECT / "roles").rglob("tasks/*.yml"), *(PROJECT / "roles").rglob("handlers/*.yml")]
FILES += (PROJECT / "playbooks").glob("*.yml")
FILES += (path for path in (PROJECT / "molecule").rglob("*.yml") if path.name not in ("molecule.yml", "hosting.yml"))
_RETIRED = ("ask", "enter", "look", "lead", "settle", "say", "way back")


def names(node: Any) -> Iterator[str]:
    """Yield the name of each play, block and task."""
    for each in node if isinstance(node, list) else []:
        if "name" in each:
            yield each["name"]
        for inner in ("tasks", "block", "rescue", "always"):
            yield from names(each.get(inner))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_name_is_short_and_an_order(path: Any) -> None:
    found = list(names(yaml.safe_load(path.read_text(encoding="utf-8"))))

    assert found
    for name in found:
        assert len(name.split()) <= 6, name
        assert "," not in name, name
        assert not name.lower().startswith(_RETIRED), name
