# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back databases up, whether anything is pending or not."""

from __future__ import annotations

from .._backup.restore_forecast import forecast_restore
from .._backup.retention import prune_backups
from .._backup.take import take
from .._core.errors import Refused
from .._core.job import Database, Job
from .._core.progress import Progress
from .._core.results import Answer, DatabaseResult
from .._engines.interface import Engine
from .._engines.registry import build_engine
from .._journal.events import Journal
from .._migration.env_proxy import build_environment
from .._migration.environment import Environment
from .._migration.state import read_position
from .._worker.worker import attend


def backup(job: Job) -> Answer:
    """Back up every database, in a worker that outlives the connection."""
    answer = attend(job, list(job.databases), back_up_database)
    if answer["finished"]:
        prune_backups(job)
    return answer


def back_up_database(database: Database, job: Job, journal: Journal, progress: Progress) -> DatabaseResult:
    """Back one database up under its lock, whether anything is pending or not.

    Raises:
        Refused: it does not exist, cannot be reached, or is held by another run.
        Failed: the backup could not be written or proven.
    """
    engine = build_engine(database, job)
    environment = build_environment(database, job, engine)
    journal.write("planned", release=job.release)
    with engine.lock(job.database_wait, progress.report):
        journal.write("locked")
        tables = list_version_tables(engine, environment)
        progress.begin_phase("backs up")
        position = read_position(environment.engine, tables)
        manifest = take(engine, position.heads, job, progress.report)
        restore = forecast_restore(engine, manifest)
    journal.write("backed_up", path=manifest.path, size=manifest.size, **position.as_facts())
    return {
        "name": database.name,
        "outcome": "backed_up",
        "changed": True,
        "before": position.revisions,
        "after": position.revisions,
        "backup": manifest.as_facts(),
        "restore": restore,
        "seconds": manifest.seconds,
    }


def list_version_tables(engine: Engine, environment: Environment) -> list[str]:
    """Return the version tables of a database that is backed up.

    Raises:
        Refused: it does not exist.
    """
    with engine.watch_connections():
        tables = [stream.table for stream in environment.read_streams()] if engine.is_present() else []
    if not tables:
        raise Refused(
            f"Database {engine.database.name!r} does not exist yet, so there is nothing to back up",
            remedy="Migrate it first, or correct its url in migrate_databases",
            code="database-missing",
        )
    return tables
