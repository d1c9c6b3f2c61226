# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writes of others into a run's tables, read once more when a restore has closed all other sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..data import Writes, WrittenRows
from .relations import relations_of
from .row_authors import Read, find_others_writes, reading
from .run_sessions import close_sessions_of_run
from .write_counters import counters_cannot_be_trusted

if TYPE_CHECKING:
    from .session import PostgreSQLSession


def writes_into_made(engine: PostgreSQLSession, written_rows: WrittenRows, read_locked: Read | None) -> Writes:
    """Return what others wrote, or may have; no other session can write any more.

    Args:
        engine: of the database.
        written_rows: what the run has done.
        read_locked: reads in the session that has locked all tables; no other session could read them.
    """
    own = engine.own_connection()
    doubt = close_sessions_of_run(engine) or own.run(counters_cannot_be_trusted, written_rows.activity)
    counts = {} if doubt else {oid: here.count for oid, here in own.run(relations_of).items()}
    try:
        if read_locked:
            return find_others_writes(read_locked, written_rows, counts)
        with engine.short_lock_timeout():
            return own.run(lambda connection: find_others_writes(reading(connection), written_rows, counts))
    except Exception as error:
        if not engine.is_lock_timeout(error):
            raise
        return Writes(unknown="others hold a lock on what the run has made")
