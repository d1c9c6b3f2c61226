# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sessions of others in a database, and which of them a role may end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..._core.errors import Refused
from ..connection import execute
from .scope import WHOLE, match_scope

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..connection import OwnConnection
    from .session import PostgreSQLSession

#: Of a session of another role nothing is shown to a role that may not monitor, its type included; processes of the
#: server itself have no role.
IS_CLIENT = "(backend_type = 'client backend' or backend_type is null and usesysid is not null)"

#: Sessions of others that may not have handed in yet what they have counted: before 15 that has no time.
_IS_AT_WORK = f"""datname = current_database() and {IS_CLIENT} and application_name not like 'hosting.alembic %'
   and pid <> pg_backend_pid()
   and (coalesce(state, 'hidden') <> 'idle' or state_change > clock_timestamp() - interval '60 s'
        or current_setting('server_version_num')::int < 150000)"""
AT_WORK = f"select from pg_stat_activity where {_IS_AT_WORK}"

_TO_STAY = f"""
select pid, coalesce(usename, '?'), coalesce(nullif(application_name, ''), 'unnamed')
  from pg_stat_activity a cross join (select rolsuper from pg_roles where rolname = current_user) me
 where datname = :database and pid <> pg_backend_pid() and application_name not like 'hosting.alembic %' and {IS_CLIENT}
   and not me.rolsuper
   and (coalesce((select rolsuper from pg_roles r where r.oid = a.usesysid), false)
        or not (pg_has_role(a.usesysid, 'usage') or pg_has_role('pg_signal_backend', 'usage')))
"""

#: Process id, user and name of each session in the database that is not ours. Those that work in other schemas only
#: are left alone where an entry means one: those that have or want a lock in it are named then.
OTHERS = f"""
select pid, coalesce(usename, '?'), application_name from pg_stat_activity a
 where datname = current_database() and {IS_CLIENT} and pid <> pg_backend_pid() and application_name <> :application
   and ({WHOLE} or exists (
     select from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
      where l.pid = a.pid and l.database = a.datid and {match_scope()}))
"""

#: The same of those that may have written and not have handed in yet what they have counted, where they are not ended.
_MAY_WRITE = f"""
select pid, coalesce(usename, '?'), application_name from pg_stat_activity where {_IS_AT_WORK}
"""
_TRIES = 20
_EVERY = 0.05

_PREPARED = "select gid from pg_prepared_xacts where database = :database"
_MOST_NAMED = 5


def build_prepared_refusal(own: OwnConnection, database: str, name: str) -> Refused | None:
    """Return why a database cannot be replaced that holds prepared transactions.

    Args:
        own: a connection to any database of the server.
        database: its name there.
        name: its name for people.
    """
    prepared = own.query_rows(_PREPARED, database=database)
    if not prepared:
        return None
    return Refused(
        f"Database {name!r} holds prepared transactions",
        ", ".join(gid for (gid,) in prepared),
        "Commit them or roll them back",
        code="prepared-transactions",
    )


def build_in_use_refusal(name: str, sessions: list[str]) -> Refused:
    """Return that sessions, which cannot be ended, keep a database from being replaced."""
    return Refused(
        f"Database {name!r} is in use, so it cannot be replaced",
        f"these sessions cannot be ended: {', '.join(sessions[:_MOST_NAMED])}",
        "End them, or grant pg_signal_backend to who restores",
        code="database-in-use",
    )


def read_unendable_sessions(own: OwnConnection, database: str) -> list[str]:
    """Return the sessions in a database that the role of a connection may not end, as text."""
    return [
        f"pid {pid} ({user}, {application})" for pid, user, application in own.query_rows(_TO_STAY, database=database)
    ]


def read_remaining_sessions(engine: PostgreSQLSession) -> list[str]:
    """Return the sessions that a restore leaves, as text: for one schema, those that work elsewhere."""
    own = engine.open_own_connection()
    if engine.database.schema:
        return [f"pid {pid} ({user}, {application})" for pid, user, application in own.query_rows(_MAY_WRITE)]
    return read_unendable_sessions(own, engine.name_on_server)


def read_other_sessions(connection: Connection, application: str) -> list[str]:
    """Return the sessions of others in a database, as text.

    A session of ours has no name for a moment when it begins: one without a name is read again for a second.

    Args:
        connection: our own.
        application: the name of our own sessions.
    """
    is_whole = execute(connection, f"select {WHOLE}")[0][0]
    statement, parameters = (OTHERS, {"application": application}) if is_whole else (_MAY_WRITE, {})
    for attempt in range(_TRIES):
        found = execute(connection, statement, parameters)
        if all(name for _pid, _user, name in found) or attempt == _TRIES - 1:
            break
        time.sleep(_EVERY)
        execute(connection, "select pg_stat_clear_snapshot()")
    return [f"pid {pid} ({user})" for pid, user, _name in found]
