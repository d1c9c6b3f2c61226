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

from .._backup.preflight import list_backup_obstacles
from .._backup.restore_forecast import forecast_restore
from .._core.errors import Refused, describe_first
from .._core.job import Database, Job
from .._core.paths import Layout
from .._core.playbook_command import build_playbook_command
from .._core.revisions import EXPAND
from .._engines.connection import describe_error
from .._engines.interface import Engine
from .._engines.parts import find_rehearser
from .._engines.registry import build_engine
from .._engines.sqlalchemy_import import sa
from .._journal.durations import read_known_seconds
from .._journal.run_state import read_last_run_state
from .._migration.dry_run import WritesBefore
from .._migration.env_proxy import build_environment
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
from .rehearsal_record import list_missing_rehearsal

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
        engine = build_engine(database, job)
        environment = build_environment(database, job, engine)
        environment.in_place = in_place
        fill_plan(plan, engine, environment)
        # A database that was made anew is one of which nothing is known yet.
        anew = any(finding.code in (MADE_ANEW, CHANGED_MEANWHILE) for finding in plan.changed_history)
        if job.remember and engine.is_present() and not (plan.pending or plan.obstacles or anew):
            remember(environment, plan.identity, plan.heads, plan.changed_history)
    except WritesBefore:
        raise
    except Refused as refusal:
        plan.obstacles.append(_with_release(refusal, job.layout))
    except sa.exc.SQLAlchemyError as error:
        plan.obstacles.append(
            Refused(
                f"Database {database.name!r} could not be read",
                describe_error(error),
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
    if forecast and plan.pending and engine.is_present():
        plan.restore = forecast_restore(engine)
    job = environment.job
    left = read_last_run_state(_build_lasting_layout(job), plan.name, besides=job.run)
    past = left.find_obstacle(bool(plan.pending), job.retry_failed, job.release)
    plan.obstacles[:0] = [past] if past else []


def _build_lasting_layout(job: Job) -> Layout:
    """Return where the journals are: a plan that is made in a temporary folder is one for those of the real one."""
    return Layout(Path(job.shipping_makes or job.root))


def _fill_plan(plan: Plan, engine: Engine, environment: Environment) -> None:
    plan.engine = engine.name
    plan.url = engine.as_facts()["url"]
    plan.can_be_shared = engine.can_be_shared
    if not engine.is_present():
        folder = Path(str(engine.url.database)).parent
        if str(folder) != environment.job.shipping_makes:
            plan.obstacles += _list_creation_obstacles(environment.database, folder)
        plan.server, plan.identity = "not there yet", str(engine.read_own_identity())
        plan.streams = environment.plan_unborn()
        history = History.of(_build_lasting_layout(environment.job).locate_journals(plan.name))
        plan.changed_history = check_made_anew(plan.name, history, None)
        if environment.job.on_changed_history == "refuse":
            plan.obstacles += plan.changed_history
        plan.obstacles += _find_unexpanded(plan)
        plan.obstacles += list_backup_obstacles(environment.job)
        plan.obstacles += list_missing_rehearsal(plan, environment.database, environment.job)
        return
    own = engine.open_own_connection()
    plan.server = own.run(engine.describe)
    plan.identity = str(engine.read_own_identity())
    plan.instance = own.run(engine.read_instance) or engine.read_file_number()
    before = engine.read_write_state()
    plan.streams = environment.read_streams(plan.instance)
    written = engine.describe_writes_since(before)
    _compare_with_journals(plan, environment, _refuse_changed_meanwhile(plan.name, written))
    plan.obstacles += _find_unexpanded(plan)
    if plan.pending:
        known = read_known_seconds(_build_lasting_layout(environment.job), plan.name)
        plan.expected_seconds = known[0] if known else None
        plan.obstacles += list_backup_obstacles(environment.job)
        tables = [stream.table for stream in plan.streams]
        plan.obstacles += engine.list_obstacles(engine.open_own_connection(), environment.job.layout.root, tables)
        plan.notes = [] if environment.job.backup_command else engine.list_backup_notes()
        plan.obstacles += _list_copy_obstacles(engine) if environment.job.rehearses else []
        plan.obstacles += list_missing_rehearsal(plan, environment.database, environment.job)


def _list_copy_obstacles(engine: Engine) -> list[Refused]:
    try:
        find_rehearser(engine).check_place()
    except Refused as refusal:
        return [refusal]
    return []


def _compare_with_journals(plan: Plan, environment: Environment, meanwhile: list[Refused]) -> None:
    job = environment.job
    history = History.of(_build_lasting_layout(job).locate_journals(plan.name))
    # What was applied to another database says nothing of this one.
    plan.changed_history = _check_made_anew(plan.name, history, environment.engine, _build_lasting_layout(job))
    plan.changed_history = plan.changed_history or find_changed_history(environment, plan.streams, history)
    if plan.pending and job.on_changed_history == "refuse":
        plan.obstacles += plan.changed_history
    # Others may have done it, so it refuses nothing.
    plan.changed_history += meanwhile
    if plan.pending:
        plan.obstacles += find_applied_elsewhere(environment, plan.streams, history)


def _check_made_anew(name: str, history: History, engine: Engine, layout: Layout) -> list[Refused]:
    made = engine.open_own_connection().run(engine.read_creation_id)
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
            f"env.py or another session wrote {describe_first(written, _MOST_NAMED)}",
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
            f"Expand and deploy the application first:"
            f" {build_playbook_command('migrate', migrate_target=f'{EXPAND}@head')}",
            code="contract-before-expand",
        )
    ]


def _list_creation_obstacles(database: Database, folder: Path) -> list[Refused]:
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
    knowing = _list_releases_with(layout, match[1])
    remedy = (
        f"Release {', '.join(knowing)} on this host knows it: set migrate_source to a directory not older than that"
        if knowing
        else "No release on this host knows it: set migrate_source to the directory it came from"
    )
    return Refused(refusal.what, refusal.why, remedy, code=refusal.code)


def _list_releases_with(layout: Layout, revision: str) -> list[str]:
    assignment = re.compile(rf"^revision(?:\s*:[^=]+)?\s*=\s*['\"]{re.escape(revision)}['\"]", re.MULTILINE)
    found = []
    for release in sorted(path for path in layout.releases.glob("*") if not path.is_symlink()):
        files = release.glob("source/**/*.py")
        if any(assignment.search(file.read_text(encoding="utf-8", errors="replace")) for file in files):
            found.append(release.name[:12])
    return found
