# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of a statement on a SQLite file, which is opened to read only."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ..._core.bounded import KeyTwice, refuse_repeated_keys
from ..._core.errors import CORRECT_IT, Failed
from ..._core.run_as import act_as, read_user
from ..._core.url_parts import split_url

_STEPS = 10_000  # of SQLite's machine, between two readings of the clock


def select_rows(
    url: str, _password: str | None, statement: str, *, folder: str, seconds: float, most: int, largest: int
) -> list[dict[str, Any]]:
    """Return the rows of one statement.

    Raises:
        Failed: the file cannot be opened, or the statement failed or took too long.
    """
    del folder
    path = Path(unquote(split_url(url).get("database", "")))
    deadline = time.monotonic() + seconds
    try:
        uri = f"file:{quote(str(path))}?mode=ro"
        with act_as(read_user(os.stat(path).st_uid)), closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS)
            connection.execute("PRAGMA query_only = ON")
            cursor = connection.execute(statement)
            names = [column[0] for column in cursor.description or ()]
            rows = [refuse_repeated_keys(zip(names, row)) for row in cursor.fetchmany(most)]
    except KeyTwice as twice:
        what, why = f"The statement failed in {path}", f"it returns {twice} twice"
        raise Failed(what, why, "Name each column once", code="statement-failed") from None
    except (sqlite3.Error, OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise Failed(f"The statement failed in {path}", words, CORRECT_IT, code="statement-failed") from error
    if sum(len(str(value)) for row in rows for value in row.values()) > largest:
        raise Failed(
            f"The statement failed in {path}",
            f"it returned more than {largest:,} bytes",
            "Have it return fewer columns or rows",
            code="statement-failed",
        )
    return rows
