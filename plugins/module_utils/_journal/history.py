# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The earlier runs of a host, from its journals. Needs no virtualenv."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from .._core.errors import Refused
from .._core.paths import Layout, check_run_id
from .._core.playbook_command import build_playbook_command
from .._core.results import DatabaseResult
from .events import find_ending, find_net_outcome, list_newest_first, read_events


def list_runs(root: str) -> list[str]:
    """Return the id of every run that a journal of this host knows."""
    return sorted({path.stem for path in Layout(Path(root)).journals.glob("*/*.jsonl")})


def find_last_change(root: str) -> str:
    """Return the run that last upgraded any database of this host.

    Raises:
        Refused: there was none.
    """
    begun = [
        (events[0]["at"], run)
        for folder in Layout(Path(root)).journals.glob("*")
        for run, events in list_newest_first(folder)
        if find_net_outcome(events) == "upgraded"
    ]
    if not begun:
        raise Refused(
            "There is no run to roll back on this host",
            "its journals know of no upgrade",
            "Check migrate_root, and --limit to the hosts that have been migrated",
            code="run-unknown",
        )
    return max(begun)[1]


def list_touched(root: str, run: str) -> list[str]:
    """Return the folders of the databases that a run moved or left unfinished, or has a backup of."""
    layout = Layout(Path(root))
    journals = [path for path in layout.journals.glob(f"*/{run}.jsonl") if find_net_outcome(read_events(path))]
    return sorted({path.parent.name for path in (*journals, *layout.backups.glob(f"*/{run}"))})


def list_moved(root: str, run: str) -> list[str]:
    """Return the host's databases that a run upgraded or left held, less those that a later run moved."""
    found: list[str] = []
    for path in sorted(Layout(Path(root)).journals.glob(f"*/{check_run_id(run)}.jsonl")):
        events = read_events(path)
        upgraded = find_ending(events, "upgrade")
        if find_net_outcome(events) in ("upgraded", "held") and not _has_moved_since(path.parent, run):
            found.append(str(upgraded["result"]["name"]) if upgraded else path.parent.name)
    return found


def _has_moved_since(folder: Path, run: str) -> bool:
    later = takewhile(lambda journal: journal[0] != run, list_newest_first(folder))
    return any(find_net_outcome(events) for _run, events in later)


def list_upgraded(root: str, run: str, names: list[str], only: Sequence[str] = ()) -> list[str]:
    """Return which of some databases a run has upgraded, of ``only`` if any are named, also those that it left held.

    Raises:
        Refused: the run id cannot be one, or one that is named is not in the inventory.
    """
    layout = Layout(Path(root))
    for name in only:
        refuse_unlisted(name, names)
    left = ("upgraded", "held") if only else ("upgraded",)
    return [name for name in only or names if find_net_outcome(read_events(layout.locate_journal(name, run))) in left]


def list_to_roll_back(
    root: str, run: str, of_run: str, names: list[str], only: Sequence[str] = (), *, attach: bool = False
) -> list[str]:
    """Return which databases a run rolls back: those that an earlier run upgraded.

    Args:
        root: the folder of the host.
        run: the run that rolls back.
        of_run: the run that is rolled back.
        names: the databases of the inventory.
        only: those that are named.
        attach: whether the rollback may have been begun; then those that have ended already count too.

    Raises:
        Refused: as ``list_upgraded``.
    """
    found = list_upgraded(root, of_run, names, only)
    layout = Layout(Path(root))
    begun = [name for name in names if attach and _has_begun(layout.locate_journal(name, run), "rollback")]
    return [name for name in names if name in found or name in begun]


def _has_begun(journal: Path, verb: str) -> bool:
    return any(event["verb"] == verb for event in read_events(journal))


def find_later_move(layout: Layout, database: str, by_run: str, of_run: str) -> Refused | None:
    """Return why a run cannot be rolled back any more; a later run that was itself rolled back is not a reason."""
    rolled_back: dict[str, str] = {}
    what = f"Run {of_run} cannot be rolled back in database {database!r}"
    for run, events in list_newest_first(layout.locate_journals(database)):
        if run == of_run:
            by = rolled_back.get(run)
            return (
                Refused(
                    what,
                    f"run {by} has rolled it back already",
                    "Name another run in migrate_rollback_run",
                    code="rollback-not-possible",
                )
                if by
                else None
            )
        undone = find_ending(events, "rollback")
        if undone and find_net_outcome(events):
            if find_net_outcome(events) != "held":  # then it may be rolled back once more
                rolled_back[undone["result"]["of_run"]] = run
        elif run != by_run and find_net_outcome(events) and run not in rolled_back:
            first = build_playbook_command("rollback", migrate_rollback_run=run)
            return Refused(
                what,
                f"run {run} has {find_net_outcome(events)} it since",
                f"Roll that one back first: {first}",
                code="rollback-not-possible",
            )
    return None


def predict_rollback(root: str, run: str, of_run: str, names: list[str]) -> list[DatabaseResult]:
    """Return the results that rolling a run back would have, as far as the journals show."""
    layout = Layout(Path(root))
    found: list[DatabaseResult] = []
    for name in names:
        obstacle = find_later_move(layout, name, run, of_run)
        done = find_ending(read_events(layout.locate_journal(name, of_run)), "upgrade")
        upgraded = done["result"] if done else {}
        result: DatabaseResult = {
            "name": name,
            "outcome": "refused" if obstacle else "downgraded",
            "changed": not obstacle,
            "of_run": of_run,
            "before": upgraded.get("after"),
            "after": upgraded.get("before"),
        }
        if obstacle:
            result["error"] = obstacle.as_facts()
        found.append(result)
    return found


def refuse_unlisted(name: str, names: list[str]) -> None:
    if name not in names:
        raise Refused(
            f"Database {name!r} is not in the inventory of this host",
            f"it has {', '.join(names)}",
            "Name one of these, or add it to migrate_databases",
            code="database-not-listed",
        )


def make_unshipped_status(name: str) -> dict[str, Any]:
    """Return the status of a database on a host that holds no release."""
    problem = Refused(
        "Nothing was shipped to this host yet", "", f"Ship it: {build_playbook_command('ship')}", code="release-missing"
    )
    return {
        "name": name,
        "server": "",
        "current": None,
        "pending": [],
        "problems": [problem.as_facts()],
        "changed_history": [],
        "retained": [],
        "backup_problems": [],
        "last_run": None,
        "last_change": None,
        "last_backup": None,
    }
