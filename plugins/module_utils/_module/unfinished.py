# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Found databases that a run left half-way or held, as the list of that run has them.

Their source may find them no more, or somewhere else: what is half done is where the run worked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from .._core.argument_specs import Entry
from .._core.errors import ROW_LOST, Refused
from .._core.paths import Layout, build_key
from .._discovery.found_list import FoundList, Row, read_lists_of_run
from .._discovery.source import Source
from .._discovery.template import Unfit, build_entry, hash_place, make_refused_entry
from .._journal.run_state import RunState, find_unrecovered, list_unknown_folders, read_last_run_state

_REMEDY = "have its source return it again, or name it in migrate_databases; if it is gone for good, remove"


class Unfinished:
    """The unfinished databases of one host."""

    def __init__(self, root: str, sources: Sequence[Source]) -> None:
        self._root = root
        self._layout = Layout(Path(root))
        self._sources = {source.name: source for source in sources}
        self._lists = cache(lambda run: read_lists_of_run(root, [run]))

    def add_lost(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return entries with those of unfinished databases that no entry names any more.

        An entry of the same database under another name is refused: what it would begin is not what is half done.
        """
        lost = []
        for folder in list_unknown_folders(self._layout, [str(entry["name"]) for entry in entries]):
            left = read_last_run_state(self._layout, folder)
            entry = self._find_entry(folder, left)
            lost += [entry] if entry else []
        by_place = {hash_place(entry): entry["name"] for entry in lost if "problem" not in entry}
        return [*(_refuse_if_unfinished(entry, by_place) for entry in entries), *lost]

    def put_back(self, options: Mapping[str, Any], found: Collection[str]) -> list[Entry]:
        """Return the entries of a module; an unfinished one whose source now leads elsewhere, as its run had it.

        Args:
            options: with the databases of the host.
            found: the names of those that were found; a listed one is where the inventory says.
        """
        unrecovered = {left.name: left for left in find_unrecovered(dict(options))}
        made = []
        for entry in options["databases"]:
            left = unrecovered.get(entry["name"])
            before = self._find_entry(build_key(left.name), left) if left and left.name in found else None
            elsewhere = before and "problem" not in before and hash_place(before) != hash_place(entry)
            made.append(before if before and elsewhere else entry)
        return made

    def _find_entry(self, folder: str, left: RunState) -> Entry | None:
        """Return the entry that a run had; None of a database that no source of this host has found for it."""
        try:
            lists, source, row = self._find_row(folder, left)
        except Refused as damage:
            return self._refuse(folder, left, f"{damage.what}: {damage.why}")
        if not lists:
            is_dead = left.state == "cut_short"
            return self._refuse(folder, left, "the list of that run is not on this host any more") if is_dead else None
        if row is None or row.problem:
            return None
        if source in self._sources:
            return self._make_entry(self._sources[source], row, left)
        # Another application may share the root; its sources have names of their own.
        ours = set(lists) & set(self._sources)
        return self._refuse(row.name, left, f"migrate_discover has no source {source!r} any more") if ours else None

    def _make_entry(self, source: Source, row: Row, left: RunState) -> Entry:
        try:
            return {**build_entry(source.template, row.values), "name": row.name}
        except (Unfit, Refused) as problem:
            return self._refuse(row.name, left, f"its row cannot be used any more: {problem}")

    def _find_row(self, folder: str, left: RunState) -> tuple[dict[str, FoundList], str, Row | None]:
        """Return the lists that a run worked with, and in them the source and the row of the database.

        What reverts or restores works with the list of an earlier run, which has a journal of the database too.
        """
        paths = self._layout.journals.joinpath(folder).glob("*.jsonl")
        before = [path.stem for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)]
        for run in dict.fromkeys(run for run in (left.run, left.of_run, *before) if run):
            for source, found in self._lists(run).items():
                for row in found.rows:
                    if build_key(row.name) == folder:
                        return self._lists(run), source, row
        return self._lists(left.run) or (self._lists(left.of_run) if left.of_run else {}), "", None

    def _refuse(self, name: str, left: RunState, why: str) -> Entry:
        journals = self._layout.journals / build_key(name)
        verb = left.verb or "upgrade"
        problem = f"the {verb} of run {left.run} was left unfinished ({left.state.replace('_', ' ')}), and {why}"
        return make_refused_entry(name, f"{problem}; {_REMEDY} {journals}", ROW_LOST)


def _refuse_if_unfinished(entry: Entry, by_place: Mapping[str, str]) -> Entry:
    name = by_place.get(hash_place(entry)) if "problem" not in entry else None
    if name is None:
        return entry
    why = f"an earlier run left the same database unfinished under its name then, {name}; recover that one first"
    return make_refused_entry(str(entry["name"]), why, ROW_LOST)
