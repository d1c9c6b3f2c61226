# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The method by which a MariaDB database would be restored, its obstacles, and what an administrator grants."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ..._core.errors import NOT_POSSIBLE, Refused, describe_first
from ..data import RestoreMethod
from .privileges import has_code, has_everywhere, is_distrusted, parse_privileges, read_grants, select_missing
from .quoting import quote_grant_pattern, quote_grantee
from .remaking import has_code_pieces, list_other_definers
from .same_name import (
    EVENT_IS_IN_SCHEMA,
    REFERS_TO_SCHEMA,
    ROUTINE_IS_IN_SCHEMA,
    TABLE_IS_IN_SCHEMA,
    TRIGGER_IS_IN_SCHEMA,
)
from .swap import METHOD
from .swap_state import NEW, OLD, build_schema_names
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


def choose_method(engine: MariaDBSession) -> RestoreMethod:
    """Return how a restore would be done, and what the user lacks for it."""
    lacks = describe_missing_rights(engine)
    if not lacks:
        return RestoreMethod(METHOD)
    obstacle = Refused(
        f"Database {engine.database.name!r} cannot be restored by its user",
        "; ".join(lacks),
        "Let an administrator type what a plan or a backup prints; until then a failure that needs a restore is held",
        code=NOT_POSSIBLE,
    )
    return RestoreMethod(METHOD, obstacle=obstacle, rights=build_grant_command(engine))


def describe_missing_rights(engine: MariaDBSession) -> list[str]:
    """Return in words what the user lacks to restore the database."""
    own = engine.open_own_connection()
    grants = own.run(read_grants)
    lacks = select_missing(parse_privileges(engine.name_on_server, grants), FOR_SWAP)
    found = [f"it lacks {', '.join(lacks)} on {engine.name_on_server}"] if lacks else []
    elsewhere = _find_elsewhere(own, engine.name_on_server)
    if elsewhere and is_within(own, engine.name_on_server):
        named = describe_first(elsewhere, _MOST_NAMED)
        found.append(f"it may not make a schema beside it, and rows or foreign keys of {named} are elsewhere")
    if read_strangers(own, engine.name_on_server) and not has_everywhere(grants, "SET USER"):
        named = ", ".join(read_strangers(own, engine.name_on_server))
        found.append(f"it may not make anew what has another definer ({named})")
    if may_not_make_code(own, engine.name_on_server):
        found.append("the server has a binary log, and trusts no one but SUPER to make triggers and functions")
    return found


def build_grant_command(engine: MariaDBSession, pieces: Pieces | None = None) -> str:
    """Return what an administrator types so that the user may restore.

    Args:
        engine: of the database.
        pieces: what makes again all that a backup has; without them what the database has now counts alone.
    """
    own, pieces = engine.open_own_connection(), pieces or []
    user, privileges = quote_grantee(str(own.query_rows("select current_user()")[0][0])), ", ".join(FOR_SWAP)
    places = [
        quote_grant_pattern(engine.name_on_server),
        *(quote_grant_pattern(build_schema_names(engine.name_on_server, kind)[0], "%") for kind in (NEW, OLD)),
    ]
    grants = [f"grant {privileges} on {place}.* to {user}" for place in places]
    if read_strangers(own, engine.name_on_server) or list_other_definers(own, pieces):
        grants.append(f"grant set user on *.* to {user}")
    if is_distrusted(own) and (has_code(own, engine.name_on_server) or has_code_pieces(pieces)):
        grants.append("set global log_bin_trust_function_creators = 1")
    return shlex.join([*build_administrator_command(engine, "mariadb"), f"--execute={'; '.join(grants)}"])


def build_administrator_command(engine: MariaDBSession, program: str) -> list[str]:
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
    return sorted(str(name) for (name,) in own.query_rows(_ELSEWHERE, schema=schema))


def read_strangers(own: OwnConnection, schema: str) -> list[str]:
    """Return the definers of what is in a schema, other than the user itself."""
    return [str(definer) for (definer,) in own.query_rows(_STRANGERS, schema=schema)]
