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
from .privileges import parse_privileges, read_grants, select_missing
from .swap_state import NEW, OLD, SINCE, build_prefix, build_schema_names

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


def find_schema_name(own: OwnConnection, schema: str, kind: str) -> str | None:
    """Return a name of which the user may make a schema, None if there is none."""
    grants = own.run(read_grants)
    # A schema of what is replaced has the time behind its name.
    return next(
        (
            name
            for name in build_schema_names(schema, kind)
            if not select_missing(parse_privileges(f"{name}{SINCE[kind]}", grants), FOR_SWAP)
        ),
        None,
    )


def is_within(own: OwnConnection, schema: str) -> bool:
    """Return whether the user may make no schemas, so that a restore of his database keeps all within it."""
    return find_schema_name(own, schema, NEW) is None or find_schema_name(own, schema, OLD) is None


def choose_new_place(engine: MariaDBSession, *, is_locked: bool) -> Place:
    """Return where a backup is loaded.

    Args:
        engine: of the database.
        is_locked: whether no other run of ours works on the database, which may load one into the same place.

    Raises:
        Refused: the user may load it nowhere.
    """
    own, schema = engine.open_own_connection(), engine.name_on_server
    if is_within(own, schema):
        # What only reads, while applications are at work, leaves the database itself alone.
        if not is_locked:
            raise _build_no_schema_refusal(engine, ", and only a restore itself loads a backup into the database")
        _refuse_lacking(engine)
        return PrefixPlace(schema, f"{build_prefix(NEW)}{secrets.token_hex(3)}")
    name = find_schema_name(own, schema, NEW) or ""
    return SchemaPlace(name if is_locked else f"{name}_s{own.query_rows('select connection_id()')[0][0]}")


def choose_old_place(engine: MariaDBSession) -> Place:
    """Return where replaced tables go, which nothing has used yet.

    Raises:
        Refused: the user may make none.
    """
    own, schema = engine.open_own_connection(), engine.name_on_server
    since = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    places: list[Place]
    if is_within(own, schema):
        _refuse_lacking(engine)
        name = f"{build_prefix(OLD)}{since}"
        places = [PrefixPlace(schema, each) for each in (name, *(f"{name}{n}" for n in range(10)))]
    else:
        name = f"{find_schema_name(own, schema, OLD)}_{since}"
        places = [SchemaPlace(each) for each in (name, *(f"{name}{n}" for n in range(10)))]
    return next(each for each in places if not each.is_there(own))


def _refuse_lacking(engine: MariaDBSession) -> None:
    if select_missing(parse_privileges(engine.name_on_server, engine.open_own_connection().run(read_grants)), FOR_SWAP):
        raise _build_no_schema_refusal(engine)


def _build_no_schema_refusal(engine: MariaDBSession, more: str = "") -> Refused:
    return Refused(
        f"Database {engine.database.name!r} cannot be compared with its backup, or restored from it",
        f"its user may not make a schema beside it{more}",
        "Grant it: see the commands below",
        code=NOT_POSSIBLE,
    )
