# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines below the table of a failed upgrade: each cause, what was undone for it, what to type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import CORRECT_IT, Refused, describe_first
from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import (
    build_playbook_command,
    indent_ways_out,
    list_ways_out,
)
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .causes import (
    MOST_NAMED,
    build_cause_key,
    describe_cause_line,
    describe_or_name_host,
    describe_same_error,
    generalize_text,
    list_hosts,
    strip_name,
)
from .cells import format_heads
from .grouping import View

#: So many databases are named in a command; of more, all that failed are tried again.
MOST_TYPED = 3
#: So many causes are described; of more, the databases are named.
MOST_CAUSES = 20
#: Outcomes with which a verb fails.
BAD = ("failed", "held", "refused")
_PATH = re.compile(r"/[^\s,;]+")
#: Outcomes of a database that was reverted.
REVERTED = ("untouched", "downgraded", "restored")


@dataclass(frozen=True)
class Reverted:
    """The revert after a failure, and the revision of the database: equal for all databases of one line."""

    outcome: str = ""
    reason: str = ""
    undone: str = ""
    revision: str = ""
    #: The ways out of a database that is held, without its name.
    held: str = ""


def list_ends(upgrade: Result, downgrade: Result) -> list[tuple[Result, Result | None]]:
    """Return each database of an upgrade with what was done after the failure, or None where nothing was.

    What was upgraded and reverted all the same, because a later step failed, has the error of that step.
    """
    reverted = {entry["name"]: entry for entry in downgrade.get("databases", [])}
    found = []
    for entry in upgrade.get("databases", []):
        back = reverted.get(entry["name"])
        is_rejected = bool(back) and entry["outcome"] == "upgraded"
        error = {"outcome": "rejected", "error": (back or {}).get("upgrade_error")} if is_rejected else {}
        found.append(({**entry, **error}, back))
    return found


def render_failures(
    failures: Sequence[tuple[Result, Result | None]], view: View, *, with_next: bool = True
) -> list[str]:
    """Return the lines of all failures, those of one cause and one end together.

    Args:
        failures: results of the upgrade, each with that of the downgrade if there is one, and with its ``host`` where
            there are several.
        view: how much is printed.
        with_next: whether to say what to type once the release is correct; a summary says it once for all.
    """
    groups: dict[tuple[str, Reverted], list[tuple[Result, Result | None]]] = {}
    for entry, back in failures:
        cause = build_cause_key(str(Refused.of(entry["error"])), entry["name"])
        groups.setdefault((cause, _describe_revert(entry, back)), []).append((entry, back))
    # A held database has its place in any case: its ways out are nowhere else on the screen.
    found = sorted(groups.items(), key=lambda group: not group[0][1].held)
    most = len(found) if view.shows_all else MOST_CAUSES
    lines, printed = [], dict[str, Result]()
    for (cause, reverted), members in found[:most]:
        # A few that are held are a decision each; of many, a command for all is what can be read.
        single = reverted.held and len(members) <= MOST_TYPED
        for together in [[member] for member in members] if single else [members]:
            first = printed.setdefault(cause, together[0][0])
            lines += _list_lines(
                reverted, together, view, with_next, "" if view.shows_all else _find_above(first, together[0][0])
            )
    return lines + _list_more_causes([[entry["name"] for entry, _back in members] for _key, members in found[most:]])


def _find_above(first: Result, entry: Result) -> str:
    """Return where the cause of a database is printed already, or nothing where it is the first with it."""
    if first is entry:
        return ""
    return f"on {first['host']}" if first.get("host") != entry.get("host") else f"of {first['name']}"


def render_failure(result: Result, view: View) -> list[str]:
    """Return what a verb failed with, each cause once, and the ways out of what it holds.

    Args:
        result: of the verb.
        view: how much is printed.
    """
    entries = result.get("databases", [])
    bad = [entry for entry in entries if entry.get("outcome") in BAD]
    if result.get("lost") or not bad or not all(entry.get("error") for entry in bad):
        held = [entry for entry in entries if entry.get("ways_out")]
        return str(result.get("msg", "")).splitlines() + _list_ways_of_each(held)
    causes: dict[tuple[str, str], list[Result]] = {}
    for entry in bad:
        key = build_cause_key(str(Refused.of(entry["error"])), entry["name"])
        causes.setdefault((key, _strip_name_from_ways(entry)), []).append(entry)
    found = sorted(causes.items(), key=lambda cause: not cause[0][1])
    most = len(found) if view.shows_all else MOST_CAUSES
    lines = []
    for _cause, members in found[:most]:
        lines += _render_cause(members, Refused.of(members[0]["error"]), view).splitlines()
        lines += _list_ways_of_each(members) if len(members) <= MOST_TYPED else _list_ways(members)
    return lines + _list_more_causes([[entry["name"] for entry in members] for _cause, members in found[most:]])


def _render_cause(members: Sequence[Result], error: Refused, view: View, above: str = "") -> str:
    """Return the line of a cause; where it is printed already, that place is named instead of the text."""
    names = [entry["name"] for entry in members]
    text = describe_same_error(above, error) if above else describe_or_name_host(error, names[0], view.first_on)
    return describe_cause_line(names, text, list_hosts(members))


def _list_more_causes(groups: Sequence[Sequence[str]]) -> list[str]:
    names = [name for group in groups for name in group]
    return (
        [f"and {len(groups)} more causes, in {len(names)} databases ({describe_first(names, MOST_NAMED)})"]
        if names
        else []
    )


def _list_ways_of_each(held: Sequence[Result]) -> list[str]:
    return [f"{entry['name']}: {line}" for entry in held for line in list_ways_out(entry.get("ways_out") or {})]


def _list_ways(held: Sequence[Result]) -> list[str]:
    """Return the ways out of databases that differ in their names only: each is one command for all of them."""
    names = [entry["name"] for entry in held]
    ways = {way: generalize_text(command, names) for way, command in (held[0].get("ways_out") or {}).items()}
    lines = indent_ways_out(ways)
    more = len(names) - MOST_NAMED
    return lines + ([f"  The same for {more} more, each by its name."] if lines and more > 0 else [])


def _strip_name_from_ways(entry: Result) -> str:
    return str(
        {way: build_cause_key(command, entry["name"]) for way, command in sorted((entry.get("ways_out") or {}).items())}
    )


def _describe_revert(entry: Result, back: Result | None) -> Reverted:
    if back is None:
        return Reverted()
    return Reverted(
        outcome=str(back["outcome"]),
        reason=str(back.get("reason") or ""),
        undone=", ".join(step["revision"] for step in back.get("undone") or []),
        revision=format_heads(back.get("after")),
        held="" if back["outcome"] in REVERTED else f"{_explain_held(back, entry['name'])} {entry.get('host', '')}",
    )


def _explain_held(back: Result, name: str) -> str:
    """Return why a database is held and how to go on, without its name."""
    why = build_cause_key(str(_build_error(back)), name)
    return f"{why} {_strip_name_from_ways({**back, 'name': name})}"


def _build_error(result: Result) -> Refused:
    """Return the error of a result; without a remedy that what comes next says better, with a command."""
    error = Refused.of(result.get("error") or {"what": "unknown"})
    return Refused.of({**error.as_facts(), "remedy": ""}) if error.remedy == CORRECT_IT else error


def _list_lines(
    reverted: Reverted, members: Sequence[tuple[Result, Result | None]], view: View, with_next: bool, above: str
) -> list[str]:
    (entry, back), names = members[0], [entry["name"] for entry, _back in members]
    error = _build_error(entry)
    lines = [_render_cause([member for member, _back in members], error, view, above)]
    if back is None:
        return [*lines, "  Nothing was tried in it." if len(names) == 1 else "  Nothing was tried in them."]
    if reverted.held:
        why = str(_build_error(back))
        lines.append(f"  HELD {_describe_where(back)}: {generalize_text(why, names)}")
        lines += _render_each("Besides,", "elsewhere", members)
        return lines + _list_ways([{**(held or {}), "name": each["name"]} for each, held in members])
    one = len(names) == 1
    state = f"{'it is' if one else 'they are'} at {reverted.revision}, as before."
    if reverted.outcome == "untouched":
        lines.append(f"  Nothing of it was committed; {state}")
        lines += _render_each("Note:", "notes", members)
    elif reverted.outcome == "downgraded":
        lines.append(f"  Downgraded {reverted.undone}; {state}")
        lines += _render_each("Note:", "notes", members)
    else:
        backups = "its backup" if one else "their backups"
        lines.append(f"  Restored from {backups}, because {reverted.reason}; {_render_replaced(members)}")
        lines.append(f"  {state[0].upper()}{state[1:]}")
        lines += _render_each("But for", "not_restored", members)
    lines += _render_each("Besides,", "elsewhere", members)
    if not with_next:
        return lines
    retried = names if len(names) <= MOST_TYPED else "true"
    command = build_playbook_command("migrate", migrate_retry_failed=retried)
    return [*lines, f"  Next: correct the release, then: {command}"]


def _render_each(title: str, key: str, members: Sequence[tuple[Result, Result | None]]) -> list[str]:
    """Return what is noted of any member, once where only paths differ."""
    found: dict[str, list[str]] = {}
    for entry, back in members:
        for words in (back or {}).get(key) or []:
            found.setdefault(_PATH.sub("", strip_name(words, entry["name"])), []).append(words)
    return [f"  {title} {texts[0]}{_count_more(texts)}." for texts in found.values()]


def _count_more(texts: Sequence[str]) -> str:
    return f" ({len(texts) - 1} more have their own)" if len(set(texts)) > 1 else ""


def _render_replaced(members: Sequence[tuple[Result, Result | None]]) -> str:
    """Return where what was replaced is kept."""
    if len(members) == 1:
        return f"what it replaced is {(members[0][1] or {}).get('retained')}."
    return f"what they replaced is kept, and listed by: {build_playbook_command('prune')}"


def _describe_where(back: Result) -> str:
    """Return the revision of a held database, or that it could not be read: a guess would be worse than nothing."""
    return "where it is, which could not be read" if back.get("after") is None else f"at {format_heads(back['after'])}"
