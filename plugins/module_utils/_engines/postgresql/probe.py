# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A probe of a PostgreSQL database, at the price of a connection and one query.

SQLAlchemy sends a server five queries of its own on every new connection of a new engine, and makes that engine anew
for every URL. Where a hundred databases have nothing to do, that is most of the time it takes to find out.
"""

from __future__ import annotations

import importlib
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ..data import ConnectOptions, Identity, Probe
from ..sql import qualify_name
from . import catalog_queries
from .scope import build_scope_setting

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


_CONNECT_TIMEOUT = 10
_LOCK_TIMEOUT = 2000  # milliseconds; the plan in full has more time
#: What else than the password may be a secret (libpq's own names): a record is readable by no other user, yet lasts.
_SECRETS = {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
_QUESTION = """
select pg_backend_pid(), current_setting('server_version'), identity.*, ({instance}), ({made}),
       (select array_agg(version_num::text) from {table})
  from ({identity}) identity
"""


def connect_options_of(url: URL) -> ConnectOptions | None:
    """Return the options of a driver for a URL, without its password, or None if there are other secrets in it."""
    dialect = url.get_dialect()
    _words, options = dialect().create_connect_args(url)
    if _SECRETS & set(options) - {"password"}:
        return None
    return {"driver": dialect.driver, "options": {key: options[key] for key in options if key != "password"}}


def read_probe(connect_options: ConnectOptions, password: str | None, table: str) -> Probe | None:
    """Return the heads of a version table, or None behind a pooler.

    Raises:
        Exception: the driver's own, if the server cannot be reached or the table is not there.
    """
    options = {**connect_options["options"], **({} if password is None else {"password": password})}
    question = _QUESTION.format(
        table=qualify_name(table),
        identity=catalog_queries.IDENTITY,
        instance=catalog_queries.INSTANCE,
        made=catalog_queries.MADE,
    )
    settings = f"set lock_timeout = {_LOCK_TIMEOUT}; {build_scope_setting(connect_options.get('schema', ''))}"
    read = _query_asyncpg if connect_options["driver"] == "asyncpg" else _query
    given, (pid, version, server, database, instance, made, heads) = read(
        connect_options["driver"], options, settings, question
    )
    if pid != given:
        return None  # the plan in full says so
    server_name = describe_server(version, options.get("host"), options.get("port"))
    return Probe(Identity(server, database), server_name, sorted(heads or []), instance, made)


def describe_server(version: str, host: Any, port: Any) -> str:
    """Return a server's version with where it is."""
    return f"PostgreSQL {version} at {host or 'a local socket'}:{port or 5432}"


def _query(driver: str, options: ConnectOptions, settings: str, question: str) -> tuple[int, Any]:
    """Return the process id that was given at the connect_options, and the answer; for psycopg2 and psycopg.

    Args:
        driver: the module to import.
        options: of its ``connect``.
        settings: the statements that come first.
        question: the query.
    """
    connect = importlib.import_module(driver).connect
    with closing(
        connect(**options, connect_timeout=_CONNECT_TIMEOUT, application_name=_build_application_name())
    ) as connection:
        cursor = connection.cursor()
        cursor.execute(f"{settings} {question}")
        while cursor.description is None:  # psycopg keeps the answer of each statement, and begins with the first
            cursor.nextset()
        return connection.info.backend_pid, cursor.fetchone()


def _query_asyncpg(driver: str, options: ConnectOptions, settings: str, question: str) -> tuple[int, Any]:
    import asyncio  # noqa: PLC0415 - the others do without, and it costs as much as a probe

    connect = importlib.import_module(driver).connect

    async def query() -> tuple[int, Any]:
        named = {"application_name": _build_application_name()}
        connection = await connect(**options, timeout=_CONNECT_TIMEOUT, server_settings=named)
        try:
            await connection.execute(settings)
            return connection.get_server_pid(), tuple(await connection.fetchrow(question))
        finally:
            await connection.close()

    return asyncio.run(query())


def _build_application_name() -> str:
    return f"hosting.alembic plan {socket.gethostname()}"[:63]
