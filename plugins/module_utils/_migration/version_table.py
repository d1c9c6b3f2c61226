# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alembic's version tables, read through a connection of our own: what is there is committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._core.revisions import Heads
from .._engines.connection import OwnConnection, find_sqlstate
from .._engines.interface import Engine
from .._engines.sql import escape_colons, qualify_name
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
        there: whether it should be there, which saves most of the time of reading.
    """
    if not there:
        return own.run(_read_heads_of, *table.rsplit(".", 1))
    return _read_rows(lambda statement: own.query_rows(escape_colons(statement)), own, table)


def read_heads_at_once(engine: Engine, table: str) -> Heads:
    """Return the same of one that should be there, waiting for no lock longer than a second."""
    return _read_rows(engine.read_at_once, engine.open_own_connection(), table)


def _read_rows(read: Callable[[str], list[tuple[Any, ...]]], own: OwnConnection, table: str) -> Heads:
    try:
        return tuple(sorted(str(row[0]) for row in read(f"select version_num from {qualify_name(table)}")))
    except sa.exc.DBAPIError as error:
        if find_sqlstate(error) == _UNDEFINED_TABLE:  # as only the transaction that makes it sees it
            return ()
        return own.run(_read_heads_of, *table.rsplit(".", 1))


def _read_heads_of(connection: Connection, schema: str, table: str) -> Heads:
    options = {"version_table": table, "version_table_schema": schema}
    return tuple(sorted(MigrationContext.configure(connection, opts=options).get_current_heads()))
