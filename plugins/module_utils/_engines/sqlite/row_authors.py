# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writes of others into tables and columns that a run has made in a SQLite file.

No row shows who wrote it. So at its end a run remembers what lies in what it has made, and whether no other session had
written until then.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

from ..data import Writes, WrittenRows, describe_doubtful_rows
from ..sql import is_constant, quote_name, render_value_condition
from .write_digests import count_and_digest, read_table_names


@dataclass
class ContentDigest:
    """The number of rows and a digest of them: of each table, and of each column's that have something in it.

    Of a column also whether only who writes into it fills it.
    """

    tables: dict[str, list[Any]] = field(default_factory=dict)
    columns: dict[str, list[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, connection: sqlite3.Connection, written_rows: WrittenRows) -> ContentDigest:
        """Read what a run has made."""
        found = cls()
        for table in read_table_names(connection):
            if f"main.{table}" in written_rows.version_tables:
                continue
            columns = connection.execute(f"pragma table_info({quote_name(table)})").fetchall()
            known = [line for line in written_rows.before if line.startswith(f"column {table}.")]
            if not known:
                read = count_and_digest(connection, table, [column[1] for column in columns])
                found.tables[table] = list(read)
                continue
            for _number, column, _kind, _notnull, default, _key in columns:
                if not any(line.startswith(f"column {table}.{column} ") for line in known):
                    read = count_and_digest(
                        connection, table, [column], render_value_condition(column, default, "{} is not {}")
                    )
                    found.columns[f"{column} of {table}"] = [*read, is_constant(default)]
        return found

    def as_facts(self, not_shared: bool) -> dict[str, Any]:
        """Return what a journal keeps.

        Args:
            not_shared: no other session has written until now.
        """
        return {"tables": self.tables, "columns": self.columns, "not_shared": not_shared}

    def find_later_writes(self, earlier: dict[str, Any]) -> Writes:
        """Return what others wrote since an earlier digest; without one, that is unknown."""
        certain: dict[str, int] = {}
        unknown = []
        for kind, made in (("tables", self.tables), ("columns", self.columns)):
            for name, read in made.items():
                was = earlier.get(kind, {}).get(name)
                count = read[0]
                if was is not None and _is_others(kind, was, read):
                    certain[name] = abs(count - was[0]) or count
                elif count and not (was == read and _was_not_shared(earlier)):
                    unknown.append(describe_doubtful_rows(count, name))
        return Writes(certain, "; ".join(unknown))


def _was_not_shared(earlier: dict[str, Any]) -> bool:
    """Return whether no other session had written until then; before 0.1.0 the key was ``alone``."""
    return bool(earlier["not_shared"] if "not_shared" in earlier else earlier["alone"])


def _is_others(kind: str, was: list[Any], now: list[Any]) -> bool:
    """Return whether a difference is for certain what others wrote; rows that are fewer may only have been deleted."""
    if kind == "columns":
        return bool(now[0] > was[0] and now[2])
    return bool(now[0] and now != was)
