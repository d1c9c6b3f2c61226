# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part that restores a MariaDB database: it refuses, so that a failure which needs it is held."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import REPLACED_NOTHING, Refused
from ..data import Archive, Restored, RestoreMethod, RetainedCopy
from ..interface import Guard, Report
from ..restorer import Restorer
from .client_tools import command_by_hand

if TYPE_CHECKING:
    from .session import MariaDBSession


def refusal(name: str) -> Refused:
    """Return why nothing is restored."""
    return Refused(
        f"Database {name!r} cannot be restored by itself",
        "a backup of MariaDB is not restored automatically yet",
        "Restore it by hand with the command that is printed beside it",
        code=REPLACED_NOTHING,
    )


def restore_method(engine: MariaDBSession) -> RestoreMethod:
    """Return that there is none."""
    return RestoreMethod("by_hand", obstacle=refusal(engine.database.name))


class MariaDBRestorer(Restorer):
    """Restores nothing."""

    restores_quickly = False

    def __init__(self, engine: MariaDBSession) -> None:
        self.engine = engine

    def remove_unfinished(self, before: list[str]) -> list[str]:
        """Remove nothing."""
        return []

    def restore(self, archive: Archive, run: str, report: Report, guard: Guard) -> Restored:
        """Refuse."""
        raise refusal(self.engine.database.name)

    def list_retained(self) -> list[RetainedCopy]:
        """Return nothing: nothing was ever replaced."""
        return []

    def drop_retained(self, copy: RetainedCopy) -> None:
        """Drop nothing."""

    def command_by_hand(self, dump: Path) -> str:
        """Return how the client reads the dump into the database."""
        return command_by_hand(self.engine.url, dump)
