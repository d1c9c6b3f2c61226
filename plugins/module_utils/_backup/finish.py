# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""After a database was worked on: its backups are sealed and copied, as far as no revert needs them as they are.

Runs at the end of every verb, for all backups of the database, so what a crash left plain is sealed by the next run.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .._core.errors import ErrorFacts, Refused
from .._core.job import Database, Job
from .._core.paths import lock_folder, sync
from .._core.results import DatabaseResult
from .._journal.events import Event, Journal, format_now, is_recovered, list_newest_first
from .._journal.worker_lock import is_run_alive
from . import encryption
from .manifest import Manifest, check, check_sealed, list_proven, write_manifest
from .offsite import copy_off

if TYPE_CHECKING:
    from .._engines.interface import Report


def finish_backups(database: Database, job: Job, journal: Journal, result: DatabaseResult, report: Report) -> None:
    """Seal and copy what can be, and say in the result what could not; the database's own outcome stays as it is."""
    folder = job.layout.locate_backups(database.name)
    if not folder.is_dir():
        return
    problems = []
    answers = True
    with lock_folder(folder):  # the lock on the database was given back already
        unrecovered = _find_unrecovered(database, job, journal, result)
        for manifest in list_proven(folder):
            try:
                if manifest.run in unrecovered:
                    continue
                _put_in_order(manifest, job, report)
                # What did not take one copy takes no other, and may take as long again to say so.
                if answers:
                    answers = False
                    copy_off(manifest, job, report)
                    answers = True
            except (Refused, OSError) as error:
                problems.append(error.as_facts() if isinstance(error, Refused) else _explain_error(manifest, error))
    if problems:
        result["backup_problems"] = problems


def _put_in_order(manifest: Manifest, job: Job, report: Report) -> None:
    if job.backup_encrypt_to:
        if not manifest.sealed and manifest.files:
            report(f"encrypts the backup of run {manifest.run}")
            seal(manifest, job.backup_encrypt_to)
        if manifest.sealed:
            remove_plain(manifest)


def _explain_error(manifest: Manifest, error: OSError) -> ErrorFacts:
    return Refused(
        f"The backup {Path(manifest.path)} could not be sealed or copied",
        str(error),
        "Free disk space on the host, or correct migrate_backup_copy_to; the next run tries it again",
        code="backup-not-finished",
    ).as_facts()


def _find_unrecovered(database: Database, job: Job, journal: Journal, result: DatabaseResult) -> set[str]:
    """Return the runs whose revert may still need their plain backups, this one judged by its result."""
    needed = set()
    for run, events in list_newest_first(job.layout.locate_journals(database.name)):
        ended: list[Event] = []
        if run != journal.path.stem and is_run_alive(job.layout, run):
            needed.add(run)  # it has a backup already, and may begin its first revision any moment
            continue
        if run == journal.path.stem:
            ended = [{"event": "done", "verb": job.verb, "at": format_now(), "result": result}]
        recovered = is_recovered([*events, *ended])
        if recovered:
            break
        if recovered is False:
            needed.add(run)
    return needed


def seal(manifest: Manifest, to: str) -> None:
    """Encrypt the files of a proven backup beside them.

    Raises:
        Refused: it cannot be encrypted to this recipient.
        Failed: the backup is damaged, or could not be encrypted.
    """
    check(manifest)
    folder = Path(manifest.path)
    manifest.sealed = encryption.seal(folder, sorted(manifest.files), to).as_facts()
    write_manifest(manifest, folder)


def remove_plain(manifest: Manifest) -> None:
    """Remove the plain files of a backup whose encrypted archive is whole.

    Raises:
        Failed: the archive is damaged; the plain files stay.
    """
    folder = Path(manifest.path)
    there = [folder / name for name in manifest.files if (folder / name).exists()]
    if not there:
        return
    check_sealed(manifest)
    for path in there:
        path.unlink()
    for path in sorted({path.parent for path in there} - {folder}, reverse=True):
        with suppress(OSError):  # an operator has put something else there
            path.rmdir()
    sync(folder)
