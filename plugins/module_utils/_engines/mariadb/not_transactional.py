# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables whose rows no snapshot holds still and no rollback takes back: MyISAM, Aria, CSV, Archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..connection import execute
from .quoting import quoted
from .same_name import same_name

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .session import MariaDBSession

_NOT_TRANSACTIONAL = f"""
select t.table_name, t.engine from information_schema.tables t join information_schema.engines e using (engine)
 where {same_name("t.table_schema", "database()")} and t.table_type <> 'VIEW' and coalesce(e.transactions, 'NO') = 'NO'
 order by t.table_name
"""


def not_transactional(connection: Connection) -> dict[str, str]:
    """Return the engines of such tables by their names."""
    return {str(name): str(engine) for name, engine in execute(connection, _NOT_TRANSACTIONAL)}


@contextmanager
def locked_for_dump(engine: MariaDBSession) -> Iterator[None]:
    """Let no other session write into such tables inside the block, so that a dump has them of one moment."""
    tables = engine.own().run(not_transactional)
    if not tables:
        yield
        return
    with engine.connect() as own:
        own.rows(f"set session lock_wait_timeout = {max(int(engine.job.backup_lock_wait), 1)}")
        locks = ", ".join(f"{quoted(name)} read" for name in tables)
        own.rows(f"lock tables {locks}".replace(":", "\\:"))
        yield
