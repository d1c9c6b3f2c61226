# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The content of a database's version tables and the revisions below it, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Heads = tuple[str, ...]


#: The branches of a release that is deployed in two steps, around the application's own deployment.
EXPAND, CONTRACT = "expand", "contract"


def describe_heads(heads: Iterable[str]) -> str:
    """Return heads as people read them; without any a database is at its base."""
    return ", ".join(heads) or "base"


@dataclass(frozen=True)
class Revision:
    """One revision to apply, with the first line of its message."""

    revision: str
    message: str


@dataclass(frozen=True)
class Stream:
    """One version table of a database, its revisions and what lies before it."""

    table: str
    heads: Heads
    pending: tuple[Revision, ...] = ()
    #: The heads once the pending revisions are applied.
    goal: Heads = ()
    #: Where the target contracts: the revisions of the expanding branch that are still missing.
    unexpanded: tuple[str, ...] = ()
