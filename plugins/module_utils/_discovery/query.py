# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Querying the sources of a host, and what becomes of their answers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from .._core.argument_specs import Entry, Options
from .._core.errors import CORRECT_IT, Failed, Refused, describe_first
from .._core.printable import escape_unprintable
from .._engines.select_rows import select_rows
from .change import refuse_if_changed, refuse_if_too_few
from .command import LARGEST, build_rows_refusal, read_rows_of_command
from .files import MOST, find_files
from .found_list import FoundList, Row, format_now, read_last_list
from .names import build_names, build_safe_name
from .schemas import read_rows_of_schemas
from .source import Source
from .template import Unfit, Unreadable, build_entry, find_columns, hash_place, make_refused_entry, read_used_values

_LONGEST_SHOWN = 80
_MOST_NAMED = 20


def query_source(source: Source, options: Options) -> tuple[FoundList, list[Entry]]:
    """Return the databases that a source has now: the list to keep, and their entries.

    A row from which no entry can be made becomes one that every verb refuses, so that its database is not forgotten
    and stops no other one.

    Args:
        source: the source.
        options: root, run_as, pg_bin and discover_accept, as a module takes them.

    Raises:
        Refused: the source failed, its answer cannot be used, or it is not believed.
    """
    found = _read_rows(source, options)
    if len(found) > MOST:
        raise Refused(
            f"Source {source.name!r} found more than {MOST:,} databases",
            "so many are not migrated in one run",
            "Divide it into several sources",
            code="discovery-too-many",
        )
    _refuse_unknown_columns(source, found)
    last = read_last_list(options["root"], source.name)
    lost, found = _split_lost_schemas(source, found, last)
    made, unfit = _make_entries(source, found)
    del found  # thousands of rows, of which the entries have what they need
    made = [(entry, values) for entry, values in made if not _is_excluded(source, entry, values)]
    _refuse_same_database(source, made)
    known = [(row.name, row.place) for row in last.rows] if last else []
    names = build_names(
        [entry["name"] for entry, _values in made], [hash_place(entry) for entry, _values in made], known
    )
    for name, (entry, _values) in zip(names, made):
        entry["name"] = name
    kept = [(entry, values) for entry, values in made if not _is_excluded(source, entry, values)]
    refuse_if_too_few(source, [*(entry["name"] for entry, _values in kept), *(row.name for row in lost)])
    rows = [Row(entry["name"], hash_place(entry), values) for entry, values in kept]
    rows += [*lost, *(Row(entry["name"], "", {}, entry["problem"]) for entry in unfit)]
    unfit = [*(make_refused_entry(row.name, row.problem) for row in lost), *unfit]
    found_list = FoundList("", format_now(), tuple(rows))
    if not options.get("discover_accept"):
        refuse_if_changed(source, found_list.names, last)
    return found_list, [*(entry for entry, _values in kept), *unfit]


def _read_rows(source: Source, options: Options) -> list[dict[str, Any]]:
    readers: dict[str, Callable[[], list[dict[str, Any]] | None]] = {
        "sql": lambda: select_rows(
            source.url,
            source.password,
            source.sql,
            folder=options.get("pg_bin") or "",
            seconds=source.timeout,
            most=MOST + 1,
            largest=LARGEST,
        ),
        "files": lambda: list(find_files(source)),
        "command": lambda: read_rows_of_command(source, options.get("run_as") or ""),
    }
    kind = next((each for each in readers if getattr(source, each)), "")
    try:
        rows = readers[kind]() if kind else None
        return read_rows_of_schemas(source, rows, options.get("pg_bin") or "") if source.schemas else rows or []
    except Failed as failure:
        correct = f"Correct {kind or 'schemas'} of the source {source.name} in migrate_discover"
        remedy = failure.remedy if failure.remedy not in ("", CORRECT_IT) else correct
        raise Refused(
            f"Source {source.name!r} could not be queried", failure.why, remedy, code="discovery-failed"
        ) from failure


def _refuse_unknown_columns(source: Source, found: Sequence[dict[str, Any]]) -> None:
    if not all(isinstance(row, dict) for row in found):
        raise build_rows_refusal(source, "a row is not an object")
    have = {str(name) for row in found for name in row}
    missing = sorted(find_columns(source.template) - have) if found else []
    if missing:
        raise Refused(
            f"The template of source {source.name!r} names {', '.join(missing)}",
            f"what it found has {escape_unprintable(describe_first(sorted(have), _MOST_NAMED))[:500] or 'no columns'}",
            "Correct the template, or have the source return that too",
            code="discovery-template-invalid",
        )


def _make_entries(
    source: Source, found: Sequence[dict[str, Any]]
) -> tuple[list[tuple[Entry, dict[str, str]]], list[Entry]]:
    """Return the entries with their values, sorted by name, and those of rows from which none can be made."""
    made = []
    # By name: of rows that are alike, one is reported.
    unfit: dict[str, Entry] = {}
    for row in found:
        try:
            values = read_used_values(source.template, row)
            made.append((build_entry(source.template, values), values))
        except Unfit as problem:
            entry = _make_refused_entry(source, row, str(problem))
            wanted = {"name": _name_row(source, row) or entry["name"]}
            if not _is_excluded(source, wanted, _select_texts(row), entry["name"]):
                unfit[entry["name"]] = entry
    return sorted(made, key=lambda item: (item[0]["name"], hash_place(item[0]))), list(unfit.values())


def _make_refused_entry(source: Source, row: dict[str, Any], problem: str) -> Entry:
    # Of what the template names: another column may change with each query, and the row would be a new one each time.
    used = repr([(name, row.get(name)) for name in sorted(find_columns(source.template))])
    digest = hashlib.sha256(used.encode(errors="surrogateescape")).hexdigest()[:8]
    shown = "; ".join(
        f"{name}={escape_unprintable(str(value))[:_LONGEST_SHOWN]!r}"
        for name, value in sorted(row.items(), key=repr)
        if (f"{{{name}}}" in str(source.template["name"]) or name == "path") and not isinstance(value, Unreadable)
    )
    why = f"source {source.name} found a row that cannot be used: {problem}"
    return make_refused_entry(build_safe_name(f"{source.name}-row-{digest}"), f"{why} ({shown})" if shown else why)


def _split_lost_schemas(
    source: Source, found: Sequence[dict[str, Any]], last: FoundList | None
) -> tuple[list[Row], list[dict[str, Any]]]:
    """Return the schemas that databases which cannot be read now had in the last list, and all other rows.

    They keep their names and are refused one by one: none of them is gone.
    """
    urls = {key: source.template[key] for key in ("url", "direct_url") if source.template.get(key)}
    columns = find_columns(urls) - {"schema"}
    lost: list[Row] = []
    others = []
    for row in found:
        value = row.get("schema") if isinstance(row, dict) else None
        is_lost = isinstance(value, Unreadable)
        before = _select_matching_rows(last, {name: str(row.get(name)) for name in columns}) if is_lost else []
        if not before or not isinstance(value, Unreadable):
            others.append(row)
            continue
        problem = f"the schemas of its database could not be read: {value.why}"
        wanted = [each for each in before if not _is_excluded(source, {"name": each.name}, dict(each.values))]
        lost += [replace(each, problem=problem) for each in wanted]
    return lost, others


def _select_matching_rows(last: FoundList | None, values: dict[str, str]) -> list[Row]:
    rows = last.rows if last else ()
    return [row for row in rows if row.values and all(row.values.get(key) == value for key, value in values.items())]


def _name_row(source: Source, row: dict[str, Any]) -> str:
    """Return the name that a row would have, or nothing where it has none."""
    template = {"name": source.template["name"]}
    try:
        return str(build_entry(template, read_used_values(template, row))["name"])
    except Unfit:
        return ""


def _select_texts(row: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in row.items() if isinstance(value, str)}


def _is_excluded(source: Source, entry: Entry, values: dict[str, str], *others: str) -> bool:
    name = str(entry["name"])
    words = {name, build_safe_name(name), *others, *(values[key] for key in ("path", "schema") if key in values)}
    return any(fnmatchcase(word, pattern) for word in words for pattern in source.exclude)


def _refuse_same_database(source: Source, made: Sequence[tuple[Entry, Any]]) -> None:
    """Refuse an answer in which two entries are one database: each would undo or wait for the other."""
    counts = Counter(hash_place(entry) for entry, _values in made)
    twice = [entry["name"] for entry, _values in made if counts[hash_place(entry)] > 1]
    if twice:
        raise Refused(
            f"Source {source.name!r} found the same database more than once",
            f"these lead to one place: {escape_unprintable(describe_first(sorted(twice), _MOST_NAMED))}",
            "Have it return each database once, or let its template name where they differ",
            code="discovery-same-database",
        )
