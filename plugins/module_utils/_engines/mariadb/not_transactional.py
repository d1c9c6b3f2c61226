# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables whose rows no snapshot holds still and no rollback takes back: MyISAM, Aria, CSV, Archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..._core.errors import Failed, Refused, describe_first
from ..connection import describe_error, execute
from ..sql import escape_colons
from .quoting import quote_name
from .same_name import is_ours, match_name

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .session import MariaDBSession

_MOST_NAMED = 5
_NOT_TRANSACTIONAL = f"""
select t.table_name, t.engine from information_schema.tables t join information_schema.engines e using (engine)
 where {match_name("t.table_schema", "database()")} and t.table_type <> 'VIEW'
   and not {is_ours("t.table_name")} and coalesce(e.transactions, 'NO') = 'NO'
 order by t.table_name
"""


def read_nontransactional(connection: Connection) -> dict[str, str]:
    """Return the engines of such tables by their names."""
    return {str(name): str(engine) for name, engine in execute(connection, _NOT_TRANSACTIONAL)}


def describe_tables(tables: dict[str, str]) -> str:
    """Return such tables in words, each with its engine."""
    return describe_first([f"{name} ({engine})" for name, engine in tables.items()], _MOST_NAMED)


def list_refusals(engine: MariaDBSession, tables: dict[str, str]) -> list[Refused]:
    """Return why a database with such tables is not migrated, nothing where it may be."""
    if not tables or engine.job.nontransactional_tables != "refuse":
        return []
    return [
        Refused(
            f"Database {engine.database.name!r} has tables without transactions",
            f"{describe_tables(tables)}; what a statement has written there stays when it fails, and other sessions"
            " would have to wait while they are dumped",
            "ALTER TABLE NAME ENGINE = InnoDB, or set migrate_nontransactional_tables: lock",
            code="table-not-transactional",
        )
    ]


def list_notes(tables: dict[str, str]) -> list[str]:
    """Return what a person has to know of such tables before they are dumped."""
    return (
        [f"other sessions wait while tables without transactions are dumped: {describe_tables(tables)}"]
        if tables
        else []
    )


@contextmanager
def lock_for_dump(engine: MariaDBSession) -> Iterator[None]:
    """Let no other session write into such tables inside the block, so that a dump has them of one moment.

    Raises:
        Refused: there are any, and they are to be refused.
        Failed: others have one of them locked, for longer than ``migrate_backup_lock_wait``.
    """
    tables = engine.open_own_connection().run(read_nontransactional)
    for refusal in list_refusals(engine, tables):
        raise refusal
    if not tables:
        yield
        return
    with engine.connect() as own:
        own.query_rows(f"set session lock_wait_timeout = {max(int(engine.job.backup_lock_wait), 1)}")
        locks = ", ".join(f"{quote_name(name)} read" for name in tables)
        try:
            own.query_rows(escape_colons(f"lock tables {locks}"))
        except Exception as error:
            if not engine.is_lock_timeout(error):
                raise
            raise Failed(
                f"Database {engine.database.name!r} is in use, so it cannot be dumped",
                f"other sessions have {describe_tables(tables)} open or locked: {describe_error(error)}",
                "Wait until they have ended; SHOW PROCESSLIST shows them",
                code="database-in-use",
            ) from error
        yield
