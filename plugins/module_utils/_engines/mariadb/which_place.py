# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The place where a restore may put tables, by the rights of the database's user."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from ..._core.errors import NOT_POSSIBLE, Refused
from .places import Place, PrefixPlace, SchemaPlace
from .privileges import lacking, privileges_on, read_grants
from .swap_state import NEW, OLD, SINCE, names_for, prefix_for

if TYPE_CHECKING:
    from ..connection import OwnConnection
    from .session import MariaDBSession

#: What it takes to move tables, and to make again what belongs to them.
FOR_SWAP = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "CREATE",
    "DROP",
    "ALTER",
    "INDEX",
    "REFERENCES",
    "LOCK TABLES",
    "TRIGGER",
    "CREATE VIEW",
    "SHOW VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "EVENT",
)


def schema_to_make(own: OwnConnection, schema: str, kind: str) -> str | None:
    """Return a name of which the user may make a schema, None if there is none."""
    grants = own.run(read_grants)
    # A schema of what is replaced has the time behind its name.
    return next(
        (
            name
            for name in names_for(schema, kind)
            if not lacking(privileges_on(f"{name}{SINCE[kind]}", grants), FOR_SWAP)
        ),
        None,
    )


def is_within(own: OwnConnection, schema: str) -> bool:
    """Return whether the user may make no schemas, so that a restore of his database keeps all within it."""
    return schema_to_make(own, schema, NEW) is None or schema_to_make(own, schema, OLD) is None


def new_place(engine: MariaDBSession, *, is_locked: bool) -> Place:
    """Return where a backup is loaded.

    Args:
        engine: of the database.
        is_locked: whether no other run of ours works on the database, which may load one into the same place.

    Raises:
        Refused: the user may load it nowhere.
    """
    own, schema = engine.own_connection(), engine.name_on_server
    if is_within(own, schema):
        # What only reads, while applications are at work, leaves the database itself alone.
        if not is_locked:
            raise _no_schema(engine, ", and only a restore itself loads a backup into the database")
        _refuse_lacking(engine)
        return PrefixPlace(schema, f"{prefix_for(NEW)}{secrets.token_hex(3)}")
    name = schema_to_make(own, schema, NEW) or ""
    return SchemaPlace(name if is_locked else f"{name}_s{own.rows('select connection_id()')[0][0]}")


def old_place(engine: MariaDBSession) -> Place:
    """Return where replaced tables go, which nothing has used yet.

    Raises:
        Refused: the user may make none.
    """
    own, schema = engine.own_connection(), engine.name_on_server
    since = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    places: list[Place]
    if is_within(own, schema):
        _refuse_lacking(engine)
        name = f"{prefix_for(OLD)}{since}"
        places = [PrefixPlace(schema, each) for each in (name, *(f"{name}{n}" for n in range(10)))]
    else:
        name = f"{schema_to_make(own, schema, OLD)}_{since}"
        places = [SchemaPlace(each) for each in (name, *(f"{name}{n}" for n in range(10)))]
    return next(each for each in places if not each.is_there(own))


def _refuse_lacking(engine: MariaDBSession) -> None:
    if lacking(privileges_on(engine.name_on_server, engine.own_connection().run(read_grants)), FOR_SWAP):
        raise _no_schema(engine)


def _no_schema(engine: MariaDBSession, more: str = "") -> Refused:
    return Refused(
        f"Database {engine.database.name!r} cannot be compared with its backup, or restored from it",
        f"its user may not make a schema beside it{more}",
        "Grant it: see the commands below",
        code=NOT_POSSIBLE,
    )
