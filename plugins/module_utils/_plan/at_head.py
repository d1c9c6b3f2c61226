# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases that are where the same release has verified them: env.py need not run again.

An upgrade leaves a record of what it verified, and a run of what its plan found at head, under which release, options
and URL. While all of that is the same, and the version table still holds the same heads in the same database, nothing
is pending. Whatever is not exactly so, or has more than one version table, is planned in full.

Neither Alembic nor SQLAlchemy is imported here: that would be most of what the answer costs.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import secrets
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.errors import ErrorFacts, Refused
from .._core.job import Database, Job
from .._core.paths import make_private_directory
from .._core.processes import Died, redirect_output, run_in_processes
from .._core.records import read_record, select_known_facts, write_record
from .._core.results import PlanFacts
from .._core.revisions import Stream
from .._core.urls import find_password
from .._engines.probe import probe_database
from .._journal.run_state import read_last_run_state
from .model import CHANGED_MEANWHILE, Plan

if TYPE_CHECKING:
    from .._migration.environment import Environment

_RELATIVE_TARGET = re.compile(r"[+-]\d+$")
_OF_PACKAGES = ("site-packages", "dist-packages")
_OF_A_PACKAGE = (".dist-info", ".egg-info", ".egg-link", ".egg", ".pth")


@dataclass(frozen=True)
class Verified:
    """The record of a database at head. The digest is salted: an entry may hold a secret."""

    salt: str
    entry: str
    engine: str
    #: The connect options of a probe.
    connect_options: dict[str, Any]
    url: str
    can_be_shared: bool
    identity: str
    table: str
    heads: list[str]
    #: The folders of revisions that are not part of the release, with a digest of each: a package can be upgraded.
    #: A folder has the name by which it was found, as that may be a link that is switched.
    outside: dict[str, str]
    #: What was found of changed history: the same release has the same files.
    changed_history: list[ErrorFacts] = field(default_factory=list)
    #: As ``Engine.read_creation_id``; an early record does not say it.
    made: str = ""
    #: As ``hash_packages``; an early record does not say it.
    packages: str = ""


def remember(
    environment: Environment, identity: str, heads: dict[str, list[str]], found: Iterable[Refused] = ()
) -> None:
    """Leave a record of a database at head, if it is one that can be looked up.

    Args:
        environment: of the database, in the job that verified it or found it there; env.py has run.
        identity: which database that is.
        heads: its revisions.
        found: what its plan found of changed history.
    """
    engine = environment.engine
    database, job = engine.database, engine.job
    connect_options = engine.build_connect_options()
    if len(heads) != 1 or connect_options is None or _RELATIVE_TARGET.search(database.target or job.target):
        return
    if environment.locations.may_be_named_by_env():
        return  # what it would name now, only env.py knows
    ((table, current),) = heads.items()
    salt = secrets.token_hex(16)
    record = Verified(
        salt=salt,
        entry=hash_entry(database, job, salt),
        engine=engine.name,
        connect_options=connect_options,
        url=engine.as_facts()["url"],
        can_be_shared=engine.can_be_shared,
        identity=identity,
        table=table,
        heads=current,
        outside={folder: hash_content(folder) for folder in environment.locations.list_outside()},
        changed_history=[finding.as_facts() for finding in found if finding.code != CHANGED_MEANWHILE],
        made=engine.open_own_connection().run(engine.read_creation_id) or "",
        packages=hash_packages(),
    )
    with suppress(OSError, Refused):  # without it the next plan is a full one, which is not a reason to fail
        place = _locate_answer(database, job)
        make_private_directory(place.parent)
        write_record(place, asdict(record))


def read_known_plans(job: Job) -> dict[str, PlanFacts]:
    """Return the plans of the databases that are at head beyond doubt; the others are left out."""
    plans: dict[str, PlanFacts] = {}

    def read_answers(part: list[Database]) -> dict[str, PlanFacts]:
        redirect_output(os.devnull)
        found = {database.name: _plan(database, job) for database in part}
        return {name: plan.as_facts() for name, plan in found.items() if plan}

    def handle_answer(_part: list[Database], answer: Any) -> None:
        if not isinstance(answer, Died):
            plans.update(answer)

    recorded = [database for database in job.databases if _locate_answer(database, job).is_file()]
    parts = [part for part in (recorded[start :: job.workers] for start in range(job.workers)) if part]
    run_in_processes(
        parts, job.workers, read_answers, job.plan_timeout * max(map(len, parts), default=1), handle_answer
    )
    return plans


def _plan(database: Database, job: Job) -> Plan | None:
    try:
        if read_last_run_state(job.layout, database.name).state in ("cut_short", "held"):
            return None
        record = _read(database, job)
        if not _is_of(record, database, job):
            return None
        found = probe_database(
            record.engine, record.connect_options, find_password(database), record.table, database.schema
        )
        if (
            found is None
            or (str(found.identity.with_schema(database.schema)), found.made) != (record.identity, record.made)
            or found.heads != sorted(record.heads)
        ):
            return None
        heads = tuple(record.heads)
        return Plan(
            name=database.name,
            target=database.target or job.target,
            engine=record.engine,
            url=record.url,
            server=found.server,
            identity=record.identity,
            instance=found.instance,
            can_be_shared=record.can_be_shared,
            streams=[Stream(record.table, heads, (), heads)],
            changed_history=[Refused.of(finding) for finding in record.changed_history],
        )
    except Exception:  # noqa: BLE001 - each driver has errors of its own
        return None  # the full plan says what is the matter


def _is_of(record: Verified, database: Database, job: Job) -> bool:
    """Return whether all that decides what env.py does is as it was when the record was made."""
    return (
        record.entry == hash_entry(database, job, record.salt)
        and record.packages == hash_packages()
        and all(hash_content(folder) == digest for folder, digest in record.outside.items())
    )


def _read(database: Database, job: Job) -> Verified:
    facts = read_record(_locate_answer(database, job))
    if "door" in facts:  # as it was called before there were formats
        facts.setdefault("connect_options", facts["door"])
    return Verified(**select_known_facts(Verified, facts))


def _locate_answer(database: Database, job: Job) -> Path:
    return job.layout.locate_journals(database.name) / "verified.json"


def hash_content(folder: str) -> str:
    """Return a digest of the place that a folder's name leads to, and of the code below it.

    Alembic's ``sourceless`` loads compiled files, also those in ``__pycache__`` whose source is not there.
    """
    place = Path(folder).resolve()
    digest = hashlib.sha256(json.dumps(str(place)).encode())
    for path in sorted(path for path in place.rglob("*.py*") if path.suffix == ".py" or _is_sourceless(path)):
        digest.update(json.dumps([str(path), hashlib.sha256(path.read_bytes()).hexdigest()]).encode())
    return digest.hexdigest()


def _is_sourceless(path: Path) -> bool:
    if path.suffix not in (".pyc", ".pyo"):
        return False
    if path.parent.name != "__pycache__":
        return True
    return not (path.parent.parent / f"{path.name.split('.', 1)[0]}.py").exists()


@functools.lru_cache(maxsize=1)
def hash_packages() -> str:
    """Return a digest of this virtualenv: where it really is, and which packages are installed in it.

    The name of a package's ``.dist-info`` has its version; entry points come and go with it, and so do the folders
    that ``package:folder`` means. A ``.pth`` file names further folders of packages.
    """
    facts: list[list[str]] = [[os.path.realpath(sys.prefix)]]
    for folder in sorted({os.path.realpath(path) for path in sys.path if Path(path).name in _OF_PACKAGES}):
        with suppress(OSError):
            entries = sorted(os.listdir(folder))
            facts.append([folder, *(name for name in entries if name.endswith(_OF_A_PACKAGE))])
            paths = [Path(folder, name) for name in entries if name.endswith((".pth", ".egg-link"))]
            facts.append([path.read_text(encoding="utf-8", errors="replace") for path in paths])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def hash_entry(database: Database, job: Job, salt: str) -> str:
    """Return a digest of all that decides what env.py does, but for passwords."""
    no_passwords = dict.fromkeys(("password", "admin_password", "rehearse_password"))
    entry = {**asdict(database), **no_passwords, "target": database.target or job.target}
    del entry["problem"], entry["problem_code"]  # with one there is no record
    facts = [salt, job.release, entry, sorted(job.alembic_options.items()), job.setup]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
