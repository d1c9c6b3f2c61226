# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writes to a database while env.py was run for a plan.

A session that is read-only may lift that by itself: ``begin read write``. No setting of the server keeps it from that,
so the numbers of transactions are compared: where none was given meanwhile, no session has written anything.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..connection import execute
from ..sql import escape_colons
from .other_sessions import AT_WORK
from .system_catalogs import OURS, list_catalogs
from .transaction_numbers import NEXT, NUMBERS, XMIN, is_within
from .write_counters import await_counters, read_next_transaction

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..connection import OwnConnection

_STATE = f"""
select {NEXT},
       (select tup_inserted + tup_updated + tup_deleted from pg_stat_database where datname = current_database()),
       (select sum(pg_stat_get_tuples_inserted(c) + pg_stat_get_tuples_updated(c) + pg_stat_get_tuples_deleted(c))
          from unnest(cast(string_to_array(:catalogs, ',') as regclass[])) c), exists ({AT_WORK})
"""
_SMALL = f"""
select schemaname || '.' || relname, format('%I.%I', schemaname, relname) from pg_stat_user_tables
 where n_mod_since_analyze > 0 and pg_relation_size(relid) <= {1 << 20} and has_table_privilege(relid, 'select')
 order by pg_relation_size(relid) limit 100
"""
#: Seconds until a session that has ended is gone, and has handed in what it counted.
_PATIENCE = 0.5
_EVERY = 0.02


@dataclass(frozen=True)
class State:
    """The number of the next transaction, rows counted in all and in catalogs, and whether others are at work."""

    following: int
    rows: int
    in_catalogs: int
    busy: bool


def read_state(connection: Connection) -> State:
    """Return the state of now."""
    catalogs = sorted({catalog for catalog, _described, _which in list_catalogs(connection)})
    following, rows, in_catalogs, busy = execute(connection, _STATE, {"catalogs": ",".join(catalogs)})[0]
    return State(int(following) % NUMBERS, int(rows), int(in_catalogs), bool(busy))


def find_writes_since(own: OwnConnection, before: State) -> list[str]:
    """Describe what was changed since a state: the schema, and rows where no other session could have written them.

    Args:
        own: our own connection, which sees what is committed.
        before: the state.
    """
    if own.run(read_next_transaction) == before.following:
        return []
    own.run(await_counters)
    now = own.run(read_state)
    deadline = time.monotonic() + _PATIENCE
    while now.busy and not before.busy and time.monotonic() < deadline:
        time.sleep(_EVERY)
        now = own.run(read_state)
    found = (
        own.run(_list_changed_objects, before.following, now.following) if now.in_catalogs != before.in_catalogs else []
    )
    if not before.busy and not now.busy and now.rows > before.rows:
        found += own.run(_list_written_tables, before.following, now.following)
    return found


def _list_written_tables(connection: Connection, first: int, end: int) -> list[str]:
    """Return small tables with rows of transactions with some numbers: what was rolled back was counted as well."""
    within = is_within(XMIN, first, end)
    found = []
    for name, quoted in execute(connection, _SMALL):
        statement = f"select exists (select from {quoted} where {within})"
        if execute(connection, escape_colons(statement))[0][0]:
            found.append(f"rows of {name}")
    return found


def _list_changed_objects(connection: Connection, first: int, end: int) -> list[str]:
    """Return the objects of the schema that transactions with some numbers have written."""
    within = is_within(f"t.{XMIN}", first, end)
    parts = [
        f"select pg_describe_object({described}) from {catalog} t where {which} and {within}"
        for catalog, described, which in list_catalogs(connection)
    ]
    rows = execute(connection, escape_colons(OURS + " union ".join(parts)))
    return sorted(str(name) for (name,) in rows if name)
