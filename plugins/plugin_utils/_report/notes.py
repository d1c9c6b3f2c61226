# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's lines below the table of a migration in which nothing failed, each of them once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .causes import group_notes
from .cells import format_seconds
from .grouping import View

#: So many lines have a revision of a database each; what is more is grouped by revision.
_MOST_REVISIONS = 30
_MOST_GROUPED = 3
_WARNING = "WARNING: "


def list_migration_notes(planned: Sequence[Result], upgraded: Sequence[Result]) -> list[str]:
    """Return what is to be known of databases that were migrated.

    Args:
        planned: entries of the plan; each has its ``host`` where there are several.
        upgraded: entries of the upgrade.
    """
    data_loss = group_notes(
        (entry, line) for entry in upgraded for line in [*_list_data_loss(entry), *_list_notes(entry)]
    )
    failed = {(entry["name"], entry.get("host")) for entry in upgraded if entry.get("error")}
    # What became of those that failed, their failure says.
    others = [entry for entry in planned if (entry["name"], entry.get("host")) not in failed]
    unrestorable = [entry for entry in others if (entry.get("restore") or {}).get("obstacle")]
    return data_loss + list_changed_history(planned) + list_restore_notes(unrestorable)


def list_revision_lines(entries: Sequence[Result], view: View) -> list[str]:
    """Return each revision with its duration; of many databases once, with the one in which it took longest."""
    steps = [(entry["name"], step) for entry in entries for step in entry.get("applied", [])]
    if not view.needs_groups(len(entries)) and len(steps) <= _MOST_REVISIONS:
        return [
            f"{name}: {step['revision']}  {step['message']}  {format_seconds(step['seconds'])}".rstrip()
            for name, step in steps
        ]
    found: dict[str, list[tuple[str, Result]]] = {}
    for name, step in steps:
        found.setdefault(step["revision"], []).append((name, step))
    lines = [_describe_revision(taken) for taken in found.values()]
    if len(lines) <= _MOST_GROUPED or view.shows_all:
        return lines
    longest = max(found.values(), key=_sum_seconds)
    applied = (
        f"applied {len(steps)} times in {format_seconds(_sum_seconds(steps))}"
        if _sum_seconds(steps)
        else f"{len(steps)} to apply"
    )
    return [f"{len(found)} revisions, {applied}; the longest: {_describe_revision(longest)}"]


def _describe_revision(taken: Sequence[tuple[str, Result]]) -> str:
    """Return in how many databases a revision was applied, how long that took in all and at most."""
    _name, step = taken[0]
    title = f"{step['revision']}  {step['message']}".rstrip()
    timed = [(name, each["seconds"]) for name, each in taken if each.get("seconds") is not None]
    line = f"{title}: {len(taken)} database{'' if len(taken) == 1 else 's'}"
    if not timed:
        return line
    name, most = max(timed, key=lambda each: each[1])
    return f"{line}, {format_seconds(_sum_seconds(taken))} in all, at most {format_seconds(most)} ({name})"


def _sum_seconds(taken: Sequence[tuple[str, Result]]) -> float:
    return sum(step.get("seconds") or 0 for _name, step in taken)


def list_changed_history(entries: Iterable[Result]) -> list[str]:
    """Return what is found of files that have changed since they were applied."""
    found = ((entry, str(Refused.of(each))) for entry in entries for each in entry.get("changed_history", []))
    return group_notes(found, _WARNING)


def list_restore_notes(entries: Iterable[Result]) -> list[str]:
    """Return what is to be known of restores before one is needed."""
    obstacles, others = [], []
    for entry in entries:
        restore = entry.get("restore") or {}
        if restore.get("obstacle"):
            obstacles.append((entry, f"Could not be restored: {Refused.of(restore['obstacle'])}"))
        else:
            others += [(entry, line) for line in _of_restore(restore)]
    return group_notes(obstacles, _WARNING) + group_notes(others)


def list_restore_rights(entries: Iterable[Result]) -> list[str]:
    """Return what administrators type so that databases can be restored, each with its own names."""
    given = ((entry, (entry.get("restore") or {}).get("rights")) for entry in entries)
    words = "So that it can be restored, an administrator types"
    return group_notes((entry, f"{words}: {rights}") for entry, rights in given if rights)


def plan_notes(entries: Iterable[Result]) -> list[str]:
    """Return what is to be known of backups before one is made."""
    return group_notes((entry, line) for entry in entries for line in _list_notes(entry))


def note_lines(entry: Result) -> list[str]:
    """Return the notes of a database, each with its name."""
    return [f"{entry['name']}: {note}" for note in _list_notes(entry)]


def list_backup_problems(results: Iterable[Result]) -> list[str]:
    """Return what is the matter with backups although their runs ended: not sealed, not copied, not fetched."""
    given = list(results)
    copies = [f"{_WARNING}{each}" for result in given for each in (result.get("copies") or {}).get("problems", [])]
    found = (
        (entry, str(Refused.of(problem)))
        for result in given
        for entry in result.get("databases", [])
        for problem in entry.get("backup_problems") or []
    )
    return copies + group_notes(found, _WARNING)


def _list_data_loss(entry: Result) -> Iterator[str]:
    for name, (before, after) in sorted((entry.get("lost_rows") or {}).items()):
        yield f"table {name} had {before} rows and has {after} now"


def _list_notes(entry: Result) -> list[str]:
    return [f"note: {note}" for note in entry.get("notes", [])]


def _of_restore(restore: Result) -> Iterator[str]:
    """Yield what a restore would be if it were needed."""
    by = f"A restore ({restore.get('method')})"
    for words in restore.get("not_restored", []):
        yield f"{by} would not bring back {words}"
    for words in restore.get("notes", []):
        yield f"{by}: {words}"
