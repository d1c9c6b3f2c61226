# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Doing once, before the processes of the databases are forked, what each would do for itself."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._core.entries import ENTRIES
from .._core.errors import Refused
from .._core.job import Database, Job
from .._core.processes import redirect_output, run_in_processes
from .._core.urls import find_backend
from .._engines.connection import execute
from .._engines.migration_url import ASYNC_DRIVERS, build_migration_url, build_own_url, has_server
from .._engines.registry import prepare
from .._engines.sqlalchemy_import import sa
from .._release.source import Source
from .alembic_import import MigrationContext
from .command_line import prepare_command_line
from .scripts import build_configuration, load_revisions

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


def warm(job: Job, databases: Sequence[Database]) -> None:
    """Import what all need, and load the revisions if that is harmless; what fails here, each process says itself."""
    found: set[URL] = set()
    for database in databases:
        try:
            url = build_migration_url(database)
            found |= {sa.engine.URL.create(each.drivername) for each in (url, build_own_url(url))}
        except Refused:
            continue
    for module in ("logging.config", "alembic.op", "alembic.context"):
        importlib.import_module(module)
    prepare_command_line()
    prepare({find_backend(url.drivername) for url in found}, job)
    for url in found:
        try:
            _warm_dialect(url)
        except Exception:  # noqa: BLE001, S112 - its own process says so
            continue
    # Not where this process can get at the databases' secrets: a revision is a customer's code.
    if ENTRIES.descriptor < 0 and len(databases) > 1 and _see_the_same(job, databases) and _load_harmlessly(job):
        _load(job)


def _warm_dialect(url: URL) -> None:
    if url.get_driver_name() in ASYNC_DRIVERS:
        return  # it may start threads of its own, which a fork would lose
    engine = sa.create_engine(url.set(query={}), poolclass=sa.pool.NullPool)
    if not has_server(url):
        # In memory, and closed before anything is forked.
        with engine.connect() as connection:
            execute(connection, "select 1")
            MigrationContext.configure(connection).get_current_heads()


def _see_the_same(job: Job, databases: Sequence[Database]) -> bool:
    """Return whether the code of a revision would find the same process around it for every database."""
    return not job.setup and not any(database.environment or database.url_variables for database in databases)


def _load_harmlessly(job: Job) -> bool:
    """Load the revisions in a process that is thrown away, and return whether that started threads or failed.

    They import what the application likes, and a fork would lose its threads.
    """
    answers: list[Any] = []

    def load_modules(_item: None) -> bool:
        redirect_output(os.devnull)
        _load(job)
        return threading.active_count() == 1

    run_in_processes([None], 1, load_modules, job.plan_timeout, lambda _item, answer: answers.append(answer))
    return answers == [True]


def _load(job: Job) -> None:
    source = Source(job.layout.release(job.release) / "source")
    load_revisions(build_configuration(source, job.alembic_options), source)
