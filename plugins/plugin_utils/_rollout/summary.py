# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The summary of a run: one table for all hosts, what needs a person, what to type, and the databases counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import ROW_UNFIT, first_of
from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import playbook_command
from ansible_collections.hosting.alembic.plugins.module_utils._journal.run_state import FAILED_BEFORE

from .._report.cells import heads, seconds, shown_backup
from .._report.failures import MOST_TYPED, REVERTED, ends, failure_lines
from .._report.maintenance import maintenance_lines
from .._report.notes import backup_problems, migration_notes, revision_lines
from .._report.tables import table
from .decide import STATES
from .manifest import GOOD, Database, Host, Manifest
from .tally import FINE, causes_of_run, tally_of_run, word_of

Result = dict[str, Any]

_PREDICTED = {
    "migrated": "would be migrated",
    "unchanged": "at target",
    "failed": "would fail",
    "refused": "would be refused",
    "waiting": "would not be begun",
}
#: So many databases have a line of their own; of more, those that are as they should be have none.
_MOST_ROWS = 50
#: The same of a run in which one needs a person.
_MOST_ROWS_BESIDE_FAILURES = 8
_MOST_NAMES = 20
_FAILED = ("failed", "downgraded", "restored", "untouched", "held")
_HEADINGS = ("HOST", "DATABASE", "OUTCOME", "REVERTED", "FROM", "TO", "REVISIONS", "TIME", "BACKUP")


def summary(
    manifest: Manifest,
    where: str,
    results_of: Callable[[str], Result],
    *,
    check_mode: bool = False,
    completed: Callable[[str, str], str] = lambda text, _host: text,
) -> list[str]:
    """Return the summary of a run.

    Args:
        manifest: the run.
        where: the path of its manifest, or nothing.
        results_of: returns the results of a host's verbs, by verb; those of an earlier invocation are not known.
        check_mode: whether it only predicts.
        completed: returns a text whose commands are for a host.
    """
    results = {name: _with_host(results_of(name), name, manifest) for name in manifest.hosts}
    lines = [
        *_table(manifest, results, check_mode=check_mode),
        *_notes(manifest, results, completed),
        _title(manifest, check_mode),
    ]
    are_all_failed = {host.state for host in manifest.hosts.values()} == {"failed"}  # the title and the causes say so
    if (len(manifest.hosts) > 1 and not are_all_failed) or _lost(manifest):
        lines += _states(manifest, check_mode)
    failures = {name: _failures(found) for name, found in results.items() if manifest.hosts[name].is_bad}
    reported = {(name, entry["name"]) for name, found in failures.items() for entry, _rest in found}
    every = [failure for found in failures.values() for failure in found]
    lines += causes_of_run(manifest, reported) + failure_lines(every, with_next=False)
    if manifest.bad or manifest.unfinished:
        if _lost(manifest) and not check_mode:  # what was begun there goes on, and may have ended well
            names = first_of(_lost(manifest), _MOST_NAMES)
            lines.append(f"  First: once {names} can be reached again: {playbook_command('recover')}")
        if manifest.run and not check_mode:
            lines.append(f"  Next: {_remedy(manifest)}, then: {_going_on(manifest)}")
        lines += [f"  Manifest: {where}"] if where else []
    return [*lines, tally_of_run(manifest, check_mode=check_mode)]


def _with_host(results: Result, host: str, manifest: Manifest) -> Result:
    """Return results whose databases name their host, where there are several."""
    if len(manifest.hosts) == 1:
        return results
    return {
        verb: {**answer, "databases": [{**entry, "host": host} for entry in answer.get("databases", [])]}
        for verb, answer in results.items()
        if isinstance(answer, Mapping)
    }


def _failures(results: Result) -> list[tuple[Result, Result | None]]:
    ended = ends(results.get("upgrade") or {}, results.get("downgrade") or {})
    return [(entry, back) for entry, back in ended if entry.get("error")]


def _title(manifest: Manifest, check_mode: bool) -> str:
    title = f"{f'Run {manifest.run}' if manifest.run else 'The run'}: {_ending(manifest)}"
    if check_mode:
        title = f"{title} in check mode, which changed nothing"
    return f"{title}{_because_of(manifest)}"


def _states(manifest: Manifest, check_mode: bool) -> list[str]:
    lines = []
    for state, words in {**STATES, **(_PREDICTED if check_mode else {})}.items():
        names = [name for name, host in manifest.hosts.items() if host.state == state]
        lines += [f"  {len(names)} {words}: {first_of(names, _MOST_NAMES)}"] if names else []
    return lines


def _table(manifest: Manifest, results: Mapping[str, Result], *, check_mode: bool) -> list[str]:
    rows = [
        (words, [name if len(manifest.hosts) > 1 else "", *cells])
        for name, host in manifest.hosts.items()
        for words, cells in _rows(host, results[name], check_mode)
        if host.databases or len(manifest.hosts) > 1
    ]
    in_need = [row for row in rows if row[0] not in FINE]
    most = _MOST_ROWS_BESIDE_FAILURES if in_need else _MOST_ROWS
    shown = rows if len(rows) <= most else in_need[:_MOST_ROWS]
    left_out = len(rows) - len(shown)
    lines = table(_HEADINGS, [cells for _rest, cells in shown]) if shown else []
    return lines + ([f"and {left_out} more, which are in the manifest"] if left_out else [])


def _rows(host: Host, results: Result, check_mode: bool) -> list[tuple[str, list[str]]]:
    if not host.databases:
        return [(host.state, ["", STATES[host.state], *[""] * (len(_HEADINGS) - 3)])]
    upgrade = results.get("upgrade") or {}
    done = {entry["name"]: entry for entry in upgrade.get("databases", [])}
    found = []
    for name, database in host.databases.items():
        words = word_of(host, database, check_mode=check_mode)
        found.append((words, [name, *_cells(words, database, done.get(name) or {}, check_mode)]))
    return found


def _cells(words: str, database: Database, done: Result, check_mode: bool) -> list[str]:
    to = database.expected if words == "to upgrade" else database.now
    is_upgraded = words in ("upgraded", "to upgrade")
    return [
        words.upper() if words in ("failed", "held", "refused") else words,
        database.outcome if database.outcome in REVERTED else "",
        heads(database.was) if is_upgraded else "",
        heads(to),
        str(len(done.get("applied") or database.pending)) if is_upgraded else "",
        seconds(done.get("seconds")) if is_upgraded and not check_mode else "",
        shown_backup(done),
    ]


def _notes(manifest: Manifest, results: Mapping[str, Result], completed: Callable[[str, str], str]) -> list[str]:
    """Return what is to be known although nothing failed, each of it once for all hosts."""

    def entries(verb: str) -> list[Result]:
        return [entry for found in results.values() for entry in (found.get(verb) or {}).get("databases", [])]

    lines = revision_lines(entries("upgrade")) if len(results) == 1 and not manifest.bad else []
    lines += migration_notes(entries("plan"), entries("upgrade"))
    for name, found in results.items():
        known: Result = {verb: found[verb] for verb in ("maintenance", "plan") if verb in found}
        prefix = f"{name}: " if len(results) > 1 else ""
        lines += [prefix + completed(line, name) for line in maintenance_lines(known)]
    return lines + backup_problems(found.get("upgrade") or {} for found in results.values())


def _lost(manifest: Manifest) -> list[str]:
    return [name for name, host in manifest.hosts.items() if host.state == "lost"]


def _remedy(manifest: Manifest) -> str:
    outcomes = [entry.outcome for host in manifest.hosts.values() for entry in host.databases.values() if host.is_bad]
    is_reverted = set(outcomes) & set(REVERTED) and "held" not in outcomes
    return "correct the release" if is_reverted else "correct what failed"


def _going_on(manifest: Manifest) -> str:
    """Return the command that goes on with a run, once a person has corrected the cause."""
    is_over = manifest.state == "rolled_back" or _is_left_with_unfit_rows(manifest)
    words = {} if is_over else {"migrate_run": manifest.run}
    failed = _failed(manifest)
    if len(failed) > MOST_TYPED:
        return playbook_command("migrate", **words, migrate_retry_failed="true")
    retried = {"migrate_retry_failed": sorted(failed)} if failed else {}
    return playbook_command("migrate", **words, **retried)


def _is_left_with_unfit_rows(manifest: Manifest) -> bool:
    """Return whether all that is wrong is in the list of the run, which a run that goes on would not query again."""
    bad = [entry for host in manifest.hosts.values() for entry in host.databases.values() if entry.outcome not in GOOD]
    is_begun = any(host.is_bad and not host.databases for host in manifest.hosts.values()) or manifest.unfinished
    return bool(bad) and not is_begun and all(entry.code == ROW_UNFIT for entry in bad)


def _failed(manifest: Manifest) -> set[str]:
    """Return the names of databases that are not tried again unless they are named."""
    return {
        name
        for host in manifest.hosts.values()
        for name, entry in host.databases.items()
        if host.is_bad and (entry.outcome in _FAILED or entry.code == FAILED_BEFORE)
    }


def _because_of(manifest: Manifest) -> str:
    if not manifest.why:
        return ""
    all_had_their_turn = manifest.ended == len(manifest.batches) and not manifest.rolls_back
    return f"; {manifest.why}" if all_had_their_turn and manifest.ended else f", because {manifest.why}"


def _ending(manifest: Manifest) -> str:
    count = len(manifest.batches)
    if manifest.rolls_back:
        return f"stopped after batch {manifest.ended} of {count} and rolled back"
    if manifest.why and not manifest.ended:
        return "nothing was begun"
    if manifest.ended < count:
        return f"stopped after batch {manifest.ended} of {count}"
    return f"finished ({count} batch{'' if count == 1 else 'es'})" if count else "nothing to do"
