# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of the part of an engine that brings backups back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .._core.errors import Refused
from .data import Archive, Restored, RetainedCopy
from .interface import Guard, Report

#: As a shell reads it, for the names of what commands by hand keep: a second attempt would else write over what the
#: first has kept.
TIME_TYPED = '"$(date +%Y%m%d%H%M%S.%N)"'


class Restorer(ABC):
    """Brings backups back, and keeps what they replace."""

    #: Whether a restore takes no longer than a downgrade may.
    restores_quickly: bool
    #: Whether a restore compares what it copies with the archive's digest before it replaces anything.
    restores_checked_copies = False
    #: Whether what a restore replaces has its name exactly since the database was replaced.
    retained_means_replaced = True

    def is_readable(self) -> bool:
        """Return whether there is anything that a restore could lose; what is gone or damaged cannot be compared."""
        return True

    def make_if_dropped(self, archive: Archive, report: Report) -> bool:
        """Make a database that a restore needs and that is gone, empty, and return whether that was necessary.

        Raises:
            Refused: it may not be made.
        """
        return False

    def drop_empty(self) -> None:
        """Drop what ``make_if_dropped`` has made, where nothing was restored into it."""
        return

    def check_recreation(self, archive: Archive) -> list[Refused] | None:
        """Return what would stop ``make_if_dropped``, or None where there is a database; only reads."""
        return None

    def is_empty(self) -> bool:
        """Return whether there is nothing in the database that a restore could lose; a file says so by its rows."""
        return False

    @abstractmethod
    def remove_unfinished(self, before: list[str], left: list[str], executed: list[str]) -> list[str]:
        """Remove what a failed revision leaves half-made and useless, and return its lines of the fingerprint.

        Args:
            before: the fingerprint from before the run; what has a line in it stays.
            left: what the revision has left, as differences of fingerprints.
            executed: statements of the run that were permanent at once, where the engine reports such.
        """

    def foresee_obstacles(self, archive: Archive) -> list[Refused]:
        """Return what would stop a restore besides ``restore_method``, the backup and others' writes; only reads."""
        return []

    @abstractmethod
    def restore(self, archive: Archive, run: str, report: Report, guard: Guard) -> Restored:
        """Bring a dump back, verified, in the place of the database; what it replaces is retained.

        Args:
            archive: what to bring back.
            run: names what is retained.
            report: is called with how far it is.
            guard: has the last word before anything is replaced.

        Raises:
            Refused: it cannot be done, or the guard refused; the database is as it was.
            Failed: the dump is damaged, or a step failed; the database is as it was.
        """

    def recover_interrupted_restore(self) -> list[str]:
        """Undo what a restore left that died half-way, and return what was done.

        Raises:
            Refused: the server cannot be reached, or another restore is at work.
        """
        return []

    @abstractmethod
    def list_retained(self) -> list[RetainedCopy]:
        """Return what earlier restores of this database have left."""

    def drop_unused_retained(self, run: str) -> None:
        """Drop what a run's restore kept before it died, where it is still what the database holds."""
        return

    @abstractmethod
    def drop_retained(self, copy: RetainedCopy) -> None:
        """Drop what an earlier restore has left, for good."""

    def find_restore_rights(self, archive: Archive) -> tuple[str, dict[str, Any]] | None:
        """Return what to type so that a backup can be restored, and the variables it needs then; None if nothing does.

        The first may be empty.
        """
        return None

    @abstractmethod
    def build_manual_command(self, archive: Archive) -> str:
        """Return a command that a person can type to bring a backup back."""

    def build_user_command(self, archive: Archive) -> str:
        """Return a command by which the database's own user alone brings a backup back; nothing if there is none."""
        return ""
