# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fingerprint of an older major version of the server, compared with a later one: the server was upgraded meanwhile.

The later one is read in the terms of the older. A line changes only where it says what the load of a dump of the older
server gives, and in no other case: what others have granted, named or defined since is a difference still. By version:

- 15: ``public`` of a new database belongs to pg_database_owner, and PUBLIC may not create in it; what a partition has
  of its parent's triggers is not internal.
- 16: a view of one relation prints its columns without the relation's name.
- 17: the owner of a table may MAINTAIN it, and ALL includes that; NOT NULL of a domain is a constraint.
- 18: NOT NULL of a column is a constraint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .rendering import as_dumped, is_invalid

_NAME = r'(?:"(?:[^"]|"")*"|[^\s".,=/]+)'
#: Which server it is, and which role has made it; that is not a part of the schema.
_SERVER = re.compile(r"server (\d+) of (.*)", re.DOTALL)
_RELATION = re.compile(
    rf"(?P<head>(?P<kind>(?:partitioned |foreign )?table|(?:materialized )?view) (?P<name>{_NAME}\.{_NAME}))"
    r" owner (?P<owner>.*?) acl (?:(?P<acl>.*?) )?options (?P<rest>.*)",
    re.DOTALL,
)
_NAMED = re.compile(
    rf"(?:partitioned table|foreign table|table|materialized view|view|sequence|routine|type) ({_NAME}\.{_NAME})"
)
_PUBLIC = re.compile(r"schema public owner (?P<owner>.*?) acl (?P<acl>.*)", re.DOTALL)
_OWNER_OF_PUBLIC = "pg_database_owner"
_TRIGGER = re.compile(
    rf"(?P<head>trigger CREATE (?:CONSTRAINT )?TRIGGER {_NAME} .*?) ON (?P<table>{_NAME}\.{_NAME})"
    r" (?P<rest>.*) enabled .",
    re.DOTALL,
)
_ITEM = re.compile(rf"(?P<who>{_NAME}|)=(?P<what>[a-zA-Z*]*)/(?P<by>{_NAME})")
#: All privileges on a relation before MAINTAIN, without and with the right to grant them on.
_ALL = ("arwdDxt", "a*r*w*d*D*x*t*")
_MAINTAIN = re.compile(r"m\*?")
_OF_COLUMN = re.compile(
    rf"constraint {_NAME}\.(?P<table>{_NAME})\.(?P<name>{_NAME}) NOT NULL (?P<column>{_NAME}) validated t"
)
_OF_DOMAIN = re.compile(rf"constraint {_NAME}\.(?P<table>{_NAME})\.(?P<name>{_NAME}) NOT NULL validated t")
#: A literal, or a name with all that it is of.
_TOKEN = re.compile(r"""'(?:[^']|'')*'|(?:"(?:[^"]|"")*"|[\w$]+)(?:\.(?:"(?:[^"]|"")*"|[\w$]+|\*))*""")
_PART = re.compile(r'"(?:[^"]|"")*"|[\w$]+|\*')
#: Bytes of a name, and of one whose two parts were cut within a character of four.
_LONGEST = 63
_SHORTEST_CUT = 57

Relations = dict[str, "re.Match[str]"]


@dataclass(frozen=True)
class _Server:
    """The server of a fingerprint: 0 and no superuser where an early one does not name it."""

    version: int
    superuser: str


@dataclass(frozen=True)
class _Trigger:
    """On which table a trigger is, and the rest of its text."""

    table: str
    text: str


def convert_fingerprint(before: list[str], now: list[str]) -> list[str]:
    """Return the later of two fingerprints of a database as the server of the earlier one would have given it.

    Args:
        before: the earlier fingerprint.
        now: the later one.
    """
    old, new = _parse_server(before), _parse_server(now)
    kept = [line for line in before if _SERVER.fullmatch(line)]
    lines = [line for line in now if not _SERVER.fullmatch(line)]
    if old.version < new.version:
        lines = list(_translate_lines(before, lines, old, new.version))
    return sorted({*kept, *lines})


def _parse_server(fingerprint: Iterable[str]) -> _Server:
    """Return what a fingerprint says of its server, or in an early one, what only servers since some version show."""
    version = 0
    for line in fingerprint:
        named = _SERVER.fullmatch(line)
        if named:
            return _Server(int(named[1]), named[2])
        relation = None if version else _RELATION.fullmatch(line)
        if _OF_COLUMN.fullmatch(line):
            version = 18
        elif relation and any("m" in item["what"] for item in _ITEM.finditer(relation["acl"] or "")):
            version = 17
    return _Server(version, "")


def _translate_lines(before: list[str], now: list[str], old: _Server, new: int) -> Iterator[str]:
    """Yield the lines of a later server in the terms of the older."""

    def is_since(version: int) -> bool:
        return old.version < version <= new

    there, without = set(before), {as_dumped(line): line for line in before}
    relations, others = _parse_relations(before), _parse_relations(now)
    known = {found[1] for found in map(_NAMED.match, (*before, *now)) if found}
    tables = {_unquote_name(_PART.findall(name)[-1]) for name in others}
    partitioned = {name for name, found in relations.items() if found["kind"] == "partitioned table"}
    triggers = {trigger.text for trigger in map(_parse_trigger, before) if trigger and trigger.table in partitioned}
    if old.superuser:
        # No dump brings these along (see ``rendering.render_as_restored``). An early fingerprint may be of this server.
        yield from filter(is_invalid, before)
    for line in now:
        relation = _RELATION.fullmatch(line)
        if line in there:
            yield line
        elif relation:
            text = _list_privileges(relation, is_since(17))
            yield _as_it_was(relation, text, relations.get(relation["name"]), known if is_since(16) else None)
        elif is_since(15) and line.startswith("schema public "):
            yield next((was for was in before if _is_public_of(was, line, old.superuser)), line)
        elif not (
            (old.superuser and is_since(15) and _is_of_partition(line, triggers))
            or (is_since(17) and _is_of_domain(line))
            or (is_since(18) and _is_of_column(line, tables))
        ):
            yield without.get(as_dumped(line), line)


def _parse_relations(lines: Iterable[str]) -> Relations:
    return {found["name"]: found for found in map(_RELATION.fullmatch, lines) if found}


def _list_privileges(relation: re.Match[str], is_new: bool) -> list[str]:
    """Return the privileges on a relation, without MAINTAIN where that came with the version.

    The owner has it unless it is taken from him by its name, and who had all privileges has it where they were restored
    by the word ALL.
    """
    items = []
    for item in _ITEM.finditer(relation["acl"] or ""):
        what = _MAINTAIN.sub("", item["what"]) if is_new else item["what"]
        if _unquote_name(item["who"]) != relation["owner"] and what not in _ALL:
            what = item["what"]
        if what:
            items.append(f"{item['who']}={what}/{item['by']}")
    return items


def _as_it_was(relation: re.Match[str], items: list[str], was: re.Match[str] | None, known: set[str] | None) -> str:
    """Return the line of a relation, with what is the same as it was in the words of then.

    Args:
        relation: its line.
        items: its privileges, in the order of this database.
        was: its earlier line, if there is one.
        known: the names of all objects, where views were printed in another way then.
    """
    acl, rest = ",".join(items), relation["rest"]
    if was and sorted(items) == sorted(item[0] for item in _ITEM.finditer(was["acl"] or "")):
        acl = was["acl"] or ""
    if was and known is not None and "view" in relation["kind"] and _is_same_view(was["rest"], rest, known):
        rest = was["rest"]
    return " ".join([relation["head"], "owner", relation["owner"], "acl", *([acl] if acl else []), "options", rest])


def _is_same_view(before: str, now: str, known: set[str]) -> bool:
    """Return whether two views differ only in the name of their one relation before its columns.

    The older text has a name before each column. Where taking away one such name makes the same of both, no column
    without a name can be of another relation.
    """
    chains = (_PART.findall(token) for token in _TOKEN.findall(before) if not token.startswith("'"))
    names = {parts[0] for parts in chains if len(parts) > 1}
    return any(_unqualify_columns(name, before, known) == _unqualify_columns(name, now, known) for name in names)


def _unqualify_columns(name: str, text: str, known: set[str]) -> str:
    """Return the text of a view without a relation's name before columns."""

    def unqualify_column(token: re.Match[str]) -> str:
        parts = _PART.findall(token[0]) if not token[0].startswith("'") else []
        is_column = len(parts) > 1 and parts[0] == name and parts[1] != "*" and ".".join(parts[:2]) not in known
        return token[0][len(name) + 1 :] if is_column else token[0]

    return _TOKEN.sub(unqualify_column, text)


def _is_public_of(before: str, now: str, superuser: str) -> bool:
    """Return whether public is as a new database has it since 15, where it was as one had it before.

    A pg_dump of before 15 prints neither its owner nor the right of PUBLIC to create in it, if it has that.

    Args:
        before: its earlier line.
        now: its later line.
        superuser: who has made the cluster of then.
    """
    was, here = _PUBLIC.fullmatch(before), _PUBLIC.fullmatch(now)
    if not was or not here or (was["owner"], here["owner"]) != (superuser, _OWNER_OF_PUBLIC):
        return False
    names = {_OWNER_OF_PUBLIC: superuser if re.fullmatch(r"\w+", superuser) else f'"{superuser}"'}
    items = {
        f"{names.get(item['who'], item['who'])}={item['what']}/{names.get(item['by'], item['by'])}"
        for item in _ITEM.finditer(here["acl"])
    }
    old = {item[0] for item in _ITEM.finditer(was["acl"])}
    return old in (items, {item.replace("=U/", "=UC/") if item.startswith("=") else item for item in items})


def _is_of_partition(line: str, triggers: set[str]) -> bool:
    """Return whether a line is the trigger that a partition has of its parent, which was internal before 15.

    Nothing in a fingerprint says which tables are partitions: any counts that has a trigger of this name and text.

    Args:
        line: a later line that is not among the earlier.
        triggers: the earlier texts of triggers on partitioned tables.
    """
    found = _parse_trigger(line)
    return found is not None and found.text in triggers


def _parse_trigger(line: str) -> _Trigger | None:
    found = _TRIGGER.fullmatch(line)
    return _Trigger(found["table"], f"{found['head']} {found['rest']}") if found else None


def _is_of_domain(line: str) -> bool:
    """Return whether a line is the constraint that NOT NULL of a domain makes by itself."""
    found = _OF_DOMAIN.fullmatch(line)
    return found is not None and _is_default_name(*map(_unquote_name, found.group("name", "table")))


def _is_of_column(line: str, tables: set[str]) -> bool:
    """Return whether a line is the constraint that NOT NULL of a column makes by itself; the column's line says so too.

    It has the name of the table, or of one that the column is inherited from.
    """
    found = _OF_COLUMN.fullmatch(line)
    if not found:
        return False
    name, table, column = map(_unquote_name, found.group("name", "table", "column"))
    if _is_default_name(name, table, column):
        return True
    # What is shorter was not cut, so that it has the whole name of a table.
    if len(name.encode()) < _SHORTEST_CUT:
        label = re.search(rf"_{re.escape(column)}_not_null\d*$", name)
        return label is not None and name[: label.start()] in tables
    return any(_is_default_name(name, other, column) for other in tables)


def _is_default_name(name: str, *of: str) -> bool:
    """Return whether the server gives a NOT NULL constraint of a table's column, or of a domain, this name.

    As makeObjectName in indexcmds.c does. All names are without quotes.
    """
    label = re.search(r"_not_null\d*$", name)
    if not label:
        return False
    parts = [part.encode() for part in of]
    space = _LONGEST - len(label[0]) - (len(parts) - 1)
    while sum(map(len, parts)) > space:
        longest = 0 if len(parts[0]) > len(parts[-1]) else -1
        parts[longest] = parts[longest][:-1]
    return name == "_".join(part.decode(errors="ignore") for part in parts) + label[0]


def _unquote_name(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
