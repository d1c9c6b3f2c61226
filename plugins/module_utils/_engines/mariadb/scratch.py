# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part that rehearses on copies of a MariaDB database: it refuses."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ..._core.errors import Refused
from ..data import Archive, Content, RetainedCopy
from ..interface import Report, Scratch
from ..rehearser import Rehearser

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .session import MariaDBSession


class MariaDBRehearser(Rehearser):
    """Makes no copies."""

    def __init__(self, engine: MariaDBSession) -> None:
        self.engine = engine

    def scratch(self, archive: Archive, report: Report) -> AbstractContextManager[Scratch]:
        """Refuse."""
        raise Refused(
            f"Database {self.engine.database.name!r} cannot be rehearsed",
            "there are no rehearsals on MariaDB yet",
            "Try the migration on a copy of your own",
            code="rehearsal-not-supported",
        )

    def scratches(self) -> list[RetainedCopy]:
        """Return nothing: there never were any."""
        return []

    def drop_scratch(self, scratch: RetainedCopy) -> None:
        """Drop nothing."""

    def contents(self, connection: Connection, leave_out: frozenset[str], in_full: bool) -> dict[str, Content]:
        """Read nothing."""
        return {}

    def disk_usage(self) -> int:
        """Return nothing of a copy that there is not."""
        return 0
