# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state in which earlier runs left a database, read from files alone: journals, and the locks of workers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._core.errors import CORRECT_IT, ErrorFacts, Refused
from .._core.paths import Layout, build_key
from .._core.playbook_command import append_ways_out, build_playbook_command
from .events import Event, find_ending, find_rejection, needs_revert, read_events
from .worker_lock import is_worker_alive

#: Verbs of which nothing can be half done in the database before this event.
TOUCHES = {"upgrade": "backed_up", "downgrade": "", "rollback": "downgrade_begun", "restore": "restore_begun"}

#: The code of a database whose last upgrade failed, until an operator names it in migrate_retry_failed.
FAILED_BEFORE = "database-failed-before"

_YES = ("true", "yes", "on", "1")
_NO = ("false", "no", "off", "0", "none", "")


@dataclass(frozen=True)
class RunState:
    """The state that the last run that matters left.

    ``state`` is ``running``, ``cut_short`` (dead half-way, or it was never reverted), ``failed``, ``held``, or
    nothing where there is nothing to recover.
    """

    name: str
    state: str = ""
    run: str = ""
    verb: str = ""
    release: str = ""
    #: The run that a rollback was reverting from.
    of_run: str = ""
    #: Whether it may have touched the database.
    touched: bool = False
    error: ErrorFacts = field(default_factory=ErrorFacts)
    ways_out: dict[str, str] = field(default_factory=dict)

    def needs_recovery(self, retry: Any) -> bool:
        """Return whether there is something to do about it before anything else is."""
        return self.state in ("running", "cut_short") or (self.state == "held" and is_retried(retry, self.name))

    def find_obstacle(self, pending: bool, retry: Any, release: str = "") -> Refused | None:
        """Return why the database is not to be upgraded now.

        Args:
            pending: whether anything is to be applied to it.
            retry: ``migrate_retry_failed``.
            release: the one to upgrade with; another one than that which failed may be tried.
        """
        because = str(Refused.of(self.error)) if self.error else ""
        if self.state == "cut_short":
            what = f"Run {self.run} was interrupted in database {self.name!r} and has not been recovered"
            return Refused(
                what,
                f"its {self.verb} was interrupted",
                f"Recover it: {build_playbook_command('recover')}",
                code="run-interrupted",
            )
        if self.state == "held":
            return Refused(
                f"Database {self.name!r} is held since run {self.run}",
                because,
                append_ways_out(self.ways_out),
                code="database-held",
            )
        is_another = bool(self.release and release and self.release != release)
        if self.state == "failed" and pending and not is_another and not is_retried(retry, self.name):
            what = f"Database {self.name!r} failed in run {self.run}; retry it with migrate_retry_failed"
            if self.error.get("remedy") == CORRECT_IT:  # it follows here, with the command
                because = str(Refused.of({**self.error, "remedy": ""}))
            return Refused(what, because, f"Correct what failed, then: {retry_command(self.name)}", code=FAILED_BEFORE)
        return None


def retry_command(name: str) -> str:
    """Return what to type to have a database tried again."""
    return build_playbook_command("migrate", migrate_retry_failed=[name])


def is_retried(retry: Any, name: str) -> bool:
    """Return whether a person has cleared a database: true, or a list that names it, as text on a command line."""
    if isinstance(retry, str):
        word = retry.strip()
        if word.lower() in _YES + _NO:
            return word.lower() in _YES
        retry = json.loads(word) if word.startswith("[") else [part.strip() for part in word.split(",")]
    return name in retry if isinstance(retry, (list, tuple)) else bool(retry)


def read_last_run_state(layout: Layout, name: str, besides: str = "") -> RunState:
    """Return what the last run that matters left in a database.

    Args:
        layout: where the journals are.
        name: the database.
        besides: a run that does not count, because it is the calling one.
    """
    cut_short: RunState | None = None
    for run, events in _read_last_written_first(layout, name):
        if run == besides:
            continue
        left = _find_left(layout, name, run, events)
        if left is None:
            continue
        if cut_short is None and left.state == "interrupted":
            cut_short = left
        elif cut_short is None:
            return left
        elif left.state == "interrupted":
            # It was killed and reverted twice running: perhaps it is what kills.
            return RunState(name, "failed", cut_short.run, cut_short.verb, cut_short.release, error=cut_short.error)
        else:
            break
    return RunState(name)


def find_unrecovered(options: dict[str, Any]) -> list[RunState]:
    """Return what earlier runs left in the databases of the inventory and must be recovered first."""
    layout = Layout(Path(options["root"]))
    found = [read_last_run_state(layout, entry["name"]) for entry in options["databases"]]
    return [left for left in found if left.needs_recovery(options["retry_failed"])]


def list_unknown_folders(layout: Layout, names: list[str]) -> list[str]:
    """Return the folders of journals with something not recovered whose database the inventory no longer names."""
    known = {build_key(name) for name in names}
    folders: list[str] = []
    # A ``Path`` of each of thousands would keep its parts in memory.
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(layout.journals) as entries:
        folders = sorted(entry.name for entry in entries if entry.name not in known and entry.is_dir())
    return [
        folder for folder in folders if read_last_run_state(layout, folder).state in ("running", "cut_short", "held")
    ]


def _read_last_written_first(layout: Layout, name: str) -> Iterator[tuple[str, list[Event]]]:
    """Yield (run, events) of journals with any event, each read only when it is requested."""
    found = [(path.stat().st_mtime_ns, path) for path in layout.locate_journals(name).glob("*.jsonl")]
    for _written, path in sorted(found, reverse=True):
        events = read_events(path)
        if events:
            yield path.stem, events


def _find_left(layout: Layout, name: str, run: str, events: list[Event]) -> RunState | None:
    """Return what a run left, or None if it recovers nothing: whatever was before it is still unresolved."""
    if events[-1]["event"] == "cleared":
        return RunState(name)
    # What was dropped later of what a run had left does not show how it ended.
    own = [event for event in events if not event["verb"].startswith(("recover", "prune"))]
    if not own:
        return None
    verb = own[-1]["verb"]
    planned = next((event for event in reversed(own) if event["event"] == "planned"), {})
    facts: dict[str, Any] = {
        "run": run,
        "verb": verb,
        "release": planned.get("release", ""),
        "of_run": planned.get("of_run", ""),
        "touched": verb == "downgrade" or any(event["event"] == TOUCHES.get(verb) for event in own),
    }
    done = find_ending(own, verb)
    if done is None:
        return RunState(name, "running" if is_worker_alive(layout, run, verb) else "cut_short", **facts)
    result = done["result"]
    state = _STATES[verb](own, result) if verb in _STATES else None
    upgraded = (find_ending(own, "upgrade") or {}).get("result", {})
    rejected = find_rejection(own) or upgraded
    facts.update(error=(rejected if state in ("failed", "interrupted") else result).get("error") or {})
    facts.update(ways_out=result.get("ways_out") or {})
    kept = next((event for event in reversed(events) if event["event"] == "not_cleared"), None)
    if state == "held" and kept is not None:
        facts.update(error=kept["error"], ways_out=kept["ways_out"])
    if state == "cut_short" and any(is_worker_alive(layout, run, each) for each in ("upgrade", verb)):
        state = "running"  # its controller still waits for other databases, and then reverts this one
    return None if state is None else RunState(name, state, **facts)


def _find_state_after_upgrade(events: list[Event], result: dict[str, Any]) -> str | None:
    if result["outcome"] == "upgraded" and find_rejection(events) is None:
        return ""
    return "cut_short" if needs_revert(events) else None  # what changed nothing is tried again by itself


def _find_state_after_downgrade(events: list[Event], result: dict[str, Any]) -> str | None:
    if result["outcome"] in ("failed", "refused"):
        return "cut_short"
    if result["outcome"] == "held":
        return "held"
    began = any(event["event"] == "begun" for event in events)
    if result["outcome"] == "untouched" and not (began or result.get("notes")):
        return None  # what began no revision, and left all as it was, is tried again by itself
    upgraded = find_ending(events, "upgrade")
    facts = upgraded["result"] if upgraded else {}
    return "interrupted" if facts.get("interrupted") else "failed"


def _find_state_after_rollback(events: list[Event], result: dict[str, Any]) -> str | None:
    began = any(event["event"] == "downgrade_begun" for event in events)
    if result["outcome"] == "failed":
        return "cut_short" if began and not result.get("as_before") else None
    return {"held": "held", "downgraded": "", "restored": "", "untouched": ""}.get(result["outcome"])


def _find_state_after_restore(_events: list[Event], result: dict[str, Any]) -> str | None:
    return {"restored": "", "held": "held"}.get(result["outcome"])


_STATES = {
    "upgrade": _find_state_after_upgrade,
    "downgrade": _find_state_after_downgrade,
    "rollback": _find_state_after_rollback,
    "restore": _find_state_after_restore,
}
