# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alembic's version tables, read through a connection of our own: what is there is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.revisions import Heads
from .._engines.connection import OwnConnection, sqlstate
from .._engines.interface import Engine
from .._engines.sql import qualified
from .._engines.sqlalchemy_import import sa
from .alembic_import import MigrationContext

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_UNDEFINED_TABLE = "42P01"


def read_heads(own: OwnConnection, table: str) -> Heads:
    """Return what a version table holds, given as schema.table; nothing if it is not there."""
    return own.run(_heads_of, *table.rsplit(".", 1))


def read_heads_at_once(engine: Engine, table: str) -> Heads:
    """Return the same of one that should be there, in one query, which waits for no lock longer than a second."""
    try:
        rows = engine.read_at_once(f"select version_num from {qualified(table)}")
    except sa.exc.DBAPIError as error:
        if sqlstate(error) == _UNDEFINED_TABLE:  # as only the transaction that makes it sees it
            return ()
        with engine.short_lock_timeout():
            return read_heads(engine.own(), table)  # it was dropped since
    return tuple(sorted(row[0] for row in rows))


def _heads_of(connection: Connection, schema: str, table: str) -> Heads:
    options = {"version_table": table, "version_table_schema": schema}
    return tuple(sorted(MigrationContext.configure(connection, opts=options).get_current_heads()))
