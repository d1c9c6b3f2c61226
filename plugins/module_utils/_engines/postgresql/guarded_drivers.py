# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that env.py opens by a driver itself, past SQLAlchemy: they are read-only from the start.

A driver that is not imported yet is guarded when it is: importing it here takes time, and env.py may have to patch
threads and sockets before.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..connection import OPENING_OWN
from ..importing import AtImport
from .session import READ_ONLY, make_read_only, read_only_statement

#: What was replaced: where, its name, and what it was.
Replaced = list[tuple[Any, str, Any]]


@contextmanager
def guard_drivers(but: str = "") -> Iterator[None]:
    """Guard what drivers connect inside the block, unless it leads to the database of this name."""
    replaced: Replaced = []
    importing = AtImport(_GUARDS, lambda module: _guard(module, replaced, but))
    for name in _GUARDS:
        if name in sys.modules:
            _guard(sys.modules[name], replaced, but)
    sys.meta_path.insert(0, importing)
    try:
        yield
    finally:
        sys.meta_path.remove(importing)
        for place, name, original in reversed(replaced):
            setattr(place, name, original)


def _guard(module: Any, replaced: Replaced, but: str) -> None:
    for place, name, guarded in _GUARDS[module.__name__](module):
        original = vars(place)[name]
        replaced.append((place, name, original))
        setattr(place, name, guarded(original, but))


def _of_psycopg(module: Any) -> list[tuple[Any, str, Any]]:
    classes = [(module.Connection, "connect", _read_only_class), (module.AsyncConnection, "connect", _read_only_async)]
    return [(module, "connect", _read_only), *classes]


def _of_asyncpg(module: Any) -> list[tuple[Any, str, Any]]:
    return [(place, "connect", _read_only_asyncpg) for place in (module, module.connection)]


#: What is replaced in each driver, and by what.
_GUARDS: dict[str, Callable[[Any], list[tuple[Any, str, Any]]]] = {
    "psycopg2": lambda module: [(module, "connect", _read_only)],
    "psycopg": _of_psycopg,
    "asyncpg": _of_asyncpg,
    "pg8000": lambda module: [(module, "connect", _read_only)],
    "pg8000.dbapi": lambda module: [(module, "connect", _read_only)],
    "pg8000.native": lambda module: [(module.Connection, "__init__", _read_only_native)],
}


def _read_only(original: Any, but: str) -> Any:
    @functools.wraps(original)
    def connect(*args: Any, **keywords: Any) -> Any:
        connection = original(*args, **keywords)
        if not OPENING_OWN.get() and not (keywords.get("async_") or keywords.get("async")):
            make_read_only(connection, but)
        return connection

    return connect


def _read_only_class(original: Any, but: str) -> Any:
    @functools.wraps(original.__func__)
    def connect(kind: Any, *args: Any, **keywords: Any) -> Any:
        connection = original.__func__(kind, *args, **keywords)
        if not OPENING_OWN.get():
            make_read_only(connection, but)
        return connection

    return classmethod(connect)


def _read_only_async(original: Any, but: str) -> Any:
    @functools.wraps(original.__func__)
    async def connect(kind: Any, *args: Any, **keywords: Any) -> Any:
        connection = await original.__func__(kind, *args, **keywords)
        if not OPENING_OWN.get():
            await connection.execute(read_only_statement(but))
            await connection.commit()
        return connection

    return classmethod(connect)


def _read_only_asyncpg(original: Any, but: str) -> Any:
    @functools.wraps(original)
    def connect(*args: Any, **keywords: Any) -> Any:
        return original(*args, **keywords) if OPENING_OWN.get() else _connect_guarded(original, args, keywords, but)

    return connect


async def _connect_guarded(original: Any, args: Any, keywords: Any, but: str) -> Any:
    if but:
        connection = await original(*args, **keywords)
        if await connection.fetchval("select current_database()") == but:
            return connection
        await connection.close()
    # A pool resets what its connections have set, and not what they began with.
    settings = {**(keywords.get("server_settings") or {}), READ_ONLY: "on"}
    try:
        connection = await original(*args, **{**keywords, "server_settings": settings})
    except Exception as error:
        if READ_ONLY not in str(error):  # a pooler takes few settings
            raise
        connection = await original(*args, **keywords)
        await connection.execute(read_only_statement())
    return connection


def _read_only_native(original: Any, but: str) -> Any:
    @functools.wraps(original)
    def connect(connection: Any, *args: Any, **keywords: Any) -> None:
        original(connection, *args, **keywords)
        connection.run(read_only_statement(but))

    return connect
