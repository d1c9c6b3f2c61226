# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Failures by their causes: a revision that fails in a hundred databases is one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused, describe_first

#: So many databases are named: each that has failed, unless they are too many for a line of commands.
MOST_NAMED = 1000
#: So many hosts are named, and so many databases where all are named elsewhere; of more, how many there are.
MOST_IN_SHORT = 20
_MOST_CAUSES = 3
#: Characters of a cause in a short message.
_LONGEST_CAUSE = 100
_KIND = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception): ")
#: What differs between databases that one cause stopped: values of a row, how long and who.
_VALUES = re.compile(r"=\([^)]*\)|\b(?:pid|process|session) \d+|\b\d+(?:\.\d+)? (?:s|rows?|bytes)\b")
#: Behind a place in a revision comes its statement.
_PLACE = re.compile(r"^.*?\.py:\d+")


def group_causes(errors: Iterable[tuple[str, Mapping[str, Any]]]) -> list[tuple[list[str], Refused]]:
    """Return each cause once, with the databases that it stopped, in the order in which they came.

    Args:
        errors: names of databases, each with the facts of its error.
    """
    found: dict[str, tuple[list[str], Refused]] = {}
    for name, facts in errors:
        error = Refused.of(facts)
        names, _error = found.setdefault(build_cause_key(str(error), name), ([], error))
        names.append(name)
    return list(found.values())


def list_cause_lines(
    errors: Iterable[tuple[str, Mapping[str, Any]]], first_on: Callable[[str], str] = lambda _key: "", most: int = 0
) -> list[str]:
    """Return one line for each cause, which begins with the databases that it stopped.

    Args:
        errors: names of databases, each with the facts of its error.
        first_on: returns the host that has printed a cause already, by its key; nothing where none has.
        most: how many of the lines will be printed; no other host is to refer to one that will not. 0 for all.
    """
    found = group_causes(errors)
    return [
        describe_cause_line(
            names, describe_or_name_host(error, names[0], first_on) if number < (most or len(found)) else str(error)
        )
        for number, (names, error) in enumerate(found)
    ]


def describe_or_name_host(error: Refused, name: str, first_on: Callable[[str], str]) -> str:
    """Return what an error of a database is, or which other host has printed it already."""
    first = first_on(build_cause_key(str(error), name))
    return describe_same_error(f"on {first}", error) if first else str(error)


def describe_same_error(place: str, error: Refused) -> str:
    """Return what is printed of an error instead of its text, which is printed elsewhere."""
    return f"the same as {place}{f' [{error.code}]' if error.code else ''}"


def list_short_lines(errors: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return one short line for each cause: how many databases it stopped, what it is and where, and its code.

    Args:
        errors: names of databases, each with the facts of its error; a name is empty where it is not one database.
    """
    found: dict[str, list[str]] = {}
    for name, facts in errors:
        found.setdefault(_describe_short(name, Refused.of(facts)), []).append(name)
    lines = [
        f"{names[0] if len(names) == 1 else f'{len(names)} databases'}: {cause}".removeprefix(": ")
        for cause, names in found.items()
    ]
    more = len(lines) - _MOST_CAUSES
    return lines[:_MOST_CAUSES] + ([f"and {more} more causes"] if more > 0 else [])


def _describe_short(name: str, error: Refused) -> str:
    text = _KIND.sub("", " ".join(strip_name(error.why or error.what, name).split()))
    place = _PLACE.match(text)
    text = place[0] if place else text
    short = text if len(text) <= _LONGEST_CAUSE else f"{text[: _LONGEST_CAUSE - 1]}…"
    return f"{short} [{error.code}]" if error.code else short


def describe_cause_line(names: Sequence[str], text: str, hosts: Sequence[str] = ()) -> str:
    """Return a cause with the databases that it stopped; of one alone it is printed as it was.

    Args:
        names: of the databases.
        text: the cause, as it is of the first; a command in it is for all that are named.
        hosts: the host of each; nothing where there is but one host.
    """
    if len(names) == 1:
        return f"{names[0]}{f' on {hosts[0]}' if hosts else ''}: {text}"
    where = f" on {describe_first(list(dict.fromkeys(hosts)), MOST_IN_SHORT)}" if hosts else ""
    which = describe_first(list(dict.fromkeys(names)) if hosts else names, MOST_NAMED)
    return f"{len(names)} databases ({which}){where}: {generalize_text(text, names)}"


def generalize_text(text: str, names: Sequence[str]) -> str:
    """Return a text about the first of some databases as one about all of them, with the command for those named."""
    if len(names) == 1:
        return text
    different = list(dict.fromkeys(names))
    text = strip_name(text, names[0]).replace(json.dumps(different[:1]), json.dumps(different[:MOST_NAMED]))
    return text if len(different) == 1 else text.replace(repr(names[0]), "…")


def group_notes(places: Iterable[tuple[Mapping[str, Any], str]], prefix: str = "") -> list[str]:
    """Return each text once, with the databases that it is about.

    Args:
        places: the entry of a database, with ``host`` where there are several, and the text.
        prefix: what each line begins with.
    """
    found: dict[str, tuple[str, list[Mapping[str, Any]]]] = {}
    for entry, text in places:
        found.setdefault(strip_name(text, entry["name"]), (text, []))[1].append(entry)
    return [
        prefix + describe_cause_line([each["name"] for each in entries], text, list_hosts(entries))
        for text, entries in found.values()
    ]


def list_hosts(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the host of each entry, or nothing where there is but one host."""
    return [entry["host"] for entry in entries if entry.get("host")]


def build_cause_key(text: str, name: str) -> str:
    """Return what the texts of two databases have in common if one cause stopped both."""
    text = _VALUES.sub("", strip_name(text, name)).replace(json.dumps([name]), "[]").replace(repr(name), "…")
    return text.replace(f"/{name}/", "//").replace(f"/{name}.", "/.")


def strip_name(text: str, name: str) -> str:
    """Return a text that does not name its database; that is all in which two of one cause differ."""
    for quoted in (repr(name), f'"{name}"'):
        text = text.replace(f" in database {quoted}", "").replace(f"atabase {quoted}", "atabase")
        text = text.replace(f" of {quoted} failed", " failed")
    return text
