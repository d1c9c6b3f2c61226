# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A probe of a SQLite file; one that is not there is not made."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..._core.run_as import act_as, read_user
from ..data import Identity, Probe
from ..sql import qualify_name
from .birth import read_birth
from .location import check_is_file, check_links


def read_probe(connect_options: dict[str, Any], _password: str | None, table: str) -> Probe:
    """Return the heads of a version table.

    Raises:
        sqlite3.Error: the file or the table cannot be read.
        Refused: it is behind a link of another user.
    """
    check_links(connect_options["path"], "")
    path = os.path.realpath(connect_options["path"])
    check_is_file(path, "")
    found = os.stat(path)
    with act_as(read_user(found.st_uid)), open_read_only(Path(path)) as reader:
        rows = reader.execute(f"select version_num from {qualify_name(table)}")
        heads = sorted(row[0] for row in rows)
        number = format_file_number(found)
        return Probe(build_file_identity(path), describe_library(), heads, instance=number, made=read_birth(Path(path)))


def open_read_only(path: Path) -> closing[sqlite3.Connection]:
    """Return a connection that can only read, and makes no file that is not there."""
    return closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True))


@contextmanager
def keep_raw_text(connection: sqlite3.Connection) -> Iterator[None]:
    """Read text as it lies there, as bytearrays: it may not be UTF-8, and it is not a blob."""
    before, connection.text_factory = connection.text_factory, bytearray
    try:
        yield
    finally:
        connection.text_factory = before


def build_file_identity(path: str) -> Identity:
    """Return which database a file is."""
    return Identity("this host", path)


def format_file_number(found: os.stat_result) -> str:
    """Return what all hard links of a file have in common."""
    return f"{found.st_dev}:{found.st_ino}"


def describe_library() -> str:
    """Return the version of the library."""
    return f"SQLite {sqlite3.sqlite_version}"
