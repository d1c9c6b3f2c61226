# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The obstacles to a backup and an upgrade of a MariaDB database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import Refused
from .. import disk_space
from ..connection import OwnConnection
from . import client_tools
from .catalog import INVALID_VIEWS, TABLES, VERSIONED
from .not_transactional import list_refusals
from .privileges import FOR_BACKUP, FOR_MIGRATION, FOR_ROUTINES, parse_privileges, read_grants, select_missing
from .quoting import quote_grant_pattern, quote_grantee
from .same_name import is_ours, match_name
from .swap_state import find_reserved_names
from .versions import parse_version

if TYPE_CHECKING:
    from .session import MariaDBSession

_READ_ONLY = "select @@global.read_only"
_REPLICATES = """
select variable_value from information_schema.global_status where variable_name = 'SLAVES_RUNNING'
"""
_HIDDEN = f"""
select routine_name from information_schema.routines
 where {match_name("routine_schema", "database()")} and routine_definition is null order by 1
"""
#: Bytes that a dump takes: it has no indexes, and two letters for a byte of what is not text.
_DUMP_SIZE = f"""
select coalesce(sum(data_length * if(exists (
         select 1 from information_schema.columns c
          where {match_name("c.table_schema", "database()")} and {match_name("c.table_name", "t.table_name")}
            and (c.data_type like '%blob' or c.data_type like '%binary')), 2, 1)), 0)
  from information_schema.tables t
 where {match_name("t.table_schema", "database()")} and not {is_ours("t.table_name")}
"""
_HISTORY_SINCE = (10, 11)
_MOST_NAMED = 5


def list_obstacles(
    engine: MariaDBSession, own: OwnConnection, backup_space: Path, without_transactions: dict[str, str]
) -> list[Refused]:
    """Return what would stop a backup and an upgrade now.

    Args:
        engine: of the database.
        own: a connection of our own.
        backup_space: a folder on the disk that a backup goes to.
        without_transactions: the tables that take part in none, as ``read_not_transactional`` returns them.
    """
    found = [*_check_standby(engine, own), *_check_client_programs(engine, own)]
    found += _check_privileges(engine, own, needs_locks=bool(without_transactions))
    found += [obstacle for check in (_find_hidden, _check_views, _check_history) for obstacle in check(engine, own)]
    found += list_refusals(engine, without_transactions)
    found += find_reserved_names(own, engine.name_on_server)
    size = int(own.query_rows(_DUMP_SIZE)[0][0])
    return found + disk_space.list_shortages(
        engine.database.name, [disk_space.build_backup_need(engine.job, backup_space, size)]
    )


def _check_standby(engine: MariaDBSession, own: OwnConnection) -> Iterator[Refused]:
    is_read_only = bool(int(own.query_rows(_READ_ONLY)[0][0]))
    rows = own.query_rows(_REPLICATES)
    if is_read_only or (rows and int(rows[0][0])):
        yield Refused(
            f"Database {engine.database.name!r} is on a replica, or on a server that is read_only",
            "read_only is on" if is_read_only else "the server replicates from another one",
            "Name the primary in its url",
            code="server-is-standby",
        )


def _check_client_programs(engine: MariaDBSession, own: OwnConnection) -> Iterator[Refused]:
    server = parse_version(str(own.query_rows("select version()")[0][0]))
    wanted = ".".join(map(str, server))
    remedy = f"Install mariadb-client {wanted} or newer on the host"
    found = client_tools.find_tool("dump")
    if found is None:
        yield Refused(
            f"There is no mariadb-dump for database {engine.database.name!r}",
            "none was found in PATH, and mysqldump of MySQL leaves out what only MariaDB has",
            remedy,
            code="client-program-missing",
        )
    elif found.number < server:
        yield Refused(
            f"mariadb-dump is too old for database {engine.database.name!r}",
            f"it is {found.version} at {found.path} and the server {wanted}",
            remedy,
            code="client-program-too-old",
        )


def _check_privileges(engine: MariaDBSession, own: OwnConnection, needs_locks: bool) -> Iterator[Refused]:
    granted = parse_privileges(engine.name_on_server, own.run(read_grants))
    wanted = [*FOR_BACKUP, *FOR_MIGRATION] + ([] if granted & set(FOR_ROUTINES) else [FOR_ROUTINES[0]])
    if needs_locks:
        wanted.append("LOCK TABLES")
    missing = select_missing(granted, wanted)
    if missing:
        yield Refused(
            f"Database {engine.database.name!r} cannot be backed up and migrated by its user",
            f"{engine.url.username} lacks {', '.join(missing)} on the whole of it",
            f"GRANT {', '.join(missing)} ON {quote_grant_pattern(engine.name_on_server)}.* TO {_read_grantee(own)}",
            code="privileges-missing",
        )


def _read_grantee(own: OwnConnection) -> str:
    return quote_grantee(str(own.query_rows("select current_user()")[0][0]))


def _find_hidden(engine: MariaDBSession, own: OwnConnection) -> Iterator[Refused]:
    hidden = [str(name) for (name,) in own.query_rows(_HIDDEN)]
    if hidden:
        yield Refused(
            f"Database {engine.database.name!r} cannot be backed up by its user",
            f"the body of {', '.join(hidden[:_MOST_NAMED])} is shown only to the user who made it",
            f"GRANT SELECT ON mysql.proc TO {_read_grantee(own)}, or make the routine anew as that user",
            code="privileges-missing",
        )


def _check_views(engine: MariaDBSession, own: OwnConnection) -> Iterator[Refused]:
    """Name the views that mariadb-dump would stop at."""
    invalid = [str(name) for (name,) in own.query_rows(INVALID_VIEWS)]
    if invalid:
        yield Refused(
            f"Database {engine.database.name!r} cannot be backed up",
            f"mariadb-dump stops at views of which a table, a column or a right is gone:"
            f" {', '.join(invalid[:_MOST_NAMED])}",
            "Drop these views, or make what they read",
            code="view-invalid",
        )


def _check_history(engine: MariaDBSession, own: OwnConnection) -> Iterator[Refused]:
    versioned = [str(name) for name, kind, _engine in own.query_rows(TABLES) if kind == VERSIONED]
    tool = client_tools.find_tool("dump")
    server = parse_version(str(own.query_rows("select version()")[0][0]))
    if versioned and (server < _HISTORY_SINCE or (tool and tool.number < _HISTORY_SINCE)):
        yield Refused(
            f"Database {engine.database.name!r} cannot be backed up with all that is in it",
            f"the history of {', '.join(versioned[:_MOST_NAMED])} is in no dump before MariaDB 10.11",
            "Upgrade the server and its client, or drop the system versioning",
            code="history-not-dumped",
        )
