# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people read at the end: a table of databases, and what to type where something is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused, first_of
from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import playbook_command

from .._follow.judge import has_failed
from .backup_lines import backup_lines
from .causes import MOST_NAMED, cause_lines
from .cells import heads, moment, seconds, shown_backup
from .failures import ends, failure_lines
from .maintenance import maintenance_failure, maintenance_lines
from .notes import backup_problems, changed_history, migration_notes, note_lines, restores, revision_lines
from .rehearsal_lines import rehearsed_lines
from .sizes import size
from .tables import table
from .tally import tally_of_plan

Result = dict[str, Any]


@dataclass
class Report:
    """The lines of one host, and what it fails with, if it does."""

    lines: list[str] = field(default_factory=list)
    failure: list[str] = field(default_factory=list)


#: What the kinds of leftovers are called, where that differs from their key.
_KINDS = {"aside": "retained"}


def report(results: Result, check_mode: bool) -> Report:
    """Return the report of whichever results there are."""
    for verb, make in _REPORTS.items():
        if results.get(verb):
            made = make(results, check_mode)
            given = [result for result in results.values() if isinstance(result, dict)]
            lines = made.lines + maintenance_lines(results) + backup_problems(given)
            return Report(lines, made.failure + maintenance_failure(results))
    return Report(["Nothing was run."])


def _outcome(entry: Result, check_mode: bool) -> str:
    """Return how a database's turn has ended, or would end."""
    outcome = str(entry["outcome"]).replace("_", " ") if check_mode else str(entry["outcome"])
    return f"would be {outcome}" if check_mode and outcome != "unchanged" else outcome


def _migration(results: Result, check_mode: bool) -> Report:
    plan, upgrade = results.get("plan") or {}, results.get("upgrade") or {}
    done = {entry["name"]: entry for entry in upgrade.get("databases", [])}
    entries = [done.get(entry["name"], _at_head(entry)) for entry in plan.get("databases", [])]
    rows = [_migrated(entry, check_mode) for entry in entries]
    lines = table(("DATABASE", "OUTCOME", "FROM", "TO", "REVISIONS", "TIME", "BACKUP"), rows)
    lines += revision_lines(entries) + migration_notes(plan.get("databases", []), entries)
    deferred = cause_lines((entry["name"], entry["error"]) for entry in entries if entry["outcome"] == "deferred")
    return Report(lines, deferred) if results.get("on_deferred") == "fail" else Report(lines + deferred)


def _at_head(plan: Result) -> Result:
    return {"name": plan["name"], "outcome": "unchanged", "before": plan["current"], "after": plan["current"]}


def _migrated(entry: Result, check_mode: bool) -> list[str]:
    is_upgraded = entry["outcome"] == "upgraded"
    return [
        entry["name"],
        f"would be {entry['outcome']}" if check_mode and is_upgraded else entry["outcome"],
        heads(entry.get("before")) if is_upgraded else "",
        heads(entry.get("after")),
        str(len(entry.get("applied", []))) if is_upgraded else "",
        seconds(entry.get("seconds")) if is_upgraded and not check_mode else "",
        shown_backup(entry),
    ]


def _failure(results: Result, _check_mode: bool) -> Report:
    """Return each cause once, what was undone for it, at which revision the databases are, and what to type next."""
    upgrade, downgrade = results.get("upgrade") or {}, results["downgrade"]
    found = Report(failure=[results["rejected"]] if results.get("rejected") else [])
    ended = ends(upgrade, downgrade)
    rows = [
        [entry["name"], entry["outcome"], back["outcome"] if back else "", heads((back or entry).get("after"))]
        for entry, back in ended
    ]
    failures = [(entry, back) for entry, back in ended if entry.get("error")]
    if results.get("summarised"):
        names = first_of([entry["name"] for entry, _back in failures], MOST_NAMED)
        short = f"Not upgraded: {names}. The summary at the end says why and what to type."
        found.failure = found.failure or ([short] if names else [])
    else:
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
            f"{entry['name']}  {heads(entry['current'])} -> {heads(entry['heads'])}"
            if pending
            else f"{entry['name']}  {heads(entry['current'])}  {'refused' if entry['obstacles'] else 'nothing to do'}"
        )
        lines += [f"    {step['revision']}  {step['message']}" for step in pending]
        lines += [f"    REFUSED: {Refused.of(obstacle)}" for obstacle in entry["obstacles"]]
        found = [finding for finding in entry.get("changed_history", []) if finding not in entry["obstacles"]]
        lines += [f"    WARNING: {Refused.of(finding)}" for finding in found]
    refused = [entry["name"] for entry in plan["databases"] if entry["obstacles"]]
    lines += [*restores(plan["databases"]), tally_of_plan(plan["databases"])]
    return Report(lines, [f"An upgrade is refused for {', '.join(refused)}"] if refused else [])


def _status(results: Result, _check_mode: bool) -> Report:
    entries = results["status"]["databases"]
    rows = [_state(entry) for entry in entries]
    lines = table(("DATABASE", "REVISION", "PENDING", "LAST RUN", "OUTCOME", "LAST BACKUP", "SERVER"), rows)
    problems = [f"{entry['name']}: {Refused.of(problem)}" for entry in entries for problem in entry["problems"]]
    return Report(lines + problems + changed_history(entries) + _old(entries))


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
        [
            entry["name"],
            _KINDS.get(each["kind"], each["kind"]),
            each["name"],
            _days(each["days"]),
            size(each["size"]),
            _fate(each),
        ]
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
        heads(entry["current"]) if entry["server"] else "unknown",
        str(len(entry["pending"])),
        last.get("run", "never"),
        last.get("outcome", ""),
        f"{moment(backup['taken'])} UTC" if backup else "none",
        entry["server"],
    ]


def _backups(results: Result, check_mode: bool) -> Report:
    backup = results["backup"]
    rows = [
        [
            entry["name"],
            _outcome(entry, check_mode),
            "" if check_mode else heads(entry.get("after")),
            seconds(entry.get("seconds")),
            shown_backup(entry),
        ]
        for entry in backup.get("databases", [])
    ]
    lines = table(("DATABASE", "OUTCOME", "REVISION", "TIME", "BACKUP"), rows)
    return Report(lines + restores(backup.get("databases", [])), _wrong(backup))


def _listed(results: Result, _check_mode: bool) -> Report:
    return Report(backup_lines(results["backups"]))


def _rollback(results: Result, check_mode: bool) -> Report:
    rollback = results["rollback"]
    rows = [
        [
            entry["name"],
            _outcome(entry, check_mode),
            heads(entry.get("before")),
            heads(entry.get("after")),
            shown_backup(entry),
        ]
        for entry in rollback.get("databases", [])
    ]
    lines = table(("DATABASE", "OUTCOME", "FROM", "TO", "BACKUP BEFORE"), rows)
    lines += [line for entry in rollback.get("databases", []) for line in note_lines(entry)]
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
        heads(entry["before"]) if "before" in entry else "",
        heads(entry["after"]) if "after" in entry else "",
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
            heads(entry.get("before")),
            heads(entry.get("goal")) if entry.get("goal") else "",
            ", ".join(f"{count} {verdict}" for verdict, count in _verdicts(entry) if count),
            seconds(entry.get("expected_seconds")),
            shown_backup(entry),
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
            heads(entry.get("after")) if "after" in entry else "",
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
