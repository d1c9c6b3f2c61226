# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which databases of a host a person wants: names, or patterns of names."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any


def is_selected(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name is among those that are wanted; without a pattern all are."""
    wanted = list(patterns)
    return not wanted or any(name == pattern or fnmatchcase(name, pattern) for pattern in wanted)


def patterns_of(value: Any) -> list[str]:
    """Return the names and patterns of ``migrate_only``: a list, or one text with commas between them."""
    words = value.split(",") if isinstance(value, str) else value or []
    return [str(word).strip() for word in words if str(word).strip()]
