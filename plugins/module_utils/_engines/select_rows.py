# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of a statement, read without SQLAlchemy and without a driver: no release need be on the host yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._core.errors import Failed, Refused
from .._core.urls import find_backend
from .places import ENGINES, load_part


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
    if find_backend(url) not in ENGINES:
        raise Refused(
            "The database that lists the others cannot be queried",
            f"its URL names {find_backend(url)!r}, and known are {', '.join(sorted(ENGINES))}",
            "Correct the url of the source, or list the databases with a command",
            code="database-type-unsupported",
        )
    read: Callable[..., list[dict[str, Any]]] = load_part(find_backend(url), "select_rows")
    return read(url, password, statement, folder=folder, seconds=seconds, most=most, largest=largest)


def list_schemas(url: str, password: str | None, *, folder: str, seconds: float, most: int, largest: int) -> list[str]:
    """Return the names of the schemas of a database that may be migrated one by one, sorted.

    Args:
        url: as for ``select_rows``, like all others.

    Raises:
        Failed: databases of its kind have none, or it cannot be read.
    """
    backend = find_backend(url)
    statement = load_part(backend, "schemas") if backend in ENGINES else None
    if statement is None:
        raise Failed(
            "The schemas cannot be listed",
            f"a source of schemas is a database of PostgreSQL, and a url leads to one of {backend!r}",
            "Correct the url",
            code="database-type-unsupported",
        )
    rows = select_rows(url, password, statement, folder=folder, seconds=seconds, most=most, largest=largest)
    return sorted(str(row["schema"]) for row in rows)
