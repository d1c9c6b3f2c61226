# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schema as pg_dump and pg_restore print it, entry by entry."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..sql import quote_name

_HEADER = re.compile(r"^-- Name: (?P<name>.*); Type: (?P<kind>.*?); Schema: (?P<schema>.*?); Owner: ?(?P<owner>.*)$")
#: What is printed between entries or differs with each call, and is not of the schema.
_BETWEEN = re.compile(
    r"^(?:|--|-- PostgreSQL database dump.*|-- Dumped .*|SET default_table(?:space|_access_method) = .*"
    r"|\\connect .*|\\(?:un)?restrict \S+)$"
)
#: What psql prints with a word that is another one each time.
_FOR_PSQL = re.compile(r"^\\(?:connect .*|(?:un)?restrict \S+)$")
_DUMPED_BY = re.compile(r"^-- Dumped from database version (\d+).*\n-- Dumped by pg_dump version (.*)$", re.MULTILINE)
_ACCESS_METHOD = re.compile(r"^SET default_table_access_method = (.*);$")
_OWN_SCHEMAS = ("alembic_aside_", "alembic_retained_")
_COLUMNS = {"TABLE", "FOREIGN TABLE"}
_VIEW = "MATERIALIZED VIEW"
#: Whether a materialized view is filled is printed for an archive only.
VIEW_DATA = "MATERIALIZED VIEW DATA"
#: Kinds that are named by their table first.
_ON_TABLE = {"CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT", "TRIGGER", "POLICY", "RULE", "DEFAULT"}
#: Kinds whose comments and privileges are named so.
_COMMENTED = (
    "TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE", "TYPE", "DOMAIN", "FUNCTION", "PROCEDURE",
    "AGGREGATE",
)  # fmt: skip
#: Kinds whose statement names the table that they come and go with, and what is written around its name.
_NAMING = {
    "INDEX": ((" ON ", " "), (" ON ONLY ", " ")),
    "SEQUENCE OWNED BY": ((" OWNED BY ", "."),),
}


@dataclass(frozen=True)
class Entry:
    """One object: what it is, and the statements that make it."""

    kind: str
    schema: str
    name: str
    text: str
    #: Its access method, which is printed before it.
    method: str = ""

    def __str__(self) -> str:
        return (
            f"{self.kind.lower()} {self.name}"
            if self.schema == "-"
            else f"{self.kind.lower()} {self.schema}.{self.name}"
        )

    @property
    def is_own(self) -> bool:
        """Return whether it belongs to what restores have kept."""
        return self.schema.startswith(_OWN_SCHEMAS) or self.name.replace("SCHEMA ", "").startswith(_OWN_SCHEMAS)

    def is_of_any(self, tables: Iterable[str]) -> bool:
        """Return whether it is an object among some, or comes and goes with one; they are named as schema.object."""
        return any(
            self._is_of(table[len(self.schema) + 1 :]) for table in tables if table.startswith(f"{self.schema}.")
        )

    def _is_of(self, name: str) -> bool:
        names = {name, quote_name(name)}
        if names & {self.name, self.name.partition("(")[0]} or (
            self.kind in _ON_TABLE and self._has_prefix(names, " ")
        ):
            return True
        if self.kind in ("COMMENT", "ACL"):
            kinds = {f"{kind} {each}" for kind in _COMMENTED for each in names}
            columns = {f"COLUMN {each}" for each in names}
            hanging = any(self.name.endswith(f" ON {each}") for each in names)
            return hanging or self.name.partition("(")[0] in kinds or self._has_prefix(columns, ".")
        return self.kind in _NAMING and any(
            before + f"{schema}.{each}{after}" in self.text
            for before, after in _NAMING[self.kind]
            for schema in (self.schema, quote_name(self.schema))
            for each in names
        )

    def _has_prefix(self, names: Iterable[str], end: str) -> bool:
        return any(self.name.startswith(f"{name}{end}") for name in names)


def parse(script: str) -> list[Entry]:
    """Return the entries of a plain script."""
    found: list[Entry] = []
    header: re.Match[str] | None = None
    lines: list[str] = []
    method = of_entry = ""

    def end() -> None:
        if header:
            while lines and _BETWEEN.match(lines[-1]):
                lines.pop()
            kind, text = header["kind"], "\n".join(lines).lstrip("-\n")
            entry = Entry(kind, header["schema"], header["name"], f"{text}\n-- {header['owner']}")
            found.append(replace(entry, method=of_entry) if kind in ("TABLE", "MATERIALIZED VIEW") else entry)

    for line in script.split("\n"):
        begins = _HEADER.match(line)
        if begins:
            end()
            header, lines, of_entry = begins, [], method
            continue
        chosen = _ACCESS_METHOD.match(line)
        if chosen:
            method = chosen[1]
        if not _FOR_PSQL.match(line):
            lines.append(line)
    end()
    return found


def list_filled_differently(before: list[Entry], now: list[Entry], filled: Iterable[tuple[str, str]]) -> list[str]:
    """Return the materialized views that are there on both sides, and were filled and are empty or the other way round.

    Args:
        before: the entries of an archive.
        now: those of a database.
        filled: the materialized views that are filled in the database, as schema and name.
    """
    old, new = ({(each.schema, each.name): each for each in side if each.kind == _VIEW} for side in (before, now))
    was = {(each.schema, each.name) for each in before if each.kind == VIEW_DATA}
    changed = sorted((was ^ set(filled)) & old.keys() & new.keys())
    return [f"{new[key]} is {'empty' if key in was else 'filled'}, and was not before" for key in changed]


def compare_entries(before: list[Entry], now: list[Entry]) -> tuple[list[str], list[str]]:
    """Return how two schemas differ, and in which tables only the order of the columns does."""
    old, new = Counter(before), Counter(now)
    gone, made = list((old - new).elements()), list((new - old).elements())
    words, notes = [], []
    for entry in gone:
        other = next((each for each in made if _is_same_object(each, entry)), None)
        if other is None:
            words.append(f"{entry} is gone")
            continue
        made.remove(other)
        if entry.kind in _COLUMNS and _sort_lines(entry.text) == _sort_lines(other.text):
            notes.append(f"the columns of {entry} have another order")
        else:
            words.append(f"{entry} has changed: {_describe_difference(entry.text, other.text)}")
    words += [f"{entry} is new" for entry in made]
    return sorted(words), sorted(notes)


def _is_same_object(one: Entry, other: Entry) -> bool:
    return (one.kind, one.schema, one.name) == (other.kind, other.schema, other.name)


def _sort_lines(text: str) -> list[str]:
    return sorted(line.rstrip(",") for line in text.split("\n"))


def _describe_difference(before: str, now: str) -> str:
    """Return the first line that is another one, as it was and as it is."""
    old, new = before.split("\n"), now.split("\n")
    gone = [line.strip() for line in old if line not in new]
    made = [line.strip() for line in new if line not in old]
    shown = [f"-{line}" for line in gone[:1]] + [f"+{line}" for line in made[:1]]
    return " ".join(shown) or "the order of its lines"


def read_dump_versions(script: str) -> list[tuple[str, str]]:
    """Return the major version of the server, and the version of the pg_dump that has written what a script prints."""
    return _DUMPED_BY.findall(script)


def list_unprinted(*scripts: str) -> set[tuple[str, str, str]]:
    """Return which entries the pg_dump of one of some scripts leaves out, as kind, schema and name.

    Before 15 it prints of ``public`` only what is not as in each new database; a fingerprint has a line of it.
    """
    versions = [int(version.partition(".")[0]) for script in scripts for _server, version in read_dump_versions(script)]
    return {("SCHEMA", "-", "public"), ("ACL", "-", "SCHEMA public")} if versions and min(versions) < 15 else set()


def list_one_sided(before: Iterable[Entry], now: Iterable[Entry], leave_out: set[tuple[str, str, str]]) -> list[str]:
    """Return the objects that are on one side only, whatever their text is, but for some by kind, schema and name."""
    old = {(entry.kind, entry.schema, entry.name): entry for entry in before}
    new = {(entry.kind, entry.schema, entry.name): entry for entry in now}
    old, new = ({key: entry for key, entry in side.items() if key not in leave_out} for side in (old, new))
    words = [f"{old[key]} is gone" for key in old.keys() - new.keys()]
    return sorted([*words, *(f"{new[key]} is new" for key in new.keys() - old.keys())])
