# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that a connection of SQLite writes to, as its authorizer hears when a statement is compiled."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from .unseen_writes import is_memory

# Python 3.9 names only some of them, and SQLite never changes them.
OK, DENY = 0, 1
WRITES = {9: "delete", 18: "insert", 23: "update"}
PRAGMA, ATTACH, ALTER = 19, 24, 26
#: What makes or drops an index, a table, a trigger, a view, a virtual table.
DEFINES = frozenset({1, 2, 7, 8, 10, 11, 16, 17, 29, 30})
#: What makes or drops an object that lasts, or changes rows: REINDEX and ANALYZE as well.
_CHANGES = frozenset({*DEFINES, *WRITES, 27, 28})
#: Settings that a file keeps and that are content of the application's.
_LASTING = {"user_version", "application_id"}
#: A file that was attached by a parameter, which the authorizer is not given.
BY_PARAMETER = "a file that it attached by a parameter"


class FileWatch:
    """Reports which files the statements of one connection write to."""

    def __init__(self, main: str, write: Callable[[str], None]) -> None:
        """Begin.

        Args:
            main: the path of what the connection has opened, "" for memory.
            write: is called with the path of a file before it is written to.
        """
        self._main = main
        self._write = write
        self._attached: list[str] = []

    def authorize(self, action: int, first: Any, second: Any, schema: Any, _inner: Any = None) -> int:
        """Permit all: an authorizer, or what another one passes on."""
        with suppress(Exception):  # an error in here would refuse the statement
            if action == ATTACH:
                self._attached += [locate_file(first)] if first is None or not is_memory(first) else []
            elif action == ALTER:
                self._report_change(first)
            elif action in _CHANGES or (action == PRAGMA and second is not None and str(first).lower() in _LASTING):
                self._report_change(schema)
        return OK

    def _report_change(self, schema: Any) -> None:
        if schema in (None, "main"):
            if self._main:
                self._write(self._main)
        elif schema not in ("temp", "vacuum_db"):
            for path in self._attached:  # which of them has that name is not known
                self._write(path)


def find_main_file(connection: Any) -> str:
    """Return the path of what a driver's connection has opened, "" for memory."""
    cursor = connection.cursor()
    cursor.execute("pragma database_list")
    files = {row[1]: row[2] for row in cursor.fetchall()}
    cursor.close()
    return str(files.get("main") or "")


def locate_file(name: Any) -> str:
    """Return the path that a name means, with which SQLite opens a file, or a text where the name is not known."""
    if name is None:
        return BY_PARAMETER
    words = os.fsdecode(name)
    return os.path.realpath(unquote(urlsplit(words).path) if words.startswith("file:") else words)
