# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the report of a failed upgrade says below its table: each cause, what was undone for it, what to type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import playbook_command

from .causes import cause_line, without_name

Result = dict[str, Any]

#: So many databases are named in a command; of more, all that failed are tried again.
_MOST_TYPED = 3


@dataclass(frozen=True)
class Reverted:
    """What was done after the failure, and where the database is: equal for all databases of one line."""

    outcome: str = ""
    reason: str = ""
    undone: str = ""
    revision: str = ""
    notes: tuple[str, ...] = ()
    not_restored: tuple[str, ...] = ()
    #: The name of a database that is held: its ways out are its own.
    held: str = ""


def failure_lines(failures: Sequence[tuple[Result, Result | None]]) -> list[str]:
    """Return the lines of all failures, those of one cause and one end together.

    Args:
        failures: results of the upgrade, each with that of the downgrade if there is one.
    """
    groups: dict[tuple[str, Reverted], list[tuple[Result, Result | None]]] = {}
    for entry, back in failures:
        cause = without_name(str(Refused.of(entry["error"])), entry["name"])
        groups.setdefault((cause, _reverted(entry["name"], back)), []).append((entry, back))
    return [line for (_cause, reverted), members in groups.items() for line in _lines(reverted, members)]


def _reverted(name: str, back: Result | None) -> Reverted:
    if back is None:
        return Reverted()
    return Reverted(
        outcome=str(back["outcome"]),
        reason=str(back.get("reason") or ""),
        undone=", ".join(step["revision"] for step in back.get("undone") or []),
        revision=_heads(back.get("after")),
        notes=tuple(back.get("notes") or []),
        not_restored=tuple(back.get("not_restored") or []),
        held="" if back["outcome"] in ("untouched", "downgraded", "restored") else name,
    )


def _lines(reverted: Reverted, members: Sequence[tuple[Result, Result | None]]) -> list[str]:
    (entry, back), names = members[0], [entry["name"] for entry, _back in members]
    lines = [cause_line(names, str(Refused.of(entry["error"])))]
    if back is None:
        return [*lines, "  Nothing was tried in it." if len(names) == 1 else "  Nothing was tried in them."]
    if reverted.held:
        lines.append(f"  HELD {_where(back)}: {Refused.of(back.get('error') or {'what': 'unknown'})}")
        return lines + [f"  Way {way}: {command}" for way, command in (back.get("ways_out") or {}).items()]
    one = len(names) == 1
    state = f"{'it is' if one else 'they are'} at {reverted.revision}, as before."
    if reverted.outcome == "untouched":
        lines.append(f"  Nothing of it was committed; {state}")
    elif reverted.outcome == "downgraded":
        lines.append(f"  Downgraded {reverted.undone}; {state}")
        lines += [f"  Note: {note}." for note in reverted.notes]
    else:
        backups = "its backup" if one else "their backups"
        lines.append(f"  Restored from {backups}, because {reverted.reason}; {_replaced(members)}")
        lines.append(f"  {state[0].upper()}{state[1:]}")
        lines += [f"  But for {words}." for words in reverted.not_restored]
    retried = names if len(names) <= _MOST_TYPED else "true"
    command = playbook_command("migrate", migrate_retry_failed=retried)
    return [*lines, f"  Next: correct the release, then: {command}"]


def _replaced(members: Sequence[tuple[Result, Result | None]]) -> str:
    """Return where what was replaced is kept."""
    if len(members) == 1:
        return f"what it replaced is {(members[0][1] or {}).get('aside')}."
    return f"what they replaced is kept, and listed by: {playbook_command('prune')}"


def _where(back: Result) -> str:
    """Return the revision of a held database, or that it could not be read: a guess would be worse than nothing."""
    return "where it is, which could not be read" if back.get("after") is None else f"at {_heads(back['after'])}"


def _heads(heads: Sequence[str] | None) -> str:
    return "unknown" if heads is None else ", ".join(heads) or "base"
