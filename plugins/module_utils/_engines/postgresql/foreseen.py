# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The obstacles to a restore of a PostgreSQL database, read beforehand; ``restore_method`` has those of rights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import Refused
from .. import disk_space
from ..data import Archive
from . import client_tools
from .other_sessions import build_in_use_refusal, build_prepared_refusal, read_unendable_sessions
from .preflight import read_data_directory
from .restore_method import open_other_database
from .session import read_major_version

if TYPE_CHECKING:
    from .session import PostgreSQLSession


def foresee_obstacles(engine: PostgreSQLSession, archive: Archive) -> list[Refused]:
    """Return what would stop a restore by the method that would be chosen."""
    server = engine.open_own_connection().run(read_major_version)
    client_tools.choose_tools(engine.job.pg_bin, engine.database.name, server, archive.path)
    prepared = build_prepared_refusal(engine.open_own_connection(), engine.name_on_server, engine.database.name)
    return [
        *([prepared] if prepared else []),
        *_list_session_obstacles(engine),
        *list_space_shortages(engine, archive.path),
    ]


def _list_session_obstacles(engine: PostgreSQLSession) -> Iterator[Refused]:
    """Name who keeps a database from being renamed; in place, they count as those who may be writing."""
    if engine.choose_restore_method().name != "swap":
        return
    with open_other_database(engine) as (other, _url):
        left = read_unendable_sessions(other, engine.name_on_server)
    if left:
        yield build_in_use_refusal(engine.database.name, left)


def list_space_shortages(engine: PostgreSQLSession, dump: Path) -> list[Refused]:
    """Return the lack of space for what is in a dump, on a server of this host."""
    place = read_data_directory(engine, engine.open_own_connection())
    if place is None:
        return []
    # What is not compressed and the indexes come on top; how much that is, an archive does not say.
    return disk_space.list_shortages(
        engine.database.name, [disk_space.Need("a restore", place, client_tools.measure_folder(dump))]
    )
