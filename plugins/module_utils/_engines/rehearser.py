# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of the part of an engine that rehearses on copies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from .comparison import Comparison
from .data import Archive, Content, RetainedCopy
from .interface import Report, Scratch

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class Rehearser(ABC):
    """Makes copies of a database, and reads what a rehearsal wants to know of them."""

    def read_copy(self, archive: Archive, leave_out: frozenset[str], in_full: bool, report: Report) -> Any:
        """Return what a rehearsal's copy holds that was just filled from an archive, for ``compare_copy``.

        Args:
            archive: the backup.
            leave_out: version tables, as schema.table.
            in_full: also read the rows.
            report: is called with what is being read.

        Raises:
            Failed: the copy does not hold what the archive holds.
        """
        return None

    def compare_copy(
        self, before: Any, archive: Archive, leave_out: frozenset[str], in_full: bool, report: Report
    ) -> Comparison:
        """Compare a copy whose revisions were all undone with what it was; sequences that moved are in the notes.

        Args:
            before: what ``read_copy`` returned.
            archive: the backup.
            leave_out: as for ``read_copy``.
            in_full: as for ``read_copy``.
            report: is called with what is being compared.
        """
        return Comparison()

    def check_place(self) -> None:
        """Check, for a plan, that a copy can be made; what is not checked here ``scratch`` does.

        Raises:
            Refused: it cannot.
        """
        return

    @abstractmethod
    def open_scratch(self, archive: Archive, report: Report) -> AbstractContextManager[Scratch]:
        """Return a place for a copy of a backup, empty at first and dropped at the end, whatever happens.

        What a rehearsal that was killed has left of this database is dropped before.

        Raises:
            Refused: there is no place for one.
        """

    @abstractmethod
    def list_scratches(self) -> list[RetainedCopy]:
        """Return the copies that killed rehearsals of this database have left."""

    @abstractmethod
    def drop_scratch(self, scratch: RetainedCopy) -> None:
        """Drop such a copy, unless a rehearsal works with it by now."""

    @abstractmethod
    def read_contents(self, connection: Connection, leave_out: frozenset[str], in_full: bool) -> dict[str, Content]:
        """Return what each table holds, but for those in ``leave_out``; without ``in_full`` rows are only counted."""

    @abstractmethod
    def measure_disk_usage(self) -> int:
        """Return the bytes that the database takes on the disk now, with what is not committed yet."""

    def read_locks(self) -> set[tuple[str, str]]:
        """Return the locks that others hold on tables, as (table, mode), where the engine has such."""
        return set()

    @staticmethod
    def find_strongest_mode(modes: set[str]) -> str:
        """Return the mode of a lock that conflicts with most others."""
        return max(modes)
