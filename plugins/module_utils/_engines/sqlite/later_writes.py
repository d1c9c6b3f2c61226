# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writes of others to a SQLite file between the dump of a rollback and its first downgrade.

A file has no lock that keeps others out and lets env.py in, so what they write while the downgrades run is not seen.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from ..data import Writes
from .rows import Acting, list_changed_tables, open_with_backup


def find_written_tables(
    dump: Path, path: Path, acting: Acting, leave_out: frozenset[str], names: Iterable[str]
) -> Writes:
    """Return, of some tables, those whose rows are not those of a dump.

    Args:
        dump: was taken right before.
        path: of the file.
        acting: gives the rights with which the file is read.
        leave_out: version tables, as schema.table.
        names: of the objects that the run has made, changed or written.
    """
    with open_with_backup(dump, path, acting) as connection:
        changed = list_changed_tables(connection, leave_out, frozenset(names))
        return Writes({name: _count_more(connection, name) for name in changed})


def _count_more(connection: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    try:
        (now,), (then,) = (
            connection.execute(f'select count(*) from {schema}."{quoted}"').fetchone() for schema in ("main", "backup")
        )
    except sqlite3.Error:
        return 1
    return max(int(now) - int(then), 1)
