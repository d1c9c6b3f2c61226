# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine of each kind of database; it is loaded when one is requested."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .._core.errors import NAME_TWICE, ROW_LOST, ROW_UNFIT, Refused
from .._core.playbook_command import build_playbook_command
from .._core.urls import find_backend
from .interface import Engine
from .migration_url import build_migration_url
from .places import ENGINES, load_part

if TYPE_CHECKING:
    from .._core.job import Database, Job


def _refuse_if_unusable(database: Database) -> None:
    what = f"Database {database.name!r} cannot be used"
    if database.problem_code == ROW_LOST:
        raise Refused(what, database.problem, f"When that is done: {build_playbook_command('migrate')}", code=ROW_LOST)
    if database.problem_code == NAME_TWICE:
        raise Refused(what, database.problem, "Have the template of its source give another name", code=NAME_TWICE)
    if database.problem:
        raise Refused(what, database.problem, "Correct what the source returns, or exclude it", code=ROW_UNFIT)


def build_engine(database: Database, job: Job) -> Engine:
    """Return the engine of a database.

    Raises:
        Refused: its URL cannot be used, or what was found of it is not an entry.
    """
    _refuse_if_unusable(database)
    url = build_migration_url(database)
    if database.schema and not ENGINES[find_backend(url.drivername)].schemas:
        raise Refused(
            f"Database {database.name!r} has no schema {database.schema!r}",
            "only a database of PostgreSQL has schemas that are migrated one by one",
            "Remove `schema` from its entry",
            code="schema-not-supported",
        )
    return load_engine(find_backend(url.drivername))(database, url, job)


def prepare(backends: Iterable[str], job: Job) -> None:
    """Find out once what every database of some backends would find out for itself."""
    for backend in backends:
        load_engine(backend).prepare(job)


def load_engine(backend: str) -> type[Engine]:
    """Return the engine of a kind of database."""
    kind: type[Engine] = load_part(backend, "engine")
    return kind
