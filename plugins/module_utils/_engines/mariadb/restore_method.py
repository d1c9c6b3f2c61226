# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a database of MariaDB would be restored, and what prevents it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.errors import NOT_PERMITTED, Refused
from ..data import RestoreMethod
from .beside import FOR_SWAP, schema_to_make
from .privileges import has_code, has_everywhere, is_distrusted, lacking, privileges_on, read_grants
from .same_name import EVENT_IS_IN_SCHEMA, ROUTINE_IS_IN_SCHEMA, TABLE_IS_IN_SCHEMA, TRIGGER_IS_IN_SCHEMA
from .swap import METHOD
from .swap_state import NEW, OLD

if TYPE_CHECKING:
    from ..connection import OwnConnection
    from .session import MariaDBSession

_STRANGERS = f"""
select distinct definer from (
  select definer from information_schema.triggers where {TRIGGER_IS_IN_SCHEMA}
  union all select definer from information_schema.views where {TABLE_IS_IN_SCHEMA}
  union all select definer from information_schema.routines where {ROUTINE_IS_IN_SCHEMA}
  union all select definer from information_schema.events where {EVENT_IS_IN_SCHEMA}
) d where definer <> current_user() order by definer
"""


def restore_method(engine: MariaDBSession) -> RestoreMethod:
    """Return how a restore would be done, and what the user lacks for it."""
    lacks = missing(engine)
    obstacle = None
    if lacks:
        obstacle = Refused(
            f"Database {engine.database.name!r} cannot be restored by its user",
            "; ".join(lacks),
            "Let an administrator grant that; a run that fails prints the command",
            code=NOT_PERMITTED,
        )
    return RestoreMethod(METHOD, obstacle=obstacle)


def missing(engine: MariaDBSession) -> list[str]:
    """Return in words what the user lacks to restore the database."""
    own = engine.own()
    grants = own.run(read_grants)
    lacks = lacking(privileges_on(engine.name_on_server, grants), FOR_SWAP)
    found = [f"it lacks {', '.join(lacks)} on {engine.name_on_server}"] if lacks else []
    if (
        schema_to_make(own, engine.name_on_server, NEW) is None
        or schema_to_make(own, engine.name_on_server, OLD) is None
    ):
        found.append("it may not make a schema beside it")
    if strangers(own, engine.name_on_server) and not has_everywhere(grants, "SET USER"):
        named = ", ".join(strangers(own, engine.name_on_server))
        found.append(f"it may not make anew what has another definer ({named})")
    if may_not_make_code(own, engine.name_on_server):
        found.append("the server has a binary log, and trusts no one but SUPER to make triggers and functions")
    return found


def may_not_make_code(own: OwnConnection, schema: str) -> bool:
    """Return whether the user may not make again triggers and functions that a schema has."""
    return has_code(own, schema) and is_distrusted(own)


def strangers(own: OwnConnection, schema: str) -> list[str]:
    """Return the definers of what is in a schema, other than the user itself."""
    return [str(definer) for (definer,) in own.rows(_STRANGERS, schema=schema)]
