# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report at the end: a table of databases, and what to type where something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import describe_first
from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import build_playbook_command
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .._run.results import has_failed
from .backup_lines import render_backups
from .causes import MOST_IN_SHORT, MOST_NAMED, list_cause_lines
from .columns import (
    IN_NEED,
    build_backup_columns,
    build_failure_columns,
    build_leftover_columns,
    build_migration_columns,
    build_recovery_columns,
    build_rehearsal_columns,
    build_rollback_columns,
    build_status_columns,
    has_trouble,
    needs_person,
    restore_columns,
)
from .failures import list_ends, render_failure, render_failures
from .grouping import MOST_ROWS, View, render_blocks, render_listing
from .maintenance import render_maintenance, render_maintenance_failure
from .notes import (
    list_backup_problems,
    list_changed_history,
    list_migration_notes,
    list_restore_notes,
    list_restore_rights,
    list_revision_lines,
    note_lines,
    plan_notes,
)
from .plan_lines import plan_block
from .rehearsal_lines import render_rehearsal
from .tally import list_kinds_of_plan, tally


@dataclass
class Report:
    """The lines of one host, and what it fails with, if it does.

    Of several hosts the tables are printed as one, and what is below them is each host's own.
    """

    table: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)
    failure: list[str] = field(default_factory=list)
    #: What the last line counts, if there is one: a word for each database.
    kinds: list[str] | None = None

    @property
    def lines(self) -> list[str]:
        """Return all but what it fails with and the last line."""
        return [*self.table, *self.below]

    @property
    def tally(self) -> str:
        """Return the last line, or nothing."""
        return "" if self.kinds is None else tally(self.kinds)


def report(results: Result, view: View) -> Report:
    """Return the report of whichever results there are."""
    for verb, make in _REPORTS.items():
        if results.get(verb):
            made = make(results, view)
            given = [result for result in results.values() if isinstance(result, dict)]
            below = made.below + render_maintenance(results) + view.limit_lines(list_backup_problems(given))
            return Report(made.table, below, made.failure + render_maintenance_failure(results), made.kinds)
    return Report(["Nothing was run."])


@dataclass
class JointReport:
    """The table of several hosts; what is below it is each host's own."""

    table: list[str]
    #: A word for each database, or nothing where they are not counted.
    kinds: list[str] | None
    #: Hosts of whose databases nothing is known.
    without: list[str]


def render_joint(results: Mapping[str, Result], view: View) -> JointReport:
    """Return the report of several hosts, whose databases are in one table.

    Args:
        results: those of each host, by its name.
        view: how much is printed.
    """
    every = merge_results(results)
    verb = next(iter(every), "")
    without = [host for host, found in results.items() if verb == "plan" and _is_unshipped(found.get(verb) or {})]
    made = report(every, view)
    entries = every[verb]["databases"] if verb else []
    kinds = made.kinds or [_name_kind(entry, view.check_mode) for entry in entries]
    return JointReport(made.table, None if verb in _NOT_COUNTED else kinds, without)


def merge_results(results: Mapping[str, Result]) -> Result:
    """Return the results of several hosts as one, in which each database names its host."""
    verb = next((verb for verb in _REPORTS for found in results.values() if found.get(verb)), "")
    answers = {host: found[verb] for host, found in results.items() if found.get(verb)}
    entries = [{**entry, "host": host} for host, found in answers.items() for entry in found.get("databases") or []]
    return {verb: {"databases": entries, "shipped": True}} if verb else {}


#: What is not of one database each.
_NOT_COUNTED = ("backups", "prune")


def _is_unshipped(plan: Result) -> bool:
    return not plan.get("shipped") and not plan.get("databases")


def _name_kind(entry: Result, check_mode: bool) -> str:
    """Return the word by which a database is counted: what was done to it, or where it is."""
    if "outcome" in entry:
        outcome = str(entry["outcome"]).replace("_", " ")
        return f"would be {outcome}" if check_mode and outcome not in IN_NEED else outcome
    return "unknown" if entry.get("server") == "" else "to upgrade" if entry.get("pending") else "at head"


def is_grouped(results: Result, view: View) -> bool:
    """Return whether a report does not print each database."""
    counts = {name: len(result.get("databases") or []) for name, result in results.items() if isinstance(result, dict)}
    # A plan names each of a few, also where those that are alike are printed together.
    return any(view.needs_groups(count) and (verb != "plan" or count > MOST_ROWS) for verb, count in counts.items())


def _render_migration(results: Result, view: View) -> Report:
    plan, upgrade = results.get("plan") or {}, results.get("upgrade") or {}
    done = {entry["name"]: entry for entry in upgrade.get("databases", [])}
    entries = [done.get(entry["name"], _build_unchanged_entry(entry)) for entry in plan.get("databases", [])]
    table = render_listing(build_migration_columns(view.check_mode), entries, view, needs_person)
    lines = list_revision_lines(entries, view) + view.limit_lines(
        list_migration_notes(plan.get("databases", []), entries)
    )
    deferred = list_cause_lines((entry["name"], entry["error"]) for entry in entries if entry["outcome"] == "deferred")
    return Report(table, lines, deferred) if results.get("on_deferred") == "fail" else Report(table, lines + deferred)


def _build_unchanged_entry(plan: Result) -> Result:
    return {"name": plan["name"], "outcome": "unchanged", "before": plan["current"], "after": plan["current"]}


def _render_failure(results: Result, view: View) -> Report:
    """Return each cause once, what was undone for it, at which revision the databases are, and what to type next."""
    upgrade, downgrade = results.get("upgrade") or {}, results["downgrade"]
    found = Report(failure=[results["rejected"]] if results.get("rejected") else [])
    ended = list_ends(upgrade, downgrade)
    failures = [(entry, back) for entry, back in ended if entry.get("error")]
    if results.get("summarised"):
        names = describe_first([entry["name"] for entry, _back in failures], MOST_IN_SHORT)
        short = f"Not upgraded: {names}. The summary at the end says why and what to type."
        found.failure = found.failure or ([short] if names else [])
    else:
        entries = [{**entry, "back": back} for entry, back in ended]
        found.table = render_listing(build_failure_columns(), entries, view, needs_person) if entries else []
        found.failure += render_failures(failures, view)
    for result in (upgrade, downgrade):
        if result.get("lost") or (has_failed(result) and not result.get("databases")):
            found.failure.append(str(result.get("msg", "It failed and did not say why.")))
    found.failure = found.failure or ["The upgrade failed."]
    return found


def _plan(results: Result, view: View) -> Report:
    plan = results["plan"]
    if _is_unshipped(plan):
        ships = build_playbook_command("ship")
        return Report(below=[f"The release is not on this host yet: this ships it, and touches no database: {ships}"])
    entries = plan["databases"]
    refused = [entry["name"] for entry in entries if entry["obstacles"]]
    table = render_blocks(
        entries, lambda entry: plan_block(entry, view), view, named=lambda entry: bool(entry["obstacles"])
    )
    named = ", ".join(refused) if view.shows_all else describe_first(refused, MOST_NAMED)
    return Report(
        table,
        view.limit_lines(list_restore_notes(entries) + list_restore_rights(entries) + plan_notes(entries)),
        [f"An upgrade is refused for {named}"] if refused else [],
        list_kinds_of_plan(entries),
    )


def _render_status(results: Result, view: View) -> Report:
    entries = results["status"]["databases"]
    table = render_listing(build_status_columns(), entries, view, has_trouble)
    problems = [(entry["name"], problem) for entry in entries for problem in entry["problems"]]
    lines = view.limit_lines(list_cause_lines(problems, view.first_on, view.most))
    return Report(table, lines + view.limit_lines(list_changed_history(entries)) + view.limit_lines(_list_old(entries)))


def _prune_command(copy: Result, **more: str) -> str:
    """Return the command that prunes what is as old as a copy, however long others are kept."""
    return build_playbook_command("prune", **more, migrate_prune_days=str(int(copy["days"])))


def _list_old(entries: list[Result]) -> list[str]:
    return [
        f"WARNING: {entry['name']}: {each['name']} has been retained for {each['days']:.0f} days; this lists it:"
        f" {_prune_command(each)}; and this drops what is as old: {_prune_command(each, migrate_prune='true')}"
        for entry in entries
        for each in entry.get("retained", [])
        if each["old"]
    ]


def _prune(results: Result, view: View) -> Report:
    prune = results["prune"]
    entries = [
        {**leftover, "name": entry["name"], "place": leftover["name"], "host": entry.get("host", "")}
        for entry in prune.get("databases", [])
        for leftover in entry["leftovers"]
    ]
    table = (
        render_listing(build_leftover_columns(), entries, view, needs_person) if entries else ["Nothing is retained."]
    )
    return Report(table, [], str(prune.get("msg", "")).splitlines())


def _render_backups(results: Result, view: View) -> Report:
    backup = results["backup"]
    entries = backup.get("databases", [])
    table = render_listing(build_backup_columns(view.check_mode), entries, view, needs_person)
    lines = view.limit_lines(list_restore_notes(entries) + list_restore_rights(entries))
    return Report(table, lines, render_failure(backup, view))


def _report_listing(results: Result, view: View) -> Report:
    return Report(*render_backups(results["backups"], view))


def _render_rollback(results: Result, view: View) -> Report:
    rollback = results["rollback"]
    entries = rollback.get("databases", [])
    table = render_listing(build_rollback_columns(view.check_mode), entries, view, needs_person)
    lines = view.limit_lines([line for entry in entries for line in note_lines(entry)])
    if not entries and not rollback.get("msg"):
        table, lines = [], [f"Run {rollback.get('of_run') or 'none'} changed no database of this host."]
    return Report(table, lines, render_failure(rollback, view))


def _restore(results: Result, view: View) -> Report:
    restore = results["restore"]
    entries = restore.get("databases", [])
    table = render_listing(restore_columns(view.check_mode), entries, view, needs_person)
    lines = view.limit_lines(
        [f"{entry['name']}: not brought back: {words}" for entry in entries for words in entry.get("not_restored", [])]
    )
    if entries and view.check_mode:
        lines.append("What others write until the restore, only the restore will know.")
    if not entries and not restore.get("msg"):
        table, lines = [], ["No database of this host has such a backup."]
    return Report(table, lines, render_failure(restore, view))


def _render_rehearsal(results: Result, view: View) -> Report:
    rehearsal = results["rehearse"]
    entries = rehearsal.get("databases", [])
    table = render_listing(build_rehearsal_columns(view.check_mode), entries, view, needs_person)
    if not entries and not rehearsal.get("msg"):
        table = ["Nothing is pending, so there is nothing to rehearse."]
    return Report(table + render_rehearsal(entries, view), [], render_failure(rehearsal, view))


def _recover(results: Result, view: View) -> Report:
    recover = results["recover"]
    entries = recover.get("databases", [])
    table = (
        render_listing(build_recovery_columns(), entries, view, needs_person)
        if entries
        else ["No run has left anything."]
    )
    lines = view.limit_lines(
        [f"Not in the inventory, and not touched: {name}" for name in recover.get("strangers", [])]
    )
    return Report(table, lines, render_failure(recover, view) if recover.get("msg") else [])


# The first verb that has a result decides what is reported; an upgrade is reported with its plan.
_REPORTS: dict[str, Callable[[Result, View], Report]] = {
    "downgrade": _render_failure,
    "rehearse": _render_rehearsal,
    "upgrade": _render_migration,
    "rollback": _render_rollback,
    "restore": _restore,
    "backup": _render_backups,
    "recover": _recover,
    "prune": _prune,
    "status": _render_status,
    "backups": _report_listing,
    "plan": _plan,
}
