# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison of a database whose revision was undone with what it was before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .._engines.data import Content
from .._migration.state import list_differences
from .._migration.step import Step

REVERSIBLE, LOSSY, IRREVERSIBLE, UNKNOWN = "reversible", "lossy", "irreversible", "unknown"


@dataclass(frozen=True)
class State:
    """The schema and the rows at one moment."""

    fingerprint: list[str]
    contents: dict[str, Content]


@dataclass
class Verdict:
    """The verdict of a rehearsal about one revision."""

    step: Step
    #: Table -> the strongest lock that it took and held to its end.
    locks: dict[str, str] = field(default_factory=dict)
    #: Bytes that the database grew by, at the most, while it ran.
    space: int = 0
    verdict: str = UNKNOWN
    why: str = ""
    data_loss: list[dict[str, Any]] = field(default_factory=list)
    schema: list[str] = field(default_factory=list)
    #: Whether it could be applied a second time, None if that was not tried.
    again: bool | None = None
    again_error: str = ""

    def judge(self, before: State, after: State) -> None:
        """Compare what was before the upgrade with what is after the downgrade."""
        self.data_loss = list(list_data_loss(before.contents, after.contents))
        self.schema = list_differences(before.fingerprint, after.fingerprint)
        self.verdict = LOSSY if self.data_loss or self.schema else REVERSIBLE

    def as_facts(self) -> dict[str, Any]:
        """Return what a result shows."""
        return {
            "revision": self.step.revision,
            "message": self.step.message,
            "table": self.step.table,
            "seconds": self.step.seconds,
            "locks": self.locks,
            "space": self.space,
            "verdict": self.verdict,
            "why": self.why,
            "data_loss": self.data_loss,
            "schema": self.schema,
            "again": self.again,
            "again_error": self.again_error,
        }


def list_data_loss(before: dict[str, Content], after: dict[str, Content]) -> Iterator[dict[str, Any]]:
    """Yield the tables and columns that did not come back as they were."""
    for table, old in sorted(before.items()):
        new = after.get(table)
        if new is None:
            yield _build_loss(table, None, f"is gone, and had {_format_row_count(old.rows)}")
        elif new.rows != old.rows:
            yield _build_loss(table, None, f"had {_format_row_count(old.rows)} and has {new.rows}")
        else:
            yield from _find_lost_columns(table, old, new)
    for table in sorted(after.keys() - before.keys()):
        yield _build_loss(table, None, "was left behind")


def _find_lost_columns(table: str, old: Content, new: Content) -> Iterator[dict[str, Any]]:
    found = False
    for column, digest in sorted(old.columns.items()):
        if column not in new.columns:
            yield _build_loss(table, column, "is gone")
            found = True
        elif new.columns[column] != digest:
            yield _build_loss(table, column, "has other values than before")
            found = True
    for column in sorted(new.columns.keys() - old.columns.keys()):
        yield _build_loss(table, column, "was left behind")
        found = True
    if not found and old.digest != new.digest:
        yield _build_loss(table, None, "has its values in other rows than before")


def _build_loss(table: str, column: str | None, what: str) -> dict[str, Any]:
    return {"table": table, "column": column, "what": what}


def _format_row_count(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
