# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of a statement, read without SQLAlchemy and without a driver: no release need be on the host yet."""

from __future__ import annotations

from typing import Any

from .._core.errors import Refused
from .._core.urls import backend_of
from .mariadb.select_rows import select_rows as select_from_mariadb
from .postgresql.select_rows import select_rows as select_from_postgresql
from .sqlite.select_rows import select_rows as select_from_sqlite

_READERS = {"mariadb": select_from_mariadb, "postgresql": select_from_postgresql, "sqlite": select_from_sqlite}


def select_rows(
    url: str, password: str | None, statement: str, *, folder: str, seconds: float, most: int, largest: int
) -> list[dict[str, Any]]:
    """Return the rows of one statement that reads, by their columns.

    Args:
        url: of the database, as SQLAlchemy writes it.
        password: its password, where it is not in the URL.
        statement: the statement.
        folder: of the client programs; empty for the newest.
        seconds: that it may take.
        most: rows that are read.
        largest: bytes of the answer.

    Raises:
        Refused: there is no such type of database.
        Failed: it cannot be reached, or the statement failed or took too long.
    """
    reader = _READERS.get(backend_of(url))
    if reader is None:
        raise Refused(
            "The database that lists the others cannot be queried",
            f"its URL names {backend_of(url)!r}, and known are {', '.join(sorted(_READERS))}",
            "Correct the url of the source, or list the databases with a command",
            code="database-type-unsupported",
        )
    return reader(url, password, statement, folder=folder, seconds=seconds, most=most, largest=largest)
