# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine of each kind of database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..connection import migration_url
from .base import Engine
from .postgresql import PostgreSQL
from .sqlite import SQLite

if TYPE_CHECKING:
    from ..job import Database, Job

_ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (PostgreSQL, SQLite)}


def engine_for(database: Database, job: Job) -> Engine:
    """Return the engine of a database.

    Raises:
        Refused: its URL cannot be used.
    """
    url = migration_url(database)
    return _ENGINES[url.get_backend_name()](database, url, job)


def prepare(backends: Iterable[str], job: Job) -> None:
    """Find out once what every database of some backends would find out for itself."""
    for backend in backends:
        _ENGINES[backend].prepare(job)
