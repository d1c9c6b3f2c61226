# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/internals/packages.md leads from file to file: each one names the one that its arrow leads to."""

from __future__ import annotations

import re
from pathlib import PurePath

from tests.lab import PROJECT
from tests.layers import CONTROLLER, FLOORS, arrows

_PATH = r"`((?:plugins|roles|playbooks)/[\w/]+\.\w+)`"
_ARROW = re.compile(rf"{_PATH}(?=[^`.;]* → {_PATH})")


def _arrows() -> list[tuple[str, str]]:
    """Return each file of the page with the one that its arrow leads to."""
    text = (PROJECT / "docs/internals/packages.md").read_text(encoding="utf-8")
    return _ARROW.findall(" ".join(text.split()))


def _names(source: str, other: PurePath) -> bool:
    """Return whether a file imports another one, includes it, or has its module as a task."""
    package, name = other.parent.name, other.stem
    written = {
        "action": rf"\bhosting\.alembic\.{name}:",
        "tasks": rf"\b{name}\.yml\b|\btasks_from: {name}\b",
        "handlers": r"\bnotify: ",
    }
    imported = rf"(?m)^ *from \S*\.{name} import |^ *from \S* import .*\b{name}\b|\b{package}\.{name}\b"
    return re.search(written.get(package, imported), source) is not None


def test_each_arrow_leads_to_a_file_that_is_named() -> None:
    found = _arrows()

    assert len(found) > 50
    missing = [(a, b) for a, b in found if not _names((PROJECT / a).read_text(encoding="utf-8"), PurePath(b))]
    assert missing == []


def test_the_page_has_each_package_on_its_floor_and_counts_their_arrows() -> None:
    text = (PROJECT / "docs/internals/packages.md").read_text(encoding="utf-8")
    found = [half for half, _package, _other in arrows()]

    for half, floors in (("module_utils", FLOORS), ("plugin_utils", CONTROLLER)):
        count = sum(map(len, floors))
        assert f"{count} packages on {len(floors)} floors, with {found.count(half)} arrows between them" in text
        for number, packages in enumerate(floors, start=1):
            row = re.search(rf"\n\| {number} \| (`{packages[0]}`|[^|]*`{packages[0]}`)[^|]*\|", text)
            assert row
            assert set(packages) == set(re.findall(r"`(\w+)`", row[0]))
