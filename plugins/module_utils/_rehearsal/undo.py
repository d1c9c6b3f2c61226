# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Undoing a rehearsed upgrade revision by revision, and judging each by what came back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._core.errors import Refused
from .._core.progress import Progress
from .._engines.comparison import Comparison
from .._engines.connection import describe_error
from .._engines.interface import Scratch
from .._journal.events import Journal
from .._migration.environment import Environment
from .._migration.interrupted import Interrupted
from .._migration.state import list_differences
from .._migration.step import Step
from .._migration.version_table import read_heads
from .observer import Observer, StateBefore, Traces, build_key
from .verdict import IRREVERSIBLE, LOSSY, REVERSIBLE, UNKNOWN, Verdict
from .watched_run import run_watched

#: How often a copy is restored anew, at the most, to judge what lies below a revision that did not come back.
MOST_REFILLS = 10

#: What would have changed the database itself: that is not a downgrade that does not work.
_FORBIDDEN = {"rehearsal-names-database", "rehearsal-writes-elsewhere", "attached-database-written"}
_NO_DOWNGRADE = "it has no downgrade"


class Undoing:
    """The way down, and up again.

    A revision that does not come back as it was would make those below it look worse than they are. So after each of
    those the copy is restored anew, and led to where the next one begins.
    """

    def __init__(
        self,
        scratch: Scratch,
        environment: Environment,
        observer: Observer,
        journal: Journal,
        progress: Progress,
        notes: list[str],
    ) -> None:
        self.scratch = scratch
        self.environment = environment
        self.observer = observer
        self.journal = journal
        self.progress = progress
        self.notes = notes
        self.refills = 0
        #: Those that were undone since the copy was filled.
        self._undone: list[Verdict] = []

    def run(self, compare: Callable[[], Comparison]) -> None:
        """Judge every revision, the last one first.

        Args:
            compare: compares the copy, once all are undone, with what it was.
        """
        top = self.observer.latest
        todo = list(self.observer.verdicts)
        clean = True
        while todo:
            verdict = todo[-1]
            if not clean and not self._refill(todo):
                break
            todo.pop()
            self._undo(verdict)
            clean = verdict.verdict == REVERSIBLE
            if verdict.verdict == LOSSY:
                self._upgrade_again([verdict])
            while todo and not clean and not self.environment.can_be_undone(todo[-1].step.revision):
                _condemn(todo.pop(), _NO_DOWNGRADE)
        if clean:
            self._judge_copy(compare())
            traces = self._upgrade_again(self.observer.verdicts)
            if traces and top and traces.latest and list_differences(top.fingerprint, traces.latest.fingerprint):
                self.notes.append("the second upgrade led to another schema than the first")
        for verdict in self.observer.verdicts:
            facts = {"revision": verdict.step.revision, "table": verdict.step.table, "verdict": verdict.verdict}
            self.journal.write("judged", **facts, why=verdict.why)

    def _judge_copy(self, found: Comparison) -> None:
        """Judge by what the copy holds, which is more than what was read after each revision."""
        self.notes += found.notes
        if found.is_equal:
            return
        for verdict in self._undone:
            if len(self._undone) == 1:
                verdict.verdict, verdict.schema = LOSSY, [*verdict.schema, *found.differences]
            else:
                verdict.verdict = UNKNOWN
                verdict.why = f"this one or another has not brought back what was: {found}"

    def _undo(self, verdict: Verdict) -> None:
        step = verdict.step
        self.progress.begin_phase(f"undoes revision {step.revision} {step.message}".strip())
        if not self.environment.can_be_undone(step.revision):
            _condemn(verdict, _NO_DOWNGRADE)
            return
        traces = self._build_traces()
        try:
            self._run(traces, lambda: self.environment.downgrade({step.table: [step.revision]}, traces))
        except Interrupted as interruption:
            _condemn(verdict, _describe(interruption))
            return
        if step.revision in self.environment.list_applied(
            read_heads(self.scratch.engine.open_own_connection(), step.table)
        ):
            _condemn(verdict, "its downgrade was not committed")
            return
        before = self.observer.before.get(build_key(step))
        self._undone.append(verdict)
        if before and traces.latest:
            verdict.judge(before, traces.latest)

    def _upgrade_again(self, verdicts: Sequence[Verdict]) -> Traces | None:
        """Apply revisions a second time; a downgrade that leaves something behind is known by this."""
        self.progress.begin_phase("upgrades again")
        traces = self._build_traces()
        applied: Sequence[Step] = ()
        try:
            applied = self._run(traces, lambda: self.environment.upgrade(traces, _group_by_table(verdicts)))
        except Interrupted as interruption:
            applied = interruption.steps
            error = _describe(interruption)
        else:
            error = ""
        keys = [build_key(step) for step in applied]
        for verdict in verdicts:
            if build_key(verdict.step) in keys and verdict.again is None:
                verdict.again = True
        if not error:
            return traces
        for verdict in verdicts:
            if keys and build_key(verdict.step) == keys[-1]:
                verdict.again, verdict.again_error = False, error
        return None

    def _refill(self, todo: list[Verdict]) -> bool:
        """Restore the copy anew and lead it to the last revision that is still to be judged."""
        if self.refills >= MOST_REFILLS:
            _give_up(todo, f"the copy was restored {MOST_REFILLS} times for those above it")
            return False
        self.refills += 1
        self.progress.begin_phase("restores into the scratch database again")
        self.scratch.fill()
        self._undone = []
        # A revision below it may write other values than the first time: random ones, or the time.
        again = StateBefore(self.scratch.engine, self.observer.leave_out, self.observer.in_full, todo[-1].step)
        try:
            self._run(again, lambda: self.environment.upgrade(again, _group_by_table(todo)))
        except Interrupted as interruption:
            _give_up(todo, f"the copy could not be led to it again: {_describe(interruption)}")
            return False
        if again.latest:
            self.observer.before[build_key(todo[-1].step)] = again.latest
        return True

    def _run(self, watcher: Traces, act: Callable[[], list[Step]]) -> list[Step]:
        try:
            return run_watched(self.environment, watcher, self.progress, act)
        except Interrupted as interruption:
            if isinstance(interruption.cause, Refused) and interruption.cause.code in _FORBIDDEN:
                raise interruption.cause from interruption
            raise

    def _build_traces(self) -> Traces:
        return Traces(self.scratch.engine, self.observer.leave_out, self.observer.in_full)


def _group_by_table(verdicts: Sequence[Verdict]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.step.table, []).append(verdict.step.revision)
    return found


def _condemn(verdict: Verdict, why: str) -> None:
    verdict.verdict, verdict.why = IRREVERSIBLE, why


def _give_up(todo: Sequence[Verdict], why: str) -> None:
    for verdict in todo:
        verdict.verdict, verdict.why = UNKNOWN, why


def _describe(interruption: Interrupted) -> str:
    cause = interruption.cause
    return f"{type(cause).__name__}: {describe_error(cause)}" if cause else str(interruption)
