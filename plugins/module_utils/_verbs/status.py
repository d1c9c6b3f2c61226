# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status of a database on this host: its revision, what is pending, its last run and its last backup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._backup.manifest import Manifest, list_proven
from .._backup.offsite import list_missing_copies, read_copies
from .._core.errors import ErrorFacts, Refused
from .._core.job import Database, Job
from .._core.playbook_command import build_playbook_command
from .._core.results import Answer, LeftoverFacts, PlanFacts, RunFacts, StatusFacts
from .._journal.events import Event, find_net_outcome, list_newest_first
from .._journal.run_state import RunState, read_last_run_state
from .._plan.host import end_of_part, plan
from .._worker.each import do_each
from .prune import list_leftovers

#: How a run has ended, whatever was refused since: a person has yet to decide.
_UNFINISHED_STATES = {"held": "held", "failed": "failed", "cut_short": "interrupted"}


def read_status(database: Database, job: Job, planned: PlanFacts | None, retained: list[LeftoverFacts]) -> StatusFacts:
    """Return the status of a database; what cannot be read is in ``problems``.

    Args:
        database: the database.
        job: names the folders.
        planned: its plan against the current release, None if there is no release.
        retained: what restores have replaced.
    """
    plan: Mapping[str, Any] = planned or {}
    runs = [_run(run, events) for run, events in list_newest_first(job.layout.locate_journals(database.name))]
    taken = list_proven(job.layout.locate_backups(database.name))
    last = {**taken[0].as_facts(), "copies": read_copies(taken[0])} if taken else None
    left = read_last_run_state(job.layout, database.name)
    return {
        "name": database.name,
        "server": plan.get("server", ""),
        "current": plan.get("current"),
        "pending": plan.get("pending", []),
        "problems": plan.get("obstacles", []),
        "changed_history": plan.get("changed_history", []),
        "retained": [{**leftover, "old": (leftover["days"] or 0) >= job.retained_days} for leftover in retained],
        "last_run": _choose_last_run(runs, left),
        "last_change": next((run for run in runs if run["net_outcome"] == "upgraded"), None),
        "last_backup": last,
        "backup_problems": _list_not_copied(taken[:1], job),
    }


def _choose_last_run(runs: list[RunFacts], left: RunState) -> RunFacts | None:
    """Return the last run; where an earlier one left something that is still unresolved, that one."""
    for run in runs if left.state in _UNFINISHED_STATES else ():
        if run["run"] == left.run:
            return {**run, "outcome": _UNFINISHED_STATES[left.state], "error": left.error or run["error"]}
    return runs[0] if runs else None


def _list_not_copied(newest: list[Manifest], job: Job) -> list[ErrorFacts]:
    return [
        Refused(
            f"The newest backup of {manifest.database!r} was not copied to {to}",
            "",
            f"Try again: {build_playbook_command('backup')}",
            code="backup-not-copied",
        ).as_facts()
        for manifest in newest
        for to in list_missing_copies(manifest, job)
    ]


def _run(run: str, events: list[Event]) -> RunFacts:
    """Sum a journal up by its last ending; one without an ending is still running or was cut short."""
    results: list[dict[str, Any]] = [event["result"] for event in events if event["event"] == "done"]
    last: dict[str, Any] = results[-1] if results else {"outcome": "unfinished"}
    return {
        "run": run,
        "at": events[0]["at"],
        "outcome": last["outcome"],
        "net_outcome": find_net_outcome(events),
        "error": last.get("error"),
    }


def status(job: Job) -> Answer:
    """Say of every database where it is, what is pending, and what was last done to it.

    Where a job limits the time in which databases are begun, those that were not are missing.
    """
    planned = {entry["name"]: entry for entry in plan(job)["databases"]} if job.release else {}
    reachable = [database for database in job.databases if planned.get(database.name, {}).get("server")]
    retained = do_each(job, reachable, list_leftovers, end_of_part(job, len(reachable)))
    left_out = {database.name for database in reachable if database.name not in retained}
    return {
        "databases": [
            read_status(database, job, planned.get(database.name), _list_retained(retained.get(database.name)))
            for database in job.databases
            if (database.name in planned or not job.release) and database.name not in left_out
        ]
    }


def _list_retained(retained: Any) -> list[LeftoverFacts]:
    """Return the retained copies; a database that could not be read has the error in its plan."""
    return retained if isinstance(retained, list) else []
