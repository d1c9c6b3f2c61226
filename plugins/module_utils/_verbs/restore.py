# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restore databases from a backup that was requested."""

from __future__ import annotations

import time

from .._backup.command import TOOL
from .._backup.manifest import Manifest, list_proven
from .._core.errors import HALF_WAY, Failed, Refused
from .._core.job import Database, Job
from .._core.playbook_command import build_playbook_command
from .._core.progress import Progress
from .._core.results import Answer, DatabaseResult
from .._engines.parts import find_restorer
from .._engines.registry import build_engine
from .._journal.events import Journal
from .._migration.state import Position, read_position
from .._revert.restore import bring_back, collect_written_rows
from .._revert.ways_out import list_ways_out_of
from .._worker.worker import attend


def restore_database(database: Database, job: Job, journal: Journal, progress: Progress) -> DatabaseResult:
    """Restore a database on purpose and return the result; that it was refused is a result, too.

    Raises:
        Refused: its URL cannot be used, or there is no such backup.
    """
    begun = time.monotonic()
    engine = build_engine(database, job)
    manifest = choose_backup(database, job)
    made = manifest.tool != TOOL and find_restorer(engine).make_if_dropped(manifest.as_archive(), progress.report)
    try:
        with engine.lock(job.database_wait, progress.report):
            unread = Position({table: [] for table in manifest.heads})
            before = (
                read_position(engine, list(manifest.heads))
                if find_restorer(engine).is_readable() and not made
                else unread
            )
            since = collect_written_rows(database, job, manifest)
            try:
                restored, now = bring_back(engine, manifest, since, journal, progress, "requested", may_lose=True)
            except Failed as failure:
                if failure.code != HALF_WAY:
                    raise
                return _hold_database(database, job, manifest, journal, failure)
    except BaseException:
        if made:
            find_restorer(engine).drop_empty()
        raise
    return {
        "name": database.name,
        "outcome": "restored",
        "changed": True,
        "of_run": manifest.run,
        "before": before.revisions,
        "after": now.revisions,
        "backup": manifest.as_facts(),
        "retained": restored.retained,
        "method": restored.method,
        "not_restored": restored.not_restored,
        "seconds": round(time.monotonic() - begun, 3),
    }


def _hold_database(
    database: Database, job: Job, manifest: Manifest, journal: Journal, failure: Failed
) -> DatabaseResult:
    """Return the result of a restore that began to replace a database and did not prove that it has."""
    ways = list_ways_out_of(database, job, manifest.path, journal.path.stem)
    journal.write("held", error=failure.as_facts(), ways_out=ways)
    return {
        "name": database.name,
        "outcome": "held",
        "changed": True,
        "of_run": manifest.run,
        "backup": manifest.as_facts(),
        "error": failure.as_facts(),
        "ways_out": ways,
    }


def choose_backup(database: Database, job: Job) -> Manifest:
    """Return the backup that was requested: of a run, of a path, or else the newest.

    Raises:
        Refused: there is none such.
    """
    taken = list_proven(job.layout.locate_backups(database.name))
    for manifest in taken:
        if manifest.is_of(job.of_run, job.backup):
            return manifest
    wanted = f"of run {job.of_run}" if job.of_run else f"at {job.backup}" if job.backup else "at all"
    known = ", ".join(manifest.run for manifest in taken) or "none"
    raise Refused(
        f"There is no backup {wanted} of database {database.name!r} on this host",
        f"its folder holds these: {known}",
        f"This shows the last one: {build_playbook_command('status')}",
        code="backup-not-found",
    )


def restore(job: Job) -> Answer:
    """Bring a backup of every database back, on purpose."""
    return attend(job, list(job.databases), restore_database)
