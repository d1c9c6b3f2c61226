# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of one database: where it is, where it would go, and what would stop it.

The database is read, never written to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from .._backup.preflight import backup_obstacles
from .._backup.restore_forecast import forecast_restore
from .._core.errors import Refused, first_of
from .._core.job import Database, Job
from .._core.paths import Layout
from .._core.playbook_command import playbook_command
from .._core.revisions import EXPAND
from .._engines.connection import first_line
from .._engines.interface import Engine
from .._engines.parts import rehearser_of
from .._engines.registry import engine_for
from .._engines.sqlalchemy_import import sa
from .._journal.durations import read_known_seconds
from .._journal.run_state import last_run_state
from .._migration.dry_run import WritesBefore
from .._migration.env_proxy import environment_of
from .._migration.environment import Environment
from .at_head import remember
from .changed_history import (
    MADE_ANEW,
    History,
    check_made_anew,
    find_applied_elsewhere,
    find_changed_history,
    was_made_by_other_entry,
)
from .model import CHANGED_MEANWHILE, Plan
from .rehearsal_record import missing_rehearsal

#: The code of a database that was changed while env.py was run for its plan.
_MOST_NAMED = 5


def plan_database(database: Database, job: Job, in_place: Callable[[bool], None] | None = None) -> Plan:
    """Return the plan of a database; whatever would stop its upgrade is an obstacle in it, not an error.

    Args:
        database: its entry.
        job: names the release.
        in_place: run env.py in this process, which is thrown away, and call this when it begins and ends.

    Raises:
        WritesBefore: env.py was run in this process, and that does not do.
    """
    plan = Plan(database.name, database.target or job.target)
    try:
        engine = engine_for(database, job)
        environment = environment_of(database, job, engine)
        environment.in_place = in_place
        fill_plan(plan, engine, environment)
        # A database that was made anew is one of which nothing is known yet.
        anew = any(finding.code in (MADE_ANEW, CHANGED_MEANWHILE) for finding in plan.changed_history)
        if job.remember and engine.exists() and not (plan.pending or plan.obstacles or anew):
            remember(environment, plan.identity, plan.heads, plan.changed_history)
    except WritesBefore:
        raise
    except Refused as refusal:
        plan.obstacles.append(_with_release(refusal, job.layout))
    except sa.exc.SQLAlchemyError as error:
        plan.obstacles.append(
            Refused(
                f"Database {database.name!r} could not be read",
                first_line(error),
                "Correct its url in migrate_databases, or see what its server says",
                code="database-unreadable",
            )
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the plan says so and no process dies of it
        plan.obstacles.append(
            Refused(
                f"Database {database.name!r} could not be planned",
                f"{type(error).__name__}: {error}",
                "Run again; if it happens again, report it with its output",
                code="plan-failed",
            )
        )
    return plan


def fill_plan(plan: Plan, engine: Engine, environment: Environment, *, forecast: bool = True) -> None:
    """Read the revisions of a database.

    Args:
        plan: to fill.
        engine: aimed at the database.
        environment: of the release.
        forecast: whether it is to say how a restore would be done.

    Raises:
        Refused: that is unknown.
    """
    _fill_plan(plan, engine, environment)
    if forecast and plan.pending and engine.exists():
        plan.restore = forecast_restore(engine)
    job = environment.job
    left = last_run_state(_lasting(job), plan.name, besides=job.run)
    past = left.obstacle(bool(plan.pending), job.retry_failed, job.release)
    plan.obstacles[:0] = [past] if past else []


def _lasting(job: Job) -> Layout:
    """Return where the journals are: a plan that is made in a temporary folder is one for those of the real one."""
    return Layout(Path(job.shipping_makes or job.root))


def _fill_plan(plan: Plan, engine: Engine, environment: Environment) -> None:
    plan.engine = engine.name
    plan.url = engine.facts()["url"]
    plan.can_be_shared = engine.can_be_shared
    if not engine.exists():
        folder = Path(str(engine.url.database)).parent
        if str(folder) != environment.job.shipping_makes:
            plan.obstacles += _cannot_be_made(environment.database, folder)
        plan.server, plan.identity = "not there yet", str(engine.own_identity())
        plan.streams = environment.unborn()
        history = History.of(_lasting(environment.job).journals_of(plan.name))
        plan.changed_history = check_made_anew(plan.name, history, None)
        if environment.job.on_changed_history == "refuse":
            plan.obstacles += plan.changed_history
        plan.obstacles += _find_unexpanded(plan)
        plan.obstacles += backup_obstacles(environment.job)
        plan.obstacles += missing_rehearsal(plan, environment.database, environment.job)
        return
    own = engine.own_connection()
    plan.server = own.run(engine.describe)
    plan.identity = str(engine.own_identity())
    plan.instance = own.run(engine.instance) or engine.file_number()
    before = engine.state_of_writes()
    plan.streams = environment.streams(plan.instance)
    written = engine.describe_writes_since(before)
    _compare_with_journals(plan, environment, _refuse_changed_meanwhile(plan.name, written))
    plan.obstacles += _find_unexpanded(plan)
    if plan.pending:
        known = read_known_seconds(_lasting(environment.job), plan.name)
        plan.expected_seconds = known[0] if known else None
        plan.obstacles += backup_obstacles(environment.job)
        tables = [stream.table for stream in plan.streams]
        plan.obstacles += engine.obstacles(engine.own_connection(), environment.job.layout.root, tables)
        plan.notes = [] if environment.job.backup_command else engine.backup_notes()
        plan.obstacles += _no_place_for_copy(engine) if environment.job.rehearses else []
        plan.obstacles += missing_rehearsal(plan, environment.database, environment.job)


def _no_place_for_copy(engine: Engine) -> list[Refused]:
    try:
        rehearser_of(engine).check_place()
    except Refused as refusal:
        return [refusal]
    return []


def _compare_with_journals(plan: Plan, environment: Environment, meanwhile: list[Refused]) -> None:
    job = environment.job
    history = History.of(_lasting(job).journals_of(plan.name))
    # What was applied to another database says nothing of this one.
    plan.changed_history = _check_made_anew(plan.name, history, environment.engine, _lasting(job))
    plan.changed_history = plan.changed_history or find_changed_history(environment, plan.streams, history)
    if plan.pending and job.on_changed_history == "refuse":
        plan.obstacles += plan.changed_history
    # Others may have done it, so it refuses nothing.
    plan.changed_history += meanwhile
    if plan.pending:
        plan.obstacles += find_applied_elsewhere(environment, plan.streams, history)


def _check_made_anew(name: str, history: History, engine: Engine, layout: Layout) -> list[Refused]:
    made = engine.own_connection().run(engine.read_creation_id)
    found = check_made_anew(name, history, made)
    if made and found and history.made and was_made_by_other_entry(engine, layout, made, history.made[0]):
        return []
    return found


def _refuse_changed_meanwhile(name: str, written: list[str]) -> list[Refused]:
    """Return that a database was changed while env.py was run for its plan."""
    if not written:
        return []
    return [
        Refused(
            f"Database {name!r} was changed while it was planned",
            f"env.py or another session wrote {first_of(written, _MOST_NAMED)}",
            "Where env.py does so by a driver itself, let it do so in a transaction of SQLAlchemy or in a revision",
            code=CHANGED_MEANWHILE,
        )
    ]


def _find_unexpanded(plan: Plan) -> list[Refused]:
    """Alembic itself would apply what a contracting revision depends on, and then take from it at once."""
    missing = [revision for stream in plan.streams for revision in stream.unexpanded]
    if not missing:
        return []
    return [
        Refused(
            f"Database {plan.name!r} cannot be contracted before it was expanded",
            f"not applied of {EXPAND}@head: {', '.join(missing)}",
            f"Expand and deploy the application first: {playbook_command('migrate', migrate_target=f'{EXPAND}@head')}",
            code="contract-before-expand",
        )
    ]


def _cannot_be_made(database: Database, folder: Path) -> list[Refused]:
    if folder.is_dir() and os.access(folder, os.W_OK):
        return []
    return [
        Refused(
            f"Database {database.name!r} is not there and cannot be made",
            f"{folder} does not exist or is read-only for this user",
            "Make the folder, or correct the url",
            code="database-not-creatable",
        )
    ]


def _with_release(refusal: Refused, layout: Layout) -> Refused:
    """Say which release on the host knows a revision that this one does not."""
    match = re.search(r"Can't locate revision identified by '([^']+)'", refusal.why)
    if not match:
        return refusal
    knowing = _releases_with(layout, match[1])
    remedy = (
        f"Release {', '.join(knowing)} on this host knows it: set migrate_source to a directory not older than that"
        if knowing
        else "No release on this host knows it: set migrate_source to the directory it came from"
    )
    return Refused(refusal.what, refusal.why, remedy, code=refusal.code)


def _releases_with(layout: Layout, revision: str) -> list[str]:
    assignment = re.compile(rf"^revision(?:\s*:[^=]+)?\s*=\s*['\"]{re.escape(revision)}['\"]", re.MULTILINE)
    found = []
    for release in sorted(path for path in layout.releases.glob("*") if not path.is_symlink()):
        files = release.glob("source/**/*.py")
        if any(assignment.search(file.read_text(encoding="utf-8", errors="replace")) for file in files):
            found.append(release.name[:12])
    return found
