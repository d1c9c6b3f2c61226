# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases that a run has written to and that are not its own: no backup of the run holds what was in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._core.errors import Refused, describe_first
from .._core.results import DatabaseResult
from .._engines.unseen_writes import STARTED_PROGRAM
from .._journal.events import Journal
from .run_record import RunRecord

#: The code of a database that is as it was before a run which has also written to another one.
OTHER_DATABASE_WRITTEN = "other-database-written"
_MOST_NAMED = 5


@dataclass(frozen=True)
class Elsewhere:
    """Other databases, by whether it is certain that the run has written to them."""

    #: Each as its place and how it was written.
    written: list[tuple[str, str]]
    possible: list[tuple[str, str]]
    #: The revisions that have started another program.
    programs: list[str]

    @classmethod
    def of(cls, run_record: RunRecord, journal: Journal) -> Elsewhere:
        """Return those of a run, and of the revert from it whose journal this is."""
        records = (run_record, RunRecord.of(run_record.run, journal.read_events_of_run()))
        found: dict[str, tuple[str, bool]] = {}
        unseen: list[str] = []
        for record in records:
            unseen += [words for words in record.unseen if words not in unseen]
            for place, (how, is_seen) in record.elsewhere.items():
                found[place] = found[place] if place in found and found[place][1] else (how, is_seen)
        return cls(
            [(place, how) for place, (how, is_seen) in found.items() if is_seen],
            [(place, how) for place, (how, is_seen) in found.items() if not is_seen],
            [words.partition(":")[0] for words in unseen if words.endswith(f": {STARTED_PROGRAM}")],
        )

    def describe(self, but: str = "") -> list[str]:
        """Return in words what was written, or may have been, and is in no backup of the run.

        Args:
            but: the code of an error that is printed beside, and may say a part of it.
        """
        written = [] if but == OTHER_DATABASE_WRITTEN else self.written
        lines = [f"the run {how}: {place}, which its backup does not hold" for place, how in written]
        lines += [f"the run {how}: {place}" for place, how in self.possible]
        return lines + [
            f"{revision} started another program, and what that changed in other databases is not known"
            for revision in self.programs
        ]

    def describe_written(self) -> str:
        """Return the places that were written for certain, nothing where there is none."""
        return describe_first([place for place, _how in self.written], _MOST_NAMED)

    def find_refusal(self, name: str) -> Refused | None:
        """Return why a database that was reverted is held all the same, None where it is not.

        Args:
            name: of the run's database.
        """
        if not self.written:
            return None
        return Refused(
            f"The run that failed in database {name!r} has also written to {self.describe_written()}",
            f"{name!r} itself is as before. What is elsewhere was neither backed up nor compared: the run "
            f"{self.written[0][1]}",
            "Read what the revisions write there, and undo it by hand",
            code=OTHER_DATABASE_WRITTEN,
        )


def with_others(
    result: DatabaseResult, found: Elsewhere, hold: Callable[[Refused], DatabaseResult] | None
) -> DatabaseResult:
    """Return a result with what was written elsewhere.

    Args:
        result: of a revert.
        found: elsewhere.
        hold: holds the database; None where an operator has requested the revert.
    """
    refusal = found.find_refusal(result["name"]) if hold and result["outcome"] != "held" else None
    if refusal is None or hold is None:
        return {**result, "elsewhere": found.describe()}
    held = hold(refusal)
    return {**result, **held, "changed": result["changed"]}


def describe_manual_step(failure: Refused) -> str:
    """Return what has to be done to a held database before it is tried again."""
    if failure.code == OTHER_DATABASE_WRITTEN:
        return "undo by hand what the run has written elsewhere"
    return "bring it to its new revision by hand"
