# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The result of a comparison of a database with a proven backup of it."""

from __future__ import annotations

from dataclasses import dataclass, field

_MOST_NAMED = 5


@dataclass(frozen=True)
class Comparison:
    """The differences between a database and a backup, in words, by who may have caused them.

    What was not compared counts as different: a comparison that was not made proves nothing.
    """

    #: Schema objects that differ, each as one line.
    schema: list[str] = field(default_factory=list)
    #: Tables, sequences and large objects whose content differs, and that the run may have written.
    rows: list[str] = field(default_factory=list)
    #: What could not be compared, each with the reason.
    not_compared: list[str] = field(default_factory=list)
    #: Content that differs because others wrote it: the run has provably not written there.
    others: list[str] = field(default_factory=list)
    #: Differences that do not count, such as the order of columns.
    notes: list[str] = field(default_factory=list)
    #: Settings that a file keeps and that differ.
    settings: list[str] = field(default_factory=list)

    @property
    def differences(self) -> list[str]:
        """Return all that counts as different from the backup."""
        return [*self.settings, *self.schema, *self.rows, *self.not_compared]

    @property
    def is_equal(self) -> bool:
        """Return whether the database is what the backup holds, but for what others wrote since."""
        return not self.differences

    def __str__(self) -> str:
        found = self.differences
        more = f"; and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        return "; ".join(found[:_MOST_NAMED]) + more
