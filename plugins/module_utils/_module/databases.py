# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The databases that a module works on: those that are listed, and those that sources of the host have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .._core.argument_specs import Entry, Options
from .._core.errors import NAME_TWICE, Refused, describe_first
from .._core.paths import Layout, build_key
from .._core.results import PlanFacts
from .._core.selection import is_selected, list_patterns, refuse_unmatched
from .._discovery.found_list import FoundList, forget_lists, keep_lists, locate_lists, read_last_list, read_lists_of_run
from .._discovery.names import build_safe_name
from .._discovery.source import Source
from .._discovery.template import Unfit, build_entry, hash_place, make_refused_entry
from .._journal.history import list_touched
from .._journal.run_state import list_unknown_folders
from .unfinished import Unfinished

_MOST_NAMED = 20


#: Queries a source, and returns the list to keep with its entries.
Query = Callable[[Source, Options], "tuple[FoundList, list[Entry]]"]


def use_databases(
    module: AnsibleModule,
    query: Query | None = None,
    *,
    begins: bool = False,
    of_runs: Iterable[str] = (),
    unfinished: bool = False,
) -> list[dict[str, Any]]:
    """Put found databases beside the listed ones, leave those that are wanted, and return what was found.

    A run works with one list from its first task to its last, and so does what reverts it: that list is taken where
    it was kept. Without one, a module that begins something queries, and any other takes the last list that was
    accepted.

    Args:
        module: its ``databases`` are changed.
        query: queries a source of which no list is kept; without it, such a source has none.
        begins: whether the last list does not do; the answer is kept for the run.
        of_runs: whose lists go before that of this run.
        unfinished: whether databases that a run left unfinished and no source finds any more are among them.

    Raises:
        Refused: a source failed or is not believed, or the list of the run does not fit the sources any more.
    """
    options = module.params
    sources = [Source.from_options(entry) for entry in options.get("discover") or []]
    listed = list(options["databases"] or [])
    if not (listed or sources):
        raise Refused(
            "No database is named for this host",
            "migrate_databases and migrate_discover are empty",
            "Name one in migrate_databases, or a source in migrate_discover",
            code="databases-missing",
        )
    runs = [run for run in [*of_runs, *(options.get("found_in") or [])] if run]
    kept = read_lists_of_run(options["root"], runs) if sources else {}
    _refuse_without_source(kept, sources)
    reverted = [run for run in of_runs if run]
    is_lost = bool(sources and reverted) and not read_lists_of_run(options["root"], reverted)
    lists: dict[str, FoundList] = {}
    new: list[str] = []
    entries: list[tuple[str, Entry]] = []
    for source in sources:
        found = kept.get(source.name) or (None if begins else read_last_list(options["root"], source.name))
        if found:
            lists[source.name], made = found, _build_entries(source, found)
        elif query:
            lists[source.name], made = query(source, options)
            new.append(source.name)
        else:
            continue
        entries += [(source.name, entry) for entry in made]
    every = [*listed, *_select_unlisted(listed, entries)]
    names = [str(entry["name"]) for entry in every]
    if is_lost:
        _refuse_without_list(options, reverted[0], names)
    if unfinished and sources:
        every = Unfinished(options["root"], sources).add_lost(every)
    # A list that is refused is not the one that the next is compared with.
    refuse_unmatched(options.get("select_required") or [], [str(entry["name"]) for entry in every], "of this host")
    run = options.get("run")
    if begins and run and lists and not module.check_mode and (new or not read_lists_of_run(options["root"], [run])):
        keep_lists(options["root"], run, lists, new, lambda old: bool(list_touched(options["root"], old)))
    if query and sources:
        _warn_of_lost(module, names)
    options["databases"] = _select_entries(every, options)
    return [{"source": name, "names": found.names} for name, found in lists.items()]


def _warn_of_lost(module: AnsibleModule, names: list[str]) -> None:
    """Name what an earlier run left half-way and no source finds any more: its row may be gone by mistake."""
    lost = list_unknown_folders(Layout(Path(module.params["root"])), names)
    if lost:
        module.warn(
            f"{describe_first(lost, _MOST_NAMED)}: an earlier run left it held or interrupted, and no source finds it"
            " any more. It is recovered as that run had it, and restored with migrate_restore_run; where it is gone for"
            f" good, remove its journals in {Layout(Path(module.params['root'])).journals}"
        )


def _build_entries(source: Source, found: FoundList) -> list[Entry]:
    made = []
    for row in found.rows:
        if row.problem:
            made.append(make_refused_entry(row.name, row.problem))
            continue
        try:
            made.append({**build_entry(source.template, row.values), "name": row.name})
        except Unfit as problem:
            made.append(make_refused_entry(row.name, f"its row cannot be used any more: {problem}"))
    return made


def _refuse_without_source(kept: dict[str, FoundList], sources: list[Source]) -> None:
    missing = sorted(set(kept) - {source.name for source in sources})
    if missing:
        raise Refused(
            f"The databases that source {missing[0]!r} found for this run cannot be reached",
            "migrate_discover has no source of that name any more",
            "Put the source back with its template, under the same name",
            code="discovery-source-missing",
        )


def _refuse_without_list(options: Options, run: str, names: list[str]) -> None:
    """Refuse to revert a run whose list is gone, where it worked on databases that are not known otherwise."""
    known = {build_key(name) for name in names}
    patterns = list_patterns(options.get("select"))
    lost = [name for name in list_touched(options["root"], run) if name not in known and is_selected(name, patterns)]
    if lost and not options.get("only"):
        raise Refused(
            f"The list of databases that run {run} found is not on this host any more",
            f"its journals and backups have {describe_first(lost, _MOST_NAMED)}, which no source finds and no"
            " entry names",
            f"Put {locate_lists(options['root'], run)} back from a backup of the host, name these in"
            " migrate_databases, or leave them out with migrate_only",
            code="discovery-list-missing",
        )


def _select_unlisted(listed: list[Entry], found: list[tuple[str, Entry]]) -> list[Entry]:
    """Return the found databases that are not listed themselves, with a name of their own each.

    Of those that want one name each is refused, whichever source was first: journals and backups go by names, and the
    one that has it now could be another one in the next run. What the inventory lists keeps its name.

    Raises:
        Refused: two sources have found one database.
    """
    listed_places = {hash_place(entry) for entry in listed}
    by: dict[str, str] = {}
    kept: list[tuple[str, Entry]] = []
    for source, entry in found:
        place = entry["name"] if "problem" in entry else hash_place(entry)
        if place in listed_places:  # as the inventory describes it
            continue
        if place in by:
            raise Refused(
                f"Sources {by[place]!r} and {source!r} found the same database",
                f"{entry['name']} leads to one that has an entry already",
                "Exclude it from one of them",
                code="discovery-same-database",
            )
        by[place] = source
        kept.append((source, entry))
    counts = Counter([*{str(entry["name"]) for entry in listed}, *(entry["name"] for _source, entry in kept)])
    return [entry if counts[entry["name"]] == 1 else _refuse_name(source, entry["name"]) for source, entry in kept]


def _refuse_name(source: str, name: str) -> Entry:
    why = (
        f"source {source!r} gives it the name {name!r}, and another database that is found or listed has that name too"
    )
    template = build_safe_name(f"{source}-{name}")
    return make_refused_entry(template, f"{why}; a name such as {template!r} is its own", NAME_TWICE)


def _select_entries(entries: list[Entry], options: Options) -> list[Entry]:
    patterns = list_patterns(options.get("select"))
    return [entry for entry in entries if is_selected(str(entry["name"]), patterns)]


def refuse_if_found_twice(module: AnsibleModule, plans: list[PlanFacts], found: list[dict[str, Any]]) -> None:
    """Refuse a database that several entries of the host lead to, where that is a mistake.

    Its list is forgotten, so that the run may go on with the one of a source that was corrected.

    Raises:
        Refused: there is one.
    """
    try:
        _refuse_one_file_twice(plans)
        _refuse_found_twice(plans, found)
        _refuse_part_of_another(plans, module.params["databases"])
    except Refused:
        if not module.check_mode:
            forget_lists(module.params["root"], module.params["run"])
        raise


def _refuse_one_file_twice(plans: list[PlanFacts]) -> None:
    """Refuse two paths of one file, hard links: each path has a lock of its own."""
    first: dict[str, PlanFacts] = {}
    for plan in plans:
        if plan["can_be_shared"] or not plan["instance"]:
            continue
        other = first.setdefault(plan["instance"], plan)
        if other["identity"] != plan["identity"]:
            raise Refused(
                f"The databases {other['name']!r} and {plan['name']!r} are one file",
                f"{other['identity']} and {plan['identity']} are hard links to it",
                "Remove one of the entries, or exclude it from its source; SQLite supports one path of a file only",
                code="database-linked-twice",
            )


def _refuse_part_of_another(plans: list[PlanFacts], entries: list[Entry]) -> None:
    """Refuse an entry for one schema of a database that another entry means as a whole: each would revert the other.

    Raises:
        Refused: there is one.
    """
    schemas = {entry["name"]: entry.get("schema") or "" for entry in entries}
    parts = {plan["instance"]: plan["name"] for plan in plans if plan["instance"] and schemas.get(plan["name"])}
    for plan in plans:
        if plan["instance"] in parts and not schemas.get(plan["name"]):
            raise Refused(
                f"The database {plan['name']!r} holds {parts[plan['instance']]!r}",
                "one entry means all of the database, and the other one of its schemas",
                "Remove one of them, or name a schema in each",
                code="schema-of-another-entry",
            )


def _refuse_found_twice(plans: list[PlanFacts], found: list[dict[str, Any]]) -> None:
    """Refuse a found database that another entry of the host leads to as well, by another address.

    Listed entries may share a database, as two applications do; of a found one that is a mistake of its source.

    Raises:
        Refused: there is one.
    """
    names = {name for each in found for name in each["names"]}
    first: dict[tuple[str, str], str] = {}
    for plan in plans:
        if not plan["identity"]:
            continue
        other = first.setdefault((plan["identity"], plan["instance"]), plan["name"])
        if other != plan["name"] and {other, plan["name"]} & names:
            raise Refused(
                f"The databases {other!r} and {plan['name']!r} are the same one",
                f"both lead to {plan['identity']}",
                "Exclude one of them from its source, or have the source return each database once",
                code="discovery-same-database",
            )


def exclude_done(options: Options) -> Options:
    """Return a module's options without the databases that earlier calls have answered for.

    The connection shows nothing of a call until it ends, so one that reads hundreds of databases begins some of them,
    and is called again for the others.
    """
    done = {entry["name"] for entry in options["done_before"]}
    return {**options, "databases": [entry for entry in options["databases"] if entry["name"] not in done]}


def describe_progress(options: Options, answered: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return whether a call has answered for each database, and how many there are with those of earlier calls.

    Args:
        options: from ``exclude_done``.
        answered: the databases that need no other call.
    """
    count = len(options["databases"])
    return {"finished": len(list(answered)) >= count, "total": count + len(options["done_before"])}
