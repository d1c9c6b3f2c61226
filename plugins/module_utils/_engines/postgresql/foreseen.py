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
from .other_sessions import in_use, not_to_be_ended, refusal_of_prepared
from .preflight import data_directory
from .restore_method import beside
from .session import major_version

if TYPE_CHECKING:
    from .session import PostgreSQLSession


def foresee_obstacles(engine: PostgreSQLSession, archive: Archive) -> list[Refused]:
    """Return what would stop a restore by the method that would be chosen."""
    server = engine.own_connection().run(major_version)
    client_tools.usable(engine.job.pg_bin, engine.database.name, server, archive.path)
    prepared = refusal_of_prepared(engine.own_connection(), engine.name_on_server, engine.database.name)
    return [*([prepared] if prepared else []), *_sessions(engine), *lacking_space(engine, archive.path)]


def _sessions(engine: PostgreSQLSession) -> Iterator[Refused]:
    """Name who keeps a database from being renamed; in place, they count as those who may be writing."""
    if engine.restore_method().name != "swap":
        return
    with beside(engine) as (other, _url):
        left = not_to_be_ended(other, engine.name_on_server)
    if left:
        yield in_use(engine.database.name, left)


def lacking_space(engine: PostgreSQLSession, dump: Path) -> list[Refused]:
    """Return the lack of space for what is in a dump, on a server of this host."""
    place = data_directory(engine, engine.own_connection())
    if place is None:
        return []
    # What is not compressed and the indexes come on top; how much that is, an archive does not say.
    return disk_space.lacking(engine.database.name, [disk_space.Need("a restore", place, client_tools.size_of(dump))])
