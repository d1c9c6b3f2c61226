# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of what env.py reports to the plan of a run, for the upgrade of the same run a few minutes later.

An upgrade plans again under its lock. Of what env.py says it needs the version table alone, to read the database before
it is backed up: where env.py leads is checked again before anything is migrated. So env.py need not run, in a process
and with a connection of its own, to say the same once more. Whatever is not exactly as it was is planned in full.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .._core.errors import Refused
from .._core.job import Database, Job
from .._core.paths import private_directory
from .._core.records import read_record, select_known_facts, write_passing_record
from .._core.revisions import Stream
from .._migration.version_table import read_heads, read_heads_at_once
from .at_head import content_of, digest_packages, entry_digest

if TYPE_CHECKING:
    from .._migration.environment import Environment
    from .model import Plan

#: Seconds. What env.py reads elsewhere may change in a longer time.
_LASTS = 900


@dataclass(frozen=True)
class Planned:
    """The record of a database with revisions pending. The digest is salted: an entry may hold a secret."""

    run: str
    salt: str
    entry: str
    identity: str
    #: As ``Engine.read_creation_id``.
    made: str
    table: str
    heads: list[str]
    #: As in the record of a database at head.
    outside: dict[str, str]
    packages: str


def keep_plan(environment: Environment, plan: Plan) -> None:
    """Leave what env.py has reported for the upgrade of the same run, if that is all that an upgrade needs of it.

    Args:
        environment: of the database; env.py has run in it, and has written nothing.
        plan: what came of it.
    """
    engine = environment.engine
    database, job = engine.database, engine.job
    if not job.run or len(plan.streams) != 1 or environment.in_own_process:
        return
    if environment.locations.may_be_named_by_env():
        return  # what it would name then, only env.py knows
    salt = secrets.token_hex(16)
    record = Planned(
        run=job.run,
        salt=salt,
        entry=entry_digest(database, job, salt),
        identity=plan.identity,
        made=engine.own_connection().run(engine.read_creation_id) or "",
        table=plan.streams[0].table,
        heads=sorted(plan.streams[0].heads),
        outside={folder: content_of(folder) for folder in environment.locations.outside()},
        packages=digest_packages(),
    )
    with suppress(OSError, Refused):  # without it the upgrade runs env.py once more
        place = _place(database, job)
        private_directory(place.parent)
        write_passing_record(place, asdict(record))


def take_planned_streams(environment: Environment, identity: str) -> list[Stream]:
    """Return the revisions of a database by what its run's own plan has left, once; nothing where that does not do.

    Args:
        environment: of the database; env.py has not run.
        identity: to which database our own connection leads.
    """
    engine = environment.engine
    database, job = engine.database, engine.job
    place = _place(database, job)
    try:
        age = time.time() - place.stat().st_mtime
        record = Planned(**select_known_facts(Planned, read_record(place)))
        place.unlink()
        own = engine.own_connection()
        if (
            environment.in_own_process
            or not 0 <= age < _LASTS
            or (record.run, record.identity) != (job.run, identity)
            or record.entry != entry_digest(database, job, record.salt)
            or record.packages != digest_packages()
            or record.made != (own.run(engine.read_creation_id) or "")
            or any(content_of(folder) != digest for folder, digest in record.outside.items())
        ):
            return []
        heads = read_heads_at_once(engine, record.table) if record.heads else read_heads(own, record.table)
        return [environment.stream_of(record.table, heads)] if list(heads) == record.heads else []
    except (OSError, ValueError, TypeError, Refused):
        return []  # env.py says it, or what is the matter


def _place(database: Database, job: Job) -> Path:
    return job.layout.journals_of(database.name) / "planned.json"
