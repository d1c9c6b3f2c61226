# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who wrote what in a MariaDB database: that is not known yet, so all of it counts as others'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..comparison import Comparison
from ..data import Archive, Counted, Writes, WrittenRows
from ..interface import Report
from ..write_tracker import WriteTracker

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .session import MariaDBSession

_UNKNOWN = "it is not known who wrote rows on MariaDB"


class MariaDBWriteTracker(WriteTracker):
    """Knows nothing, so that nothing is downgraded or restored that others may have written."""

    counts_transactions = False

    def __init__(self, engine: MariaDBSession) -> None:
        self.engine = engine

    def count_transaction(self, connection: Connection, held: bool = False) -> Counted:
        """Count nothing."""
        return Counted()

    def check_other_writers(self, connection: Connection) -> None:
        """Check nothing."""

    def content(self) -> dict[str, str] | None:
        """Return that others may have written."""
        return None

    def content_digest(self, written_rows: WrittenRows) -> dict[str, Any]:
        """Remember nothing."""
        return {}

    def later_writes(self, written_rows: WrittenRows) -> Writes:
        """Return that it is not known."""
        return Writes(unknown=_UNKNOWN)

    def writes_into_made(self, written_rows: WrittenRows) -> Writes:
        """Return the same."""
        return Writes(unknown=_UNKNOWN)

    def still_writes(self, connection: Connection, written_rows: WrittenRows) -> Writes:
        """Return the same."""
        return Writes(unknown=_UNKNOWN)

    def rows_changed(self, archive: Archive, ours: dict[str, int]) -> list[str]:
        """Return all tables of the backup."""
        return sorted(archive.row_counts or {})

    def compare(self, archive: Archive, written_rows: WrittenRows, limit: int, report: Report) -> Comparison:
        """Return that nothing was compared, which counts as different."""
        return Comparison(not_compared=[_UNKNOWN])

    def writes_since(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Return that it is not known."""
        return Writes(unknown=_UNKNOWN)
