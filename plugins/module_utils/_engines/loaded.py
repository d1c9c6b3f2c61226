# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of the engines that a job needs, loaded at once.

What works on a database may outlive the module, whose archive is gone then, or have become a user who cannot read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .._core.urls import find_backend
from .parts import load_rehearser, load_restorer, load_write_tracker
from .places import ENGINES
from .registry import load_engine

if TYPE_CHECKING:
    from .._core.job import Database


def load_engines(databases: Iterable[Database]) -> None:
    """Load the engines of databases with all their parts, before a process is forked that works on one."""
    for backend in {find_backend(database.direct_url or database.url) for database in databases}:
        if backend in ENGINES:
            for load in (load_engine, load_restorer, load_write_tracker, load_rehearser):
                load(backend)
