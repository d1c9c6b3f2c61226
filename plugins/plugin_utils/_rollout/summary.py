# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The summary of a run: one table for all hosts, what needs a person, what to type, and the databases counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import ROW_UNFIT, describe_first
from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import build_playbook_command
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result
from ansible_collections.hosting.alembic.plugins.module_utils._journal.run_state import FAILED_BEFORE

from .._report.cells import format_heads, format_seconds
from .._report.columns import build_backup_column
from .._report.failures import MOST_TYPED, REVERTED, list_ends, render_failures
from .._report.grouping import (
    SHORT,
    Column,
    View,
    build_host_column,
    build_longest_formatter,
    build_name_column,
    render_listing,
)
from .._report.maintenance import render_maintenance
from .._report.notes import list_backup_problems, list_migration_notes, list_revision_lines
from .._run.details import describe_where
from .decide import STATES
from .manifest import GOOD, Database, Manifest
from .tally import FINE, list_causes_of_run, name_outcome, tally_of_run

_PREDICTED = {
    "migrated": "would be migrated",
    "unchanged": "at target",
    "failed": "would fail",
    "refused": "would be refused",
    "waiting": "would not be begun",
}
_MOST_NAMES = 20
_FAILED = ("failed", "downgraded", "restored", "untouched", "held")


def render_summary(
    manifest: Manifest,
    where: str,
    results_of: Callable[[str], Result],
    *,
    view: View = SHORT,
    details: str = "",
    completed: Callable[[str, str], str] = lambda text, _host: text,
) -> list[str]:
    """Return the summary of a run.

    Args:
        manifest: the run.
        where: the path of its manifest, or nothing.
        results_of: returns the results of a host's verbs, by verb; those of an earlier invocation are not known.
        view: how much is printed.
        details: the path of the file with all that is known of each database, or nothing.
        completed: returns a text whose commands are for a host.
    """
    results = {name: _with_host(results_of(name), name, manifest) for name in manifest.hosts}
    entries = _list_entries(manifest, results, check_mode=view.check_mode)
    columns = _build_columns(manifest, check_mode=view.check_mode)
    lines = [
        *(render_listing(columns, entries, view, _needs_person) if entries else []),
        *_list_notes(manifest, results, completed, view),
        *([describe_where(details)] if view.needs_groups(len(entries)) else []),
        _describe_title(manifest, view.check_mode),
    ]
    are_all_failed = {host.state for host in manifest.hosts.values()} == {"failed"}  # the title and the causes say so
    if (len(manifest.hosts) > 1 and not are_all_failed) or _render_lost(manifest):
        lines += _list_states(manifest, view.check_mode)
    failures = {name: _list_failures(found) for name, found in results.items() if manifest.hosts[name].is_bad}
    reported = {(name, entry["name"]) for name, found in failures.items() for entry, _rest in found}
    every = [failure for found in failures.values() for failure in found]
    lines += view.limit_lines(list_causes_of_run(manifest, reported)) + render_failures(every, view, with_next=False)
    if manifest.bad or manifest.unfinished:
        if _render_lost(manifest) and not view.check_mode:  # what was begun there goes on, and may have ended well
            names = describe_first(_render_lost(manifest), _MOST_NAMES)
            lines.append(f"  First: once {names} can be reached again: {build_playbook_command('recover')}")
        if manifest.run and not view.check_mode:
            lines.append(f"  Next: {_describe_remedy(manifest)}, then: {_build_resume_command(manifest)}")
        lines += [f"  Manifest: {where}"] if where else []
    # A host that failed before its plan has no databases that could be counted; its cause is above.
    is_known = any(host.databases for host in manifest.hosts.values()) or not manifest.bad
    return [*lines, *([tally_of_run(manifest, check_mode=view.check_mode)] if is_known else [])]


def _with_host(results: Result, host: str, manifest: Manifest) -> Result:
    """Return results whose databases name their host, where there are several."""
    if len(manifest.hosts) == 1:
        return results
    return {
        verb: {**answer, "databases": [{**entry, "host": host} for entry in answer.get("databases", [])]}
        for verb, answer in results.items()
        if isinstance(answer, Mapping)
    }


def _list_failures(results: Result) -> list[tuple[Result, Result | None]]:
    ended = list_ends(results.get("upgrade") or {}, results.get("downgrade") or {})
    return [(entry, back) for entry, back in ended if entry.get("error")]


def _describe_title(manifest: Manifest, check_mode: bool) -> str:
    title = f"{f'Run {manifest.run}' if manifest.run else 'The run'}: {_describe_ending(manifest)}"
    if check_mode:
        title = f"{title} in check mode, which changed nothing"
    return f"{title}{_describe_reason(manifest)}"


def _list_states(manifest: Manifest, check_mode: bool) -> list[str]:
    lines = []
    for state, words in {**STATES, **(_PREDICTED if check_mode else {})}.items():
        names = [name for name, host in manifest.hosts.items() if host.state == state]
        lines += [f"  {len(names)} {words}: {describe_first(names, _MOST_NAMES)}"] if names else []
    return lines


def _list_entries(manifest: Manifest, results: Mapping[str, Result], *, check_mode: bool) -> list[Result]:
    """Return each database of each host with how it has ended; a host without any is one by itself."""
    found: list[Result] = []
    for name, host in manifest.hosts.items():
        upgrade = results[name].get("upgrade") or {}
        done = {entry["name"]: entry for entry in upgrade.get("databases", [])}
        if not host.databases and len(manifest.hosts) > 1:
            found.append({"host": name, "name": "", "words": host.state, "database": None})
        for database, entry in host.databases.items():
            words = name_outcome(host, entry, check_mode=check_mode)
            found.append(
                {**(done.get(database) or {}), "host": name, "name": database, "words": words, "database": entry}
            )
    return found


def _build_columns(manifest: Manifest, *, check_mode: bool) -> list[Column]:
    def is_upgraded(entry: Result) -> bool:
        return entry["words"] in ("upgraded", "to upgrade")

    def format_duration_of(entry: Result) -> str:
        return format_seconds(entry.get("seconds")) if is_upgraded(entry) and not check_mode else ""

    def format_revisions(entry: Result) -> str:
        return str(len(entry.get("applied") or entry["database"].pending)) if is_upgraded(entry) else ""

    hosts = [build_host_column()] if len(manifest.hosts) > 1 else []
    return [
        *hosts,
        build_name_column(),
        Column("OUTCOME", _format_outcome),
        Column("REVERTED", _render_reverted),
        Column("FROM", lambda entry: format_heads(entry["database"].was) if is_upgraded(entry) else ""),
        Column("TO", _format_target),
        Column("REVISIONS", format_revisions),
        Column("TIME", format_duration_of, build_longest_formatter("seconds", format_duration_of)),
        build_backup_column(),
    ]


def _format_outcome(entry: Result) -> str:
    if entry["database"] is None:
        return STATES[entry["words"]]
    return str(entry["words"].upper() if entry["words"] in ("failed", "held", "refused") else entry["words"])


def _render_reverted(entry: Result) -> str:
    database: Database | None = entry["database"]
    return database.outcome if database and database.outcome in REVERTED else ""


def _format_target(entry: Result) -> str:
    database: Database | None = entry["database"]
    if database is None:
        return ""
    return format_heads(database.expected if entry["words"] == "to upgrade" else database.now)


def _needs_person(entry: Result) -> bool:
    return entry["words"] not in FINE


def _list_notes(
    manifest: Manifest, results: Mapping[str, Result], completed: Callable[[str, str], str], view: View
) -> list[str]:
    """Return what is to be known although nothing failed, each of it once for all hosts."""

    def list_entries_of(verb: str) -> list[Result]:
        return [entry for found in results.values() for entry in (found.get(verb) or {}).get("databases", [])]

    lines = list_revision_lines(list_entries_of("upgrade"), view) if len(results) == 1 and not manifest.bad else []
    lines += view.limit_lines(list_migration_notes(list_entries_of("plan"), list_entries_of("upgrade")))
    for name, found in results.items():
        known: Result = {verb: found[verb] for verb in ("maintenance", "plan") if verb in found}
        prefix = f"{name}: " if len(results) > 1 else ""
        lines += [prefix + completed(line, name) for line in render_maintenance(known)]
    return lines + view.limit_lines(list_backup_problems(found.get("upgrade") or {} for found in results.values()))


def _render_lost(manifest: Manifest) -> list[str]:
    return [name for name, host in manifest.hosts.items() if host.state == "lost"]


def _describe_remedy(manifest: Manifest) -> str:
    outcomes = [entry.outcome for host in manifest.hosts.values() for entry in host.databases.values() if host.is_bad]
    is_reverted = set(outcomes) & set(REVERTED) and "held" not in outcomes
    return "correct the release" if is_reverted else "correct what failed"


def _build_resume_command(manifest: Manifest) -> str:
    """Return the command that goes on with a run, once a person has corrected the cause."""
    is_over = manifest.state == "rolled_back" or _is_left_with_unfit_rows(manifest)
    words = {} if is_over else {"migrate_run": manifest.run}
    failed = _list_failed(manifest)
    if len(failed) > MOST_TYPED:
        return build_playbook_command("migrate", **words, migrate_retry_failed="true")
    retried = {"migrate_retry_failed": sorted(failed)} if failed else {}
    return build_playbook_command("migrate", **words, **retried)


def _is_left_with_unfit_rows(manifest: Manifest) -> bool:
    """Return whether all that is wrong is in the list of the run, which a run that goes on would not query again."""
    bad = [entry for host in manifest.hosts.values() for entry in host.databases.values() if entry.outcome not in GOOD]
    is_begun = any(host.is_bad and not host.databases for host in manifest.hosts.values()) or manifest.unfinished
    return bool(bad) and not is_begun and all(entry.code == ROW_UNFIT for entry in bad)


def _list_failed(manifest: Manifest) -> set[str]:
    """Return the names of databases that are not tried again unless they are named."""
    return {
        name
        for host in manifest.hosts.values()
        for name, entry in host.databases.items()
        if host.is_bad and (entry.outcome in _FAILED or entry.code == FAILED_BEFORE)
    }


def _describe_reason(manifest: Manifest) -> str:
    if not manifest.why:
        return ""
    all_had_their_turn = manifest.ended == len(manifest.batches) and not manifest.rolls_back
    return f"; {manifest.why}" if all_had_their_turn and manifest.ended else f", because {manifest.why}"


def _describe_ending(manifest: Manifest) -> str:
    count = len(manifest.batches)
    if manifest.rolls_back:
        return f"stopped after batch {manifest.ended} of {count} and rolled back"
    if manifest.why and not manifest.ended:
        return "nothing was begun"
    if manifest.ended < count:
        return f"stopped after batch {manifest.ended} of {count}"
    return f"finished ({count} batch{'' if count == 1 else 'es'})" if count else "nothing to do"
