# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at a PostgreSQL database, at the price of a connection and one question.

SQLAlchemy asks a server five questions of its own on every new connection of a new engine, and makes that engine anew
for every URL. Where a hundred databases have nothing to do, that is most of the time it takes to find out.
"""

from __future__ import annotations

import functools
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ..connection import ASYNC_DRIVERS, own_url
from ..libraries import sa
from . import postgresql_catalog as catalog
from .data import Glance, Identity
from .postgresql_restore import quoted

if TYPE_CHECKING:
    from .postgresql import PostgreSQL

_QUESTION = """
select pg_backend_pid(), current_setting('server_version'), identity.*,
       (select array_agg(version_num::text) from {table})
  from ({identity}) identity
"""


def glance(engine: PostgreSQL, table: str, timeout: int) -> Glance | None:
    """Return where a version table stands, or None behind a pooler.

    Args:
        engine: the engine of the database.
        table: the version table, as schema.table.
        timeout: seconds to wait for the connection.

    Raises:
        Exception: the driver's own, if the server cannot be reached or the table is not there.
    """
    where = ".".join(map(quoted, table.rsplit(".", 1)))
    url = own_url(engine.url)
    if url.get_driver_name() in ASYNC_DRIVERS:  # theirs is another interface
        own = engine.own()
        rows = own.rows(f"select version_num from {where}".replace(":", "\\:"))
        return Glance(engine.own_identity(), own.run(engine.describe), sorted(row[0] for row in rows))
    dialect = _dialect(url.drivername)
    words, options = dialect.create_connect_args(url)
    options.update(connect_timeout=timeout, application_name=engine.application)
    with closing(dialect.dbapi.connect(*words, **options)) as connection:
        cursor = connection.cursor()
        cursor.execute(_QUESTION.format(table=where, identity=catalog.IDENTITY))
        pid, version, server, database, heads = cursor.fetchone()
        if pid != connection.info.backend_pid:
            return None  # the plan in full says so
    return Glance(Identity(server, database), engine.described(version), sorted(heads or []))


@functools.cache
def _dialect(drivername: str) -> Any:
    url = sa.engine.URL.create(drivername)
    return sa.create_engine(url, poolclass=sa.pool.NullPool).dialect
