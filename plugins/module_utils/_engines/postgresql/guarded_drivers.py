# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that env.py opens by a driver itself, past SQLAlchemy: they are read-only from the start."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...connection import OPENING_OWN
from .session import make_read_only


@contextmanager
def guarded_drivers() -> Iterator[None]:
    """Guard what synchronous drivers connect inside the block."""
    replaced: list[tuple[Any, Any]] = []
    for name in ("psycopg2", "psycopg"):
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            continue
        replaced.append((module, module.connect))
        module.connect = _read_only_from_the_start(module.connect)
    try:
        yield
    finally:
        for module, connect in replaced:
            module.connect = connect


def _read_only_from_the_start(original: Any) -> Any:
    @functools.wraps(original)
    def connect(*args: Any, **keywords: Any) -> Any:
        connection = original(*args, **keywords)
        if not OPENING_OWN.get() and not (keywords.get("async_") or keywords.get("async")):
            make_read_only(connection)
        return connection

    return connect
