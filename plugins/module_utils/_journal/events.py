# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The events of a run in one database, each flushed to disk before the step that it announces."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from .._core.errors import ErrorFacts
from .._core.masking import mask_data
from .._core.paths import Layout, build_key, make_private_directory, sync
from .._core.records import FORMAT, check_format

#: One event of a journal, whose keys are those of its kind; docs/reference/journals_and_manifests.md names them.
Event = dict[str, Any]


_MILLISECOND = 1_000_000  # nanoseconds


def format_now() -> str:
    """Return this moment in UTC, as ISO 8601 with milliseconds."""
    return _format_time(time.time_ns())


def _format_time(moment: int) -> str:
    at = datetime.fromtimestamp(moment // _MILLISECOND / 1000, timezone.utc)
    return at.isoformat(timespec="milliseconds")


def format_later(latest: str) -> str:
    """Return this moment, or one right after the latest that is known where the clock was put back since."""
    at = format_now()
    if at > latest:
        return at
    return (datetime.fromisoformat(latest) + timedelta(milliseconds=1)).isoformat(timespec="milliseconds")


#: What announces no step, and what the database shows again after a crash: it reaches the disk with the event that
#: follows, which is there before the next step begins.
_FLUSHED_WITH_THE_NEXT = frozenset({"committed"})


class Journal:
    """One journal: a line of JSON an event, appended and never rewritten.

    The last run is known by these times and by those of the files. So neither goes back, though a clock may.
    """

    def __init__(self, path: Path, verb: str) -> None:
        self.path = path
        self.verb = verb
        self._latest = 0

    def write(self, event: str, **facts: Any) -> None:
        """Append one event; when this returns, it is on the disk, but for one that announces no step."""
        self._append(event, facts, flush=event not in _FLUSHED_WITH_THE_NEXT)

    def write_with_next(self, event: str, **facts: Any) -> None:
        """Append one event, which is on the disk when the next one is."""
        self._append(event, facts, flush=False)

    def _append(self, event: str, facts: dict[str, Any], *, flush: bool) -> None:
        moment, clock_went_back = self._choose_moment()
        new = not self.path.exists()
        facts = {**({"format": FORMAT} if new else {}), **mask_data(facts)}
        line = json.dumps({"at": _format_time(moment), "verb": self.verb, "event": event, **facts}, default=str)
        if new:
            make_private_directory(self.path.parent)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "ab") as handle:
            handle.write(_separate_line(descriptor) + line.encode() + b"\n")
            handle.flush()
            if clock_went_back:
                os.utime(handle.fileno(), ns=(moment, moment))
            if flush:
                os.fsync(handle.fileno())
        if new:
            sync(self.path.parent)

    def _choose_moment(self) -> tuple[int, bool]:
        """Return a moment after everything in the journals of this database, and whether the clock differs."""
        if not self._latest and self.path.parent.is_dir():
            with os.scandir(self.path.parent) as entries:
                written = [
                    entry.stat(follow_symlinks=False).st_mtime_ns for entry in entries if entry.name.endswith(".jsonl")
                ]
            self._latest = max(written, default=0)
        wall = time.time_ns()
        behind = wall <= self._latest
        self._latest = self._latest + _MILLISECOND if behind else wall
        return self._latest, behind

    def read_events_of_run(self) -> list[Event]:
        """Return every event of the file, of all verbs of its run."""
        return read_events(self.path)


def _separate_line(descriptor: int) -> bytes:
    """Return the end of a line that a crash or a full disk cut short, so that the next event is not lost with it."""
    size = os.fstat(descriptor).st_size
    return b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""


def read_events(path: Path, skip: int = 0) -> list[Event]:
    """Return the events of a journal after the first ``skip`` ones; a line cut short by a crash is left out.

    Raises:
        LaterFormat: a later version has written it in a format of its own, so that what it has done is not known.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    events = [event for event in map(_parse_event, lines) if event]
    if events:
        check_format(events[0], path)
    return events[skip:]


#: Keys of an event, of its result and of a rehearsed revision, as versions before 0.1.0 wrote them, and of now.
_OLDER_KEYS = {"imprint": "content_digest", "aside": "retained", "losses": "data_loss"}


def _parse_event(line: bytes) -> Event:
    try:
        return _with_keys_of_now(dict(json.loads(line)))
    except ValueError:
        return {}


def _with_keys_of_now(event: Event) -> Event:
    """Return an event with the keys that this version writes; what is below other keys, names of tables, stays."""
    event = _rename_older_keys(event)
    if isinstance(event.get("result"), dict):
        result = _rename_older_keys(event["result"])
        if isinstance(result.get("revisions"), list):
            result["revisions"] = [_rename_older_keys(revision) for revision in result["revisions"]]
        event["result"] = result
    return event


def _rename_older_keys(facts: Any) -> Any:
    if not isinstance(facts, dict) or _OLDER_KEYS.keys().isdisjoint(facts):
        return facts
    return {_OLDER_KEYS.get(key, key): value for key, value in facts.items()}


def find_ending(events: list[Event], verb: str) -> Event | None:
    """Return the event that ended a verb, or None while it goes on."""
    for event in reversed(events):
        if event["verb"] == verb and event["event"] == "done":
            return event
    return None


#: The event, and its verb, after which env.py runs on the database itself and may commit what it likes.
_ENV_PY_IS_NEXT = ("backed_up", "upgrade")

#: How many folders' journals a process keeps: those of a database, and of its rehearsals.
_FOLDERS_KEPT = 2
#: What was read of each journal of a folder, with what shows that it has changed.
_KNOWN: dict[Path, dict[str, tuple[tuple[int, int, int], list[Event]]]] = {}


def _read_if_changed(path: Path) -> list[Event]:
    """Return the events of a journal, which a process that works on one database reads several times.

    A journal that has another event is longer.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return []
    while path.parent not in _KNOWN and len(_KNOWN) >= _FOLDERS_KEPT:
        del _KNOWN[next(iter(_KNOWN))]
    known = _KNOWN.setdefault(path.parent, {})
    # Before it is read: what is written meanwhile is a change for the next time.
    state = (found.st_ino, found.st_size, found.st_mtime_ns)
    if path.name not in known or known[path.name][0] != state:
        known[path.name] = state, read_events(path)
    return list(known[path.name][1])


def list_newest_first(folder: Path) -> Iterator[tuple[str, list[Event]]]:
    """Yield (run id, events) of each journal of a database, the run that began last first."""
    journals = [(path.stem, _read_if_changed(path)) for path in folder.glob("*.jsonl")]
    begun = [(events[0]["at"], run, events) for run, events in journals if events]
    for _at, run, events in sorted(begun, key=lambda row: row[:2], reverse=True):
        yield run, events


def find_net_outcome(events: list[Event]) -> str:
    """Return how a run moved its database (upgraded, downgraded, restored), or nothing if it left it where it was.

    An upgrade that was reverted by its own run has moved nothing in the end.
    """
    events = [event for event in events if not event["verb"].startswith("recover")]  # it moves what others had left
    done = [event["result"] for event in events if event["event"] == "done"]
    if done and done[-1].get("as_before"):
        return ""  # a rollback that failed, and was undone
    outcomes = [result["outcome"] for result in done]
    if not outcomes:
        return "unfinished" if may_have_changed(events) else ""
    if outcomes[0] in ("failed", "upgraded") and outcomes[-1] in ("untouched", "downgraded", "restored"):
        return ""
    return outcomes[-1] if outcomes[-1] in ("upgraded", "downgraded", "restored", "failed", "held") else ""


def may_have_changed(events: list[Event]) -> bool:
    """Return whether the upgrade of a journal may have changed its database: env.py may, before its first revision."""
    return any(event["event"] == "begun" or (event["event"], event["verb"]) == _ENV_PY_IS_NEXT for event in events)


def needs_revert(events: list[Event]) -> bool:
    """Return whether an upgrade that may have changed its database ended badly, never ended, or was rejected."""
    done = find_ending(events, "upgrade")
    return may_have_changed(events) and (
        done is None or done["result"]["outcome"] == "failed" or find_rejection(events) is not None
    )


def find_rejection(events: list[Event]) -> Event | None:
    """Return the event with the reason why a verified upgrade is reverted all the same, or None."""
    return next((event for event in reversed(events) if event["event"] == "rejected"), None)


def reject(journal: Journal, error: ErrorFacts) -> None:
    """Take an upgrade that was verified for a failed one, once."""
    events = journal.read_events_of_run()
    done = find_ending(events, "upgrade")
    if done and done["result"]["outcome"] == "upgraded" and find_rejection(events) is None:
        journal.write("rejected", error=error)


def find_unrecovered(folder: Path) -> str:
    """Return the run that left a database where a person or a revert has yet to decide, or nothing."""
    for run, events in list_newest_first(folder):
        recovered = is_recovered(events)
        if recovered is not None:
            return "" if recovered else run
    return ""


def is_recovered(events: list[Event]) -> bool | None:
    """Return whether a run has left nothing to decide, of earlier runs either; None where it decides nothing."""
    how, changed = find_net_outcome(events), may_have_changed(events)
    if how == "held" or (changed and how in ("failed", "unfinished")):
        return False
    return True if (how and changed) or how in ("restored", "downgraded") else None


def read_journals_of_others(layout: Layout, name: str) -> Iterator[list[list[Event]]]:
    """Yield the journals of each other entry of this host."""
    for folder in layout.journals.glob("*"):
        if folder.name != build_key(name):
            yield [events for _run, events in list_newest_first(folder)]
