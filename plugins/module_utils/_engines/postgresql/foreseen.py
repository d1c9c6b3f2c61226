# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would stop a restore of a PostgreSQL database, read beforehand; its own method says what no right allows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...engines import postgresql_dump as tools
from ...engines import space
from ...engines.data import Archive
from ...engines.postgresql_obstacles import data_directory, major_version
from ...engines.postgresql_restore import beside
from ...errors import Refused
from .sessions import not_to_be_ended

if TYPE_CHECKING:
    from ...engines.postgresql import PostgreSQL

_PREPARED = "select gid from pg_prepared_xacts where database = :database"
_MOST_NAMED = 5


def foreseen_obstacles(engine: PostgreSQL, archive: Archive) -> list[Refused]:
    """Return what would stop a restore by the method that would be chosen."""
    server = engine.own().run(major_version)
    tools.usable(engine.job.pg_bin, engine.database.name, server, archive.path)
    return [*_prepared(engine), *_sessions(engine), *_space(engine, archive.path)]


def _prepared(engine: PostgreSQL) -> Iterator[Refused]:
    prepared = engine.own().rows(_PREPARED, database=engine.name_on_server)
    if prepared:
        yield Refused(
            f"Database {engine.database.name!r} holds prepared transactions",
            ", ".join(gid for (gid,) in prepared),
            "Commit them or roll them back",
        )


def _sessions(engine: PostgreSQL) -> Iterator[Refused]:
    """Name who keeps a database from being renamed; in place, they count as those who may be writing."""
    if engine.restore_method().name != "swap":
        return
    with beside(engine) as (other, _url):
        left = not_to_be_ended(other, engine.name_on_server)
    if left:
        yield Refused(
            f"Database {engine.database.name!r} is in use, so it cannot be replaced",
            f"these sessions cannot be ended: {', '.join(left[:_MOST_NAMED])}",
            "End them, or grant pg_signal_backend to who restores",
        )


def _space(engine: PostgreSQL, dump: Path) -> list[Refused]:
    place = data_directory(engine, engine.own())
    if place is None:
        return []
    # What is not compressed and the indexes come on top; how much that is, an archive does not say.
    return space.lacking(engine.database.name, [space.Need("a restore", place, tools.size_of(dump))])
