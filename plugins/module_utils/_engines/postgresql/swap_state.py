# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A swap of databases that is at work, or died: how it is known, and how it is put right."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..._core.errors import Refused
from ..connection import OwnConnection
from ..sql import quote_name
from .other_sessions import IS_CLIENT
from .restore_method import open_other_database
from .restore_statements import SWAPPING, end_sessions, fit_name, parse_mark, quote_literal, run_in_transaction, run_sql

if TYPE_CHECKING:
    from .session import PostgreSQLSession


_SCRATCH = "_alembic_restoring"


DATABASE = """
select to_jsonb(d)::text, shobj_description(d.oid, 'pg_database'), pg_get_userbyid(datdba),
       (select spcname from pg_tablespace t where t.oid = d.dattablespace), pg_encoding_to_char(encoding),
       datallowconn, d.oid::bigint
  from pg_database d where datname = :name
"""


_SESSIONS = f"""
select pid, coalesce(usename, '?'), coalesce(nullif(application_name, ''), 'unnamed') from pg_stat_activity
 where datid = :oid and ({IS_CLIENT} or backend_type in ('walsender', 'background worker'))
"""


_SWAPS = """
select count(*) from pg_locks where locktype = 'advisory' and objsubid = 2 and classid::bigint = :swapping
   and objid::bigint = coalesce(cast(:oid as bigint), (select oid from pg_database where datname = current_database()))
   and granted and pid <> pg_backend_pid()
"""


def is_swap_pending(own: OwnConnection, oid: int | None = None) -> bool:
    """Return whether another session is about to swap a database, the connection's if none is named."""
    return bool(own.query_rows(_SWAPS, swapping=SWAPPING, oid=oid)[0][0])


def is_being_swapped(engine: PostgreSQLSession) -> bool:
    """Return the same of a database that cannot be connected to; False if no database can be."""
    try:
        with open_other_database(engine) as (other, _url):
            rows = other.query_rows(DATABASE, name=engine.name_on_server)
            return bool(rows) and is_swap_pending(other, int(rows[0][6]))
    except Refused:
        return False


def recover_interrupted_restore(engine: PostgreSQLSession) -> list[str]:
    """Undo what a swap left that died: open the database again and drop the scratch database. Return what was done.

    Raises:
        Refused: no connection is possible, or another restore is at work.
    """
    with open_other_database(engine) as (other, _url):
        return put_right(engine, other)


def put_right(engine: PostgreSQLSession, other: OwnConnection) -> list[str]:
    done = []
    rows = other.query_rows(DATABASE, name=engine.name_on_server)
    if not rows:
        return []
    comment, is_open, oid = rows[0][1], rows[0][5], int(rows[0][6])
    if is_swap_pending(other, oid):
        raise Refused(
            f"Database {engine.database.name!r} is being restored by another run",
            remedy="Wait until that one has ended, then run again",
            code="database-being-restored",
        )
    if not is_open and "closed_by" in parse_mark(comment):
        open_again(other, engine.name_on_server, parse_mark(comment))
        done.append("opened the database for connections, which an interrupted restore had closed")
    if drop_scratch(other, build_scratch_name(engine)):
        done.append("dropped the scratch database of an interrupted restore")
    return done


def build_scratch_name(engine: PostgreSQLSession) -> str:
    return fit_name(engine.name_on_server, _SCRATCH)


def drop_scratch(other: OwnConnection, scratch: str) -> bool:
    rows = other.query_rows(DATABASE, name=scratch)
    if not rows:
        return False
    # A pg_restore outlives its killed parent.
    for _try in range(50):
        sessions = end_sessions_in(other, int(rows[0][6]), ())
        if not sessions:
            break
        time.sleep(0.1)
    run_sql(other, f"drop database {quote_name(scratch)}")
    return True


def open_again(other: OwnConnection, name: str, facts: dict[str, Any]) -> None:
    comment = facts.get("comment")
    run_in_transaction(
        other,
        f"alter database {quote_name(name)} allow_connections true",
        f"comment on database {quote_name(name)} is {quote_literal(comment) if comment else 'null'}",
    )


def end_sessions_in(other: OwnConnection, oid: int, keep: tuple[int, ...]) -> list[str]:
    """End the sessions in a database and return those that were there."""
    return end_sessions(other, [session for session in other.query_rows(_SESSIONS, oid=oid) if session[0] not in keep])
