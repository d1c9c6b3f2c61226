# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of databases that were found: safe in a file name and on a command line, and each of its own."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

#: What a name is made of; the controller takes no others from a host.
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_LONGEST_SLUG = 40


def build_safe_name(name: str) -> str:
    """Return a name itself if it is safe, else what is left of it with a digest of the whole."""
    return name if SAFE.fullmatch(name) else _with_digest(name, name)


def build_names(wanted: Sequence[str], places: Sequence[str], known: Sequence[tuple[str, str]] = ()) -> list[str]:
    """Return a safe name for each database, none of them twice.

    Databases that want the same name get a digest of their places behind it. One that had a name in the last list
    keeps it, also when no other one wants it any more: its journals and backups have it, and those of another database,
    which is gone, have the other one.

    Args:
        wanted: the names that the template gives.
        places: where each of them is.
        known: the last list's names, each with its place.
    """
    names = [build_safe_name(name) for name in wanted]
    counts = Counter(names)
    had = {place: name for name, place in known if place}
    kept = {place for name, place in zip(names, places) if had.get(place) in (name, _with_digest(name, place))}
    made = [
        had[place] if place in kept else name if counts[name] == 1 else _with_digest(name, place)
        for name, place in zip(names, places)
    ]
    twice = {name for name, count in Counter(made).items() if count > 1}
    return [
        _with_digest(name, place) if name in twice and place not in kept else name for name, place in zip(made, places)
    ]


def _with_digest(name: str, of: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", name)[:_LONGEST_SLUG].strip("-._") or "database"
    return f"{slug}-{hashlib.sha256(of.encode(errors='surrogateescape')).hexdigest()[:8]}"
