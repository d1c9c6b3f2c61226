# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether others wrote to a PostgreSQL database since its backup, by what the server counts.

The counters of a session reach the others' eyes late, ten seconds and more while it idles, but always when it ends:
so they are read after the other sessions were ended. A crash sets them back to nothing; then nothing can be told.
Rows of transactions that were rolled back count as well, and those of a revision that failed are not known: then it
looks as if others had written, and the database is held. See "The Cumulative Statistics System" in PostgreSQL's manual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..connection import execute
from .data import Counted, Writes

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: Transactions have numbers of 32 bits, which go round; the first ones have a meaning of their own.
NUMBERS = 1 << 32
_FIRST_NUMBER = 3

#: The newest transaction of the whole cluster, and what changes when the counters were set back.
_EPOCH = """
select txid_snapshot_xmax(txid_current_snapshot())::text, pg_postmaster_start_time()::text,
       (select stats_reset::text from pg_stat_bgwriter),
       (select stats_reset::text from pg_stat_database where datname = current_database())
"""

_COUNTED = """
select schemaname || '.' || relname, n_tup_ins + n_tup_upd + n_tup_del from pg_stat_user_tables
"""

#: Each table by its number, which a new name does not change, and how many columns it has had.
_RELATIONS = """
select c.oid::text, c.relnatts from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
"""

#: One row a table, and one without a table for the transaction itself.
_IN_TRANSACTION = """
select schemaname || '.' || relname, n_tup_ins + n_tup_upd + n_tup_del, 0 from pg_stat_xact_user_tables
 where n_tup_ins + n_tup_upd + n_tup_del > 0
union all
select null, coalesce(txid_current_if_assigned(), 0), txid_snapshot_xmax(txid_current_snapshot())
"""

_OTHER_SESSIONS = """
select pid, coalesce(usename, '?') from pg_stat_activity
 where datname = current_database() and backend_type = 'client backend'
   and pid <> pg_backend_pid() and application_name <> :application
"""


def activity(connection: Connection) -> dict[str, Any]:
    """Return what the server has counted until now, as plain data."""
    newest, started, reset, database_reset = execute(connection, _EPOCH)[0]
    return {
        "newest_transaction": newest,
        "epoch": [started, reset, database_reset],
        "tables": {table: int(count) for table, count in execute(connection, _COUNTED)},
        "relations": {oid: int(columns) for oid, columns in execute(connection, _RELATIONS)},
    }


def count_transaction(connection: Connection) -> Counted:
    """Return what a connection has written to each table and the server has not counted yet, and its number."""
    counted = execute(connection, _IN_TRANSACTION)
    ((_none, number, newest),) = (row for row in counted if row[0] is None)
    return Counted({table: int(count) for table, count, _newest in counted if table}, int(number), int(newest))


def next_transaction(connection: Connection) -> int:
    """Return the number that the server will give next, of 32 bits; the connection's transaction may have none."""
    return (_FIRST_NUMBER + int(execute(connection, f"select age('{_FIRST_NUMBER}'::xid)")[0][0])) % NUMBERS


def written(
    connection: Connection, before: dict[str, Any], ours: dict[str, int], leave_out: frozenset[str], application: str
) -> Writes:
    """Return what others wrote.

    Args:
        connection: our own; the other sessions were ended.
        before: the activity at the time of the backup.
        ours: the rows that the run itself has written.
        leave_out: version tables, as schema.table.
        application: the name of our own sessions.
    """
    if not before:
        return Writes(unknown="the backup does not say what the server had counted")
    # First: a session that ends hands its counts in before it is seen to be gone.
    others = execute(connection, _OTHER_SESSIONS, {"application": application})
    now = activity(connection)
    if now["newest_transaction"] == before["newest_transaction"]:
        return Writes()
    if now["epoch"] != before["epoch"]:
        return Writes(unknown="the server has lost its counters since the backup: it was restarted, or they were reset")
    if others:
        named = ", ".join(f"pid {pid} ({user})" for pid, user in others[:5])
        return Writes(unknown=f"other sessions could not be ended and may be writing: {named}")
    return _grown(before["tables"], now["tables"], ours, leave_out)


def _grown(before: dict[str, int], now: dict[str, int], ours: dict[str, int], leave_out: frozenset[str]) -> Writes:
    """Return by how much more than by ours the counters have grown; a new table was made by the run."""
    gone = sorted(set(before) - set(now) - leave_out)
    if gone:
        return Writes(unknown=f"nothing counts any more what was written to {', '.join(gone)}, gone since the backup")
    grown = {
        table: now[table] - count - ours.get(table, 0) for table, count in before.items() if table not in leave_out
    }
    if any(count < 0 for count in grown.values()):
        return Writes(unknown="the server's counters went down since the backup")
    return Writes({table: count for table, count in grown.items() if count})
