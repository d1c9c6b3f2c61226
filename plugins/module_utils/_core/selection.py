# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The selection of databases of a host: names, or patterns of names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from .errors import Refused, describe_first

_MOST_NEAR = 3
_MOST_NAMED = 10


def is_selected(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name is among those that are wanted; without a pattern all are."""
    wanted = list(patterns)
    return not wanted or any(name == pattern or fnmatchcase(name, pattern) for pattern in wanted)


def list_patterns(value: Any) -> list[str]:
    """Return the names and patterns of ``migrate_only``: a list, or one text with commas between them."""
    words = value.split(",") if isinstance(value, str) else value or []
    return [str(word).strip() for word in words if str(word).strip()]


def list_unmatched(patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the names and patterns that none of some databases has."""
    known = list(names)
    return [pattern for pattern in patterns if not any(is_selected(name, [pattern]) for name in known)]


def refuse_unmatched(patterns: Iterable[str], names: Iterable[str], where: str) -> None:
    """Refuse names and patterns that no database has: what is misspelt is not a run without anything to do.

    Args:
        patterns: those that a database has to match.
        names: of all databases.
        where: where these are, in words.

    Raises:
        Refused: one has none.
    """
    known = sorted(set(names))
    missing = list_unmatched(patterns, known)
    if not missing:
        return
    near = {name for word in missing for name in get_close_matches(word, known, n=_MOST_NEAR)}
    there = (
        f"the nearest: {', '.join(sorted(near))}"
        if near
        else f"known are {describe_first(known, _MOST_NAMED) or 'none'}"
    )
    raise Refused(
        f"migrate_only names no database {where}: {describe_first(missing, _MOST_NAMED)}",
        there,
        "Correct migrate_only, or leave out what is not meant",
        code="selection-unmatched",
    )
