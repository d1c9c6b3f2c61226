# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The user whom revisions run as on a copy: the server itself keeps it from everything else.

A copy lies beside its database. No reading of statements keeps a revision from writing there: it may put a statement
together as it runs. So the user must not have the right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..._core.errors import Refused, describe_first
from ..connection import OwnConnection, find_errno
from ..sqlalchemy_import import sa
from .content import run_sql
from .privileges import read_grants
from .quoting import quote_grant_pattern, quote_grantee, quote_literal, quote_name

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from .session import MariaDBSession

COPIES = "hosting_alembic_rehearsal_"
#: What SHOW GRANTS may say; nothing else. A longer pattern than COPIES means fewer schemas.
_HARMLESS = re.compile(
    r"GRANT (?:USAGE ON \*\.\*|[A-Z, ]+ ON `hosting\\_alembic\\_rehearsal\\_(?:[^`]|``)*`\.\*) TO (?P<behind>.+)",
    re.DOTALL,
)
_QUOTED = re.compile(r"`(?:[^`]|``)*`|'(?:[^'\\]|\\.|'')*'", re.DOTALL)
_SCHEMAS = "select schema_name from information_schema.schemata order by schema_name"
#: Every user sees these, and writes nothing there without a grant.
_OF_ALL = {"information_schema", "performance_schema"}
#: What users without a name may do, all may, and SHOW GRANTS does not say it: of old, a server lets them use these.
_OFTEN_OPEN = ("test", "test_hosting_alembic")
_ACCESS_DENIED, _UNKNOWN_DATABASE = 1044, 1049
_NAME = "hosting_alembic_rehearsal"
_MOST_NAMED = 3
_LONGEST = 100


def refuse_unlimited(engine: MariaDBSession, maker: MariaDBSession, own: OwnConnection) -> None:
    """Refuse a user who may do anything outside of copies.

    Args:
        engine: of the database.
        maker: of the user who makes copies, and runs the revisions on them.
        own: a connection of that user's.

    Raises:
        Refused: the user may; what an administrator types is in it.
    """
    too_much = list_other_rights(own.run(read_grants)) or _open_schemas(own, engine.name_on_server)
    if not too_much:
        return
    user = str(own.query_rows("select current_user()")[0][0])
    raise Refused(
        f"Database {engine.database.name!r} is not rehearsed as {user}",
        f"a revision on the copy would have this user's rights outside of copies:"
        f" {describe_first(too_much, _MOST_NAMED)}",
        _describe_grant(user, maker.url),
        code="rehearsal-user-not-limited",
    )


def list_other_rights(grants: Iterable[str]) -> list[str]:
    """Return what SHOW GRANTS lists besides rights on copies, without what is behind the name of the right."""
    found = []
    for line in grants:
        match = _HARMLESS.fullmatch(line)
        # The hash of a password is behind.
        words = _QUOTED.sub("", match["behind"]) if match else ""
        if match is None or "GRANT OPTION" in words.upper():
            found.append(line.partition(" TO ")[0][:_LONGEST] + (" WITH GRANT OPTION" if match else ""))
    return found


def _open_schemas(own: OwnConnection, database: str) -> list[str]:
    """Return the schemas that the server lets the user into, by whatever right."""
    seen = [str(name) for (name,) in own.query_rows(_SCHEMAS)]
    found = [f"schema {name}" for name in seen if name.casefold() not in _OF_ALL and not _is_copy(name)]
    return found or [f"schema {name}" for name in (database, *_OFTEN_OPEN) if not _is_denied(own, name)]


def _is_copy(name: str) -> bool:
    return name.casefold().startswith(COPIES)


def _is_denied(own: OwnConnection, schema: str) -> bool:
    """Return whether the user may do nothing in a schema, which the server says also where there is none."""
    try:
        run_sql(own, f"use {quote_name(schema)}")
    except Exception as error:
        if find_errno(error) == _ACCESS_DENIED:
            return True
        if find_errno(error) != _UNKNOWN_DATABASE:
            raise
    return False


def _describe_grant(user: str, url: URL) -> str:
    name, _at, host = user.rpartition("@")
    new_name = f"{_NAME}_2" if name == _NAME else _NAME
    new_user = quote_grantee(f"{new_name}@{host}")
    query = {key: value for key, value in url.query.items() if "pass" not in key.lower()}
    entry = sa.engine.URL.create(url.drivername, new_name, host=url.host, port=url.port, database="", query=query)
    return (
        f"As an administrator: CREATE USER {new_user} IDENTIFIED BY {quote_literal('PASSWORD')};"
        f" GRANT ALL PRIVILEGES ON {quote_grant_pattern(COPIES, '%')}.* TO {new_user}; then write into the database's"
        " entry"
        f" rehearse_url: {entry.render_as_string()} and rehearse_password: PASSWORD, with a password of your own"
    )
