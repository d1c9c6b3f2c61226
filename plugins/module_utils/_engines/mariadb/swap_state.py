# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schemas that a restore makes beside a database, and what each says of itself.

Backups are loaded into the one; into the other goes what is replaced. That one has a table of ours, which is written
before each step: from it a restore that died is undone, or brought to its end.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from ..._core.errors import Refused
from ..connection import OwnConnection
from .content import charset_of, run_sql
from .made_schemas import MadeSchemas
from .quoting import literal, qualify_name, quote_name
from .same_name import EVENT_IS_IN_SCHEMA, ROUTINE_IS_IN_SCHEMA, SCHEMA_IS_NAMED, TABLE_IS_IN_SCHEMA, same_name

NEW, OLD, REHEARSAL = "new", "old", "rehearsal"
#: What follows a name of each kind, as a sample, and all that may follow it.
SINCE = {NEW: "", OLD: "_20261231235959", REHEARSAL: "_0123cdef"}
_BEHIND = {
    NEW: re.compile(r"(?:_s(?P<session>\d+))?(?:_x[0-9a-f]{6})?"),
    OLD: re.compile(r"_\d{14,15}"),
    REHEARSAL: re.compile(r"_[0-9a-f]{8}"),
}
_PREFIX = "hosting_alembic"
STATE_TABLE = "hosting_alembic_state"
#: How far a restore is: nothing was moved; tables were, or are being, moved out; the restored ones are in; all is done.
BEGUN, OUT, IN, DONE = "begun", "out", "in", "done"

_SCHEMAS = "select schema_name from information_schema.schemata order by schema_name"
_TABLES = f"""
select table_name from information_schema.tables
 where {TABLE_IS_IN_SCHEMA} and table_type not like '%VIEW%'
   and not {same_name("table_name", ":state")} order by table_name
"""
_SIZE = f"""
select sum(coalesce(data_length, 0) + coalesce(index_length, 0))
  from information_schema.tables where {TABLE_IS_IN_SCHEMA}
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

    @classmethod
    def new(cls, schema: str, run: str, beside: str) -> SwapState:
        """Return the state of a restore that begins now."""
        return cls(schema, run, datetime.now(timezone.utc).isoformat(timespec="seconds"), beside=beside)


@dataclass(frozen=True)
class Replaced:
    """A schema of replaced tables that is there, and was made by this host as it is."""

    name: str
    state: SwapState
    #: What undoes the restore, and what ends it.
    undo: bytes = b""
    redo: bytes = b""


def names_for(schema: str, kind: str) -> list[str]:
    """Return what a schema beside another may be named: the second for a user who may make only such names."""
    tag = hashlib.sha256(schema.encode()).hexdigest()[:8]
    rest = f"{_PREFIX}_{kind}_{tag}"
    length = _LONGEST - len(rest) - 1 - 20
    return [rest, f"{schema[:length]}_{rest}"]


def tables_in(own: OwnConnection, schema: str) -> list[str]:
    """Return the tables and sequences of a schema, without ours."""
    return [name for (name,) in own.rows(_TABLES, schema=schema, state=STATE_TABLE)]


def create_schema(own: OwnConnection, name: str, like: str) -> None:
    """Make a schema whose new tables get what those of another get."""
    charset, collation = charset_of(own, like) or ("utf8mb4", "utf8mb4_general_ci")
    run_sql(own, f"create database {quote_name(name)} character set {charset} collate {collation}")


def drop_schema(own: OwnConnection, name: str) -> None:
    """Drop a schema of ours; a table in it may refer to another one."""
    run_sql(own, "set foreign_key_checks = 0")
    try:
        run_sql(own, f"drop database if exists {quote_name(name)}")
    finally:
        run_sql(own, "set foreign_key_checks = 1")


def content_of(state: SwapState, undo: bytes, redo: bytes) -> bytes:
    """Return all that a schema says of itself, but for how far the restore is."""
    facts = {**asdict(state), "phase": ""}
    return b"\0".join((json.dumps(facts, sort_keys=True).encode(), undo, redo))


def record(own: OwnConnection, schema: str, facts: str, undo: bytes = b"", redo: bytes = b"") -> None:
    """Make our table in a schema that is there and empty.

    Args:
        own: a connection of our own.
        schema: one of ours.
        facts: what it says of itself, as JSON.
        undo: makes again what is dropped before the tables can be moved.
        redo: makes what belongs to the tables that are moved in, and changes all that differs.
    """
    table = qualify_name(schema, STATE_TABLE)
    run_sql(
        own,
        f"create table {table} (id int primary key, facts longtext character set utf8mb4,"
        " `back` longblob, `forth` longblob) engine = InnoDB",
    )
    run_sql(own, f"insert into {table} values (1, {literal(facts)}, {_bytes(undo)}, {_bytes(redo)})")


def facts_of(state: SwapState) -> str:
    """Return a state as ``record`` writes it."""
    return json.dumps(asdict(state))


def advance(own: OwnConnection, schema: str, state: SwapState, phase: str) -> None:
    """Write down how far a restore is."""
    state.phase = phase
    run_sql(own, f"update {qualify_name(schema, STATE_TABLE)} set facts = {literal(facts_of(state))}")


def list_replaced(own: OwnConnection, schema: str, made: MadeSchemas) -> list[Replaced]:
    """Return what restores that this host has made of a schema have left, whether they have ended or not."""
    found = []
    for name, _session in list_named_schemas(own, schema, OLD):
        replaced = _read(own, name)
        if replaced is None or replaced.state.of != schema:
            continue
        if made.is_ours(name, content_of(replaced.state, replaced.undo, replaced.redo)):
            if made.has_ended(name):
                replaced.state.phase = DONE
            found.append(replaced)
    return found


def refuse_what_is_not_proven(own: OwnConnection, schema: str, made: MadeSchemas) -> None:
    """Refuse where a schema says that a restore has not ended, and this host has not made it so.

    Raises:
        Refused: there is one; nothing of it was executed.
    """
    ours = {each.name for each in list_replaced(own, schema, made)}
    for name, _session in list_named_schemas(own, schema, OLD):
        if name in ours or not _has_state(own, name):
            continue
        found = _read(own, name)
        if found is not None and (found.state.of != schema or found.state.phase == DONE):
            continue
        raise Refused(
            f"The schema {name!r} says that a restore of {schema!r} has not ended",
            "this host has not made it, or another user has changed it, so nothing in it is executed",
            "Recover on the host that began the restore, if there is another; else compare its tables with those of"
            f" {schema!r}, move back what is missing by RENAME TABLE, and type: drop database {quote_name(name)}",
            code="restore-not-proven",
        )


def empty_schemas(own: OwnConnection, schema: str) -> list[str]:
    """Return the schemas with nothing in them that were made by a run that was killed right then."""
    found = [name for kind in (NEW, OLD) for name, _session in list_named_schemas(own, schema, kind)]
    return [name for name in found if is_empty(own, name)]


def is_empty(own: OwnConnection, schema: str) -> bool:
    """Return whether a schema that is there has no table, view, routine or event."""
    return is_there(own, schema) and not own.rows(_ANYTHING, schema=schema)


def list_named_schemas(own: OwnConnection, schema: str, kind: str) -> list[tuple[str, int]]:
    """Return the schemas whose whole name is one of a kind beside another, each with the session in its name, or 0."""
    found = []
    for (name,) in own.rows(_SCHEMAS):
        for begins in names_for(schema, kind):
            match = _BEHIND[kind].fullmatch(str(name)[len(begins) :]) if str(name).startswith(begins) else None
            if match:
                found.append((str(name), int(match.groupdict().get("session") or 0)))
                break
    return found


def read_row(own: OwnConnection, schema: str) -> tuple[str, bytes, bytes] | None:
    """Return what a schema says of itself, None if nothing that can be read.

    HANDLER reads tables only. A SELECT might read a view instead, and execute a function of another user with our
    rights.
    """
    if not _has_state(own, schema):
        return None
    table = qualify_name(schema, STATE_TABLE)
    with suppress(Exception):  # what cannot be read proves nothing
        run_sql(own, f"handler {table} open as hosting_alembic_read")
        try:
            rows = run_sql(own, "handler hosting_alembic_read read first")
        finally:
            run_sql(own, "handler hosting_alembic_read close")
        if rows and len(rows[0]) == _COLUMNS_OF_STATE:
            _id, facts, undo, redo = rows[0]
            return str(facts), bytes(undo or b""), bytes(redo or b"")
    return None


def _read(own: OwnConnection, name: str) -> Replaced | None:
    row = read_row(own, name)
    if row is None:
        return None
    try:
        facts: Any = json.loads(row[0])
        return Replaced(name, SwapState(**facts), row[1], row[2])
    except (TypeError, ValueError):
        return None


def _has_state(own: OwnConnection, name: str) -> bool:
    statement = (
        f"select 1 from information_schema.tables where {TABLE_IS_IN_SCHEMA} and {same_name('table_name', ':name')}"
    )
    return bool(own.rows(statement, schema=name, name=STATE_TABLE))


def is_there(own: OwnConnection, schema: str) -> bool:
    """Return whether there is a schema of a name."""
    statement = f"select 1 from information_schema.schemata where {SCHEMA_IS_NAMED}"
    return bool(own.rows(statement, schema=schema))


def size_of(own: OwnConnection, schema: str) -> int:
    """Return how many bytes a schema takes."""
    return int(own.rows(_SIZE, schema=schema)[0][0] or 0)


def _bytes(value: bytes) -> str:
    return f"0x{value.hex()}" if value else "''"
