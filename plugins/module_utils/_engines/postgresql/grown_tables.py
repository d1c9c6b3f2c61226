# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables for which the server counted more rows than the run wrote, and that nevertheless hold no write of others.

The counters also have the rows of transactions that were rolled back, and those that a run wrote where nothing counts
them. So before a database is held for its counters, the rows themselves are read: each has the number of the
transaction that wrote it (``xmin``), and the archive of the backup has the rows of before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import Failed
from ..connection import execute
from ..data import ANY_TABLE, Archive, WrittenRows
from ..interface import Report
from ..sql import escape_colons
from .compare import ArchiveComparison
from .content import TableContent
from .relations import Relation, measure_size, read_relations
from .transaction_numbers import XMIN, is_one_of, is_since
from .write_counters import explain_untrusted_counters

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .session import PostgreSQLSession


@dataclass(frozen=True)
class _Rows:
    """The rows of a table by who wrote them: before the backup, the run since then, others since then."""

    old: int
    own: int
    strange: int


def find_lossless_tables(
    engine: PostgreSQLSession, archive: Archive, written_rows: WrittenRows, limit: int, report: Report
) -> dict[str, int]:
    """Return by number the tables in which nothing of others would be lost, with the count until which that holds.

    Only tables for which more was counted than the run wrote are read. What is written later raises the count again.

    Args:
        engine: of the database.
        archive: the backup.
        written_rows: what the run has done.
        limit: bytes of a table above which it is not read.
        report: is called with what is being compared.
    """
    own = engine.open_own_connection()
    if "files" not in archive.activity or own.run(explain_untrusted_counters, archive.activity):
        return {}
    # Read before the rows, so that rows written meanwhile raise them above what is returned.
    grown = list(_find_grown(archive, written_rows, own.run(read_relations)))
    small = [(was, here) for was, here in grown if own.run(measure_size, here.oid) <= limit]
    if not small:
        return {}
    report("compares the tables that others may have written")
    found = {}
    try:
        with engine.shorten_lock_timeout():
            rows = {here.oid: own.run(_count_rows, here, written_rows) for _was, here in small}
        comparison = ArchiveComparison(engine, archive, written_rows, limit, report)
        with tempfile.TemporaryDirectory() as folder:
            for was, here, old, new in comparison.read_archived_rows(Path(folder), small):
                if _is_only_added_to(was, here, old, rows[here.oid], written_rows) or _is_same(
                    was, here, old, new, written_rows
                ):
                    found[here.oid] = here.count
    except Failed:
        return found  # what could not be read counts as others'
    except Exception as error:
        if not engine.is_lock_timeout(error):
            raise
    return found


def _find_grown(
    archive: Archive, written_rows: WrittenRows, now: dict[str, Relation]
) -> Iterator[tuple[Relation, Relation]]:
    leave_out = written_rows.version_tables | archive.version_tables
    for oid, facts in archive.activity["files"].items():
        was, here = Relation(*facts), now.get(oid)
        if here is None or was.name in leave_out:
            continue
        if here.count - was.count > here.count_run_rows(was.name, written_rows.wrote):
            yield was, here


def _count_rows(connection: Connection, table: Relation, written_rows: WrittenRows) -> _Rows:
    later, is_own = is_since(XMIN, written_rows.activity), is_one_of(XMIN, written_rows.transactions)
    statement = (
        f"select count(*) filter (where not ({later})), count(*) filter (where {later} and {is_own}),"
        f" count(*) filter (where {later} and not {is_own}) from {table.quoted}"
    )
    return _Rows(*map(int, execute(connection, escape_colons(statement))[0]))


def _is_only_added_to(
    was: Relation, here: Relation, old: TableContent | None, rows: _Rows, written_rows: WrittenRows
) -> bool:
    """Return whether each row of the backup is there untouched, and all others are rows that the run has inserted.

    A row that the run changed may have been inserted by others before.
    """
    if was.file != here.file or rows.strange or rows.old != (old.rows if old else 0):
        return False
    return not rows.own or not _has_replaced(was, here, written_rows)


def _is_same(
    was: Relation, here: Relation, old: TableContent | None, new: TableContent | None, written_rows: WrittenRows
) -> bool:
    """Return whether a table has the rows of the backup, by the columns of the backup.

    Where the run has deleted rows, those of others may have been among them.
    """
    if was.file != here.file or _has_replaced(was, here, written_rows):
        return False
    if old is None or new is None:
        return not (old and old.rows) and not (new and new.rows)
    return old == new


def _has_replaced(was: Relation, here: Relation, written_rows: WrittenRows) -> bool:
    """Return whether the run has updated or deleted rows of a table, or may have."""
    return bool(written_rows.replaced & {was.name, here.name, ANY_TABLE})
