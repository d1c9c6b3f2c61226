# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The method by which a MariaDB database would be restored, its obstacles, and what an administrator grants."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ..._core.errors import NOT_POSSIBLE, Refused, first_of
from ..data import RestoreMethod
from .privileges import has_code, has_everywhere, is_distrusted, lacking, privileges_on, read_grants
from .quoting import grant_pattern, grantee
from .remaking import makes_code, other_definers
from .same_name import (
    EVENT_IS_IN_SCHEMA,
    REFERS_TO_SCHEMA,
    ROUTINE_IS_IN_SCHEMA,
    TABLE_IS_IN_SCHEMA,
    TRIGGER_IS_IN_SCHEMA,
)
from .swap import METHOD
from .swap_state import NEW, OLD, names_for
from .which_place import FOR_SWAP, is_within

if TYPE_CHECKING:
    from ..connection import OwnConnection
    from .scripts import Pieces
    from .session import MariaDBSession

_STRANGERS = f"""
select distinct definer from (
  select definer from information_schema.triggers where {TRIGGER_IS_IN_SCHEMA}
  union all select definer from information_schema.views where {TABLE_IS_IN_SCHEMA}
  union all select definer from information_schema.routines where {ROUTINE_IS_IN_SCHEMA}
  union all select definer from information_schema.events where {EVENT_IS_IN_SCHEMA}
) d where definer <> current_user() order by definer
"""
#: Tables that cannot be loaded into the database itself under another name without a change elsewhere.
_ELSEWHERE = f"""
select table_name from information_schema.tables
 where {TABLE_IS_IN_SCHEMA} and engine in ('FEDERATED', 'CONNECT', 'SPIDER', 'S3')
union select table_name from information_schema.key_column_usage
 where {TABLE_IS_IN_SCHEMA} and referenced_table_schema is not null and not {REFERS_TO_SCHEMA}
"""
_MOST_NAMED = 5


def restore_method(engine: MariaDBSession) -> RestoreMethod:
    """Return how a restore would be done, and what the user lacks for it."""
    lacks = missing(engine)
    if not lacks:
        return RestoreMethod(METHOD)
    obstacle = Refused(
        f"Database {engine.database.name!r} cannot be restored by its user",
        "; ".join(lacks),
        "Let an administrator type what a plan or a backup prints; until then a failure that needs a restore is held",
        code=NOT_POSSIBLE,
    )
    return RestoreMethod(METHOD, obstacle=obstacle, rights=grants_as_typed(engine))


def missing(engine: MariaDBSession) -> list[str]:
    """Return in words what the user lacks to restore the database."""
    own = engine.own_connection()
    grants = own.run(read_grants)
    lacks = lacking(privileges_on(engine.name_on_server, grants), FOR_SWAP)
    found = [f"it lacks {', '.join(lacks)} on {engine.name_on_server}"] if lacks else []
    elsewhere = _find_elsewhere(own, engine.name_on_server)
    if elsewhere and is_within(own, engine.name_on_server):
        named = first_of(elsewhere, _MOST_NAMED)
        found.append(f"it may not make a schema beside it, and rows or foreign keys of {named} are elsewhere")
    if strangers(own, engine.name_on_server) and not has_everywhere(grants, "SET USER"):
        named = ", ".join(strangers(own, engine.name_on_server))
        found.append(f"it may not make anew what has another definer ({named})")
    if may_not_make_code(own, engine.name_on_server):
        found.append("the server has a binary log, and trusts no one but SUPER to make triggers and functions")
    return found


def grants_as_typed(engine: MariaDBSession, pieces: Pieces | None = None) -> str:
    """Return what an administrator types so that the user may restore.

    Args:
        engine: of the database.
        pieces: what makes again all that a backup has; without them what the database has now counts alone.
    """
    own, pieces = engine.own_connection(), pieces or []
    user, privileges = grantee(str(own.rows("select current_user()")[0][0])), ", ".join(FOR_SWAP)
    places = [
        grant_pattern(engine.name_on_server),
        *(grant_pattern(names_for(engine.name_on_server, kind)[0], "%") for kind in (NEW, OLD)),
    ]
    grants = [f"grant {privileges} on {place}.* to {user}" for place in places]
    if strangers(own, engine.name_on_server) or other_definers(own, pieces):
        grants.append(f"grant set user on *.* to {user}")
    if is_distrusted(own) and (has_code(own, engine.name_on_server) or makes_code(pieces)):
        grants.append("set global log_bin_trust_function_creators = 1")
    return shlex.join([*administrators(engine, "mariadb"), f"--execute={'; '.join(grants)}"])


def administrators(engine: MariaDBSession, program: str) -> list[str]:
    """Return how an administrator begins a program for the server."""
    url, words = engine.url, [program, "--user=root", "--password"]
    socket = url.query.get("unix_socket")
    if socket:
        return [*words, f"--socket={socket}"]
    words += [f"--host={url.host}"] if url.host else []
    return words + ([f"--port={url.port}"] if url.port else [])


def may_not_make_code(own: OwnConnection, schema: str) -> bool:
    """Return whether the user may not make again triggers and functions that a schema has."""
    return has_code(own, schema) and is_distrusted(own)


def _find_elsewhere(own: OwnConnection, schema: str) -> list[str]:
    return sorted(str(name) for (name,) in own.rows(_ELSEWHERE, schema=schema))


def strangers(own: OwnConnection, schema: str) -> list[str]:
    """Return the definers of what is in a schema, other than the user itself."""
    return [str(definer) for (definer,) in own.rows(_STRANGERS, schema=schema)]
