# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The obstacles to a backup and an upgrade of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import Refused
from .. import disk_space
from ..connection import OwnConnection
from ..sql import quote_name
from . import catalog_queries, client_tools
from .libpq_options import build_libpq_options, is_local
from .session import read_major_version

if TYPE_CHECKING:
    from .session import PostgreSQLSession


def list_obstacles(
    engine: PostgreSQLSession, own: OwnConnection, backup_space: Path, tables: Sequence[str]
) -> list[Refused]:
    """Return what would stop a backup and an upgrade now.

    Args:
        engine: of the database.
        own: a connection of our own.
        backup_space: a folder on the disk that a backup goes to.
        tables: the version tables (schema.table), as far as they are known.
    """
    checks = (_check_standby, _check_schema, _check_client_programs, _check_readable, _check_hidden_rows)
    found = [obstacle for check in checks for obstacle in check(engine, own)]
    return found + list(_check_creatable(engine, own, tables)) + _check_space(engine, own, backup_space)


def _check_standby(engine: PostgreSQLSession, own: OwnConnection) -> Iterator[Refused]:
    if own.query_rows("select pg_is_in_recovery()")[0][0]:
        yield Refused(
            f"Database {engine.database.name!r} is on a standby, which cannot be written",
            f"{build_libpq_options(engine.url).get('host', 'the server')} is in recovery",
            "Name the primary in its url",
            code="server-is-standby",
        )


def _check_schema(engine: PostgreSQLSession, own: OwnConnection) -> Iterator[Refused]:
    schema = engine.database.schema
    if schema and not own.query_rows("select 1 from pg_namespace where nspname = :schema", schema=schema):
        yield Refused(
            f"There is no schema {schema!r} in the database of {engine.database.name!r}",
            "what is backed up and migrated is that schema alone",
            f"Create it: CREATE SCHEMA {quote_name(schema)}; or correct the entry",
            code="schema-missing",
        )


def _check_client_programs(engine: PostgreSQLSession, own: OwnConnection) -> Iterator[Refused]:
    major = own.run(read_major_version)
    found = client_tools.find_tools(engine.job.pg_bin, major)
    where = engine.job.pg_bin or "PATH and /usr/lib/postgresql"
    remedy = f"Install postgresql-client-{major} or newer on the host, or set migrate_pg_bin"
    if found is None:
        yield Refused(
            f"There is no pg_dump for database {engine.database.name!r}",
            f"none was found in {where}",
            remedy,
            code="client-program-missing",
        )
    elif found.major < major:
        yield Refused(
            f"pg_dump is too old for database {engine.database.name!r}",
            f"it is {found.version} in {found.folder} and the server {major}",
            remedy,
            code="client-program-too-old",
        )


def _check_readable(engine: PostgreSQLSession, own: OwnConnection) -> Iterator[Refused]:
    closed = [
        f"{schema}.{table}"
        for schema, table, readable, _has_rows in own.query_rows(catalog_queries.TABLES)
        if not readable
    ]
    if closed:
        yield Refused(
            f"Database {engine.database.name!r} cannot be backed up by its user",
            f"{engine.url.username} may not read {', '.join(closed[:5])}{' …' if closed[5:] else ''}",
            "Grant SELECT on them, or name their owner in the url",
            code="privileges-missing",
        )


def _check_hidden_rows(engine: PostgreSQLSession, own: OwnConnection) -> Iterator[Refused]:
    """Name what pg_dump would stop at: a dump without the rows that a policy hides is none."""
    hiding = [f"{schema}.{table}" for schema, table in own.query_rows(catalog_queries.HIDING_ROWS)]
    if hiding:
        user = engine.url.username
        yield Refused(
            f"Database {engine.database.name!r} cannot be backed up by its user",
            f"row-level security hides rows of {', '.join(hiding[:5])}{' …' if hiding[5:] else ''} from {user}",
            f"Let it see them all (ALTER ROLE {user} BYPASSRLS, as a superuser), or ALTER TABLE {hiding[0]}"
            " NO FORCE ROW LEVEL SECURITY, or name a role in the url that may see them all",
            code="privileges-missing",
        )


def _check_creatable(engine: PostgreSQLSession, own: OwnConnection, tables: Sequence[str]) -> Iterator[Refused]:
    closed = [row[0] for row in own.query_rows(catalog_queries.CLOSED_SCHEMAS, tables=list(tables))]
    if closed or not own.query_rows(catalog_queries.MAY_CREATE)[0][0]:
        yield Refused(
            f"Database {engine.database.name!r} cannot be migrated by its user",
            f"{engine.url.username} may not create tables in " + (f"schema {closed[0]}" if closed else "any schema"),
            "Grant CREATE on the schema, or name its owner in the url",
            code="privileges-missing",
        )


def _check_space(engine: PostgreSQLSession, own: OwnConnection, backup_space: Path) -> list[Refused]:
    try:
        with engine.shorten_lock_timeout():
            dump = int(own.query_rows(catalog_queries.TABLE_BYTES)[0][0])
    except Exception as error:
        if not engine.is_lock_timeout(error):
            raise
        return []  # a table is locked, so its size is unknown now; the backup will wait for it
    needs = [disk_space.build_backup_need(engine.job, backup_space, dump)]
    data = read_data_directory(engine, own)
    if data:
        needs += disk_space.build_restore_need(engine.job, data, own.run(engine.measure_size))
    return disk_space.list_shortages(engine.database.name, needs)


def read_data_directory(engine: PostgreSQLSession, own: OwnConnection) -> Path | None:
    """Return where a server on this very host keeps its data; None where that is unknown."""
    if not is_local(engine.url):
        return None
    rows = own.query_rows("select current_setting('data_directory') where pg_has_role('pg_read_all_settings', 'usage')")
    if not rows:
        return None
    try:
        # In a container it would be another's folder of that name.
        there = (Path(rows[0][0]) / "postmaster.pid").exists()
    except OSError:
        return None
    return Path(rows[0][0]) if there else None
