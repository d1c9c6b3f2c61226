# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock on a whole database."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Lock(ABC):
    """The lock on a whole database, held by a connection or file of its own."""

    @abstractmethod
    def check(self) -> None:
        """Raise Failed if the lock was lost."""

    @abstractmethod
    def release(self) -> None:
        """Give the lock back."""

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
