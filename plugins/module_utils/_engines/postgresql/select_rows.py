# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of a statement, read by psql, in a session that can only read."""

from __future__ import annotations

import json
import os
from typing import Any

from ..._core.bounded import KeyTwice, read_output, refuse_repeated_keys
from ..._core.errors import Failed
from ..._core.url_parts import parse_plain_url
from .client_tools import build_manual_conninfo, find_tools
from .libpq_options import build_libpq_options

_CONNECT_TIMEOUT = 10  # seconds
#: What restores have left is not a tenant.
SCHEMAS = r"""
select nspname as schema from pg_namespace
 where nspname not like 'pg\_%' and nspname <> 'information_schema'
   and nspname not like 'alembic\_aside\_%' and nspname not like 'alembic\_retained\_%'
"""
#: As JSON, in which a value holds no line feed and NULL is not an empty text. Options of a URL go before PGOPTIONS.
_QUERY = """\
SET default_transaction_read_only = on;
SELECT row_to_json(found) FROM (
{statement}
) AS found LIMIT {most};
"""


def select_rows(
    url: str, password: str | None, statement: str, *, folder: str, seconds: float, most: int, largest: int
) -> list[dict[str, Any]]:
    """Return the rows of one statement.

    Raises:
        Failed: psql is not there, the server cannot be reached, or the statement failed or took too long.
    """
    what = "The statement that lists the databases failed"
    found = find_tools(folder)
    if found is None or not (found.folder / "psql").exists():
        raise Failed(
            what,
            f"there is no psql {f'in {folder}' if folder else 'on this host'}",
            "Install postgresql-client, or set migrate_pg_bin",
            code="client-program-missing",
        )
    address = parse_plain_url(url)
    variables = {
        "PGOPTIONS": f"-c default_transaction_read_only=on -c statement_timeout={int(seconds * 1000)}",
        "PGCONNECT_TIMEOUT": str(_CONNECT_TIMEOUT),
    }
    secret = build_libpq_options(address).get("password") if password is None else password
    if secret is not None:
        variables["PGPASSWORD"] = secret
    printed = read_output(
        [str(found.folder / "psql"), "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password",
         "--set=ON_ERROR_STOP=1", f"--dbname={build_manual_conninfo(address)}"],
        what,
        text=_QUERY.format(statement=statement.strip().rstrip(";"), most=most),
        variables={**os.environ, "PGCLIENTENCODING": "UTF8", "LC_MESSAGES": "C", **variables},
        seconds=seconds + _CONNECT_TIMEOUT,
        most=largest,
    )  # fmt: skip
    try:
        lines = [line for line in printed.decode(errors="surrogateescape").split("\n") if line.strip()]
        # A number stays as the server prints it.
        rows = [json.loads(line, object_pairs_hook=refuse_repeated_keys, parse_float=str) for line in lines]
    except KeyTwice as twice:
        raise Failed(what, f"it returns {twice} twice", "Name each column once", code="statement-failed") from None
    except ValueError:
        raise Failed(
            what, "psql printed what is not a row", "Write it as one SELECT", code="statement-failed"
        ) from None
    return [row for row in rows if isinstance(row, dict)]
