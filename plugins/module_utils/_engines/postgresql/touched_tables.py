# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables that a run has changed and others may have written since: a downgrade may cut what they wrote.

A table was changed if its rows were written, if it has another file, or another row type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..connection import execute
from ..data import Writes, WrittenRows
from ..sql import escape_colons
from .other_sessions import IS_CLIENT
from .relations import Relation, has_same_columns, read_relations
from .transaction_numbers import XMIN, is_one_of, is_since

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .session import PostgreSQLSession

#: Sessions that have done anything since a time; what they wrote may not be counted yet.
_AT_WORK = f"""
select count(*) from pg_stat_activity
 where datname = current_database() and {IS_CLIENT} and pid <> pg_backend_pid()
   and application_name <> :application
   and (coalesce(state, 'hidden') <> 'idle' or state_change > cast(:since as timestamptz))
"""


def find_touched_by_others(
    connection: Connection, written_rows: WrittenRows, application: str
) -> tuple[list[str], list[str]]:
    """Return the tables that the run has changed and others have written since the backup, or may have, as text.

    Second come the numbers of those that the run has changed and no other session has written.
    """
    touched = list(_find_touched(connection, written_rows))
    if not touched:
        return [], []
    at_work = _has_others_at_work(connection, written_rows, application)
    written = [
        here
        for was, here in touched
        if at_work or here.count - was.count > here.count_run_rows(was.name, written_rows.wrote)
    ]
    clear = sorted({here.oid for _was, here in touched} - {here.oid for here in written})
    return [f"others may have written to {here.name}, which the run has changed" for here in written], clear


def lock_and_find_later_writes(connection: Connection, written_rows: WrittenRows) -> tuple[Writes, set[str]]:
    """Lock the tables that the run has changed until the transaction ends, and return what others wrote since.

    Second come the numbers of these tables.

    Args:
        connection: env.py's, which is about to change them.
        written_rows: what the run has done.
    """
    tables = [here for _was, here in _find_touched(connection, written_rows)]
    if not tables:
        return Writes(), set()
    names = ", ".join(here.quoted for here in tables)
    execute(connection, escape_colons(f"lock table {names} in share row exclusive mode"))
    return Writes(_count_strange_rows(connection, tables, written_rows)), {here.oid for here in tables}


def _count_strange_rows(connection: Connection, tables: list[Relation], written_rows: WrittenRows) -> dict[str, int]:
    """Return the number of rows, by table, that a transaction wrote since a backup and that is not the run's."""
    found = {}
    for here in tables:
        # What was written while a step ran is the step's only if its transaction is known: others' lie there as well.
        since = written_rows.cleared.get(here.oid, written_rows.secured)
        conditions = f"{is_since(XMIN, since)} and not {is_one_of(XMIN, written_rows.transactions)}"
        statement = f"select count(*) from {here.quoted} where {conditions}"
        found[here.name] = int(execute(connection, escape_colons(statement))[0][0])
    return {name: count for name, count in found.items() if count}


def find_overwritten(
    engine: PostgreSQLSession,
    connection: Connection,
    written_rows: WrittenRows,
    wrote: Iterable[str],
    locked: Iterable[str],
) -> Writes:
    """Return what others wrote into tables that a downgrade has changed and the upgrade had not.

    They were not locked before, since it was not known that the downgrade would change them.

    Args:
        engine: of the database.
        connection: env.py's, before the downgrade is committed.
        written_rows: what the run has done; ``secured`` is what was counted when all was backed up last.
        wrote: the tables whose rows the downgrade has written.
        locked: the numbers of the tables that were locked before.
    """
    own = engine.open_own_connection()
    expected = {here.oid for _was, here in own.run(lambda mine: list(_find_touched(mine, written_rows)))}
    expected.update(locked)
    before, now = own.run(read_relations), read_relations(connection)
    changed = [
        here
        for oid, here in before.items()
        if oid in written_rows.activity.get("files", {})
        and oid not in expected
        and here.name not in written_rows.version_tables
        and (here.name in wrote or oid not in now or now[oid].file != here.file)
    ]
    found: dict[str, int] = {}
    for here in changed:
        try:
            with engine.shorten_lock_timeout():
                found.update(own.run(_count_strange_rows, [here], written_rows))
        except Exception as error:
            if not engine.is_lock_timeout(error):
                raise
            found.update(own.run(_count_rows_of_others, here, written_rows, engine.application))
    return Writes(found)


def _has_others_at_work(connection: Connection, written_rows: WrittenRows, application: str) -> bool:
    since = written_rows.activity.get("at", "-infinity")
    return bool(execute(connection, _AT_WORK, {"application": application, "since": since})[0][0])


def _count_rows_of_others(
    connection: Connection, table: Relation, written_rows: WrittenRows, application: str
) -> dict[str, int]:
    """Return how many rows others wrote since the backup of a table that is locked against all, by the counters."""
    was = Relation(*written_rows.activity["files"][table.oid])
    grown = table.count - was.count - table.count_run_rows(was.name, written_rows.wrote)
    at_work = _has_others_at_work(connection, written_rows, application)
    return {table.name: max(grown, 1)} if grown > 0 or at_work else {}


def _find_touched(connection: Connection, written_rows: WrittenRows) -> Iterator[tuple[Relation, Relation]]:
    now = read_relations(connection)
    for oid, facts in written_rows.activity.get("files", {}).items():
        was, here = Relation(*facts), now.get(oid)
        if here is None or was.name in written_rows.version_tables or here.name in written_rows.version_tables:
            continue
        same = was.row_type == here.row_type or has_same_columns(
            connection, oid, was, written_rows.activity["relations"][oid]
        )
        if was.file != here.file or not same or was.name in written_rows.stayed or here.name in written_rows.stayed:
            yield was, here
