# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entries of an archive by who restores them by hand: an administrator, or the owner.

What runs in a superuser's session has a superuser's rights: a CHECK, a generated column, an index, a partition key and
the start of an aggregate call functions while they are made or filled. So an administrator makes what is a superuser's
in a database in which nothing else is yet, and definitions that call nothing. All else is restored by the owner.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..._core.errors import Failed
from . import client_tools, ownership
from .catalog_queries import is_own
from .psql import Contents
from .replay import LAST, OF_DATABASE, SUPERUSERS_FIRST, list_untrusted_extensions
from .session import read_major_version

if TYPE_CHECKING:
    from pathlib import Path

    from .session import PostgreSQLSession

#: Definitions that only a superuser can make, or that need a right on what is another's; none calls what it names.
_DEFINED_ALONE = [
    "OPERATOR CLASS", "OPERATOR FAMILY", "TEXT SEARCH PARSER", "TEXT SEARCH TEMPLATE", "CAST -", "SERVER -",
    "USER MAPPING -", "FOREIGN TABLE",
]  # fmt: skip
#: Their privileges and comments, as soon as all of them are there.
_OF_DEFINED = [
    f"{what} - {kind}"
    for what in ("ACL", "COMMENT", "SECURITY LABEL")
    for kind in (
        "OPERATOR CLASS",
        "OPERATOR FAMILY",
        "TEXT SEARCH",
        "CAST",
        "FOREIGN SERVER",
        "SERVER",
        "FOREIGN TABLE",
    )
]
_PUBLIC = ["ACL - SCHEMA public"]
_EVENT_TRIGGERS = ["EVENT TRIGGER", "COMMENT - EVENT TRIGGER"]

#: Each role: whether it is a superuser, or could become one, and whether the session is a member of it.
_ROLES = f"""
select rolname, exists (select from pg_roles s where s.rolsuper and pg_has_role(r.oid, s.oid, 'member')),
       {ownership.may_act_as("r.oid")}
  from pg_roles r
"""
#: Functions in languages in which only a superuser writes them; the numbers are those of the archive.
_UNTRUSTED = f"""
select cast(f.oid as text) from pg_proc f join pg_namespace n on n.oid = f.pronamespace
  join pg_language l on l.oid = f.prolang
 where not l.lanpltrusted and l.lanname <> 'sql' and f.prokind <> 'a' and {is_own("pg_proc", "f.oid")}
"""
_ENTRY = re.compile(r"^(\d+); (\d+) (\d+) ")
_PROC = "1255"

#: Whether what is a superuser's needs what is another's, which is not there when it is made.
NEEDS_OTHERS = f"""
with owned (owner, class, oid) as ({ownership.OWNED}),
  supers as (select class, oid from owned where exists (
    select from pg_roles s where s.rolsuper and pg_has_role(owned.owner, s.oid, 'member'))),
  parts as (
    select class, oid from supers
    union
    select d.classid, d.objid from pg_depend d join supers s on d.refclassid = s.class and d.refobjid = s.oid
     where d.deptype in ('a', 'i')),
  others as (
    select class, oid from owned where class <> 'pg_namespace'::regclass
    except select class, oid from supers),
  theirs as (
    select class, oid from others
    union
    select d.classid, d.objid from pg_depend d join others o on d.refclassid = o.class and d.refobjid = o.oid
     where d.deptype = 'i'
    union
    select d.classid, d.objid from pg_depend d join pg_extension x on d.refobjid = x.oid
     where d.deptype = 'e' and d.refclassid = 'pg_extension'::regclass
       and not (select rolsuper from pg_roles r where r.oid = x.extowner))
select 1 from pg_depend d join parts p on d.classid = p.class and d.objid = p.oid
  join theirs t on d.refclassid = t.class and d.refobjid = t.oid
 limit 1
"""


@dataclass
class Entries:
    """The numbers of entries that an administrator restores, and what the owner may not do without."""

    #: In the new and empty database.
    first: list[str] = field(default_factory=list)
    #: Those that are next to each other in the archive, in the midst of the owner's.
    between: list[list[str]] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    #: Roles to whom the owner gives what was theirs.
    members: list[str] = field(default_factory=list)
    schemas: list[str] = field(default_factory=list)
    schema_names: list[str] = field(default_factory=lambda: ["public"])
    #: Whether what was a superuser's becomes the owner's, because no order would be safe.
    no_owner: bool = False

    @property
    def administrators(self) -> list[str]:
        """Return all numbers that the owner leaves out."""
        return [*self.first, *(number for group in self.between for number in group), *self.last]


def group_entries(engine: PostgreSQLSession, dump: Path) -> Entries:
    """Return how the entries of an archive are shared; where it cannot be read, all are the owner's."""
    own, found = engine.open_own_connection(), Entries()
    roles = {name: (bool(superuser), bool(member)) for name, superuser, member in own.query_rows(_ROLES)}
    user = str(own.query_rows("select current_user")[0][0])
    contents = Contents([])
    with suppress(Failed):
        tools = client_tools.choose_tools(engine.job.pg_bin, engine.database.name, own.run(read_major_version), dump)
        contents = Contents.of(tools, dump, lambda _words: None)
    if roles[user][0]:
        return found  # all of it is a superuser's own
    whole = not engine.database.schema
    found.no_owner = (not whole and bool(own.query_rows(ownership.SUPERUSERS))) or bool(own.query_rows(NEEDS_OTHERS))
    untrusted = list_untrusted_extensions(own, contents) if whole else []
    first = [
        *(f"{of} {name}" for name in untrusted for of in ("EXTENSION -", "COMMENT - EXTENSION")),
        *SUPERUSERS_FIRST,
    ]
    kinds = _Kinds(first, {oid for (oid,) in own.query_rows(_UNTRUSTED)}, whole, not found.no_owner)
    schemas = contents.select_lines(["SCHEMA -", "COMMENT - SCHEMA"])
    events: list[str] = []
    previous = False
    for line in contents.select_other_lines(OF_DATABASE):
        owner = _find_owner(line, roles)
        place = "" if line in schemas else kinds.choose_place(line, owner != user, roles.get(owner, (False, True))[0])
        if place == "first":
            found.first.append(_parse_number(line))
        elif place == "between":
            found.between = found.between if previous else [*found.between, []]
            found.between[-1].append(_parse_number(line))
        elif place == "last":
            # Whatever an administrator does after them would call their functions.
            (events if Contents([line]).select_lines(_EVENT_TRIGGERS) else found.last).append(_parse_number(line))
        elif not roles.get(owner, (True, True))[0] and not roles[owner][1] and owner not in found.members:
            found.members.append(owner)
        previous = place == "between"
    found.last += events
    found.schemas = [_parse_number(line) for line in schemas]
    names = (line.partition(" SCHEMA - ")[2].removesuffix(f" {_find_owner(line, roles)}") for line in schemas)
    found.schema_names += [name for name in names if name != "public"]
    if whole and (found.first or found.members or any(_find_owner(line, roles) != user for line in schemas)):
        # Those of a superuser are in them, and only he makes the schemas of others.
        numbers = {*found.first, *found.schemas}
        found.first = [number for number in map(_parse_number, contents.lines) if number in numbers]
    return found


@dataclass
class _Kinds:
    first: list[str]
    untrusted: set[str]
    whole: bool
    by_owner: bool

    def choose_place(self, line: str, others: bool, superusers: bool) -> str:
        """Return when an administrator restores an entry; nothing if its owner does."""
        one, entry = Contents([line]), _ENTRY.match(line)
        kinds_last = [*LAST, "SUBSCRIPTION", *_OF_DEFINED, *(["DEFAULT ACL"] if others else [])]
        if one.select_lines(kinds_last) or (superusers and one.select_lines(_PUBLIC)):
            return "last"
        if self.whole and one.select_lines(self.first):
            return "first"
        if one.select_lines(_DEFINED_ALONE):
            return "between"
        if superusers and self.by_owner:
            return "first"
        return "between" if entry and entry[2] == _PROC and entry[3] in self.untrusted else ""


def _parse_number(line: str) -> str:
    return line.partition(";")[0]


def _find_owner(line: str, roles: dict[str, tuple[bool, bool]]) -> str:
    """Return the role that a line ends with. A longer name is taken: a name can end as another one does."""
    words = line.split(" ")
    ends = (" ".join(words[place:]) for place in range(4, len(words)))
    return next((end for end in ends if end in roles), "")
