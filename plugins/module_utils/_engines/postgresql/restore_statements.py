# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The statements of PostgreSQL's restores, and the names and marks of their retained copies."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..connection import OwnConnection, find_sqlstate

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

MARK = "hosting.alembic "
_NAME_BYTES = 63
_NOT_PERMITTED = "42501"
#: The word stays in names on servers and beside files: what older versions retained is recognised by it.
RETAINED_SCHEMA = "alembic_aside_"

#: What identifies a swap, held by its session as an advisory lock with the database's oid. pg_locks shows it to all.
SWAPPING = 0x68616C65


def format_now() -> str:
    """Return the time as retained copies carry it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def fit_name(name: str, suffix: str) -> str:
    """Return a name with a suffix, in the bytes that PostgreSQL gives a name; a digest replaces what is cut."""
    if len((name + suffix).encode()) <= _NAME_BYTES:
        return name + suffix
    tail = "_" + hashlib.sha256((name + suffix).encode()).hexdigest()[:8]
    kept = suffix.encode()[: _NAME_BYTES - len(tail) - len(RETAINED_SCHEMA)].decode(errors="ignore")
    space = _NAME_BYTES - len(kept.encode()) - len(tail)
    return name.encode()[:space].decode(errors="ignore") + kept + tail


def find_free_name(name: str, suffix: str, is_taken: Callable[[str], bool]) -> str:
    """Return a name with a suffix, as ``fitted``, that nothing has yet: a number follows where it is taken."""
    numbered = itertools.chain([suffix], (f"{suffix}_{number}" for number in itertools.count(2)))
    return next(found for found in (fit_name(name, each) for each in numbered) if not is_taken(found))


def quote_literal(text: str) -> str:
    """Return a string constant."""
    escaped = text.replace("'", "''")
    return "'" + escaped + "'" if "\\" not in text else "E'" + escaped.replace("\\", "\\\\") + "'"


def end_session(own: OwnConnection, pid: int) -> None:
    """Send a session the signal to end."""
    own.query_rows("select pg_terminate_backend(:pid)", pid=pid)


def end_sessions(own: OwnConnection, sessions: Iterable[tuple[Any, ...]]) -> list[str]:
    """End sessions, each a pid, its user and its name, and return them as text.

    One that is not ours to end can only be waited for.
    """
    found = []
    for pid, user, application in sessions:
        found.append(f"pid {pid} ({user}, {application or 'unnamed'})")
        try:
            end_session(own, pid)
        except Exception as error:
            if find_sqlstate(error) != _NOT_PERMITTED:
                raise
    return found


def mark(**facts: Any) -> str:
    """Return a comment that says what something is to us."""
    return MARK + json.dumps(facts, ensure_ascii=False)


def parse_mark(comment: str | None) -> dict[str, Any]:
    """Return what such a comment says; nothing for any other."""
    if not comment or not comment.startswith(MARK):
        return {}
    try:
        found = json.loads(comment[len(MARK) :])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def run_sql(own: OwnConnection, statement: str) -> None:
    """Execute a statement as it is: a colon or a percent sign in a name is not a parameter."""

    def execute(connection: Connection) -> None:
        connection.exec_driver_sql(statement.replace("%", "%%"))

    own.run(execute)


def run_in_transaction(own: OwnConnection, *statements: str) -> None:
    """Execute statements, all or none."""
    run_sql(own, "begin")
    try:
        for statement in statements:
            run_sql(own, statement)
        run_sql(own, "commit")
    except BaseException:
        with suppress(Exception):  # the server may be gone, and has rolled back then
            run_sql(own, "rollback")
        raise
