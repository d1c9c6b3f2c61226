# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writes of others to a PostgreSQL database since its backup, by the server's counters.

The counters of a session reach the others' eyes late, ten seconds and more while it idles, but always when it ends:
so they are read after the other sessions were ended. A crash sets them back to nothing; then nothing is known.
Rows of transactions that were rolled back count as well. Where more was counted than the run wrote, the rows are read
(see ``_engines/postgresql/grown_tables.py``). See "The Cumulative Statistics System" in PostgreSQL's manual.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..connection import execute, unwrap_connection
from ..data import Counted, Writes
from ..sql import escape_colons
from .other_sessions import AT_WORK, read_other_sessions
from .relations import _RELATIONS, Relation, read_relations
from .restore_statements import parse_mark
from .scope import WHOLE, match_scope
from .transaction_numbers import NEXT, NUMBERS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: The newest transaction of the whole cluster, those before it that are open, and what changes when the counters were
#: set back.
_EPOCH = """
select txid_snapshot_xmax(s)::text, array(select txid_snapshot_xip(s)::text), pg_postmaster_start_time()::text,
       (select stats_reset::text from pg_stat_bgwriter),
       (select stats_reset::text from pg_stat_database where datname = current_database()),
       (select oid::text from pg_database where datname = current_database()), clock_timestamp()::text
  from txid_current_snapshot() s
"""

#: Where the number of the database is in it.
_NUMBER_OF_DATABASE = 3

_COUNTED = f"""
select schemaname || '.' || relname, n_tup_ins + n_tup_upd + n_tup_del from pg_stat_user_tables
 where {match_scope("schemaname")}
"""


#: Of an entry that means one schema the database's own facts are none, here and below.
_DATABASE = f"""
select case when {WHOLE} then pg_get_userbyid(datdba) else '' end,
       case when {WHOLE} then coalesce(datacl::text, '') else '' end,
       case when {WHOLE} then shobj_description(oid, 'pg_database') end
  from pg_database where datname = current_database()
"""

#: Who may not see the options of one sees that there is one.
_USER_MAPPINGS = f"""
select md5(coalesce(string_agg(concat_ws(' ', umid, srvid, umuser, umoptions::text), ',' order by umid), ''))
  from pg_user_mappings where {WHOLE}
"""

#: Catalogs whose rows are counted only: only a superuser reads the one, and a restore writes the other itself.
COMMENTS, MAPPINGS = "pg_catalog.pg_shdescription", "pg_catalog.pg_user_mapping"
LARGE_OBJECTS = "pg_catalog.pg_largeobject"
_CHANGES = "pg_stat_get_tuples_inserted(c) + pg_stat_get_tuples_updated(c) + pg_stat_get_tuples_deleted(c)"
_CATALOGS_WRITTEN = f"""
select name, case when {WHOLE} then {_CHANGES} else 0 end
  from unnest(array['{COMMENTS}', '{MAPPINGS}']) name, cast(name as regclass) c
"""

_LARGE_OBJECTS = f"""
select coalesce(sum(case when {WHOLE} then {_CHANGES} else 0 end), 0)::bigint
  from unnest(array['pg_largeobject'::regclass, 'pg_largeobject_metadata'::regclass]) c
"""


def _build_uses(number: str, which: str) -> str:
    """Return how often a sequence was used: each value reads its only block, and a SELECT returns its row besides.

    Args:
        number: of the sequence, in SQL.
        which: ``xact_`` for what the session has not handed in yet, or nothing.
    """
    return f"pg_stat_get_{which}blocks_fetched({number}) - pg_stat_get_{which}tuples_returned({number})"


#: What the session has counted and not handed in yet counts as well.
_SEQUENCES = f"""
select c.oid::text, format('%I.%I', n.nspname, c.relname), has_sequence_privilege(c.oid, 'select'),
       {_build_uses("c.oid", "")} + {_build_uses("c.oid", "xact_")}, s.seqincrement
  from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
 where c.relpersistence <> 't' and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
   and n.nspname not like 'alembic\\_aside\\_%' and n.nspname not like 'alembic\\_retained\\_%' and {match_scope()}
"""

#: A setting by which rows are not counted.
_IS_OFF = "setting ~* '^track_counts=' and lower(split_part(setting, '=', 2)) not in ('on', 'true', 'yes', '1')"

#: Where rows are not counted: for the whole server, for a role or a database of it, or in a function. A setting is
#: kept as it was typed.
_NOT_COUNTED = f"""
select case when setrole = 0 then 'a database' else 'role ' || pg_get_userbyid(setrole) end
  from pg_db_role_setting where exists (select from unnest(setconfig) s(setting) where {_IS_OFF})
union all
select 'function ' || proname
  from pg_proc where exists (select from unnest(proconfig) s(setting) where {_IS_OFF})
union all select 'the server' where current_setting('track_counts') <> 'on'
"""

#: The catalogs of which no row can be read that shows who has written it.
_IS_COUNTED_CATALOG = (
    f"relid in ('{LARGE_OBJECTS}'::regclass, '{LARGE_OBJECTS}_metadata'::regclass, '{COMMENTS}'::regclass,"
    f" '{MAPPINGS}'::regclass)"
)
#: What a session has written into them in its transaction.
WRITTEN_IN_CATALOGS = f"""
select schemaname || '.' || relname, n_tup_ins + n_tup_upd + n_tup_del from pg_stat_xact_all_tables
 where {_IS_COUNTED_CATALOG}
"""

#: What the session has counted in its transaction, each relation once. The views of the same (pg_stat_xact_all_tables)
#: join every table with its indexes and sort them, which takes twice as long, and each step reads this twice.
_COUNTED_HERE = """
with counted as materialized (
  select c.oid as relid, c.relname, n.nspname, c.relkind, pg_stat_get_xact_tuples_inserted(c.oid) as inserted,
         pg_stat_get_xact_tuples_updated(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid) as replaced,
         case when c.relkind = 'S' then USES end as used
    from pg_class c left join pg_namespace n on n.oid = c.relnamespace
   where c.relkind in ('r', 't', 'm', 'p', 'S')
),
written as (select * from counted where relkind <> 'S' and inserted + replaced > 0),
held as materialized (
  select l.relation, c.relfilenode, c.oid is null as is_dropped
    from pg_locks l left join pg_class c on c.oid = l.relation
   where l.pid = pg_backend_pid() and l.locktype = 'relation' and l.granted and l.mode = 'AccessExclusiveLock'
     and l.database = (select oid from pg_database where datname = current_database())
)
""".replace("USES", _build_uses("c.oid", "xact_"))
#: Of the server's own catalogs, which have lower numbers than these, that is read only with what is held.
_WITHOUT_CATALOGS = "'S') and (c.oid >= 16384 or c.oid" + _IS_COUNTED_CATALOG[len("relid") :] + ")"
#: One row a table that was written, one for the transaction itself, and one for each relation that it keeps to itself:
#: a lock of that strength lasts until its end, so no other session can have dropped or rewritten the relation
#: meanwhile.
_IN_TRANSACTION = f"""
{_COUNTED_HERE}
select 'rows', nspname || '.' || relname, inserted + replaced, replaced
  from written
 where nspname not like 'pg\\_%' and nspname <> 'information_schema' or {_IS_COUNTED_CATALOG}
union all
select 'transaction', now()::text, coalesce(txid_current_if_assigned(), 0), txid_snapshot_xmax(txid_current_snapshot())
union all
select 'used', relid::text, used, 0 from counted where used > 0
union all
select 'pending', relid::text, inserted + replaced, 0 from written
 where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_toast'
"""
_ROWS_IN_TRANSACTION = _IN_TRANSACTION.replace("'S')", _WITHOUT_CATALOGS, 1)
#: More than can be counted.
UNKNOWN = 1 << 60
#: What was counted of a relation that is dropped is forgotten with it. A session that is at work may have read it and
#: not have handed that in yet.
_HELD = f"""
union all
select case when is_dropped then 'dropped' else 'file' end, relation::text, coalesce(relfilenode, 0)::bigint, 0
  from held
union all
select kind, relation::text, number, 0
  from held cross join lateral (values
    ('used', {_build_uses("relation", "xact_")}),
    ('reads', {_build_uses("relation", "")} + {_build_uses("relation", "xact_")}
              + case when exists ({AT_WORK}) then {UNKNOWN} else 0 end),
    ('written', pg_stat_get_tuples_inserted(relation) + pg_stat_get_tuples_updated(relation)
                + pg_stat_get_tuples_deleted(relation)
                + case when exists ({AT_WORK}) then {UNKNOWN} else 0 end)) uncounted (kind, number)
 where is_dropped
union all
select 'catalog', relname, 0, 0 from written where nspname = 'pg_catalog' and replaced > 0
"""

#: The first server whose counters are in shared memory, and how long the others take, in seconds.
_SHARED_SINCE = 150000
_COLLECTED_AFTER = 1.0
#: A transaction that an error has ended, in libpq's numbers.
_FAILED = 3


def count_sequence_reads(connection: Connection) -> dict[str, tuple[str, int]]:
    """Return the quoted name of each sequence by its number, and how often it was used, SELECTs from it excepted."""
    return {oid: (name, int(reads)) for oid, name, _readable, reads, _step in execute(connection, _SEQUENCES)}


def read_sequence_positions(connection: Connection) -> dict[str, tuple[int, bool, str, int] | None]:
    """Return each sequence by its quoted name: its value, whether that was given out, its number, and its increment.

    None means a sequence that cannot be read.
    """
    found: dict[str, tuple[int, bool, str, int] | None] = {}
    for oid, name, readable, _reads, increment in execute(connection, _SEQUENCES):
        if not readable:
            found[name] = None
            continue
        value, given = execute(connection, escape_colons(f"select last_value, is_called from {name}"))[0]
        found[name] = int(value), bool(given), oid, int(increment)
    return found


def explain_untrusted_counters(connection: Connection, before: dict[str, Any]) -> str:
    """Return why the server's counters do not show whether rows were written since a backup; nothing if they do."""
    if "files" not in before:
        return "the backup does not say what was counted"
    if read_activity(connection)["epoch"] != before["epoch"]:
        return "the server has lost its counters since the backup"
    for (whose,) in execute(connection, _NOT_COUNTED):
        return f"track_counts is off for {whose}"
    return ""


def read_activity(connection: Connection) -> dict[str, Any]:
    """Return what the server has counted until now, as plain data."""
    newest, open_transactions, *epoch, at = execute(connection, _EPOCH)[0]
    relations = execute(connection, _RELATIONS)
    owner, acl, comment = execute(connection, _DATABASE)[0]
    catalogs = {catalog: int(count) for catalog, count in execute(connection, _CATALOGS_WRITTEN)}
    if parse_mark(comment):
        catalogs[COMMENTS] -= 1  # a restore has closed the database and has written its own
    return {
        "newest_transaction": newest,
        # What they write is in no dump, and is committed later.
        "open_transactions": [int(each) for each in open_transactions],
        "epoch": epoch,
        "at": at,
        "tables": {table: int(count) for table, count in execute(connection, _COUNTED)},
        "relations": {row[0]: int(row[1]) for row in relations},
        "files": {
            oid: Relation(name, file, row_type, int(count), oid, quoted).as_facts()
            for oid, _columns, name, file, row_type, count, has_rows, quoted in relations
            if has_rows
        },
        "database": [owner, acl],
        # A restore that has closed the database has put its own in the place of the comment.
        "comment": parse_mark(comment).get("comment", comment),
        "user_mappings": execute(connection, _USER_MAPPINGS)[0][0],
        "large_objects": count_large_object_rows(connection),
        "catalogs_written": catalogs,
        "sequence_uses": {oid: list(facts) for oid, facts in count_sequence_reads(connection).items()},
    }


def count_large_object_rows(connection: Connection) -> int:
    """Return how many rows of large objects were counted until now."""
    return int(execute(connection, _LARGE_OBJECTS)[0][0])


def count_transaction(connection: Connection, held: bool) -> Counted:
    """Return what a connection has written to each table and the server has not counted yet, and its number.

    Args:
        connection: env.py's.
        held: also return what the transaction keeps to itself.
    """
    found: dict[str, list[tuple[str, int, int]]] = {}
    for kind, name, number, newest in execute(connection, _IN_TRANSACTION + _HELD if held else _ROWS_IN_TRANSACTION):
        found.setdefault(kind, []).append((name, int(number), int(newest)))
    ((began, number, newest),) = found["transaction"]
    return Counted(
        {name: count for name, count, _replaced in found.get("rows", ())},
        [name for name, _count, replaced in found.get("rows", ()) if replaced],
        number,
        newest,
        began,
        [str(file) for _oid, file, _newest in found.get("file", ()) if file],
        [oid for oid, _file, _newest in found.get("dropped", ())],
        [name for name, _file, _newest in found.get("catalog", ())],
        {oid: count for oid, count, _newest in found.get("used", ())},
        {oid: count for oid, count, _newest in found.get("reads", ())},
        {oid: count for oid, count, _newest in found.get("pending", ())},
        {oid: count for oid, count, _newest in found.get("written", ())},
    )


def count_failed_transaction(connection: Connection) -> Counted:
    """Return what a connection has written in its transaction, which an error has ended and which is left so.

    The rows are counted when it is rolled back, and handed in to the server when the session is idle. So it is read
    by the message that rolls back. A driver that cannot send several statements in one raises an error.
    """
    driver = unwrap_connection(connection)
    if connection.in_nested_transaction() or driver.info.transaction_status != _FAILED:
        return Counted()  # a savepoint may be rolled back to
    cursor = driver.cursor()
    try:
        cursor.execute(f"rollback; begin; {_IN_TRANSACTION}")
        while cursor.description is None and cursor.nextset():
            continue
        counted = cursor.fetchall()
    finally:
        with suppress(Exception):  # it is to fail, so that nothing else can be done in this transaction either
            cursor.execute("select 1/0")
        cursor.close()
    rows = [row for row in counted if row[0] == "rows"]
    return Counted(
        {name: int(count) for _kind, name, count, _replaced in rows},
        [name for _kind, name, _count, replaced in rows if replaced],
        used={oid: int(count) for kind, oid, count, _newest in counted if kind == "used"},
    )


def await_counters(connection: Connection) -> None:
    """Wait until what sessions counted before now is in the server's counters.

    From 15 on they are in shared memory. Before, sessions sent them to a collector, and what was read from it could be
    half a second old (PGSTAT_STAT_INTERVAL in PostgreSQL 14's pgstat.c).
    """
    if int(execute(connection, "show server_version_num")[0][0]) < _SHARED_SINCE:
        time.sleep(_COLLECTED_AFTER)
        execute(connection, "select pg_stat_clear_snapshot()")


def read_next_transaction(connection: Connection) -> int:
    """Return the number that the server will give next, of 32 bits; the connection's transaction may have none."""
    return int(execute(connection, f"select {NEXT}")[0][0]) % NUMBERS


def count_others_writes(
    connection: Connection,
    before: dict[str, Any],
    ours: dict[str, int],
    leave_out: frozenset[str],
    application: str,
    known: dict[str, int],
    others: list[str] | None = None,
) -> Writes:
    """Return what others wrote.

    Args:
        connection: our own; the other sessions were ended.
        before: the activity at the time of the backup.
        ours: the rows that the run itself has written.
        leave_out: version tables, as schema.table.
        application: the name of our own sessions.
        known: until which count of each table, by number, none of it is others'.
        others: the sessions that will stay, where the others were not ended yet.
    """
    if not before:
        return Writes(unknown="the backup does not say what the server had counted")
    # First: a session that ends hands its counts in before it is seen to be gone.
    if others is None:
        others = read_other_sessions(connection, application)
    await_counters(connection)
    now = read_activity(connection)
    if now["newest_transaction"] == before["newest_transaction"] and not before.get("open_transactions"):
        return Writes()
    if now["epoch"][_NUMBER_OF_DATABASE:] != before["epoch"][_NUMBER_OF_DATABASE:]:
        return Writes(unknown="the database of this name was made anew since the backup")
    if now["epoch"] != before["epoch"]:
        return Writes(unknown="the server has lost its counters since the backup: it was restarted, or they were reset")
    if others:
        named = ", ".join(others[:5])
        return Writes(unknown=f"other sessions are still there and may be writing: {named}")
    return _read_growth(before, connection, now, ours, leave_out, known)


def _read_growth(
    before: dict[str, Any],
    connection: Connection,
    now: dict[str, Any],
    ours: dict[str, int],
    leave_out: frozenset[str],
    known: dict[str, int],
) -> Writes:
    """Return by how much more than by ours the counters have grown; a new table was made by the run.

    A dropped table is not counted any more; whether the run dropped it is not known here.
    """
    if "files" in before:
        # By number: two tables may have swapped their names.
        here = read_relations(connection)
        pairs = [
            (
                facts[0],
                here[oid].count - max(known.get(oid, 0), facts[3] + here[oid].count_run_rows(facts[0], ours)),
            )
            for oid, facts in before["files"].items()
            if oid in here
        ]
    else:
        gone = sorted(set(before["tables"]) - set(now["tables"]) - leave_out)
        if gone:
            return Writes(unknown=f"nothing counts any more what was written to {', '.join(gone)}")
        pairs = [(name, now["tables"][name] - count - ours.get(name, 0)) for name, count in before["tables"].items()]
    grown = {name: count for name, count in pairs if name not in leave_out}
    if any(count < 0 for count in grown.values()):
        return Writes(unknown="the server's counters went down since the backup")
    return Writes({table: count for table, count in grown.items() if count})
