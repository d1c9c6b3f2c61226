# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people read at the end: a table of databases, and what to type where something is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import playbook_command

from .._follow.judge import has_failed
from .backup_lines import backup_lines
from .causes import cause_line, cause_lines, without_name
from .failures import failure_lines
from .maintenance import maintenance_failure, maintenance_lines
from .rehearsal_lines import rehearsed_lines
from .sizes import size
from .tables import table
from .tally import tally_of_plan

Result = dict[str, Any]

_MOST_REVISIONS = 30


@dataclass
class Report:
    """The lines of one host, and what it fails with, if it does."""

    lines: list[str] = field(default_factory=list)
    failure: list[str] = field(default_factory=list)


def report(results: Result, check_mode: bool) -> Report:
    """Return the report of whichever results there are."""
    for verb, make in _REPORTS.items():
        if results.get(verb):
            made = make(results, check_mode)
            lines = made.lines + maintenance_lines(results) + _backup_problems(results)
            return Report(lines, made.failure + maintenance_failure(results))
    return Report(["Nothing was run."])


def _backup_problems(results: Result) -> list[str]:
    """Return what is the matter with backups although their runs ended: not sealed, not copied, not fetched."""
    found = []
    for result in results.values():
        if not isinstance(result, dict):
            continue
        found += [f"WARNING: {problem}" for problem in (result.get("copies") or {}).get("problems", [])]
        for entry in result.get("databases", []):
            problems = entry.get("backup_problems") or []
            found += [f"WARNING: {entry['name']}: {Refused.of(problem)}" for problem in problems]
    return found


def _outcome(entry: Result, check_mode: bool) -> str:
    """Return how a database's turn has ended, or would end."""
    outcome = str(entry["outcome"]).replace("_", " ") if check_mode else str(entry["outcome"])
    return f"would be {outcome}" if check_mode and outcome != "unchanged" else outcome


def _heads(heads: Sequence[str] | None) -> str:
    return "unknown" if heads is None else ", ".join(heads) or "base"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def _backup(result: Result) -> str:
    backup = result.get("backup")
    return f"{backup['path']} ({size(backup['size'])})" if backup else ""


def _migration(results: Result, check_mode: bool) -> Report:
    plan, upgrade = results.get("plan") or {}, results.get("upgrade") or {}
    done = {entry["name"]: entry for entry in upgrade.get("databases", [])}
    entries = [done.get(entry["name"], _at_head(entry)) for entry in plan.get("databases", [])]
    rows = [_migrated(entry, check_mode) for entry in entries]
    lines = table(("DATABASE", "OUTCOME", "FROM", "TO", "REVISIONS", "TIME", "BACKUP"), rows)
    lines += _revisions(entries) + [line for entry in entries for line in [*_losses(entry), *_notes(entry)]]
    lines += _changed_history(plan.get("databases", []))
    lines += _restores([entry for entry in plan.get("databases", []) if (entry.get("restore") or {}).get("obstacle")])
    deferred = cause_lines((entry["name"], entry["error"]) for entry in entries if entry["outcome"] == "deferred")
    return Report(lines, deferred) if results.get("on_deferred") == "fail" else Report(lines + deferred)


def _at_head(plan: Result) -> Result:
    return {"name": plan["name"], "outcome": "unchanged", "before": plan["current"], "after": plan["current"]}


def _migrated(entry: Result, check_mode: bool) -> list[str]:
    moved = entry["outcome"] == "upgraded"
    return [
        entry["name"],
        f"would be {entry['outcome']}" if check_mode and moved else entry["outcome"],
        _heads(entry.get("before")) if moved else "",
        _heads(entry.get("after")),
        str(len(entry.get("applied", []))) if moved else "",
        _seconds(entry.get("seconds")) if moved and not check_mode else "",
        _backup(entry),
    ]


def _revisions(entries: list[Result]) -> list[str]:
    """Return each revision with its duration, unless there are so many that nobody would read them."""
    steps = [(entry["name"], step) for entry in entries for step in entry.get("applied", [])]
    if len(steps) > _MOST_REVISIONS:
        return [f"{len(steps)} revisions in all; the journals have the time of each."]
    return [
        f"{name}: {step['revision']}  {step['message']}  {_seconds(step['seconds'])}".rstrip() for name, step in steps
    ]


def _changed_history(entries: list[Result]) -> list[str]:
    return [
        f"WARNING: {entry['name']}: {Refused.of(finding)}"
        for entry in entries
        for finding in entry.get("changed_history", [])
    ]


def _losses(entry: Result) -> list[str]:
    return [
        f"{entry['name']}: table {name} had {before} rows and has {after} now"
        for name, (before, after) in sorted((entry.get("lost_rows") or {}).items())
    ]


def _failure(results: Result, _check_mode: bool) -> Report:
    """Return each cause once, what was undone for it, at which revision the databases are, and what to type next."""
    upgrade, downgrade = results.get("upgrade") or {}, results["downgrade"]
    reverted = {entry["name"]: entry for entry in downgrade.get("databases", [])}
    found = Report(failure=[results["rejected"]] if results.get("rejected") else [])
    rows, failures = [], []
    for entry in upgrade.get("databases", []):
        back = reverted.get(entry["name"])
        last = back or entry
        if back and entry["outcome"] == "upgraded":
            entry = {**entry, "outcome": "rejected", "error": back["upgrade_error"]}  # noqa: PLW2901
        rows.append([entry["name"], entry["outcome"], back["outcome"] if back else "", _heads(last.get("after"))])
        if entry.get("error"):
            failures.append((entry, back))
    found.lines = table(("DATABASE", "UPGRADE", "REVERTED", "REVISION"), rows) if rows else []
    found.failure += failure_lines(failures)
    for result in (upgrade, downgrade):
        if result.get("lost") or (has_failed(result) and not result.get("databases")):
            found.failure.append(str(result.get("msg", "It failed and did not say why.")))
    found.failure = found.failure or ["The upgrade failed."]
    return found


def _plan(results: Result, _check_mode: bool) -> Report:
    plan = results["plan"]
    if not plan.get("shipped") and not plan.get("databases"):
        return Report(
            [f"The release is not on this host yet: this ships it, and touches no database: {playbook_command('ship')}"]
        )
    lines = []
    for entry in plan["databases"]:
        pending = entry["pending"]
        lines.append(
            f"{entry['name']}  {_heads(entry['current'])} -> {_heads(entry['heads'])}"
            if pending
            else f"{entry['name']}  {_heads(entry['current'])}  {'refused' if entry['obstacles'] else 'nothing to do'}"
        )
        lines += [f"    {step['revision']}  {step['message']}" for step in pending]
        lines += [f"    REFUSED: {Refused.of(obstacle)}" for obstacle in entry["obstacles"]]
        found = [finding for finding in entry.get("changed_history", []) if finding not in entry["obstacles"]]
        lines += [f"    WARNING: {Refused.of(finding)}" for finding in found]
    refused = [entry["name"] for entry in plan["databases"] if entry["obstacles"]]
    lines += [*_restores(plan["databases"]), tally_of_plan(plan["databases"])]
    return Report(lines, [f"An upgrade is refused for {', '.join(refused)}"] if refused else [])


def _of_restore(restore: Result) -> list[str]:
    """Return what a restore would be if it were needed."""
    if restore.get("obstacle"):
        return [f"WARNING: Could not be restored: {Refused.of(restore['obstacle'])}"]
    by = f"A restore ({restore.get('method')})"
    return [
        *(f"{by} would not bring back {words}" for words in restore.get("not_restored", [])),
        *(f"{by}: {words}" for words in restore.get("notes", [])),
    ]


def _status(results: Result, _check_mode: bool) -> Report:
    entries = results["status"]["databases"]
    rows = [_state(entry) for entry in entries]
    lines = table(("DATABASE", "REVISION", "PENDING", "LAST RUN", "OUTCOME", "LAST BACKUP", "SERVER"), rows)
    problems = [f"{entry['name']}: {Refused.of(problem)}" for entry in entries for problem in entry["problems"]]
    return Report(lines + problems + _changed_history(entries) + _old(entries))


def _old(entries: list[Result]) -> list[str]:
    return [
        f"WARNING: {entry['name']}: {each['name']} has been retained for {each['days']:.0f} days; this lists it:"
        f" {playbook_command('prune')}; and this drops it: {playbook_command('prune', migrate_prune='true')}"
        for entry in entries
        for each in entry.get("aside", [])
        if each["old"]
    ]


def _prune(results: Result, _check_mode: bool) -> Report:
    prune = results["prune"]
    rows = [
        [entry["name"], each["kind"], each["name"], _days(each["days"]), size(each["size"]), _fate(each)]
        for entry in prune.get("databases", [])
        for each in entry["leftovers"]
    ]
    lines = table(("DATABASE", "WHAT", "NAME", "AGE", "SIZE", "OUTCOME"), rows) if rows else ["Nothing is retained."]
    return Report(lines, str(prune.get("msg", "")).splitlines())


def _days(days: float | None) -> str:
    return "unknown" if days is None else f"{days:.0f} days"


def _fate(leftover: Result) -> str:
    return f"{leftover['outcome']}: {leftover['reason']}" if leftover["reason"] else str(leftover["outcome"])


def _state(entry: Result) -> list[str]:
    last, backup = entry["last_run"] or {}, entry["last_backup"]
    return [
        entry["name"],
        _heads(entry["current"]) if entry["server"] else "unknown",
        str(len(entry["pending"])),
        last.get("run", "never"),
        last.get("outcome", ""),
        f"{backup['taken'][:19].replace('T', ' ')} UTC" if backup else "none",
        entry["server"],
    ]


def _backups(results: Result, check_mode: bool) -> Report:
    backup = results["backup"]
    rows = [
        [
            entry["name"],
            _outcome(entry, check_mode),
            "" if check_mode else _heads(entry.get("after")),
            _seconds(entry.get("seconds")),
            _backup(entry),
        ]
        for entry in backup.get("databases", [])
    ]
    lines = table(("DATABASE", "OUTCOME", "REVISION", "TIME", "BACKUP"), rows)
    return Report(lines + _restores(backup.get("databases", [])), _wrong(backup))


def _listed(results: Result, _check_mode: bool) -> Report:
    return Report(backup_lines(results["backups"]))


def _restores(entries: list[Result]) -> list[str]:
    """Return what is to be known of restores before one is needed, each note once."""
    found: dict[str, tuple[str, list[str]]] = {}
    for entry in entries:
        for line in _of_restore(entry.get("restore") or {}):
            found.setdefault(without_name(line, entry["name"]), (line, []))[1].append(entry["name"])
    warning = "WARNING: "
    return [
        f"{warning if line.startswith(warning) else ''}{cause_line(names, line.removeprefix(warning))}"
        for line, names in found.values()
    ]


def _notes(entry: Result) -> list[str]:
    return [f"{entry['name']}: note: {note}" for note in entry.get("notes", [])]


def _places(entry: Result) -> tuple[list[str] | None, list[str] | None]:
    return entry.get("before"), entry.get("after")


def _rollback(results: Result, check_mode: bool) -> Report:
    rollback = results["rollback"]
    rows = [
        [
            entry["name"],
            _outcome(entry, check_mode),
            _heads(entry.get("before")),
            _heads(entry.get("after")),
            _backup(entry),
        ]
        for entry in rollback.get("databases", [])
    ]
    lines = table(("DATABASE", "OUTCOME", "FROM", "TO", "BACKUP BEFORE"), rows)
    lines += [line for entry in rollback.get("databases", []) for line in _notes(entry)]
    if not rows and not rollback.get("msg"):
        lines = [f"Run {rollback.get('of_run') or 'none'} changed no database of this host."]
    refused = [entry for entry in rollback.get("databases", []) if check_mode and entry["outcome"] == "refused"]
    return Report(lines, _wrong(rollback) + [f"{entry['name']}: {Refused.of(entry['error'])}" for entry in refused])


def _restore(results: Result, check_mode: bool) -> Report:
    restore = results["restore"]
    rows = [_restored(entry, check_mode) for entry in restore.get("databases", [])]
    lines = table(("DATABASE", "OUTCOME", "FROM", "TO", "BACKUP", "REPLACED IS"), rows)
    lines += [
        f"{entry['name']}: not brought back: {words}"
        for entry in restore.get("databases", [])
        for words in entry.get("not_restored", [])
    ]
    if rows and check_mode:
        lines.append("What others write until the restore, only the restore will know.")
    if not rows and not restore.get("msg"):
        lines = ["No database of this host has such a backup."]
    return Report(lines, _wrong(restore))


def _restored(entry: Result, check_mode: bool) -> list[str]:
    backup = entry.get("backup") or {}
    return [
        entry["name"],
        _outcome(entry, check_mode),
        _heads(entry["before"]) if "before" in entry else "",
        _heads(entry["after"]) if "after" in entry else "",
        str(backup.get("path", "")),
        str(entry.get("aside", "")),
    ]


def _rehearsal(results: Result, check_mode: bool) -> Report:
    rehearsal = results["rehearse"]
    entries = rehearsal.get("databases", [])
    rows = [
        [
            entry["name"],
            _outcome(entry, check_mode),
            _heads(entry.get("before")),
            _heads(entry.get("goal")) if entry.get("goal") else "",
            ", ".join(f"{count} {verdict}" for verdict, count in _verdicts(entry) if count),
            _seconds(entry.get("expected_seconds")),
            _backup(entry),
        ]
        for entry in entries
    ]
    lines = table(("DATABASE", "OUTCOME", "FROM", "TO", "DOWNGRADES", "REAL RUN TAKES", "RESTORED FROM"), rows)
    if not rows and not rehearsal.get("msg"):
        lines = ["Nothing is pending, so there is nothing to rehearse."]
    return Report(lines + [line for entry in entries for line in rehearsed_lines(entry)], _wrong(rehearsal))


def _verdicts(entry: Result) -> list[tuple[str, int]]:
    found = [step["verdict"] for step in entry.get("revisions", []) if entry.get("upgrade_seconds") is not None]
    return [(verdict, found.count(verdict)) for verdict in ("reversible", "lossy", "irreversible", "unknown")]


def _recover(results: Result, _check_mode: bool) -> Report:
    recover = results["recover"]
    rows = [
        [
            entry["name"],
            entry.get("of_run", ""),
            entry["outcome"],
            _heads(entry.get("after")) if "after" in entry else "",
        ]
        for entry in recover.get("databases", [])
    ]
    lines = table(("DATABASE", "RUN", "OUTCOME", "REVISION"), rows) if rows else ["No run has left anything."]
    lines += [f"Not in the inventory, and not touched: {name}" for name in recover.get("strangers", [])]
    return Report(lines, _wrong(recover) if recover.get("msg") else [])


def _wrong(result: Result) -> list[str]:
    """Return what a verb failed with, and the ways out of what it holds."""
    lines = str(result.get("msg", "")).splitlines()
    for entry in result.get("databases", []):
        lines += [f"{entry['name']}: way {way}: {command}" for way, command in (entry.get("ways_out") or {}).items()]
    return lines


# The first verb that has a result decides what is reported; an upgrade is reported with its plan.
_REPORTS = {
    "downgrade": _failure,
    "rehearse": _rehearsal,
    "upgrade": _migration,
    "rollback": _rollback,
    "restore": _restore,
    "backup": _backups,
    "recover": _recover,
    "prune": _prune,
    "status": _status,
    "backups": _listed,
    "plan": _plan,
}
