# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of the tables that a rollback may drop, between its dump and its first downgrade.

A definition is committed at once, and no lock is held for it: what others write while the downgrades run is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .quoting import qualify_name
from .swap_state import read_tables

if TYPE_CHECKING:
    from ..connection import OwnConnection


#: The checksum of a table that the server does not read.
_UNREADABLE = "None"


class NotedRows:
    """The checksums of some tables, as the server computes them of their rows."""

    def __init__(self, own: OwnConnection, schema: str) -> None:
        self._own = own
        self._schema = schema
        self._sums: dict[str, str] = {}

    def note(self, tables: Iterable[str]) -> None:
        """Read the checksums of some tables; of what the server does not read it is none."""
        self._sums.update({table: self._read_sum(table) for table in tables})

    def find_changed(self) -> dict[str, int]:
        """Return the tables whose rows are not those that were noted, each with the 1 that counts as written."""
        now = {table: self._read_sum(table) for table in self._sums}
        return {table: 1 for table, known in self._sums.items() if now[table] != known or known == _UNREADABLE}

    def as_facts(self) -> dict[str, str]:
        """Return the checksums by table, for another process."""
        return self._sums

    def take(self, facts: dict[str, str]) -> None:
        """Go on with those of another process."""
        self._sums = dict(facts)

    def _read_sum(self, table: str) -> str:
        return str(self._own.query_rows(f"checksum table {qualify_name(self._schema, table)}")[0][1])


def list_altered(own: OwnConnection, schema: str, before: Iterable[str], now: Iterable[str]) -> list[str]:
    """Return the tables that a run has made or altered, by the fingerprints of before it and of now."""
    differing = {*before} ^ {*now}
    return [
        table for table in read_tables(own, schema) if any(line.startswith(f"table {table}: ") for line in differing)
    ]
