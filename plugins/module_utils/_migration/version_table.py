# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alembic's version tables, read through a connection of our own: what is there is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.revisions import Heads
from .._engines.connection import LOCK_NOT_AVAILABLE, OwnConnection, sqlstate
from .._engines.sqlalchemy_import import sa
from .alembic_import import MigrationContext

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_UNDEFINED_TABLE = "42P01"


def read_heads(own: OwnConnection, table: str, *, there: bool = False) -> Heads:
    """Return what a version table holds.

    Args:
        own: the connection.
        table: the version table, as schema.table.
        there: whether it is known to be there, which saves most of the time of reading.
    """
    return own.run(_rows_of if there else _heads_of, *table.rsplit(".", 1))


def _rows_of(connection: Connection, schema: str, table: str) -> Heads:
    quote = connection.dialect.identifier_preparer.quote
    try:
        rows = connection.exec_driver_sql(f"select version_num from {quote(schema)}.{quote(table)}")
        return tuple(sorted(row[0] for row in rows))
    except sa.exc.DBAPIError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise
        if sqlstate(error) == _UNDEFINED_TABLE:  # as only the transaction that makes it sees it
            return ()
        return _heads_of(connection, schema, table)  # it was dropped since


def _heads_of(connection: Connection, schema: str, table: str) -> Heads:
    options = {"version_table": table, "version_table_schema": schema}
    return tuple(sorted(MigrationContext.configure(connection, opts=options).get_current_heads()))
