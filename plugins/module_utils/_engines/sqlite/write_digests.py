# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests of the rows of a SQLite table."""

from __future__ import annotations

import hashlib
import sqlite3

from ..sql import quote_name
from .probe import keep_raw_text

_TABLES = "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\'"
#: A digest is one of lists of so many rows. Journals keep it: another number would look like writes of others.
_LISTED = 1000


def read_table_names(connection: sqlite3.Connection) -> list[str]:
    """Return the names of all tables but SQLite's own."""
    return [name for (name,) in connection.execute(_TABLES)]


def count_and_digest(
    connection: sqlite3.Connection, table: str, columns: list[str], where: str = "1"
) -> tuple[int, str]:
    """Return the number of rows and a digest of them, in the order they come in; only one is in memory at a time."""
    count, digest = 0, hashlib.sha256()
    with keep_raw_text(connection):
        words = ", ".join(map(quote_name, columns))
        for row in connection.execute(f"select {words} from {quote_name(table)} where {where}"):
            if count % _LISTED:
                digest.update(b", ")
            else:
                digest.update(b"][" if count else b"[")
            digest.update(repr(row).encode())
            count += 1
    if count:
        digest.update(b"]")
    return count, digest.hexdigest()
