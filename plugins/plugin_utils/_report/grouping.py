# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The grouping of databases in print: a line for each of a few, and one for many that are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import describe_first
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .causes import MOST_IN_SHORT, MOST_NAMED, build_cause_key, generalize_text, list_hosts
from .sizes import format_size
from .tables import render_table

#: So many databases have a line of their own each: what fits on a screen beside the rest of a run.
MOST_ROWS = 12
#: Lines of one kind, where each database has its own.
MOST_LINES = 20


@dataclass(frozen=True)
class Column:
    """A column of a table of databases.

    Args:
        heading: above it.
        of_one: what it says of one database.
        of_many: what it says of several that are alike; where it is missing, being alike means having this cell.
    """

    heading: str
    of_one: Callable[[Result], str]
    of_many: Callable[[Sequence[Result]], str] | None = None


@dataclass(frozen=True)
class View:
    """The amount that is printed.

    Args:
        check_mode: whether it only predicts.
        shows_all: whether each database has a line, however many there are.
        hosts: how many hosts have a report of their own on the same screen.
        first_on: returns the host that has printed a cause already, by its key; nothing where none has.
        completed: returns a line whose commands are for some hosts.
        names_hosts: whether the databases are those of several hosts, which each of them names.
    """

    check_mode: bool = False
    shows_all: bool = False
    hosts: int = 1
    first_on: Callable[[str], str] = lambda _key: ""
    completed: Callable[[str, Sequence[str]], str] = lambda line, _hosts: line
    names_hosts: bool = False

    def needs_groups(self, count: int) -> bool:
        """Return whether so many databases of one host are printed by groups."""
        return not self.shows_all and count > 1 and count * self.hosts > MOST_ROWS

    @property
    def most(self) -> int:
        """Return how many of some lines ``limit_lines`` prints, 0 for all."""
        return 0 if self.shows_all else MOST_LINES

    def limit_lines(self, lines: Sequence[str], most: int = MOST_LINES) -> list[str]:
        """Return lines, and of too many how many more there are."""
        if self.shows_all or len(lines) <= most:
            return list(lines)
        return [*lines[:most], f"and {len(lines) - most} more of these"]


#: What is printed without -v.
SHORT = View()


def build_host_column() -> Column:
    """Return the column of a database's host; of those of several hosts it has their number."""
    return Column("HOST", lambda entry: str(entry["host"]), _format_hosts)


def _format_hosts(entries: Sequence[Result]) -> str:
    names = dict.fromkeys(entry["host"] for entry in entries)
    return next(iter(names)) if len(names) == 1 else f"{len(names)} hosts"


def build_name_column() -> Column:
    """Return the column of a database's name; of several it has their number."""
    return Column("DATABASE", lambda entry: str(entry["name"]), _count)


def _count(entries: Sequence[Result]) -> str:
    count = sum(bool(entry["name"]) for entry in entries)
    return f"{count} databases" if count else ""


def build_longest_formatter(key: str, shown: Callable[[Result], str]) -> Callable[[Sequence[Result]], str]:
    """Return what says how long several databases took at most, and which of them did.

    Args:
        key: of the seconds.
        shown: what is printed of one; nothing where its seconds do not count.
    """

    def of_many(entries: Sequence[Result]) -> str:
        known = [entry for entry in entries if shown(entry)]
        if not known:
            return ""
        slowest = max(known, key=lambda entry: float(entry[key]))
        return f"at most {shown(slowest)} ({slowest['name']})"

    return of_many


def describe_backups(entries: Sequence[Result]) -> str:
    """Return how many backups there are, and their size."""
    found = [entry["backup"] for entry in entries if entry.get("backup")]
    return f"{len(found)} ({format_size(sum(backup['size'] for backup in found))})" if found else ""


def render_listing(
    columns: Sequence[Column], entries: Sequence[Result], view: View, needs_person: Callable[[Result], bool]
) -> list[str]:
    """Return a table of databases.

    Of many, those that need a person have a row each, and the others one for all that are alike.
    """
    columns = [*([build_host_column()] if view.names_hosts else []), *columns]
    headings = [column.heading for column in columns]
    if not view.needs_groups(len(entries)):
        return render_table(headings, [[column.of_one(entry) for column in columns] for entry in entries])
    in_need = [entry for entry in entries if needs_person(entry)]
    single = in_need if len(in_need) * view.hosts <= MOST_ROWS else []
    groups = _group_alike(columns, [entry for entry in entries if not (single and needs_person(entry))])
    shown, others = groups[:MOST_ROWS], groups[MOST_ROWS:]
    rows = [[_format_cell(column, members) for column in columns] for members in shown]
    rows += [[column.of_one(entry) for column in columns] for entry in single]
    return render_table(headings, rows) + _of_other_kinds(others)


def _of_other_kinds(groups: Sequence[Sequence[Any]]) -> list[str]:
    """Return how many databases are in groups that are not printed."""
    return [f"and {sum(map(len, groups))} databases of {len(groups)} other kinds"] if groups else []


def _group_alike(columns: Sequence[Column], entries: Iterable[Result]) -> list[list[Result]]:
    """Return databases by what they have in common, the largest group first."""
    found: dict[tuple[str, ...], list[Result]] = {}
    for entry in entries:
        key = tuple(column.of_one(entry) for column in columns if column.of_many is None)
        found.setdefault(key, []).append(entry)
    return sorted(found.values(), key=len, reverse=True)


def _format_cell(column: Column, members: Sequence[Result]) -> str:
    if len(members) > 1 and column.of_many is not None:
        return column.of_many(members)
    return column.of_one(members[0])


def render_blocks(
    entries: Iterable[Result], lines_of: Callable[[Result], list[str]], view: View, *, named: Callable[[Result], bool]
) -> list[str]:
    """Return the lines of databases below their names, those with the same lines together.

    Args:
        entries: the databases.
        lines_of: returns the lines of one; its name goes before the first.
        view: how much is printed.
        named: whether a database is named also among many.
    """
    made = [(entry, lines_of(entry)) for entry in entries]
    found: dict[tuple[str, ...], list[tuple[Result, list[str]]]] = {}
    for entry, lines in made:
        found.setdefault(tuple(build_cause_key(line, entry["name"]) for line in lines), []).append((entry, lines))
    if view.shows_all:
        return [line for each in made for line in _block(*_split_group([each]), named, view)]
    if len(made) <= MOST_ROWS:
        return [line for group in found.values() for line in _block(*_split_group(group), lambda _entry: True, view)]
    # What needs a person has its place in any case, and comes last, where it is read first.
    groups = sorted(found.values(), key=lambda group: (not named(group[0][0]), -len(group)))
    shown, others = groups[:MOST_ROWS], groups[MOST_ROWS:]
    lines = [line for group in reversed(shown) for line in _block(*_split_group(group), named, view)]
    return lines + _of_other_kinds(others)


def _split_group(group: Sequence[tuple[Result, list[str]]]) -> tuple[list[Result], list[str]]:
    """Return the databases of a group, and the lines of its first."""
    return [entry for entry, _lines in group], group[0][1]


def _block(members: Sequence[Result], lines: Sequence[str], named: Callable[[Result], bool], view: View) -> list[str]:
    names, hosts = [member["name"] for member in members], list(dict.fromkeys(list_hosts(members)))
    title = names[0] if len(names) == 1 else _count(members)
    if len(names) > 1 and named(members[0]):
        title = f"{title} ({describe_first(list(dict.fromkeys(names)), MOST_NAMED)})"
    title = f"{title} on {describe_first(hosts, MOST_IN_SHORT)}" if hosts else title
    return [f"{title}  {lines[0]}", *(view.completed(generalize_text(line, names), hosts) for line in lines[1:])]
