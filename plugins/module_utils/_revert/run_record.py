# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of a run in a database, from its journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._backup.manifest import list_proven
from .._core.errors import ErrorFacts, Refused
from .._engines.data import ANY_TABLE, INSERTED, WrittenRows
from .._engines.interface import Engine
from .._journal.events import Event
from .._migration.state import Position

#: What a step ends with, by what it begins with.
_ENDS = {"begun": "ran", "downgrade_begun": "downgrade_ran"}


@dataclass
class RunRecord:
    """The record of a run in a database, from its journal."""

    run: str
    release: str = ""
    before: Position = field(default_factory=lambda: Position({}))
    after: Position = field(default_factory=lambda: Position({}))
    begun: dict[str, list[str]] = field(default_factory=dict)
    committed: dict[str, list[str]] = field(default_factory=dict)
    #: Revisions that committed rows before their end: if they are not applied, these rows are left of them.
    early: dict[str, list[str]] = field(default_factory=dict)
    #: The process died: what it committed must be read from the database.
    cut_short: bool = True
    #: What the failed revision left, as lines of a fingerprint; those of an INVALID index can be taken away.
    left: list[str] = field(default_factory=list)
    #: Rows by table that the run wrote itself.
    wrote: dict[str, int] = field(default_factory=dict)
    #: The tables in which it updated or deleted rows, ``ANY_TABLE`` where that is not known.
    replaced: set[str] = field(default_factory=set)
    #: The numbers of its transactions, and from where to where others were given while a revision ran.
    transactions: set[int] = field(default_factory=set)
    spans: list[list[int]] = field(default_factory=list)
    #: The events of steps that ran, by revision: what they wrote stays only if they were committed.
    ran: dict[str, list[Event]] = field(default_factory=dict)
    #: Tables written by steps whose rows stayed for certain.
    stayed: set[str] = field(default_factory=set)
    #: What the run's transactions kept to themselves: files, what they dropped, and states of a schema in their order.
    held: dict[str, dict[str, None]] = field(default_factory=dict)
    #: By number, how often the run has read sequences, and how often all sessions had read those that it dropped.
    used: dict[str, int] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    #: Rows that all sessions had written into tables that it dropped, by number.
    written: dict[str, int] = field(default_factory=dict)
    #: The folders of the dumps that were taken.
    dumps: set[str] = field(default_factory=set)
    #: Sequences that downgrades had set behind what others were given.
    set_forward: set[str] = field(default_factory=set)
    #: Rows of catalogs that the run's transactions have replaced, by the number of the transaction.
    catalog_rows: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    #: The steps that have begun and not ended, each as the event that ends it and its revision.
    open: set[tuple[str, str]] = field(default_factory=set)
    #: What its statements have named, as ``WrittenRows.touched``.
    touched: frozenset[str] = frozenset({ANY_TABLE})
    #: Why it may have written where nothing counted it, and the revisions that did.
    unseen: list[str] = field(default_factory=list)
    unseen_in: set[str] = field(default_factory=set)
    #: Whether env.py has committed something by itself.
    wrote_outside: bool = False
    #: Other databases that it wrote to, or may have, by their places: how, and whether that is more than possible.
    elsewhere: dict[str, tuple[str, bool]] = field(default_factory=dict)
    #: What the engine keeps of the rows in what the run has made, from the end of the run.
    content_digest: dict[str, Any] = field(default_factory=dict)
    #: Digests of all rows at the time of the failure, if no other session had written until then.
    content: dict[str, str] | None = None
    #: Tables that it wrote and whose rows were those of the backup when it failed.
    unchanged: list[str] = field(default_factory=list)
    backup: Path | None = None
    #: Which database the run worked on.
    identity: str = ""
    #: The dump that was taken right before the downgrades.
    kept_in: Path | None = None
    #: Whether this describes all runs since a backup that is restored on purpose.
    on_purpose: bool = False
    #: Statements that were permanent at once, without that which failed.
    executed: list[str] = field(default_factory=list)
    #: What others had changed in the schema when the revert began, as differences of fingerprints.
    others: list[str] = field(default_factory=list)
    #: When the run had made its backup: what others did later is theirs.
    since: str = ""
    error: ErrorFacts = field(default_factory=ErrorFacts)

    @classmethod
    def of(cls, run: str, events: list[Event], others: Sequence[str] = ()) -> RunRecord:
        """Read a run from the events of an upgrade; one that was cut short may have left anything behind.

        Args:
            run: its id.
            events: of its journal.
            others: as the field of that name.
        """
        run_record = cls(run, others=list(others))
        for event in events:
            if event["event"] == "planned":
                run_record.release = event["release"]
            elif event["event"] == "backed_up":
                run_record.before = Position(event["heads"], event["fingerprint"])
                run_record.after = run_record.before
                run_record.backup, run_record.since = Path(event["path"]), event["at"]
                run_record.identity = event.get("identity", "")
            elif event["event"] == "begun":
                run_record.begun.setdefault(event["table"], []).append(event["revision"])
            elif event["event"] == "wrote_early":
                run_record.early.setdefault(event["table"], []).append(event["revision"])
            elif event["event"] == "committed":
                run_record.committed.setdefault(event["table"], []).append(event["revision"])
            elif event["event"] == "downgrade_begun":
                run_record.cut_short = True  # a revert was begun before and has not finished
            elif event["event"] in ("verified", "failed"):
                run_record.after = Position(event["heads"], event["fingerprint"])
                run_record.cut_short, run_record.early = False, {}
                run_record.left = event.get("left", [])
                run_record.content = event.get("content")
                run_record.unchanged = event.get("unchanged", [])
                run_record.content_digest = event.get("content_digest", {})
                run_record.error = event.get("error", {})
            run_record.after = _tidy_position(run_record.after, event)
        kept = [event["dump"] for event in events if event["event"] == "secured" and "dump" in event]
        run_record.kept_in = Path(kept[-1]) if kept else None
        run_record.error = next((event["error"] for event in events if event["event"] == "rejected"), run_record.error)
        run_record.executed, run_record.touched = _list_executed(events), _find_touched(events)
        run_record.add_written_rows(events)
        return run_record

    def follow(self, events: Iterable[Event]) -> None:
        """Hear of a later run of the same entry: what it left at its end, or that it was cut short."""
        for event in events:
            if event["event"] in ("begun", "downgrade_begun"):
                self.cut_short = True
            elif "fingerprint" in event:
                self.after, self.cut_short = Position(event["heads"], event["fingerprint"]), False

    def refuse_elsewhere(self, engine: Engine) -> None:
        """Refuse a database that is another one than the run's: what the run did is not in it.

        Raises:
            Refused: it is, and ``migrate_restore_loses_writes`` is not set.
        """
        if not self.backup or engine.job.restore_loses_writes:
            return
        taken = [] if self.identity else list_proven(self.backup.parent)  # of an older run, only its backup knows
        known = self.identity or next((manifest.identity for manifest in taken if manifest.run == self.run), "")
        found = str(engine.read_own_identity())
        if known and found != known:
            raise Refused(
                f"Database {engine.database.name!r} is another one than in run {self.run}, which is not reverted in it",
                f"that run worked on {known}, and the url leads to {found}",
                "Correct the url, or its source, and run this again. If the database itself was moved there, set"
                " migrate_restore_loses_writes=true",
                code="database-elsewhere",
            )

    def refuse_moved(self, name: str, now: Position) -> None:
        """Refuse a database that is not where the run has left it.

        Raises:
            Refused: its revisions are others.
        """
        if now.heads != self.after.heads:
            raise Refused(
                f"Database {name!r} has been moved since run {self.run}",
                f"that run left it at {self.after}, and now it is at {now}",
                "Go back by hand with alembic downgrade, or restore a backup",
                code="database-moved",
            )

    @property
    def may_have_left(self) -> bool:
        """Return whether a revision that is not committed may have left what no downgrade undoes."""
        committed = {revision for revisions in self.committed.values() for revision in revisions}
        return bool(self.left or self.unseen_in - committed)

    def add_transactions(self, events: Iterable[Event]) -> None:
        """Add the transactions that steps have written in."""
        for event in events:
            self.transactions.update(event.get("transactions", ()))
            self.spans += [event["span"]] if event.get("span") else []

    def add_written_rows(self, events: list[Event]) -> None:
        """Add the rows that steps have written, and the transactions."""
        events = [*events, _find_written_by_unfinished(events)]
        self.add_transactions(events)
        for event in events:
            self.wrote_outside |= event.get("event") == "wrote_outside"
            if event.get("event") == "wrote_elsewhere":
                known = self.elsewhere.get(event["place"])
                self.elsewhere[event["place"]] = known if known and known[1] else (event["how"], event["seen"])
            for table, count in event.get("wrote", {}).items():
                self.wrote[table] = self.wrote.get(table, 0) + count
            self.replaced.update(event.get("replaced", (ANY_TABLE,) if event.get("wrote") else ()))
            for kind, numbers in event.get("held", {}).items():
                self.held.setdefault(kind, {}).update(dict.fromkeys(numbers))
            self._add_sequences(event)
            self._add_catalog_rows(event.get("catalog_rows", {}))
            self._open_or_end(event)
            name = event.get("event")
            if name == "ran":
                self.ran.setdefault(event.get("revision", ""), []).append(event)
            elif name == "downgrade_ran":
                self.stayed.update(event.get("wrote", ()))
            elif name == "wrote_early":
                self.stayed.update(event["rows"])
            elif name == "wrote_unseen":
                self.unseen.append(f"revision {event['revision']}: {event['reason']}")
                self.unseen_in.add(event["revision"])
                self.replaced.update(() if event["reason"] == INSERTED else (ANY_TABLE,))

    def _add_sequences(self, event: Event) -> None:
        """Add who has read sequences, as far as an event shows."""
        for number, count in event.get("used", {}).items():
            self.used[number] = self.used.get(number, 0) + count
        self.reads.update(event.get("reads", {}))
        self.written.update(event.get("written", {}))
        if event.get("event") in ("backed_up", "secured"):
            self.dumps.add(event["path"])
        self.set_forward.update(event.get("set_forward", ()))

    def _add_catalog_rows(self, found: dict[str, dict[str, dict[str, int]]]) -> None:
        """Add what a step has counted; a later one counts its transaction's rows again, but for those of savepoints."""
        for number, rows in found.items():
            known = self.catalog_rows.setdefault(number, {})
            for catalog, by_writer in rows.items():
                counts = known.setdefault(catalog, {})
                counts.update({writer: max(count, counts.get(writer, 0)) for writer, count in by_writer.items()})

    def _open_or_end(self, event: Event) -> None:
        name, revision = event.get("event"), event.get("revision", "")
        if name in ("begun", "downgrade_begun"):
            self.open.add((_ENDS[name], revision))
        elif name in ("ran", "step_failed", "committed"):
            self.open.discard(("ran", revision))
        elif name in ("downgrade_ran", "downgrade_failed"):
            self.open.discard(("downgrade_ran", revision))
        elif name in ("failed", "verified"):
            self.open.clear()

    def collect_written_rows(self, activity: dict[str, Any]) -> WrittenRows:
        """Return what an engine needs to distinguish the run's rows from others'.

        Args:
            activity: what the engine had counted when the run backed up.
        """
        committed = {revision for revisions in self.committed.values() for revision in revisions}
        wrote = {
            table for revision in committed for event in self.ran.get(revision, ()) for table in event.get("wrote", ())
        }
        return WrittenRows(
            stayed=frozenset(self.stayed | wrote),
            files=frozenset(self.held.get("files", ())),
            dropped=frozenset(self.held.get("dropped", ())),
            schemas=list(self.held.get("schemas", ())),
            used=self.used,
            reads=self.reads,
            written=self.written,
            set_forward=frozenset(self.set_forward),
            dumps=len(self.dumps - {str(self.backup)}),
            catalog_rows=self.catalog_rows,
            touched=frozenset({ANY_TABLE}) if self.unseen or self.on_purpose else self.touched,
            unseen=self.unseen,
            is_open=bool(self.open),
            left=self.after.fingerprint if self.on_purpose and not self.cut_short else None,
            unchanged=frozenset(self.unchanged),
            kept_in=self.kept_in,
            before=self.before.fingerprint,
            version_tables=frozenset({*self.before.heads, *self.committed}),
            activity=activity,
            wrote=self.wrote,
            replaced=frozenset(self.replaced),
            transactions=frozenset(self.transactions),
            spans=self.spans,
            content_digest=self.content_digest,
            content=self.content,
            on_purpose=self.on_purpose,
        )

    def list_left_by_unapplied(self) -> list[str]:
        """Return what a process that died has left of revisions that are not applied, once those that are are known."""
        return [
            f"+rows that revision {revision} committed before its end"
            for table, revisions in self.early.items()
            for revision in revisions
            if revision not in self.committed.get(table, ())
        ]


def _find_written_by_unfinished(events: Iterable[Event]) -> Event:
    """Return what a step that has not reported itself had written when it last committed before its end.

    It says what its transaction as a whole has done, which earlier steps of the same transaction have left out.
    """
    found: Event = {}
    for event in events:
        name = event["event"]
        if name == "commit_begun":
            found = event["written_rows"]
        elif name == "wrote_early":
            found = {**found, "wrote": event["rows"]}
        elif name in ("ran", "step_failed") or (name in ("verified", "failed") and "wrote" in event):
            found = {}
    return found


def _list_executed(events: list[Event]) -> list[str]:
    """Return the statements that were permanent at once; that which failed has done nothing."""
    found = [event["statement"] for event in events if event["event"] == "executes"]
    failed = [event["failed_statement"] for event in events if event.get("failed_statement")]
    return found[:-1] if found and found[-1] in failed[-1:] else found


def _find_touched(events: list[Event]) -> frozenset[str]:
    """Return what statements have named; not all did where a revision has begun before any was heard."""
    found: set[str] = set()
    is_heard = False
    for event in events:
        if event["event"] == "touches":
            is_heard = True
            found.update([ANY_TABLE] if event["reason"] else event["names"])
        elif event["event"] in _ENDS and not is_heard:
            found.add(ANY_TABLE)
    return frozenset(found if is_heard else {ANY_TABLE})


def _tidy_position(after: Position, event: Event) -> Position:
    """Return what a run left without what its revert has taken away since."""
    if event["event"] != "tidied":
        return after
    return Position(after.heads, [line for line in after.fingerprint if line not in event["removed"]])
