# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sessions that keep the migrating one waiting for a lock, as far as the server shows them to this user.

A metadata lock has no holder in the process list. The tables that show one need a plugin, or performance_schema, and
privileges; where there is neither, the sessions that may hold it are named as that.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .locks import MIGRATING, lock_name, read_holder
from .same_name import match_name

if TYPE_CHECKING:
    from ..connection import OwnConnection

Rows = list[tuple[Any, ...]]

_WAITS = "select state from information_schema.processlist where id = :id and state like 'Waiting for %lock%'"
#: Number, user, what it does, and seconds.
_SESSION = "p.id, coalesce(p.user, '?'), p.command, p.time, coalesce(p.info, '')"
_BY_PERFORMANCE_SCHEMA = f"""
select distinct {_SESSION}
  from performance_schema.metadata_locks held
  join performance_schema.threads t on t.thread_id = held.owner_thread_id
  join information_schema.processlist p on p.id = t.processlist_id
 where held.lock_status = 'GRANTED' and {match_name("held.object_schema", ":schema")}
   and p.id <> :id and p.id <> connection_id()
   and exists (select 1 from performance_schema.metadata_locks wanted
                join performance_schema.threads w on w.thread_id = wanted.owner_thread_id
               where wanted.lock_status = 'PENDING' and w.processlist_id = :id
                 and wanted.object_schema = held.object_schema and wanted.object_name = held.object_name)
"""
_BY_PLUGIN = f"""
select distinct {_SESSION}
  from information_schema.metadata_lock_info held join information_schema.processlist p on p.id = held.thread_id
 where {match_name("held.table_schema", ":schema")} and held.lock_type = 'Table metadata lock' and p.id <> :id
   and p.id <> connection_id()
"""
_ROW_LOCKS = f"""
select distinct {_SESSION}
  from information_schema.innodb_lock_waits w
  join information_schema.innodb_trx r on r.trx_id = w.requesting_trx_id
  join information_schema.innodb_trx b on b.trx_id = w.blocking_trx_id
  join information_schema.processlist p on p.id = b.trx_mysql_thread_id
 where r.trx_mysql_thread_id = :id
"""
_OPEN_TRANSACTIONS = f"""
select distinct {_SESSION}
  from information_schema.innodb_trx b join information_schema.processlist p on p.id = b.trx_mysql_thread_id
 where p.id <> :id and p.id <> connection_id() and (p.db is null or {match_name("p.db", ":schema")})
"""
_PROCESSES = f"""
select {_SESSION} from information_schema.processlist p
 where {match_name("p.db", ":schema")} and p.id <> :id and p.id <> connection_id()
"""
#: In the order of what they prove, each with what it is based on.
_SOURCES = (
    ("performance_schema.metadata_locks", _BY_PERFORMANCE_SCHEMA),
    ("metadata_lock_info", _BY_PLUGIN),
    ("innodb_lock_waits", _ROW_LOCKS),
    ("one of the open transactions", _OPEN_TRANSACTIONS),
    ("one of the sessions in the database that this user may see", _PROCESSES),
)
_LONGEST = 60


def read_blockers(own: OwnConnection, schema: str, ours: set[int]) -> list[str]:
    """Return the sessions that may keep the migrating session waiting, one line each, with how that is known.

    Args:
        own: a connection of our own.
        schema: the database.
        ours: the numbers of connections of our own.
    """
    migrating = read_holder(own, lock_name(MIGRATING, schema))
    if not migrating or not own.query_rows(_WAITS, id=migrating):
        return []
    for source, statement in _SOURCES:
        rows: Rows = []
        with suppress(Exception):  # not installed, or not permitted to this user
            rows = own.query_rows(statement, id=migrating, schema=schema)
        found = [_describe_blocker(row, source) for row in rows if int(row[0]) not in ours]
        if found:
            return found
    return ["a session that this user may not see (GRANT PROCESS shows it)"]


def _describe_blocker(row: tuple[Any, ...], source: str) -> str:
    number, user, command, seconds, statement = row
    doing = " ".join(str(statement).split())[:_LONGEST]
    return f"session {number} ({user}, {command} for {seconds} s{f', {doing}' if doing else ''}; {source})"
