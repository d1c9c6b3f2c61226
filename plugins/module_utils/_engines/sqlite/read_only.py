# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections of env.py's that change nothing, whether SQLAlchemy or env.py itself opens them.

For a process that is thrown away: what is done to the driver here is not undone for those who come later. SQLite's own
``query_only`` would refuse BEGIN EXCLUSIVE too, which changes nothing.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..connection import OPENING_OWN
from .probe import open_read_only

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_OK, _DENY, _IGNORE = 0, 1, 2
_PRAGMA, _ATTACH, _ALTER = 19, 24, 26
#: Everything that makes, drops or changes something in a schema that lasts, by its word.
_CHANGES = {
    1: "create index", 2: "create table", 7: "create trigger", 8: "create view", 9: "delete from", 10: "drop index",
    11: "drop table", 16: "drop trigger", 17: "drop view", 18: "insert into", 23: "update", 27: "reindex",
    28: "analyze", 29: "create virtual table", 30: "drop virtual table",
}  # fmt: skip
#: What a file keeps of them; given without a value they only read.
_LASTING = {"journal_mode", "user_version", "application_id", "auto_vacuum", "encoding", "page_size", "schema_version"}
_OWN = ("temp", "vacuum_db")


@contextmanager
def keep_read_only(path: Path, url: URL, root: Path, writes: list[str], *, with_copy: bool) -> Iterator[URL | None]:
    """Keep connections that are opened inside the block from changing anything that lasts.

    Args:
        path: the database.
        url: of the database.
        root: a folder of ours, where a copy may be.
        writes: receives what was refused.
        with_copy: yield the URL of a copy of the database, which may be changed.
    """
    if not with_copy:
        with _guard_connections(writes, None):
            yield None
        return
    with tempfile.TemporaryDirectory(dir=root if os.access(root, os.W_OK) else None) as folder:
        copy = _copy_file(path, folder)
        with _guard_connections(writes, copy):
            yield url.set(database=str(copy))


@contextmanager
def restrict_changes(path: Path, writes: list[str]) -> Iterator[None]:
    """Keep connections that are opened inside the block from changing another file than this one.

    Args:
        path: of the file.
        writes: receives what was refused.
    """
    with _guard_connections(writes, path):
        yield


@contextmanager
def _guard_connections(writes: list[str], copy: Path | None) -> Iterator[None]:
    original = sqlite3.dbapi2.connect

    def connect(*args: Any, **keywords: Any) -> Any:
        connection = original(*args, **keywords)
        if not OPENING_OWN.get():
            may_change_main = is_free(connection.execute("pragma database_list"), copy)
            connection.set_authorizer(_Guard(writes, may_change_main).authorize)
        return connection

    _replace(connect)
    try:
        yield
    finally:
        _replace(original)


def _copy_file(path: Path, folder: str) -> Path:
    target = Path(folder) / "copy.db"
    with open_read_only(path) as source, closing(sqlite3.connect(target)) as copy:
        copy.execute("pragma synchronous = off")
        source.backup(copy, pages=4096)
    return target


def _replace(connect: Callable[..., Any]) -> None:
    sqlite3.dbapi2.connect = connect
    sqlite3.connect = connect


def is_free(databases: Iterable[tuple[Any, ...]], copy: Path | None) -> bool:
    """Return whether a connection with these databases may change its own one: rows of PRAGMA database_list."""
    files = {row[1]: row[2] for row in databases}
    # A database in memory ends with its connection.
    return not files.get("main") or (copy is not None and os.path.realpath(files["main"]) == os.path.realpath(copy))


class _Guard:
    """The authorizer that SQLite calls when it compiles a statement of one connection."""

    def __init__(self, writes: list[str], may_change_main: bool) -> None:
        self._writes = writes
        self._free = {*_OWN, *(["main"] if may_change_main else [])}
        self._attached_a_file = False

    def authorize(self, action: int, first: Any, second: Any, schema: Any, _inner: Any) -> int:
        """Answer it; an error in here would refuse the statement without a reason."""
        with suppress(Exception):
            if action == _ATTACH:
                self._attached_a_file = self._attached_a_file or ":memory:" not in str(first)
            elif action == _PRAGMA and second is not None and str(first).lower() in _LASTING:
                return _OK if self._may_change(schema or "main") else _IGNORE
            elif action == _ALTER:
                return self._answer(f"alter table {second}", first)
            elif action in _CHANGES:
                return self._answer(f"{_CHANGES[action]} {second if action == 27 else first}", schema)
        return _OK

    def _may_change(self, schema: Any) -> bool:
        return schema in self._free or (schema not in ("main", None) and not self._attached_a_file)

    def _answer(self, what: str, schema: Any) -> int:
        if self._may_change(schema):
            return _OK
        self._writes.append(what)
        return _DENY
