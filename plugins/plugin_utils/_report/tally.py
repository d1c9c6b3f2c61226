# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The last line: how many databases there are, and how many of each kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: In the order in which they are counted; others come between, and what needs a person last.
_FIRST = ("upgraded", "to upgrade", "at head", "not begun", "deferred", "rolled back")
_LAST = ("failed", "held", "refused", "unknown")


def tally(kinds: Iterable[str]) -> str:
    """Return how many databases there are, and how many of each kind."""
    found = list(kinds)
    words = [*_FIRST, *sorted({*found} - {*_FIRST, *_LAST}), *_LAST]
    counts = [f"{found.count(word)} {word}" for word in words if word in found]
    return f"{len(found)} database{'' if len(found) == 1 else 's'}: {', '.join(counts) or 'none'}"


def list_kinds_of_plan(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the kind of each database of a plan."""
    return ["refused" if each["obstacles"] else "to upgrade" if each["pending"] else "at head" for each in entries]
