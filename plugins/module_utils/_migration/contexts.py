# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a reading transaction, which Alembic's MigrationContext leaves open."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .alembic_import import MigrationContext


def end_reading(context: MigrationContext, connection: Connection) -> None:
    """End the transaction that reading has begun, where nothing is to be done in it.

    The next context on the same connection would take it for one of env.py's own, and not commit.
    """
    of_others = context._in_external_transaction or context._transaction is not None
    if not of_others and connection.in_transaction() and hasattr(connection, "commit"):
        connection.commit()
