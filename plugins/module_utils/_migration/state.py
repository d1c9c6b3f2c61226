# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The revisions of a database: read through a connection of our own, never assumed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._core.revisions import describe_heads
from .._engines.connection import OwnConnection
from .._engines.interface import Engine
from .environment import Environment
from .version_table import read_heads


@dataclass
class Position:
    """The heads of each version table, and the schema and rows around them."""

    heads: dict[str, list[str]]
    fingerprint: list[str] = field(default_factory=list)
    row_counts: dict[str, int] | None = None
    #: Which of several databases that have had this name it is; nothing where that is not known.
    made: str = ""

    @property
    def revisions(self) -> list[str]:
        """Return the heads of all version tables together."""
        return sorted({head for heads in self.heads.values() for head in heads})

    def __str__(self) -> str:
        return describe_heads(self.revisions)

    def as_facts(self) -> dict[str, Any]:
        """Return what the journal keeps, enough to compare with later."""
        made = {"made": self.made} if self.made else {}
        return {"heads": self.heads, "fingerprint": self.fingerprint, **made}


def read_applied(environment: Environment, own: OwnConnection, tables: list[str]) -> dict[str, set[str]]:
    """Return the committed revisions of version tables, the heads and all below them."""
    # A connection that env.py has left open may still hold them.
    with environment.engine.shorten_lock_timeout(environment.job.lock_wait):
        heads = {table: read_heads(own, table, there=True) for table in tables}
    return {table: environment.list_applied(found) for table, found in heads.items()}


def read_position(engine: Engine, tables: list[str], count_rows: bool = False) -> Position:
    """Return the current revisions of a database; one that does not exist is at its base.

    Raises:
        Refused: the server cannot be reached.
    """
    if not engine.is_present():
        return Position({table: [] for table in tables})
    own = engine.open_own_connection()
    with engine.shorten_lock_timeout(engine.job.lock_wait):
        heads = {table: list(read_heads(own, table, there=True)) for table in tables}
        counts = own.run(engine.count_table_rows) if count_rows else None
        return Position(heads, read_fingerprint(engine, own, tables), counts, own.run(engine.read_creation_id) or "")


def read_fingerprint(engine: Engine, own: OwnConnection, tables: list[str]) -> list[str]:
    """Return the schema without the version tables."""
    return own.run(engine.read_fingerprint, frozenset(tables))


def list_differences(before: list[str], after: list[str]) -> list[str]:
    """Return the lines of two fingerprints that differ, marked as in a diff."""
    old, new = set(before), set(after)
    return sorted([f"-{line}" for line in old - new] + [f"+{line}" for line in new - old], key=lambda line: line[1:])


def list_differences_since(engine: Engine, before: list[str], now: list[str]) -> list[str]:
    """Return how the schema differs from what a manifest or a journal holds, as above, in the terms of its server."""
    return list_differences(before, engine.convert_fingerprint(before, now))


def find_lost_rows(before: dict[str, int] | None, after: dict[str, int] | None) -> dict[str, list[int]]:
    """Return the tables that have fewer rows than before, or are gone: [before, after]."""
    if before is None or after is None:
        return {}
    return {table: [count, after.get(table, 0)] for table, count in before.items() if after.get(table, 0) < count}
