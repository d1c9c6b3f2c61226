# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The results of verbs for a database, as the data that goes from a host to the controller and into journals.

That is what our own code writes. The controller reads what a host answers as shapes have reduced it, where any of this
may be missing.
"""

from __future__ import annotations

from typing import Any, TypedDict

from .errors import ErrorFacts

#: What a module or a verb answers, whose keys are those of its documentation.
Answer = dict[str, Any]
#: A part of such an answer as the controller reads it: reduced by shapes, so that any key may be missing.
Result = dict[str, Any]


class RevisionFacts(TypedDict):
    """A revision to apply, with the first line of its message."""

    revision: str
    message: str


class StepFacts(RevisionFacts):
    """A revision that was applied or undone, and the seconds it took, None where they are unknown."""

    seconds: float | None


class _Restore(TypedDict):
    method: str
    not_restored: list[str]
    obstacle: ErrorFacts | None


class RestoreFacts(_Restore, total=False):
    """The method by which a database would be restored, what would not come back, and what prevents it."""

    notes: list[str]
    #: What an administrator types so that the obstacle is none.
    rights: str


class PlanFacts(TypedDict):
    """The plan of a database."""

    name: str
    engine: str
    url: str
    server: str
    identity: str
    instance: str
    can_be_shared: bool
    target: str
    #: The heads before and after; None where they could not be read.
    current: list[str] | None
    heads: list[str] | None
    pending: list[RevisionFacts]
    obstacles: list[ErrorFacts]
    notes: list[str]
    restore: RestoreFacts | None
    expected_seconds: float | None
    unexpanded: list[str]
    changed_history: list[ErrorFacts]


class ResultDetails(TypedDict, total=False):
    """The keys of a verb's result for a database besides its outcome; seconds are those it took."""

    identity: str
    target: str
    of_run: str
    #: The heads before and after; None where they could not be read.
    before: list[str] | None
    after: list[str] | None
    applied: list[StepFacts]
    undone: list[StepFacts]
    #: As ``Manifest.as_facts``.
    backup: dict[str, Any] | None
    backup_problems: list[ErrorFacts]
    restore: RestoreFacts
    #: By table, rows before and after.
    lost_rows: dict[str, list[int]]
    error: ErrorFacts | None
    #: Of the upgrade that was reverted.
    upgrade_error: ErrorFacts | None
    #: Why a restore was needed.
    reason: str
    retained: str
    method: str
    not_restored: list[str]
    notes: list[str]
    #: What the run has written to other databases, or may have.
    elsewhere: list[str]
    #: By what it does, the command to type for a database that is held.
    ways_out: dict[str, str]
    #: A rollback that failed, and was undone.
    as_before: bool
    #: The machine or the whole worker was ended, and not the migration alone.
    interrupted: bool
    #: Copies of rehearsals that were killed.
    dropped: list[str]
    seconds: float


class _Outcome(TypedDict):
    name: str
    outcome: str
    changed: bool


class DatabaseResult(_Outcome, ResultDetails):
    """The result of a verb for a database."""


class RehearsalResult(DatabaseResult, total=False):
    """The result of a rehearsal of a database."""

    #: The heads that it led to; None where that could not be read.
    goal: list[str] | None
    backup_taken: bool
    revisions: list[dict[str, Any]]
    #: None where the migrations have none.
    models: list[str] | None
    upgrade_seconds: float | None
    expected_seconds: float | None


class LeftoverFacts(TypedDict):
    """A retained copy, as ``Leftover``: when it was made is ISO 8601, its size bytes, its age days."""

    kind: str
    name: str
    run: str
    made: str
    size: int | None
    days: float | None
    outcome: str
    reason: str


class PruneResult(_Outcome):
    """The result of pruning the retained copies of a database."""

    leftovers: list[LeftoverFacts]
    error: ErrorFacts | None


class RunFacts(TypedDict):
    """The part of a run in a database: when it began, how it ended, and what of it is in effect."""

    run: str
    at: str
    outcome: str
    net_outcome: str
    error: ErrorFacts | None


class StatusFacts(TypedDict):
    """The status of a database; what cannot be read is in its problems."""

    name: str
    server: str
    current: list[str] | None
    pending: list[RevisionFacts]
    problems: list[ErrorFacts]
    changed_history: list[ErrorFacts]
    #: As ``LeftoverFacts``, and whether each is ``old``.
    retained: list[dict[str, Any]]
    last_run: RunFacts | None
    last_change: RunFacts | None
    #: As ``Manifest.as_facts``, and where its ``copies`` are.
    last_backup: dict[str, Any] | None
    backup_problems: list[ErrorFacts]


class StatementFacts(TypedDict, total=False):
    """The answer to a statement of a health check: its rows, or why there are none."""

    rows: list[list[Any]]
    error: str


class BackupFacts(TypedDict):
    """A backup as it lies on the disk; None is what its manifest would say and does not."""

    run: str
    path: str
    taken: str | None
    #: Seconds.
    age: int | None
    #: Bytes.
    size: int | None
    revision: list[str] | None
    engine: str | None
    proven: bool | None
    sealed: bool | None
    #: Where copies of it are, each with the time that it was made.
    copies: dict[str, str] | None
    problem: ErrorFacts | None


class BackupsFacts(TypedDict):
    """The backups of a database, the newest first, None if they cannot be read; how many more there are."""

    name: str
    backups: list[BackupFacts] | None
    more: int
    problem: ErrorFacts | None


class MaintenanceFacts(TypedDict):
    """A maintenance that goes on, or at its end all that it was about."""

    since: str
    run: str
    databases: list[str]
    services: list[str]
    file: str
    pools: list[str]
    seconds: float
    #: The name, the state and the run of each database that keeps it.
    kept_by: list[dict[str, str]]
