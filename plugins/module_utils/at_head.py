# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases that stand where the same release has verified them: there is nothing to ask env.py again.

An upgrade leaves a record of what it verified, under which release, options and URL. While all of that is the same,
and the version table still holds the same heads in the same database, nothing is pending. Whatever is not exactly so,
or has more than one version table, is planned in full.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .engines import engine_for
from .errors import Refused
from .job import Database, Job
from .layout import write_durably
from .libraries import MISSING
from .plans import Plan, Stream
from .processes import Died, each_apart, silence
from .recovery import left_by

_RELATIVE_TARGET = re.compile(r"[+-]\d+$")


@dataclass(frozen=True)
class Verified:
    """What was true when an upgrade was verified. The digest is salted: an entry may hold a secret."""

    salt: str
    entry: str
    identity: str
    table: str
    heads: list[str]
    #: What was found of changed history: the same release has the same files.
    changed_history: list[dict[str, str]] = field(default_factory=list)


def remember(
    database: Database, job: Job, identity: str, heads: dict[str, list[str]], found: Iterable[Refused] = ()
) -> None:
    """Leave a record of a verified upgrade, if it is one that can be looked up.

    Args:
        database: what was upgraded.
        job: with which release and options.
        identity: which database that is.
        heads: where it stands.
        found: what its plan said of changed history.
    """
    if len(heads) != 1 or _RELATIVE_TARGET.search(database.target or job.target):
        return
    ((table, standing),) = heads.items()
    salt = secrets.token_hex(16)
    findings = [finding.facts() for finding in found]
    record = Verified(salt, entry_digest(database, job, salt), identity, table, standing, findings)
    with suppress(OSError):  # without it the next plan is a full one; that is no reason to call an upgrade failed
        write_durably(_place(database, job), json.dumps(asdict(record)))


def known_plans(job: Job) -> dict[str, dict[str, Any]]:
    """Return the plans of the databases that are at head beyond doubt; the others are left out."""
    if MISSING:
        return {}
    plans: dict[str, dict[str, Any]] = {}

    def task(part: list[Database]) -> dict[str, dict[str, Any]]:
        silence(os.devnull)
        found = {database.name: _plan(database, job) for database in part}
        return {name: plan.facts() for name, plan in found.items() if plan}

    def answered(_part: list[Database], answer: Any) -> None:
        if not isinstance(answer, Died):
            plans.update(answer)

    recorded = [database for database in job.databases if _place(database, job).is_file()]
    parts = [part for part in (recorded[start :: job.workers] for start in range(job.workers)) if part]
    each_apart(parts, job.workers, task, job.plan_timeout * max(map(len, parts), default=1), answered)
    return plans


def _plan(database: Database, job: Job) -> Plan | None:
    if left_by(job.layout, database.name).state in ("cut_short", "held"):
        return None
    try:
        record = Verified(**json.loads(_place(database, job).read_text(encoding="utf-8")))
        engine = engine_for(database, job)
        if record.entry != entry_digest(database, job, record.salt) or not engine.exists():
            return None
        found = engine.glance(record.table)
        if found is None or str(found.identity) != record.identity or found.heads != sorted(record.heads):
            return None
        heads = tuple(record.heads)
        stream = Stream(record.table, heads, (), heads)
        facts = engine.facts()
        return Plan(
            name=database.name,
            target=database.target or job.target,
            engine=engine.name,
            url=facts["url"],
            server=found.server,
            identity=record.identity,
            can_be_shared=engine.can_be_shared,
            streams=[stream],
            changed_history=[Refused(**finding) for finding in record.changed_history],
        )
    except Exception:  # noqa: BLE001 - each driver has errors of its own
        return None  # the full plan says what is the matter


def _place(database: Database, job: Job) -> Path:
    return job.layout.journals_of(database.name) / "verified.json"


def entry_digest(database: Database, job: Job, salt: str) -> str:
    """Return a digest of all that decides what env.py does, but for passwords, which only open doors."""
    doors = dict.fromkeys(("password", "admin_password", "rehearse_password"))
    entry = {**asdict(database), **doors, "target": database.target or job.target}
    facts = [salt, job.release, entry, sorted(job.alembic_options.items()), job.setup]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
