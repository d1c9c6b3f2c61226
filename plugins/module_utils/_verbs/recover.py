# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recovering what a dead run left in a database: compare it with the journal, then revert it, or hold it."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace

from .._backup.command import TOOL
from .._backup.manifest import Manifest, list_proven
from .._core.errors import ErrorFacts, Failed, Refused, describe_first
from .._core.job import Database, Job
from .._core.playbook_command import append_ways_out, build_playbook_command
from .._core.progress import Progress
from .._core.results import Answer, DatabaseResult, ResultDetails
from .._engines.comparison import Comparison
from .._engines.interface import Engine
from .._engines.parts import find_rehearser, find_restorer
from .._engines.registry import build_engine
from .._journal.abandoned_copies import DROPPED, list_abandoned
from .._journal.events import Journal, find_ending, read_events
from .._journal.run_state import RunState, read_last_run_state
from .._migration.env_proxy import build_environment
from .._migration.environment import Environment
from .._migration.state import Position, list_differences_since, read_position
from .._revert.downgrade_attempts import DowngradeAttempts
from .._revert.other_applications import list_changed_by_others, with_changes
from .._revert.revert import Revert
from .._revert.run_record import RunRecord
from .._revert.verification import compare_with, find_backup, has_committed
from .._revert.ways_out import list_ways_out_of
from .._worker.follow import build_result_of_dead
from .._worker.worker import attend


class Recovery(Revert):
    """The revert from a run that is dead. What it does is in that run's journal, as if it had done it itself."""

    def run(self, on_purpose: bool) -> DatabaseResult:
        """Revert the database, unless another session has done so while its lock was waited for.

        Raises:
            Refused: another run holds the database, its server cannot be reached, a backend still works in it, or it is
                another one than the run's.
        """
        engine = build_engine(self.database, self.job)
        of_run = self.run_record if on_purpose else RunRecord.of(self.run_record.run, self.journal.read_events_of_run())
        of_run.refuse_elsewhere(engine)
        environment = build_environment(self.database, self.job, engine)
        attempts = DowngradeAttempts(environment, self.journal, self.progress, self.run_record)
        with attempts as self._attempts, engine.lock(self.job.database_wait, self.progress.report) as self._lock:
            engine.end_migrating(self.job.lock_wait, self.progress.report)
            done = find_ending(self.journal.read_events_of_run(), self.journal.verb)
            if done and done["result"]["outcome"] != "failed":
                ended: DatabaseResult = done["result"]
                return {**ended, "changed": False}
            if not on_purpose:
                self._recover_upgrade()
            try:
                result = self._with_others(engine, self._revert(environment, on_purpose), on_purpose)
            except Refused as refusal:
                result = self._hold(engine, refusal)
            self.journal.write("done", result=result)
        return result

    def _recover_upgrade(self) -> None:
        """End the upgrade in the journal, which its worker could not do, and read what it did."""
        events = self.journal.read_events_of_run()
        if find_ending(events, "upgrade") is None:
            result = {
                **build_result_of_dead(self.database.name, events, "upgrade", "its worker was ended"),
                **_INTERRUPTED,
            }
            Journal(self.journal.path, "upgrade").write("done", result=result)
        # In place: the attempts of the downgrades have it.
        vars(self.run_record).update(vars(RunRecord.of(self.run_record.run, self.journal.read_events_of_run())))
        done = find_ending(self.journal.read_events_of_run(), "upgrade")
        self.run_record.error = self.run_record.error or (done["result"].get("error") if done else None) or ErrorFacts()

    def _revert(self, environment: Environment, on_purpose: bool) -> DatabaseResult:
        now = read_position(environment.engine, list(self.run_record.before.heads))
        self._expect_others(environment.engine, now)
        replaced = self._find_replaced(environment.engine, now)
        if replaced:
            return replaced
        record = self.run_record
        undecided = record.left or record.early or record.wrote_outside or self._list_other_tables(environment.engine)
        if not on_purpose and not undecided and self._is_old(environment.engine, now):
            self.journal.write("downgraded", **now.as_facts())
            return self._build_result("untouched", now)
        return self._revert_locked(environment, on_purpose)

    def _find_replaced(self, engine: Engine, now: Position) -> DatabaseResult | None:
        """Return the result of a restore that had put the backup in place when its process died, if there is one."""
        events = [
            event for event in self.journal.read_events_of_run() if event["event"] in ("restore_begun", "restored")
        ]
        if not events or not self._is_old(engine, now):
            return None
        if events[-1]["event"] == "restore_begun" and not self._is_proven(engine):
            return None
        begun = next(event for event in reversed(events) if event["event"] == "restore_begun")
        list_retained = [
            retained.name
            for retained in find_restorer(engine).list_retained()
            if retained.run == self.journal.path.stem
        ]
        retained = events[-1].get("retained") or next(iter(list_retained), "")
        if not retained:
            return None
        facts = {"retained": retained, "method": begun["method"]}
        if events[-1] is begun:
            self.journal.write("restored", path=begun["path"], **facts, **now.as_facts())
        details: ResultDetails = {
            "not_restored": [],
            "reason": begun["reason"],
            "retained": retained,
            "method": begun["method"],
        }
        return self._build_result("restored", now, details)

    def _is_proven(self, engine: Engine) -> bool:
        """Return whether the database holds what the backup does, where what is kept of it does not prove that."""
        if find_restorer(engine).retained_means_replaced:
            return True
        find_restorer(engine).drop_unused_retained(self.journal.path.stem)
        manifest = self._read_manifest()
        return manifest is not None and _holds(engine, manifest, self._record_of_now(), self.progress)

    def _list_other_tables(self, engine: Engine) -> set[str]:
        """Return tables with other rows than the backup's, where the rows themselves can be compared."""
        return (
            self._list_changed_tables(engine, self._read_manifest(), {})
            if find_restorer(engine).restores_quickly
            else set()
        )


_INTERRUPTED = {"interrupted": True}
_MOST_NAMED = 5


def _holds(engine: Engine, manifest: Manifest, run_record: RunRecord, progress: Progress) -> bool:
    """Return whether a database holds what a backup does, its rows included, however large it is."""
    if not engine.is_present():
        return manifest.as_archive().path.is_dir()
    found = compare_with(manifest, engine, run_record, progress, sys.maxsize)
    return found.is_equal and not found.others


def recover_database(database: Database, job: Job, journal: Journal, progress: Progress) -> DatabaseResult:
    """Recover what dead runs left of a database and return the result; that it is held is a result, too.

    Raises:
        Refused: it could not be read; then nothing is recovered, and the next run tries again.
    """
    left = read_last_run_state(job.layout, database.name)
    if left.state not in ("held", "cut_short"):
        runs = list_abandoned(job.layout, database.name)
        dropped = _drop_abandoned(database, job)
        return {
            "name": database.name,
            "outcome": "pruned" if dropped else "unchanged",
            "changed": bool(dropped),
            "of_run": runs[0] if runs else left.run,
            "dropped": dropped,
        }
    result = _recover_run(database, job, journal, progress, left)
    with suppress(Refused):  # what was recovered is what counts; the next recovery searches for the copies again
        _drop_abandoned(database, job)
    return {"of_run": left.run, **result}


def _recover_run(database: Database, job: Job, journal: Journal, progress: Progress, left: RunState) -> DatabaseResult:
    path = job.layout.locate_journal(database.name, left.run) if left.run else journal.path
    if left.state == "held":
        result = _clear_held(database, job, left, progress)
    elif left.verb == "restore":
        result = _recover_restore(database, job, left, progress)
    elif left.verb == "rollback":
        run_record = RunRecord.of(left.of_run, read_events(job.layout.locate_journal(database.name, left.of_run)))
        run_record.begun, run_record.cut_short = run_record.committed, True
        by_another_run = left.of_run != left.run
        result = Recovery(database, job, Journal(path, "rollback"), progress, run_record).run(on_purpose=by_another_run)
    else:
        run_record = RunRecord(left.run)
        result = Recovery(database, job, Journal(path, "downgrade"), progress, run_record).run(on_purpose=False)
    return result


def _recover_restore(database: Database, job: Job, left: RunState, progress: Progress) -> DatabaseResult:
    """Return whether a restore that died had replaced the database.

    It does so in one step or not at all, but for a command of the user's, which may be half-way: that is held.
    """
    engine = build_engine(database, job)
    journal = Journal(job.layout.locate_journal(database.name, left.run), "restore")
    events = journal.read_events_of_run()
    begun = next(event for event in reversed(events) if event["event"] == "restore_begun")
    ended = next((event for event in events if event["event"] == "restored"), {})
    if begun["method"] == TOOL and not ended:
        return _hold_half_restored(database, job, left, journal, begun["path"])
    manifest = next(
        (each for each in list_proven(job.layout.locate_backups(database.name)) if each.path == begun["path"]),
        None,
    )
    with engine.lock(job.database_wait, progress.report):
        if (
            not ended
            and not find_restorer(engine).retained_means_replaced
            and not find_restorer(engine).is_readable()
            and not _is_gone(manifest)
        ):
            return _hold_half_restored(database, job, left, journal, begun["path"])
        if not ended:
            find_restorer(engine).drop_unused_retained(left.run)
        now = read_position(engine, list(manifest.heads) if manifest else [])
        # What it replaced may have been pruned since; the journal knows that it was replaced.
        retained = ended.get("retained") or next(
            (retained.name for retained in find_restorer(engine).list_retained() if retained.run == left.run), ""
        )
        if retained and not ended and not _is_replaced(engine, manifest, now, progress):
            return _hold_half_restored(database, job, left, journal, begun["path"])
        outcome = "restored" if retained or ended else "untouched"
        if retained and not ended:
            facts = {"retained": retained, "method": begun["method"]}
            journal.write("restored", path=begun["path"], **facts, **now.as_facts())
        result: DatabaseResult = {
            "name": database.name,
            "outcome": outcome,
            "changed": False,
            "retained": retained,
            "after": now.revisions,
        }
        journal.write("done", result=result)
    return result


def _is_gone(manifest: Manifest | None) -> bool:
    """Return whether a restore leads to no file at all."""
    return manifest is not None and manifest.as_archive().path.is_dir()


def _is_replaced(engine: Engine, manifest: Manifest | None, now: Position, progress: Progress) -> bool:
    """Return whether a database for which something was kept was replaced by its backup."""
    if find_restorer(engine).retained_means_replaced:
        return True
    if (
        manifest is None
        or now.heads != manifest.heads
        or list_differences_since(engine, manifest.fingerprint, now.fingerprint)
    ):
        return False
    return _holds(engine, manifest, RunRecord(manifest.run), progress)


def _hold_half_restored(database: Database, job: Job, left: RunState, journal: Journal, path: str) -> DatabaseResult:
    failure = Failed(
        f"The restore of {database.name!r} was interrupted in run {left.run}",
        "it is not proven that the database is what it was before, or what the backup holds",
        code="restore-interrupted",
    )
    ways = list_ways_out_of(database, job, path, left.run)
    journal.write("held", error=failure.as_facts(), ways_out=ways)
    result: DatabaseResult = {
        "name": database.name,
        "outcome": "held",
        "changed": False,
        "error": failure.as_facts(),
        "ways_out": ways,
    }
    journal.write("done", result=result)
    return result


def _clear_held(database: Database, job: Job, left: RunState, progress: Progress) -> DatabaseResult:
    """Let a held database go on if it is where its run began, or where that run would have brought it.

    Raises:
        Refused: it is between.
    """
    if left.verb == "restore":
        raise Refused(
            f"Database {database.name!r} is held since the restore of run {left.run}",
            "that restore stopped half-way, and only another one brings the database back",
            append_ways_out(left.ways_out),
            code="database-held",
        )
    engine = build_engine(database, job)
    journal = Journal(job.layout.locate_journal(database.name, left.run), "recover")
    run_record = RunRecord.of(
        left.of_run or left.run, read_events(job.layout.locate_journal(database.name, left.of_run or left.run))
    )
    with engine.lock(job.database_wait, progress.report):
        engine.end_migrating(job.lock_wait, progress.report)
        now = read_position(engine, list(run_record.before.heads))
        # A person was at work since, so the journals alone show what other applications wrote.
        run_record.cut_short = True
        before = with_changes(run_record.before.fingerprint, list_changed_by_others(engine, run_record, now))
        has_old_heads = now.heads == run_record.before.heads
        differs = list_differences_since(engine, before, now.fingerprint) if has_old_heads else []
        old = has_old_heads and not differs
        if not old and any(stream.pending for stream in build_environment(database, job, engine).read_streams()):
            raise _record_refusal(
                journal,
                f"Database {database.name!r} is neither where run {left.run} began nor where it would have ended",
                describe_first(differs, _MOST_NAMED) or f"it is at {now}",
                left.ways_out,
            )
        if old and database.name not in job.accept_rows:
            _refuse_other_rows(engine, journal, left, run_record, progress)
        journal.write("cleared", **now.as_facts())
    return {"name": database.name, "outcome": "cleared", "changed": False, "after": now.revisions}


def _refuse_other_rows(
    engine: Engine, journal: Journal, left: RunState, run_record: RunRecord, progress: Progress
) -> None:
    """Refuse to let a held database go on whose rows a failed run may have left changed: it would change them again.

    Raises:
        Refused: it differs from the backup of the run, or is not compared with it.
    """
    manifest = find_backup(run_record)
    found = Comparison()
    try:
        if manifest is not None:
            found = compare_with(manifest, engine, run_record, progress, sys.maxsize)
        elif has_committed(run_record):
            found = Comparison(not_compared=["the rows: the backup of that run is not there"])
    except Refused as refusal:
        found = Comparison(not_compared=[f"the rows: {refusal.what}: {refusal.why}"])
    # By now it is not known what the failed step has written, so all rows count.
    if found.is_equal and not found.others:
        return
    differences = "; ".join(filter(None, [str(found), describe_first(found.others, _MOST_NAMED)]))
    name = engine.database.name
    accepted = build_playbook_command("migrate", migrate_retry_failed=[name], migrate_accept_rows=[name])
    ways = {**left.ways_out, "accept": f"compare them, and if they are right: {accepted}"}
    what = f"Database {name!r} has its old revision, and other rows than the backup of run {left.run}"
    raise _record_refusal(journal, what, differences, ways)


def _record_refusal(journal: Journal, what: str, why: str, ways: dict[str, str]) -> Refused:
    """Journal why a held database cannot go on, for the reports of later runs, and return that as an error."""
    refusal = Refused(what, why, code="database-held")
    journal.write("not_cleared", error=refusal.as_facts(), ways_out=ways)
    return Refused(what, why, append_ways_out(ways), code=refusal.code)


def _drop_abandoned(database: Database, job: Job) -> list[str]:
    """Drop what dead rehearsals of a database have left, and return the names of the copies.

    Raises:
        Refused: they cannot be searched for where they were made.
    """
    runs = list_abandoned(job.layout, database.name)
    if not runs:
        return []
    engine = build_engine(database, job)
    try:
        scratches = find_rehearser(engine).list_scratches()
        for scratch in scratches:
            find_rehearser(engine).drop_scratch(scratch)
    finally:
        engine.close()
    names = [scratch.name for scratch in scratches]
    for run in runs:
        Journal(job.layout.locate_rehearsal(database.name, run), "recover").write(DROPPED, names=names)
    return names


def recover(job: Job) -> Answer:
    """Recover what dead runs of one release have left; each release that left something has a worker of its own."""
    return attend(replace(job, verb=f"recover-{job.release[:12]}"), list(job.databases), recover_database)
