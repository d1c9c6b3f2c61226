# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores of PostgreSQL: by swap, or in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._core.errors import Refused
from ..connection import execute
from ..data import Archive, Restored, RetainedCopy
from ..interface import Guard, Report
from ..restorer import Restorer
from . import by_hand, catalog_queries, dropped, retained
from .attempts import restore_by
from .foreseen import foresee_obstacles
from .rendering import fix_rendering, normalise_line
from .session import drop_index
from .swap_state import recover_interrupted_restore

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


from .session import PostgreSQLSession


class PostgreSQLRestorer(Restorer):
    """Restores by swap where a database can be made, else in place."""

    restores_quickly = False

    def __init__(self, engine: PostgreSQLSession) -> None:
        self.engine = engine

    def make_if_dropped(self, archive: Archive, report: Report) -> bool:
        """Make it where the server has none of that name."""
        if not dropped.is_dropped(self.engine):
            return False
        if self.engine.database.schema:
            raise Refused(
                f"The database of schema {self.engine.database.schema!r} is not on its server any more",
                "the backup holds that schema alone",
                "Bring the database back first",
                code="database-of-schema-gone",
            )
        report("makes the database, which is not on its server any more")
        dropped.make_again(self.engine, archive)
        return True

    def drop_empty(self) -> None:
        """Drop it if there is nothing in it."""
        dropped.drop_empty(self.engine)

    def check_recreation(self, archive: Archive) -> list[Refused] | None:
        """Return who may not make it."""
        if not dropped.is_dropped(self.engine):
            return None
        user = dropped.may_make(self.engine)
        return [dropped.build_missing_refusal(self.engine, archive, user)] if user else []

    def is_empty(self) -> bool:
        """Search for anything that is not a new database's own."""
        return dropped.holds_nothing(self.engine)

    def remove_unfinished(self, before: list[str], left: list[str], executed: list[str]) -> list[str]:
        """Drop INVALID indexes that were not there before, valid or not: what a concurrent build leaves that failed."""
        own = self.engine.open_own_connection()
        removed = []
        for schema, name, line in own.run(_read_invalid_indexes):
            valid = line.replace(" valid f ", " valid t ").replace(" ready f", " ready t")
            if {normalise_line(line), normalise_line(valid)} & set(before):
                continue
            own.run(drop_index, schema, name)
            removed.append(normalise_line(line))
        return removed

    def foresee_obstacles(self, archive: Archive) -> list[Refused]:
        """Read who could not be ended, what was prepared, and how much space there is."""
        return foresee_obstacles(self.engine, archive)

    def restore(self, archive: Archive, run: str, report: Report, guard: Guard) -> Restored:
        """Restore as ``restore_method`` says."""
        method = self.engine.choose_restore_method()
        if method.obstacle:
            raise method.obstacle
        return restore_by(self.engine, method, archive, run, report, guard)

    def recover_interrupted_restore(self) -> list[str]:
        """Open the database again and drop the scratch database, if a swap died."""
        return recover_interrupted_restore(self.engine)

    def list_retained(self) -> list[RetainedCopy]:
        """Return replaced databases, and schemas of replaced objects."""
        return retained.of(self.engine)

    def drop_retained(self, copy: RetainedCopy) -> None:
        """Drop a replaced database, or the schemas of one restore."""
        retained.drop(self.engine, copy)

    def find_restore_rights(self, archive: Archive) -> tuple[str, dict[str, Any]] | None:
        """Return the statements that let the owner restore."""
        return by_hand.find_restore_rights(self.engine)

    def build_manual_command(self, archive: Archive) -> str:
        """Return the commands by which an administrator and its user put a dump in the place of the held database."""
        return by_hand.build_manual_command(self.engine, archive)


def _read_invalid_indexes(connection: Connection) -> list[tuple[Any, ...]]:
    with fix_rendering(connection):
        return execute(connection, catalog_queries.INVALID_INDEXES)
