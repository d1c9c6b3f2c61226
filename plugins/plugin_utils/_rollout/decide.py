# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decisions of a rollout: which hosts come next, whether any does, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused, describe_first
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .._report.cells import format_heads
from .batches import Limits
from .manifest import GOOD, Database, Host, Manifest

_HELD = ("held", "failed", "refused")
#: So many databases are named one by one.
_MOST_TYPED = 3


def read_planned(results: Result) -> Host:
    """Return a host's part from the result of its plan.

    Args:
        results: of preflight (``packed``) and ``plan``, and ``failure``, what it failed with if it did.
    """
    packed, plan, failure = results.get("packed") or {}, results.get("plan") or {}, results.get("failure") or ""
    host = Host(run=packed.get("run", ""), why=join_lines(failure))
    host.databases = {entry["name"]: _make_database(entry) for entry in plan.get("databases", [])}
    host.found = {entry["source"]: entry["names"] for entry in plan.get("found") or []}
    if not host.run:
        host.state = "refused"
    elif failure:
        host.state = "lost" if plan.get("lost") else "failed"
    elif not plan.get("pending"):
        host.state = "unchanged"
    return host


def _make_database(entry: Result) -> Database:
    obstacles = [" ".join(str(Refused.of(obstacle)).split()) for obstacle in entry["obstacles"]]
    pending = bool(entry["pending"] or obstacles)
    return Database(
        target=entry["target"],
        was=entry["current"],
        expected=entry["heads"],
        now=entry["current"],
        outcome="refused" if obstacles else "waiting" if pending else "unchanged",
        pending=entry["pending"],
        unexpanded=entry.get("unexpanded", []),
        expected_seconds=entry.get("expected_seconds"),
        why=obstacles[0] if obstacles else "",
        code=entry["obstacles"][0].get("code", "") if obstacles else "",
    )


def has_ended(host: Host, results: Result) -> None:
    """Take into a host's part how its turn has ended.

    Args:
        host: is changed.
        results: of plan, upgrade and downgrade, and ``failure``, what it failed with if it did.
    """
    failure = str(results.get("failure") or "")
    host.run = (results.get("packed") or {}).get("run", host.run)
    for entry in (results.get("plan") or {}).get("databases", []):
        if host.databases.get(entry["name"], Database("")).expected is None:
            host.databases[entry["name"]] = _make_database(entry)
    upgrade, downgrade = results.get("upgrade") or {}, results.get("downgrade") or {}
    for entry in [*upgrade.get("databases", []), *downgrade.get("databases", [])]:
        _note_position(host.databases.setdefault(entry["name"], Database("")), entry)
    lost = failure == LOST_ON_THE_WAY
    lost = lost or any((results.get(verb) or {}).get("lost") for verb in ("plan", "upgrade", "downgrade"))
    host.state = ("lost" if lost else "failed") if failure else "migrated"
    # What failed in a database is there.
    is_reported = any(host.databases[name].why for name in host.failures)
    host.why = "" if host.state == "failed" and is_reported else join_lines(failure)


def find_failure(results: Result, on_deferred: str, *, is_lost: bool = False) -> str:
    """Return what a host's turn has failed with, or nothing: success is what was seen.

    Args:
        results: of plan and upgrade, and ``failure``, what was recorded where one was rescued.
        on_deferred: ``fail`` where a database that was not begun is a failure.
        is_lost: whether Ansible has given the host up, so that nothing behind its upgrade ran to its end.
    """
    if results.get("failure"):
        return str(results["failure"])
    plan, upgrade = results.get("plan") or {}, results.get("upgrade") or {}
    if is_lost or results.get("downgrade") or not plan.get("ok") or (plan.get("pending") and not upgrade.get("ok")):
        return LOST_ON_THE_WAY
    deferred = [entry["name"] for entry in upgrade.get("databases", []) if entry["outcome"] == "deferred"]
    if deferred and on_deferred == "fail":
        return f"{describe_first(deferred, _MOST_TYPED)} not begun, because the rest of the window was too short"
    return ""


#: The message of a host that Ansible has given up: neither rescue nor any later task runs for it.
LOST_ON_THE_WAY = "it was lost on the way, and nothing is known"


def _note_position(database: Database, entry: Result) -> None:
    database.outcome = entry["outcome"]
    if entry.get("target"):
        database.target = entry["target"]
    if "after" in entry:
        database.now = entry["after"]
    given = entry.get("error") or entry.get("upgrade_error")
    if given and given.get("what"):  # a rollback that went well has one without words
        error = Refused.of(given)
        database.why, database.code = join_lines(str(error)), error.code


def note_checked_again(host: Host, results: Result | None) -> None:
    """Take into a host's part what was found after the soak. Its databases stay as they are."""
    failure = "nothing is known of it" if results is None else str(results.get("failure") or "")
    if failure:
        host.state, host.why = "failed", f"it was not well any more after the soak: {join_lines(failure)}"


def note_rolled_back(host: Host, results: Result) -> None:
    """Record in a host's part how its rollback has ended."""
    rollback = results.get("rollback") or {}
    for entry in rollback.get("databases", []):
        _note_position(host.databases.setdefault(entry["name"], Database("")), entry)
    failure = str(results.get("failure") or "")
    if failure or any(entry["outcome"] in _HELD for entry in rollback.get("databases", [])):
        host.state, host.why = "not_rolled_back", join_lines(failure) or "a database is held"
    elif not host.is_bad:
        host.state = "rolled_back"


def explain_stop(manifest: Manifest, limits: Limits) -> str:
    """Return why no further batch may begin after the one that has ended last, or nothing.

    The first batch is a canary: none of its hosts may fail, whatever is allowed later. Nor may a whole batch.
    """
    names = manifest.batches[manifest.ended - 1] if manifest.ended else []
    failed = [name for name in names if manifest.hosts[name].is_bad]
    if failed and manifest.ended == 1:
        return f"{', '.join(failed)} failed in the first batch"
    if failed and len(failed) == len(names):
        return f"all of batch {manifest.ended} failed: {', '.join(failed)}"
    return "; ".join(limits.list_exceeded(_count_failed(manifest, had_turn=True), _count_totals(manifest)))


def explain_not_begun(manifest: Manifest, limits: Limits, on_failure: str) -> str:
    """Return why nothing may begin at all, by what is known before, or nothing.

    Where a failure undoes everything, one that is certain already is a reason not to begin.
    """
    if on_failure == "rollback":
        known = _count_failed(manifest, had_turn=False)
    else:
        known = {"hosts": sum(host.state == "refused" for host in manifest.hosts.values()), "databases": 0}
    return "; ".join(limits.list_exceeded(known, _count_totals(manifest)))


def _count_failed(manifest: Manifest, *, had_turn: bool) -> dict[str, int]:
    """Count failures; those of the plan only if requested, else those of hosts that had their turn."""
    gone = {name for batch in manifest.batches[: manifest.ended] for name in batch}
    hosts = {
        name: host for name, host in manifest.hosts.items() if name in gone or host.state == "refused" or not had_turn
    }
    names = {
        (name, database)
        for name, host in hosts.items()
        for database, entry in host.databases.items()
        if (host.is_bad and entry.outcome not in GOOD) or (not had_turn and entry.outcome == "refused")
    }
    bad = {name for name, host in hosts.items() if host.is_bad} | {name for name, _database in names}
    return {"hosts": len(bad), "databases": len(names)}


def _count_totals(manifest: Manifest) -> dict[str, int]:
    named = [host for host in manifest.hosts.values() if host.batch or host.state == "refused"]
    return {"hosts": len(named), "databases": sum(len(host.databases) for host in named)}


def describe_next_batch(manifest: Manifest) -> list[str]:
    """Return in words what the next batch would do."""
    if manifest.ended >= len(manifest.batches):
        return []
    lines = [f"Batch {manifest.ended + 1} of {len(manifest.batches)}:"]
    for name in manifest.batches[manifest.ended]:
        host = manifest.hosts[name]
        lines += [f"  {name}: {host.why}"] if host.is_bad else []
        for database, entry in host.databases.items():
            way = f"{format_heads(entry.was)} -> {format_heads(entry.expected)}"
            steps = [f"      {step['revision']}  {step['message']}" for step in entry.pending]
            lines += [f"  {name}: {database}  {entry.why or way}", *steps] if entry.outcome != "unchanged" else []
    return lines


def join_lines(text: str) -> str:
    """Return a text without its line breaks, and not all of it if it is long; half a command is never pasted."""
    line = " ".join(str(text).split())
    if len(line) <= _LONGEST:
        return line
    begins = _COMMAND.search(line[:_LONGEST])
    return f"{line[: begins.start()] if begins else line[:_LONGEST]}…"


_LONGEST = 300
#: With what it needs in its environment, and by whatever path.
_COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )?\S*ansible-playbook ")

#: States of a host, in words.
STATES = {
    "migrated": "migrated",
    "unchanged": "at target",
    "failed": "failed",
    "lost": "lost",
    "refused": "rejected before connecting",
    "rolled_back": "rolled back",
    "not_rolled_back": "NOT rolled back",
    "waiting": "not begun",
    "begun": "begun, and not known how it ended",
}


def describe_failure(host: Host, manifest: Manifest, *, check_mode: bool = False) -> str:
    """Return what a host fails with in the end, or nothing if it does not; the causes are in the summary above it."""
    state = _describe_state(host, check_mode=check_mode)
    if manifest.why and not manifest.bad and not manifest.unfinished and not manifest.ended:
        return "nothing was begun"
    if host.is_bad:
        return f"{host.state.replace('_', ' ')}{f'; {state}' if state else ''}"
    if host.state in ("waiting", "begun", "rolled_back") and not manifest.bad:
        return f"{STATES[host.state]}{f'; {state}' if state else ''}"
    return ""


def _describe_state(host: Host, *, check_mode: bool) -> str:
    """Return at which revision a few databases are, or how many of them ended how."""
    would = {"upgraded": "would be upgraded", "refused": "would be refused"} if check_mode else {}
    changed = {name: entry for name, entry in host.databases.items() if entry.outcome not in ("unchanged", "waiting")}
    words = {name: would.get(entry.outcome, entry.outcome.replace("_", " ")) for name, entry in changed.items()}
    if len(changed) > _MOST_TYPED:
        ended = list(words.values())
        return ", ".join(f"{ended.count(word)} {word}" for word in dict.fromkeys(ended))
    return "; ".join(
        f"{name} {words[name]}, at {format_heads(entry.was if check_mode else entry.now)}"
        for name, entry in changed.items()
    )


def turn(manifest: Manifest, name: str) -> str:
    """Return what a host of a batch does: ``stop``, ``planned``, ``again`` with a plan of its own, or nothing."""
    if manifest.why:
        return "stop"
    # What has failed at the plan would fail again; a host that was lost may be back.
    return {"waiting": "planned", "lost": "again"}.get(manifest.hosts[name].state, "")


def _list_begun(manifest: Manifest) -> list[list[str]]:
    """Return the batches, or none if nothing may begin."""
    return [] if manifest.why and not manifest.ended else manifest.batches


def _list_failing(manifest: Manifest) -> list[str]:
    """Return the hosts that fail in the end, and one that does not."""
    undone = {name for batch in manifest.to_roll_back for name in batch}  # how that ended is not recorded yet
    charged = [name for name, host in manifest.hosts.items() if name in undone or describe_failure(host, manifest)]
    # Those who fail may all be unreachable, and Ansible then passes over a play of them alone.
    fine = [name for name in manifest.order if name not in charged]
    return charged + fine[:1] if charged else []


#: The targets of the plays, by the name that the lookup knows.
PLAY_TARGETS: dict[str, Callable[[Manifest], list[Any]]] = {
    "hosts": lambda manifest: [name for batch in _list_begun(manifest) for name in batch],
    "batches": lambda manifest: [len(batch) for batch in _list_begun(manifest)],
    "to_roll_back": lambda manifest: [name for batch in manifest.to_roll_back for name in batch],
    "to_roll_back_batches": lambda manifest: [len(batch) for batch in reversed(manifest.to_roll_back)],
    "failing": _list_failing,
    "summarised": lambda manifest: [] if _list_failing(manifest) else list(manifest.hosts)[:1],
}
