# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The common base of engines whose databases are on a server."""

from __future__ import annotations

from .data import Identity
from .interface import Engine


class ServerEngine(Engine):
    """An engine that queries a server for which database it is, once: the answer does not change in a run."""

    _own_identity: Identity | None = None

    def read_own_identity(self) -> Identity:
        """Query the server once."""
        if self._own_identity is None:
            self._own_identity = self.open_own_connection().run(self.read_identity)
        return self._own_identity

    def take_identity(self, identity: Identity) -> None:
        """Need no connection of its own for it."""
        self._own_identity = identity
