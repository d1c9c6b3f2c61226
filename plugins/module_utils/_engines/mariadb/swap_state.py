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
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from ..connection import OwnConnection
from .content import run_sql
from .quoting import literal, qualified, quoted

NEW, OLD = "new", "old"
#: What follows a name of each kind, as a sample.
SINCE = {NEW: "", OLD: "_20261231235959"}
_PREFIX = "hosting_alembic"
STATE_TABLE = "hosting_alembic_state"
#: How far a restore is: nothing was moved; tables were, or are being, moved out; the restored ones are in; all is done.
BEGUN, OUT, IN, DONE = "begun", "out", "in", "done"

_SCHEMAS = "select schema_name from information_schema.schemata order by schema_name"
_TABLES = """
select table_name from information_schema.tables
 where table_schema = :schema and table_type not like '%VIEW%' and table_name <> :state order by table_name
"""
_SIZE = """
select sum(coalesce(data_length, 0) + coalesce(index_length, 0))
  from information_schema.tables where table_schema = :schema
"""
_LONGEST = 64


@dataclass
class SwapState:
    """What a schema of replaced tables says of itself."""

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
    """A schema of replaced tables that is there."""

    name: str
    state: SwapState


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
    found = own.rows(
        "select default_character_set_name, default_collation_name from information_schema.schemata"
        " where schema_name = :schema",
        schema=like,
    )
    charset, collation = found[0] if found else ("utf8mb4", "utf8mb4_general_ci")
    run_sql(own, f"create database {quoted(name)} character set {charset} collate {collation}")


def drop_schema(own: OwnConnection, name: str) -> None:
    """Drop a schema of ours; a table in it may refer to another one."""
    run_sql(own, "set foreign_key_checks = 0")
    try:
        run_sql(own, f"drop database if exists {quoted(name)}")
    finally:
        run_sql(own, "set foreign_key_checks = 1")


def record(own: OwnConnection, schema: str, state: SwapState, undo: bytes, redo: bytes) -> None:
    """Make our table in a schema that is there and empty.

    Args:
        own: a connection of our own.
        schema: into which the replaced tables are moved.
        state: how far the restore is.
        undo: makes again what is dropped before the tables can be moved.
        redo: makes what belongs to the tables that are moved in, and changes all that differs.
    """
    table = qualified(schema, STATE_TABLE)
    run_sql(
        own,
        f"create table {table} (id int primary key, facts longtext character set utf8mb4,"
        " `back` longblob, `forth` longblob) engine = InnoDB",
    )
    facts = literal(json.dumps(asdict(state)))
    run_sql(own, f"insert into {table} values (1, {facts}, {_bytes(undo)}, {_bytes(redo)})")


def advance(own: OwnConnection, schema: str, state: SwapState, phase: str) -> None:
    """Write down how far a restore is."""
    state.phase = phase
    run_sql(own, f"update {qualified(schema, STATE_TABLE)} set facts = {literal(json.dumps(asdict(state)))}")


def scripts_of(own: OwnConnection, schema: str) -> tuple[bytes, bytes]:
    """Return what undoes and what ends the restore of a schema."""
    undo, redo = run_sql(own, f"select `back`, `forth` from {qualified(schema, STATE_TABLE)}")[0]
    return bytes(undo or b""), bytes(redo or b"")


def replaced_of(own: OwnConnection, schema: str) -> list[Replaced]:
    """Return what restores of a schema have left, whether they came to their end or not."""
    found = []
    for name, _begins in named_as_ours(own, schema, OLD):
        rows = run_sql(own, f"select facts from {qualified(name, STATE_TABLE)}") if _has_state(own, name) else []
        facts: dict[str, Any] = json.loads(rows[0][0]) if rows else {}
        if facts.get("of") == schema:
            found.append(Replaced(name, SwapState(**facts)))
    return found


def without_state(own: OwnConnection, schema: str) -> list[str]:
    """Return the empty schemas that a restore has made that was killed right then."""
    return [
        name
        for name, _begins in named_as_ours(own, schema, OLD)
        if not _has_state(own, name) and not tables_in(own, name)
    ]


def named_as_ours(own: OwnConnection, schema: str, kind: str) -> list[tuple[str, str]]:
    """Return the schemas of a kind that belong to another, each with what its name begins with."""
    found = [str(name) for (name,) in own.rows(_SCHEMAS)]
    return [(name, begins) for name in found for begins in names_for(schema, kind) if name.startswith(begins)]


def _has_state(own: OwnConnection, name: str) -> bool:
    statement = "select 1 from information_schema.tables where table_schema = :schema and table_name = :name"
    return bool(own.rows(statement, schema=name, name=STATE_TABLE))


def is_there(own: OwnConnection, schema: str) -> bool:
    """Return whether there is a schema of a name."""
    statement = "select 1 from information_schema.schemata where schema_name = :schema"
    return bool(own.rows(statement, schema=schema))


def size_of(own: OwnConnection, schema: str) -> int:
    """Return how many bytes a schema takes."""
    return int(own.rows(_SIZE, schema=schema)[0][0] or 0)


def _bytes(value: bytes) -> str:
    return f"0x{value.hex()}" if value else "''"
