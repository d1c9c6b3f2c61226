# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The places that a restore makes beside a database, and what each says of itself.

Backups are loaded into the one; into the other goes what is replaced. That one has a table of ours, which is written
before each step: from it a restore that died is undone, or brought to its end.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from ..._core.errors import Refused
from ..connection import OwnConnection
from .content import run_sql
from .made_schemas import MadeSchemas
from .places import STATE_TABLE, Place, PrefixPlace, SchemaPlace, list_prefix_places, read_our_tables
from .quoting import qualify_name, quote_literal, quote_name
from .same_name import EVENT_IS_IN_SCHEMA, OUR_PREFIX, ROUTINE_IS_IN_SCHEMA, TABLE_IS_IN_SCHEMA, match_name

NEW, OLD, REHEARSAL = "new", "old", "rehearsal"
#: What follows a name of each kind, as a sample, and all that may follow it.
SINCE = {NEW: "", OLD: "_20261231235959", REHEARSAL: "_0123cdef"}
_BEHIND = {
    NEW: re.compile(r"(?:_s(?P<session>\d+))?(?:_x[0-9a-f]{6})?"),
    OLD: re.compile(r"_\d{14,15}"),
    REHEARSAL: re.compile(r"_[0-9a-f]{8}"),
}
_PREFIX = "hosting_alembic"
_OF_A_PREFIX = re.compile(f"{OUR_PREFIX}(?=_)")
#: How far a restore is: nothing was moved; tables were, or are being, moved out; the restored ones are in; all is done.
BEGUN, OUT, IN, DONE = "begun", "out", "in", "done"

_SCHEMAS = "select schema_name from information_schema.schemata order by schema_name"
_TABLES = f"""
select table_name from information_schema.tables
 where {TABLE_IS_IN_SCHEMA} and table_type not like '%VIEW%'
   and not {match_name("table_name", ":state")} order by table_name
"""
_ANYTHING = f"""
select 1 from information_schema.tables where {TABLE_IS_IN_SCHEMA}
union all select 1 from information_schema.routines where {ROUTINE_IS_IN_SCHEMA}
union all select 1 from information_schema.events where {EVENT_IS_IN_SCHEMA}
"""
_LONGEST = 64
_COLUMNS_OF_STATE = 4


@dataclass
class SwapState:
    """The state that is recorded in a schema of replaced tables."""

    #: The schema that it belongs to, and the run that made it.
    of: str
    run: str
    made: str
    phase: str = BEGUN
    beside: str = ""
    #: The tables that are moved out, and those that are moved in.
    out: list[str] = field(default_factory=list)
    into: list[str] = field(default_factory=list)
    #: Where both are in the database itself: the lines that define foreign keys, of those that are moved in, and of
    #: those that are moved out.
    keys: dict[str, list[str]] = field(default_factory=dict)
    replaced_keys: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def begin(cls, schema: str, run: str, beside: str) -> SwapState:
        """Return the state of a restore that begins now."""
        return cls(schema, run, datetime.now(timezone.utc).isoformat(timespec="seconds"), beside=beside)


@dataclass(frozen=True)
class Replaced:
    """A place of replaced tables that is there, and was made by this host as it is."""

    place: Place
    state: SwapState
    #: What undoes the restore, and what ends it.
    undo: bytes = b""
    redo: bytes = b""

    @property
    def loaded(self) -> Place:
        """Return where the tables of the backup are, or were."""
        beside = self.state.beside
        return PrefixPlace(self.state.of, beside) if isinstance(self.place, PrefixPlace) else SchemaPlace(beside)


def build_prefix(kind: str) -> str:
    """Return what the prefixes of a kind begin with, of names in a database itself; those of all for none."""
    return f"{_PREFIX}_{kind}_" if kind else f"{_PREFIX}_"


def build_schema_names(schema: str, kind: str) -> list[str]:
    """Return what a schema beside another may be named: the second for a user who may make only such names."""
    tag = hashlib.sha256(schema.encode()).hexdigest()[:8]
    rest = f"{_PREFIX}_{kind}_{tag}"
    length = _LONGEST - len(rest) - 1 - 20
    return [rest, f"{schema[:length]}_{rest}"]


def read_tables(own: OwnConnection, schema: str) -> list[str]:
    """Return the tables and sequences of a schema, without ours."""
    return [name for (name,) in own.query_rows(_TABLES, schema=schema, state=STATE_TABLE)]


def drop_schema(own: OwnConnection, name: str) -> None:
    """Drop a schema of ours; a table in it may refer to another one."""
    SchemaPlace(name).drop(own)


def build_content(state: SwapState, undo: bytes, redo: bytes) -> bytes:
    """Return all that a place says of itself, but for how far the restore is."""
    facts = {**asdict(state), "phase": ""}
    for name in ("keys", "replaced_keys"):  # as it was written down before there were any
        if not facts[name]:
            del facts[name]
    return b"\0".join((json.dumps(facts, sort_keys=True).encode(), undo, redo))


def record(own: OwnConnection, place: Place, facts: str, undo: bytes = b"", redo: bytes = b"") -> None:
    """Make our table in a place that was made and is empty.

    Args:
        own: a connection of our own.
        place: one of ours.
        facts: what it says of itself, as JSON.
        undo: makes again what is dropped before the tables can be moved.
        redo: makes what belongs to the tables that are moved in, and changes all that differs.
    """
    table = qualify_name(*place.state)
    run_sql(
        own,
        f"create table {table} (id int primary key, facts longtext character set utf8mb4,"
        " `back` longblob, `forth` longblob) engine = InnoDB",
    )
    run_sql(own, f"insert into {table} values (1, {quote_literal(facts)}, {_quote_bytes(undo)}, {_quote_bytes(redo)})")


def format_state(state: SwapState) -> str:
    """Return a state as ``record`` writes it."""
    return json.dumps(asdict(state))


def advance(own: OwnConnection, place: Place, state: SwapState, phase: str) -> None:
    """Write down how far a restore is."""
    state.phase = phase
    run_sql(own, f"update {qualify_name(*place.state)} set facts = {quote_literal(format_state(state))}")


def list_replaced(own: OwnConnection, schema: str, made: MadeSchemas) -> list[Replaced]:
    """Return what restores that this host has made of a schema have left, whether they have ended or not."""
    found = []
    for place in _list_places(own, schema):
        replaced = _read(own, place)
        if replaced is None or replaced.state.of != schema:
            continue
        if made.is_ours(place.noted_as, build_content(replaced.state, replaced.undo, replaced.redo)):
            # The database's user may have written there how far it is.
            if made.has_ended(place.noted_as):
                replaced.state.phase = DONE
            elif replaced.state.phase == DONE:
                replaced.state.phase = IN
            found.append(replaced)
    return found


def _list_places(own: OwnConnection, schema: str) -> list[Place]:
    """Return the places of a name that those of replaced tables have."""
    found: list[Place] = [SchemaPlace(name) for name, _session in list_named_schemas(own, schema, OLD)]
    return [*found, *list_prefix_places(own, schema, build_prefix(OLD))]


def refuse_what_is_not_proven(own: OwnConnection, schema: str, made: MadeSchemas) -> None:
    """Refuse where a place says that a restore has not ended, and this host has not made it so.

    Raises:
        Refused: there is one; nothing of it was executed.
    """
    ours = {each.place for each in list_replaced(own, schema, made)}
    for place in _list_places(own, schema):
        if place in ours or not place.has_state(own) or _is_unwritten(own, place):
            continue
        found = _read(own, place)
        if found is not None and (found.state.of != schema or found.state.phase == DONE):
            continue
        if made.has_ended(place.noted_as):
            continue
        is_schema = isinstance(place, SchemaPlace)
        where = f"The schema {place.name!r} says" if is_schema else f"Tables {place.name}_... of {schema!r} say"
        drop = f"drop database {quote_name(place.name)}" if is_schema else f"drop table {qualify_name(*place.state)}"
        raise Refused(
            f"{where} that a restore of {schema!r} has not ended",
            "this host has not made it, or another user has changed it, so nothing in it is executed",
            "Recover on the host that began the restore, if there is another; else compare its tables with those of"
            f" {schema!r}, move back what is missing by RENAME TABLE, and type: {drop}",
            code="restore-not-proven",
        )
    for refusal in find_reserved_names(own, schema):
        raise refusal


def find_reserved_names(own: OwnConnection, schema: str) -> Iterator[Refused]:
    """Yield why a database is not migrated in which nothing says what tables with names of ours are.

    They are in no backup. Either the table is gone that did say it, or they are the application's own.
    """
    names = read_our_tables(own, schema)
    places = [PrefixPlace(schema, prefix) for prefix in sorted({m[0] for m in map(_OF_A_PREFIX.match, names) if m})]
    for place in places:
        if place.state[1] in names:
            continue
        yield Refused(
            f"Tables {place.name}_... of {schema!r} are named as restores name those that they move",
            "nothing says what they are: the table beside them that did is gone, or they are the application's own",
            f"Compare them with those of {schema!r}, and move back by RENAME TABLE what is missing there; give the"
            " application's own another name, and drop the rest",
            code="restore-not-proven",
        )


def _is_unwritten(own: OwnConnection, place: Place) -> bool:
    """Return whether names in a database were about to be used when a run died: then their first table is empty."""
    return isinstance(place, PrefixPlace) and place.is_unwritten(own)


def list_empty_schemas(own: OwnConnection, schema: str) -> list[str]:
    """Return the schemas with nothing in them that were made by a run that was killed right then."""
    found = [name for kind in (NEW, OLD) for name, _session in list_named_schemas(own, schema, kind)]
    return [name for name in found if is_empty(own, name)]


def is_empty(own: OwnConnection, schema: str) -> bool:
    """Return whether a schema that is there has no table, view, routine or event."""
    return SchemaPlace(schema).is_there(own) and not own.query_rows(_ANYTHING, schema=schema)


def list_named_schemas(own: OwnConnection, schema: str, kind: str) -> list[tuple[str, int]]:
    """Return the schemas whose whole name is one of a kind beside another, each with the session in its name, or 0."""
    found = []
    for (name,) in own.query_rows(_SCHEMAS):
        for begins in build_schema_names(schema, kind):
            match = _BEHIND[kind].fullmatch(str(name)[len(begins) :]) if str(name).startswith(begins) else None
            if match:
                found.append((str(name), int(match.groupdict().get("session") or 0)))
                break
    return found


def read_row(own: OwnConnection, place: Place) -> tuple[str, bytes, bytes] | None:
    """Return what a place says of itself, None if nothing that can be read.

    HANDLER reads tables only. A SELECT might read a view instead, and execute a function of another user with our
    rights.
    """
    if not place.has_state(own):
        return None
    table = qualify_name(*place.state)
    with suppress(Exception):  # what cannot be read proves nothing
        run_sql(own, f"handler {table} open as hosting_alembic_read")
        try:
            rows = run_sql(own, "handler hosting_alembic_read read first")
        finally:
            run_sql(own, "handler hosting_alembic_read close")
        if rows and len(rows[0]) >= _COLUMNS_OF_STATE:  # a revision may add a column to all tables that there are
            _id, facts, undo, redo = rows[0][:_COLUMNS_OF_STATE]
            return str(facts), bytes(undo or b""), bytes(redo or b"")
    return None


def _read(own: OwnConnection, place: Place) -> Replaced | None:
    row = read_row(own, place)
    if row is None:
        return None
    try:
        facts: Any = json.loads(row[0])
        return Replaced(place, SwapState(**facts), row[1], row[2])
    except (TypeError, ValueError):
        return None


def _quote_bytes(value: bytes) -> str:
    return f"0x{value.hex()}" if value else "''"
