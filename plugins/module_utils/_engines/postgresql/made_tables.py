# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writes of others into a run's tables, read once more when a restore has closed all other sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..data import Writes, WrittenRows
from .relations import read_relations
from .row_authors import Read, build_reader, find_others_writes
from .run_sessions import close_sessions_of_run
from .write_counters import explain_untrusted_counters

if TYPE_CHECKING:
    from .session import PostgreSQLSession


def find_writes_into_made(engine: PostgreSQLSession, written_rows: WrittenRows, read_locked: Read | None) -> Writes:
    """Return what others wrote, or may have; no other session can write any more.

    Args:
        engine: of the database.
        written_rows: what the run has done.
        read_locked: reads in the session that has locked all tables; no other session could read them.
    """
    own = engine.open_own_connection()
    doubt = close_sessions_of_run(engine) or own.run(explain_untrusted_counters, written_rows.activity)
    counts = {} if doubt else {oid: here.count for oid, here in own.run(read_relations).items()}
    try:
        if read_locked:
            return find_others_writes(read_locked, written_rows, counts)
        with engine.shorten_lock_timeout():
            return own.run(lambda connection: find_others_writes(build_reader(connection), written_rows, counts))
    except Exception as error:
        if not engine.is_lock_timeout(error):
            raise
        return Writes(unknown="others hold a lock on what the run has made")
