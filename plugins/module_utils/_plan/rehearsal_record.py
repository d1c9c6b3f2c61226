# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of the last successful rehearsal, and the check that an upgrade may rely on it."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from .._core.errors import Refused
from .._core.job import Database, Job
from .._core.paths import Layout
from .._core.playbook_command import build_playbook_command
from .._core.records import LaterFormat, read_record, select_known_facts, write_record
from .._journal.events import format_now
from .at_head import hash_entry
from .model import Plan

_REMEDY = f"Set migrate_rehearse=true, or rehearse it: {build_playbook_command('rehearse')}"


@dataclass(frozen=True)
class Rehearsed:
    """One successful rehearsal. The digest is salted: an entry may hold a secret."""

    salt: str
    entry: str
    release: str
    identity: str
    heads: dict[str, list[str]]
    goal: list[str]
    run: str
    at: str


def note_rehearsal(database: Database, job: Job, plan: Plan) -> None:
    """Leave a record of a successful rehearsal."""
    salt = secrets.token_hex(16)
    entry = _hash_entry_of(database, job, salt)
    record = Rehearsed(salt, entry, job.release, plan.identity, plan.heads, _list_goal(plan), job.run, format_now())
    write_record(_locate_record(database, job), asdict(record))


def forget_rehearsal(database: Database, job: Job) -> None:
    """Remove an earlier success, since a rehearsal has failed."""
    _locate_record(database, job).unlink(missing_ok=True)


def list_missing_rehearsal(plan: Plan, database: Database, job: Job) -> list[Refused]:
    """Return what keeps the last rehearsal from being valid for a plan, if the job requires one."""
    if not job.require_rehearsal or not plan.pending:
        return []
    record = _read(database, job)
    why = _explain_invalid(record, plan, database, job) if record else "none has succeeded on this host"
    if not why:
        return []
    return [
        Refused(
            f"Database {database.name!r} has no valid rehearsal for this upgrade",
            why,
            _REMEDY,
            code="rehearsal-missing",
        )
    ]


def _explain_invalid(record: Rehearsed, plan: Plan, database: Database, job: Job) -> str:
    age = (datetime.now(timezone.utc) - datetime.fromisoformat(record.at)).total_seconds()
    if record.release != job.release:
        return f"run {record.run} rehearsed release {record.release[:12]}, and this is {job.release[:12]}"
    if record.identity != plan.identity:
        return f"run {record.run} rehearsed {record.identity}, and this is {plan.identity}"
    if record.heads != plan.heads:
        return f"it has moved since run {record.run} rehearsed it"
    if record.goal != _list_goal(plan) or record.entry != _hash_entry_of(database, job, record.salt):
        return f"run {record.run} rehearsed it to another target or with other settings"
    if not 0 <= age <= job.rehearsal_max_age:
        return f"run {record.run} rehearsed it at {record.at}, longer ago than {job.rehearsal_max_age:g} s"
    return ""


def _list_goal(plan: Plan) -> list[str]:
    return sorted({head for stream in plan.streams for head in stream.goal})


def _hash_entry_of(database: Database, job: Job, salt: str) -> str:
    """Return a digest of what decides what env.py does; where the copy was made is not part of it."""
    return hash_entry(replace(database, admin_url=None, rehearse_url=None), job, salt)


def _read(database: Database, job: Job) -> Rehearsed | None:
    with suppress(OSError, ValueError, TypeError, LaterFormat):  # what cannot be read proves nothing
        return Rehearsed(**select_known_facts(Rehearsed, read_record(_locate_record(database, job))))
    return None


def _locate_record(database: Database, job: Job) -> Path:
    # A plan that is made in a temporary folder is one for the records of the real one.
    return Layout(Path(job.shipping_makes or job.root)).locate_journals(database.name) / "rehearsed.json"
