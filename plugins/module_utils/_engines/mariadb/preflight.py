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
from .not_transactional import refusals
from .privileges import FOR_BACKUP, FOR_MIGRATION, FOR_ROUTINES, lacking, privileges_on, read_grants
from .quoting import grant_pattern, grantee
from .same_name import is_ours, same_name
from .swap_state import find_reserved_names
from .versions import version_number

if TYPE_CHECKING:
    from .session import MariaDBSession

_READ_ONLY = "select @@global.read_only"
_REPLICATES = """
select variable_value from information_schema.global_status where variable_name = 'SLAVES_RUNNING'
"""
_HIDDEN = f"""
select routine_name from information_schema.routines
 where {same_name("routine_schema", "database()")} and routine_definition is null order by 1
"""
#: Bytes that a dump takes: it has no indexes, and two letters for a byte of what is not text.
_DUMP_SIZE = f"""
select coalesce(sum(data_length * if(exists (
         select 1 from information_schema.columns c
          where {same_name("c.table_schema", "database()")} and {same_name("c.table_name", "t.table_name")}
            and (c.data_type like '%blob' or c.data_type like '%binary')), 2, 1)), 0)
  from information_schema.tables t
 where {same_name("t.table_schema", "database()")} and not {is_ours("t.table_name")}
"""
_HISTORY_SINCE = (10, 11)
_MOST_NAMED = 5


def obstacles(
    engine: MariaDBSession, own: OwnConnection, backup_space: Path, without_transactions: dict[str, str]
) -> list[Refused]:
    """Return what would stop a backup and an upgrade now.

    Args:
        engine: of the database.
        own: a connection of our own.
        backup_space: a folder on the disk that a backup goes to.
        without_transactions: the tables that take part in none, as ``not_transactional`` returns them.
    """
    found = [*_standby(engine, own), *_client_programs(engine, own)]
    found += _privileges(engine, own, needs_locks=bool(without_transactions))
    found += [obstacle for check in (_find_hidden, _views, _history) for obstacle in check(engine, own)]
    found += refusals(engine, without_transactions)
    found += find_reserved_names(own, engine.name_on_server)
    size = int(own.rows(_DUMP_SIZE)[0][0])
    return found + disk_space.lacking(engine.database.name, [disk_space.backup(engine.job, backup_space, size)])


def _standby(engine: MariaDBSession, own: OwnConnection) -> Iterator[Refused]:
    is_read_only = bool(int(own.rows(_READ_ONLY)[0][0]))
    rows = own.rows(_REPLICATES)
    if is_read_only or (rows and int(rows[0][0])):
        yield Refused(
            f"Database {engine.database.name!r} is on a replica, or on a server that is read_only",
            "read_only is on" if is_read_only else "the server replicates from another one",
            "Name the primary in its url",
            code="server-is-standby",
        )


def _client_programs(engine: MariaDBSession, own: OwnConnection) -> Iterator[Refused]:
    server = version_number(str(own.rows("select version()")[0][0]))
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


def _privileges(engine: MariaDBSession, own: OwnConnection, needs_locks: bool) -> Iterator[Refused]:
    granted = privileges_on(engine.name_on_server, own.run(read_grants))
    wanted = [*FOR_BACKUP, *FOR_MIGRATION] + ([] if granted & set(FOR_ROUTINES) else [FOR_ROUTINES[0]])
    if needs_locks:
        wanted.append("LOCK TABLES")
    missing = lacking(granted, wanted)
    if missing:
        yield Refused(
            f"Database {engine.database.name!r} cannot be backed up and migrated by its user",
            f"{engine.url.username} lacks {', '.join(missing)} on the whole of it",
            f"GRANT {', '.join(missing)} ON {grant_pattern(engine.name_on_server)}.* TO {_user_of(own)}",
            code="privileges-missing",
        )


def _user_of(own: OwnConnection) -> str:
    return grantee(str(own.rows("select current_user()")[0][0]))


def _find_hidden(engine: MariaDBSession, own: OwnConnection) -> Iterator[Refused]:
    hidden = [str(name) for (name,) in own.rows(_HIDDEN)]
    if hidden:
        yield Refused(
            f"Database {engine.database.name!r} cannot be backed up by its user",
            f"the body of {', '.join(hidden[:_MOST_NAMED])} is shown only to the user who made it",
            f"GRANT SELECT ON mysql.proc TO {_user_of(own)}, or make the routine anew as that user",
            code="privileges-missing",
        )


def _views(engine: MariaDBSession, own: OwnConnection) -> Iterator[Refused]:
    """Name the views that mariadb-dump would stop at."""
    invalid = [str(name) for (name,) in own.rows(INVALID_VIEWS)]
    if invalid:
        yield Refused(
            f"Database {engine.database.name!r} cannot be backed up",
            f"mariadb-dump stops at views of which a table, a column or a right is gone:"
            f" {', '.join(invalid[:_MOST_NAMED])}",
            "Drop these views, or make what they read",
            code="view-invalid",
        )


def _history(engine: MariaDBSession, own: OwnConnection) -> Iterator[Refused]:
    versioned = [str(name) for name, kind, _engine in own.rows(TABLES) if kind == VERSIONED]
    tool = client_tools.find_tool("dump")
    server = version_number(str(own.rows("select version()")[0][0]))
    if versioned and (server < _HISTORY_SINCE or (tool and tool.number < _HISTORY_SINCE)):
        yield Refused(
            f"Database {engine.database.name!r} cannot be backed up with all that is in it",
            f"the history of {', '.join(versioned[:_MOST_NAMED])} is in no dump before MariaDB 10.11",
            "Upgrade the server and its client, or drop the system versioning",
            code="history-not-dumped",
        )
