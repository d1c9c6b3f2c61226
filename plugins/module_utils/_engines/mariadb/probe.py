# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A probe of a MariaDB database, at the price of a connection and one query.

SQLAlchemy sends a server some queries of its own on every new connection of a new engine, and makes that engine anew
for every URL. Where a hundred databases have nothing to do, that is most of the time it takes to find out.
"""

from __future__ import annotations

import importlib
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ..data import ConnectOptions, Identity, Probe
from .quoting import qualify_name

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


CONNECT_TIMEOUT = 10
_LOCK_TIMEOUT = 2  # seconds; the plan in full has more time
#: Modules of drivers that connect in the same way. An asynchronous one takes the plan in full.
_MODULES = {"pymysql": "pymysql", "mysqldb": "MySQLdb"}
_SECRETS = ("password", "passwd")
IDENTITY = "select concat(@@hostname, ':', @@port, @@datadir) server, database() name"
#: Both are of the beginning of the statement, so it is the same second at each call.
STARTED = """
select concat('started ', unix_timestamp() - cast(variable_value as unsigned))
  from information_schema.global_status where variable_name = 'UPTIME'
"""
_QUESTION = """
select connection_id() + 0, version(), identity.server, identity.name, ({started}),
       (select json_arrayagg(version_num) from {table})
  from ({identity}) identity
"""


def connect_options_of(url: URL) -> ConnectOptions | None:
    """Return the options of a driver for a URL, without its password, or None where its module connects otherwise."""
    dialect = url.get_dialect()
    if dialect.driver not in _MODULES:
        return None
    _words, options = dialect().create_connect_args(url)
    options = {key: value for key, value in options.items() if key not in _SECRETS}
    try:
        json.dumps(options)
    except TypeError:
        return None
    return {"driver": dialect.driver, "options": options}


def read_probe(connect_options: ConnectOptions, password: str | None, table: str) -> Probe | None:
    """Return the heads of a version table, or None behind a proxy or on another server than MariaDB.

    Raises:
        Exception: the driver's own, if the server cannot be reached or the table is not there.
    """
    options = {**connect_options["options"], **({} if password is None else {"password": password})}
    module = importlib.import_module(_MODULES[connect_options["driver"]])
    question = _QUESTION.format(table=qualify_name(*table.rsplit(".", 1)), identity=IDENTITY, started=STARTED.strip())
    limit = f"set session lock_wait_timeout = {_LOCK_TIMEOUT}"
    with closing(module.connect(**options, connect_timeout=CONNECT_TIMEOUT, init_command=limit)) as connection:
        cursor = connection.cursor()
        cursor.execute(question)
        session, version, server, database, instance, heads = cursor.fetchone()
        if session != connection.thread_id() or "mariadb" not in str(version).lower():
            return None  # the plan in full says so
    where = options.get("unix_socket") or options.get("host")
    server_name = describe_server(str(version), where, options.get("port"))
    return Probe(Identity(str(server), str(database)), server_name, sorted(json.loads(heads or "[]")), str(instance))


def describe_server(version: str, where: Any, port: Any) -> str:
    """Return a server's version with where it is."""
    return f"MariaDB {version.partition('-')[0]} at {where or 'a local socket'}:{port or 3306}"
