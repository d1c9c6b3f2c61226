# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The privileges of a connection's user in a database, as SHOW GRANTS shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..connection import execute
from .catalog import fix_mode
from .same_name import ROUTINE_IS_IN_SCHEMA, TRIGGER_IS_IN_SCHEMA

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..connection import OwnConnection

ALL = "ALL PRIVILEGES"
_GRANT = re.compile(r"GRANT (?P<what>.+?) ON (?P<where>\*\.\*|`(?:[^`]|``)+`\.\*) TO ", re.IGNORECASE)
#: Without these a dump lacks what is not missed before it is restored.
FOR_BACKUP = ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT")
#: Each of these shows the routines of a database.
FOR_ROUTINES = ("EXECUTE", "CREATE ROUTINE", "ALTER ROUTINE")
FOR_MIGRATION = ("CREATE", "ALTER", "DROP", "INDEX", "INSERT", "UPDATE", "DELETE")
#: With a binary log, what may change data is made by those only whom the server trusts.
_DISTRUSTS = "select @@global.log_bin = 1 and @@global.log_bin_trust_function_creators = 0"
_CODE = f"""
select 1 from information_schema.triggers where {TRIGGER_IS_IN_SCHEMA}
union all select 1 from information_schema.routines where {ROUTINE_IS_IN_SCHEMA} and routine_type = 'FUNCTION'
"""


def read_grants(connection: Connection) -> list[str]:
    """Return the statements that would grant what the user has, those of its active roles included."""
    with fix_mode(connection):
        return [str(line) for (line,) in execute(connection, "show grants")]


def parse_privileges(schema: str, grants: Iterable[str]) -> set[str]:
    """Return what statements grant on the whole of a database, ``ALL`` for all."""
    found: set[str] = set()
    for line in grants:
        grant = _GRANT.match(line)
        if grant and _is_meant(grant["where"], schema):
            found |= {word.strip().upper() for word in re.sub(r"\([^)]*\)", "", grant["what"]).split(",")}
    return found


def select_missing(granted: set[str], wanted: Iterable[str]) -> list[str]:
    """Return what is wanted and not granted."""
    return [] if ALL in granted or "ALL" in granted else [each for each in wanted if each not in granted]


def has_everywhere(grants: Iterable[str], privilege: str) -> bool:
    """Return whether grants have a privilege that there is only on everything; SUPER includes the others."""
    granted = parse_privileges("", [line for line in grants if " ON *.* TO " in line])
    return not select_missing(granted, (privilege,)) or not select_missing(granted, ("SUPER",))


def is_distrusted(own: OwnConnection) -> bool:
    """Return whether the server's binary log keeps the user from making triggers and functions."""
    return bool(own.query_rows(_DISTRUSTS)[0][0]) and not has_everywhere(own.run(read_grants), "SUPER")


def has_code(own: OwnConnection, schema: str) -> bool:
    """Return whether there are triggers or functions in a schema."""
    return bool(own.query_rows(_CODE, schema=schema))


def _is_meant(where: str, schema: str) -> bool:
    """Return whether a name in a GRANT, in which % and _ mean any characters, is that of a database."""
    if where == "*.*":
        return True
    pattern = where[1:-3].replace("``", "`")
    words = re.findall(r"\\.|.", pattern, re.DOTALL)
    parts = [{"%": ".*", "_": "."}.get(word, re.escape(word[-1])) for word in words]
    return re.fullmatch("".join(parts), schema, re.DOTALL) is not None
