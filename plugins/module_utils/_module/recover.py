# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recovery of a host's databases, as its module sees it: wait for live workers, recover dead runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from .._core.argument_specs import Options
from .._core.errors import Refused
from .._core.paths import Layout, check_run_id
from .._core.playbook_command import build_playbook_command
from .._core.progress import read_progress
from .._core.records import read_record
from .._journal.abandoned_copies import list_abandoned
from .._journal.events import Journal, find_ending, read_events
from .._journal.run_state import RunState, find_unrecovered, is_retried, list_unknown_folders, read_last_run_state
from .._release.digest import is_as_shipped
from .._release.lookup import find_virtualenv_python, release_of_database
from .._worker.follow import build_result_of_dead
from .call import call_verb

_POLL_INTERVAL = 0.1  # seconds


def list_littered(options: Options) -> list[RunState]:
    """Return the databases with nothing else to recover of whose dead rehearsals a copy may be left."""
    layout = Layout(Path(options["root"]))
    names = [entry["name"] for entry in options["databases"]]
    found = [
        (name, list_abandoned(layout, name))
        for name in names
        if read_last_run_state(layout, name).state in ("", "failed")
    ]
    return [RunState(name, "abandoned", runs[0], "rehearse") for name, runs in found if runs]


def recover(options: Options) -> dict[str, Any]:
    """Follow what still runs and recover what is dead, for as long as a call may take.

    Raises:
        Refused: the run id cannot be one.
    """
    return _Recovery(options).go()


class _Recovery:
    """One call. All that it must know of the calls before it is in the journals and in the cursor."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.layout = Layout(Path(options["root"]))
        self.run = check_run_id(options["run"])
        cursor = options["cursor"]
        self.followed: dict[str, str] = dict(cursor.get("followed") or {})
        self.states: dict[str, dict[str, Any]] = dict(cursor.get("states") or {})

    def go(self) -> dict[str, Any]:
        if self._wait_for_workers():
            return self._describe_unfinished(
                [line for left in self._list_alive() for line in self._describe_work(left)]
            )
        self._clear_failures()
        releases: dict[str, list[RunState]] = {}
        for left in find_unrecovered(self.options):
            if self._find_result(left.name):
                continue  # it was tried, and could not be recovered now
            if left.state == "held" or not self._recover_by_files(left):
                release = left.release or release_of_database(self.options["root"], left.name)
                releases.setdefault(release, []).append(left)
        for left in list_littered(self.options):
            if not self._find_result(left.name):
                releases.setdefault(release_of_database(self.options["root"], left.name), []).append(left)
        # A release that was begun before is followed to its end, though its databases are recovered one by one.
        for release in sorted({*releases, *(name for name, state in self.states.items() if not state["finished"])}):
            answer = self._recover_release(release, releases.get(release, []))
            if answer and not answer["finished"]:
                return self._describe_unfinished(answer["lines"])
        return {"finished": True, "lines": [], "cursor": self._build_cursor(), "results": self._list_results()}

    def _clear_failures(self) -> None:
        """Let what failed be tried again, where a person has named it; nothing is run for that."""
        for entry in self.options["databases"]:
            left = read_last_run_state(self.layout, entry["name"])
            if left.state == "failed" and is_retried(self.options["retry_failed"], left.name):
                Journal(self.layout.locate_journal(left.name, left.run), "recover").write("cleared", by=self.run)
                self._note(left.name, {"name": left.name, "outcome": "cleared", "changed": True, "of_run": left.run})

    def _wait_for_workers(self) -> bool:
        """Wait for live workers, and return whether any is left when the time of this call is over."""
        deadline = monotonic() + self.options["follow"]
        while alive := self._list_alive():
            self.followed.update({left.name: left.run for left in alive})
            if monotonic() > deadline:
                return True
            sleep(_POLL_INTERVAL)
        return False

    def _list_alive(self) -> list[RunState]:
        return [left for left in find_unrecovered(self.options) if left.state == "running"]

    def _describe_work(self, left: RunState) -> list[str]:
        doing = read_progress(self.layout.locate_journal(left.name, left.run).with_suffix(".progress"))
        return [f"{left.name}: run {left.run} still works: {doing}"] if doing else []

    def _recover_by_files(self, left: RunState) -> bool:
        """End the journal of a run that was verified already, or had not touched the database yet."""
        path = self.layout.locate_journal(left.name, left.run)
        events = read_events(path)
        result = build_result_of_dead(left.name, events, left.verb, "its worker was ended")
        verified = left.verb == "upgrade" and result["outcome"] == "upgraded"
        if left.touched and not verified:
            return False
        if not verified:
            shutil.rmtree(self.layout.locate_partial_backup(left.name, left.run), ignore_errors=True)
            result["interrupted"] = True
        Journal(path, left.verb).write("done", result=result)
        outcome = result["outcome"] if verified else "untouched"
        self._note(left.name, {**result, "outcome": outcome, "of_run": left.run, "changed": False})
        return True

    def _recover_release(self, release: str, lefts: list[RunState]) -> dict[str, Any] | None:
        """Have databases recovered by the release that their run worked with."""
        state = self.states.setdefault(
            release, {"names": [left.name for left in lefts], "cursor": {}, "finished": False, "attach": False}
        )
        entries = [entry for entry in self.options["databases"] if entry["name"] in state["names"]]
        try:
            python = self._find_python(release, lefts)
            options = {**self.options, "release": release, "databases": entries, "cursor": state["cursor"]}
            options["attach"] = state["attach"] or self.options["attach"]
            answer = call_verb(python, "recover", options)
        except Refused as refusal:
            for entry in entries:
                refused = {"name": entry["name"], "outcome": "refused", "changed": False, "error": refusal.as_facts()}
                self._note(entry["name"], refused)
            state["finished"] = True
            return None
        state.update(cursor=answer["cursor"], finished=answer["finished"], attach=True)
        return answer

    def _find_python(self, release: str, lefts: list[RunState]) -> Path:
        """Return the virtualenv's Python of a release that is as it was when it was shipped.

        Raises:
            Refused: it is not there whole, or was changed.
        """
        runs = ", ".join(sorted({left.run for left in lefts}))
        ship, recover = build_playbook_command("ship"), build_playbook_command("recover")
        again = f"Ship the release it came from again: {ship}; then recover: {recover}"
        python = find_virtualenv_python(self.options["root"], release)
        if python is None:
            raise Refused(
                f"Release {release[:12]} of run {runs} is not on this host any more", "", again, code="release-missing"
            )
        folder = self.layout.release(release)
        record = read_record(folder / "release.json")
        expected = record.get("content")
        if expected and not is_as_shipped(folder / "source", expected, record.get("files")):
            raise Refused(
                f"Release {release[:12]} of run {runs} was changed on this host",
                f"the files in {folder} are not those that were shipped",
                f"Remove {folder}. {again}",
                code="release-changed",
            )
        return python

    def _note(self, name: str, result: dict[str, Any]) -> None:
        Journal(self.layout.locate_journal(name, self.run), "recover").write("done", result=result)

    def _find_result(self, name: str) -> dict[str, Any] | None:
        """Return the result of this run's recovery of a database."""
        events = read_events(self.layout.locate_journal(name, self.run))
        results_of_recovery = [
            event["result"] for event in events if event["event"] == "done" and _is_recovery(event["verb"])
        ]
        return dict(results_of_recovery[-1]) if results_of_recovery else None

    def _list_results(self) -> list[dict[str, Any]]:
        results = []
        for entry in self.options["databases"]:
            name = entry["name"]
            result = self._find_result(name) or self._find_followed_result(name)
            if result:
                results.append(result)
        return results

    def _find_followed_result(self, name: str) -> dict[str, Any] | None:
        run = self.followed.get(name)
        if not run:
            return None
        events = [
            event for event in read_events(self.layout.locate_journal(name, run)) if not _is_recovery(event["verb"])
        ]
        done = find_ending(events, events[-1]["verb"]) if events else None
        return {"of_run": run, **done["result"], "changed": False} if done else None

    def _build_cursor(self) -> dict[str, Any]:
        return {"followed": self.followed, "states": self.states}

    def _describe_unfinished(self, lines: list[str]) -> dict[str, Any]:
        return {"finished": False, "lines": lines, "cursor": self._build_cursor(), "results": []}


def _is_recovery(verb: str) -> bool:
    return verb.startswith("recover")


def list_strangers(options: Options) -> list[str]:
    """Return journals with something not recovered whose databases are not in the inventory."""
    return list_unknown_folders(Layout(Path(options["root"])), [entry["name"] for entry in options["databases"]])
