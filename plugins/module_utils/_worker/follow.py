# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The progress of a worker, read from its journals: following it needs no virtualenv."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from .._core.errors import Failed
from .._core.job import Database, Job
from .._core.progress import read_progress
from .._core.results import DatabaseResult, StepFacts
from .._journal.events import Event, find_ending, read_events
from .._journal.worker_lock import is_worker_alive

POLL_INTERVAL = 0.05  # seconds


def follow_worker(job: Job) -> dict[str, Any] | None:
    """Follow a worker that was started before, or return None once it has ended: then its verb has the last word."""
    patience_ends = monotonic() + job.follow
    unfinished = Unfinished(job, job.databases)
    while unfinished.poll():
        if not is_alive(job, job.verb):
            return None
        if monotonic() > patience_ends:
            return report(job, list(job.databases), finished=False)
        sleep(POLL_INTERVAL)
    return None


def is_alive(job: Job, verb: str) -> bool:
    """Return whether the worker of a verb of this run holds its lock."""
    return is_worker_alive(job.layout, job.run, verb)


def build_result_of_dead(name: str, events: list[Event], verb: str, why: str, remedy: str = "") -> DatabaseResult:
    """Return the result of a verb whose process died: what was verified stays done."""
    own = [event for event in events if event["verb"] == verb]
    if own and own[-1]["event"] == "verified":
        before: dict[str, list[str]] = next((event["heads"] for event in own if event["event"] == "backed_up"), {})
        applied: list[StepFacts] = [
            {"revision": event["revision"], "message": event.get("message", ""), "seconds": None}
            for event in own
            if event["event"] == "committed"
        ]
        return {
            "name": name,
            "outcome": "upgraded",
            "changed": True,
            "applied": applied,
            "before": _list_heads(before),
            "after": _list_heads(own[-1]["heads"]),
        }
    failure = Failed(f"The process that worked on {name!r} died", why, remedy, code="worker-died")
    return {"name": name, "outcome": "failed", "changed": False, "error": failure.as_facts()}


def _list_heads(heads: dict[str, list[str]]) -> list[str]:
    return sorted({revision for revisions in heads.values() for revision in revisions})


class Unfinished:
    """The databases that a verb still works on, or was working on when it died.

    Polling costs the work its time: a journal is read again only when it has changed. Each event makes it larger, so
    its size shows a change within one tick of the file system's clock.
    """

    def __init__(self, job: Job, databases: Iterable[Database]) -> None:
        self._job = job
        self._databases = list(databases)
        self._known: dict[str, tuple[int, int]] = {}

    def poll(self) -> bool:
        """Return whether there is still one."""
        self._databases = [database for database in self._databases if not self._has_ended(database)]
        return bool(self._databases)

    def _has_ended(self, database: Database) -> bool:
        # Before it is read: what is written meanwhile is a change for the next time.
        state = _read_size_and_time(self._job.locate_journal(database.name))
        if self._known.get(database.name) == state:
            return False
        self._known[database.name] = state
        return find_ending_of(self._job, database) is not None


def _read_size_and_time(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except FileNotFoundError:
        return -1, 0
    return facts.st_size, facts.st_mtime_ns


def find_ending_of(job: Job, database: Database) -> Event | None:
    """Return the event that ends a verb's work on a database, or None."""
    return find_ending(read_events(job.locate_journal(database.name)), job.verb)


def report(job: Job, databases: list[Database], finished: bool) -> dict[str, Any]:
    """Return a call's answer: how each database ended, what is new since the last call, and where to go on reading."""
    lines, cursor, results = [], {}, []
    for database in databases:
        path = job.locate_journal(database.name)
        events = read_events(path)
        done = find_ending(events, job.verb)
        cursor[database.name] = len(events)
        new = [event for event in events[job.cursor.get(database.name, 0) :] if event["verb"] == job.verb]
        described = [_describe(event) for event in new if event["event"] in _DESCRIPTIONS]
        doing = "" if done else read_progress(path.with_suffix(".progress"))
        lines += [f"{database.name}: {line}" for line in [*described, doing] if line]
        if done:
            results.append(done["result"])
    return {"finished": finished, "results": results, "lines": lines, "cursor": cursor}


_DESCRIPTIONS: dict[str, str] = {
    "overridden": "no window binds this run: {reason}",
    "backed_up": "backed up to {path}, {size:,} bytes",
    "committed": "committed {revision} {message}",
    "waits": "did not get a lock: {reason}",
    "verified": "verified",
    "failed": "failed: {error[what]}",
    "downgrade_ran": "downgraded {revision}",
    "restored": "restored from {path}; what it replaced is {retained}",
    "scratch_filled": "restored {path} into a scratch database in {seconds} s",
    "rehearsed": "rehearsed {revision} {message} in {seconds} s",
    "judged": "{revision} is {verdict}",
    "held": "held: {error[what]}",
}


def _describe(event: Event) -> str:
    return _DESCRIPTIONS[event["event"]].format(**event)
