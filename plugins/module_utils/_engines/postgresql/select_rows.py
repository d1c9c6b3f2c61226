# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of a statement, read by psql, in a session that can only read."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from ..._core.bounded import output_of
from ..._core.errors import Failed
from ..._core.url_parts import parts_of

_DEBIAN = Path("/usr/lib/postgresql")
_CONNECT_TIMEOUT = 10  # seconds
#: As JSON, in which a value holds no line feed and NULL is not an empty text.
_QUERY = "SELECT row_to_json(found) FROM (\n{statement}\n) AS found LIMIT {most};\n"
#: What libpq reads from its environment, where other users of the host cannot read it.
_SECRETS = {"password": "PGPASSWORD", "passfile": "PGPASSFILE", "sslpassword": ""}


def select_rows(
    url: str, password: str | None, statement: str, *, folder: str, seconds: float, most: int, largest: int
) -> list[dict[str, Any]]:
    """Return the rows of one statement.

    Raises:
        Failed: psql is not there, the server cannot be reached, or the statement failed or took too long.
    """
    what = "The statement that lists the databases failed"
    words, variables = _connection(url, password)
    variables["PGOPTIONS"] = f"-c default_transaction_read_only=on -c statement_timeout={int(seconds * 1000)}"
    printed = output_of(
        [_psql(folder, what), "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password",
         "--set=ON_ERROR_STOP=1", f"--dbname={words}"],
        what,
        text=_QUERY.format(statement=statement.strip().rstrip(";"), most=most),
        variables={**os.environ, "PGCLIENTENCODING": "UTF8", "LC_MESSAGES": "C", **variables},
        seconds=seconds + _CONNECT_TIMEOUT,
        most=largest,
    )  # fmt: skip
    try:
        rows = [json.loads(line) for line in printed.decode(errors="surrogateescape").split("\n") if line.strip()]
    except ValueError:
        raise Failed(
            what, "psql printed what is not a row", "Write it as one SELECT", code="statement-failed"
        ) from None
    return [row for row in rows if isinstance(row, dict)]


def _connection(url: str, password: str | None) -> tuple[str, dict[str, str]]:
    """Return a connection string without secrets, and the environment that has them."""
    parts = parts_of(url)
    options = {
        "host": parts.get("host") or parts.get("ipv6"),
        "port": parts.get("port"),
        "user": unquote(parts["username"]) if parts.get("username") else None,
        "dbname": unquote(parts["database"]) if parts.get("database") else None,
        "connect_timeout": str(_CONNECT_TIMEOUT),
        **dict(parse_qsl(parts.get("query", ""))),
    }
    if password is None and parts.get("password"):
        password = unquote(parts["password"])
    secrets = {name: options.pop(name) for name in _SECRETS if name in options}
    if password is not None:
        secrets["password"] = password
    variables = {_SECRETS[name]: value for name, value in secrets.items() if _SECRETS[name] and value}
    return " ".join(f"{name}='{_escaped(value)}'" for name, value in options.items() if value), variables


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _psql(folder: str, what: str) -> str:
    """Return the path of psql: in a folder, else the newest on this host."""
    folders = (
        [Path(folder)] if folder else [path / "bin" for path in sorted(_DEBIAN.glob("*"), key=_number, reverse=True)]
    )
    found = next((path / "psql" for path in folders if (path / "psql").exists()), None)
    path = str(found) if found else "" if folder else shutil.which("psql")
    if not path:
        raise Failed(
            what,
            f"there is no psql in {folder}" if folder else "there is no psql on this host",
            "Install postgresql-client, or set migrate_pg_bin",
            code="client-program-missing",
        )
    return path


def _number(path: Path) -> int:
    digits = re.match(r"\d+", path.name)
    return int(digits[0]) if digits else 0
