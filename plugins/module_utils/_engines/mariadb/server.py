# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kind of a connection's server, and the kinds that are refused."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..._core.errors import Refused
from ..connection import execute, unwrap_connection
from .versions import parse_version

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

OLDEST = (10, 5)
MARIADB = "MariaDB"
#: Kinds of servers, by a word in their version or its comment; MySQL's own is in those of others too.
_KINDS = {
    "mariadb": MARIADB,
    "percona": "Percona Server",
    "tidb": "TiDB",
    "mysql": "MySQL",
}
_KIND = "select version(), @@version_comment, connection_id() + 0"
_GALERA = "select variable_value from information_schema.global_variables where variable_name = 'WSREP_ON'"


@dataclass(frozen=True)
class Server:
    """The server behind a connection."""

    version: str
    session: int

    @property
    def number(self) -> tuple[int, int]:
        """Return its major and minor version."""
        return parse_version(self.version)


def find_kind(version: str, comment: str) -> str:
    """Return what a server is that speaks the protocol of MariaDB, by what it says of itself.

    Args:
        version: as ``version()`` returns it.
        comment: its ``version_comment``.
    """
    text = f"{version} {comment}".lower()
    return next((kind for word, kind in _KINDS.items() if word in text), "MySQL or one of its relatives")


def read_server(connection: Connection, name: str) -> Server:
    """Return what server a connection leads to.

    Raises:
        Refused: it is one that is not supported, or something is between us and it.
    """
    version, comment, session = execute(connection, _KIND)[0]
    server = Server(str(version), int(session))
    _refuse_proxy(connection, name, server, str(comment))
    _refuse_unsupported(connection, name, server, str(comment))
    return server


def _refuse_proxy(connection: Connection, name: str, server: Server, comment: str) -> None:
    promised = read_promised_session(connection)
    known = [word for word in ("maxscale", "proxysql") if word in f"{server.version} {comment}".lower()]
    if not known and promised in (None, server.session):
        return
    raise Refused(
        f"Database {name!r} is behind a proxy",
        known[0] if known else f"it named the session {promised}, and the server calls it {server.session}",
        "Locks and settings would go to other servers than the statements. Name the server itself in direct_url",
        code="connection-pooler",
    )


def _refuse_unsupported(connection: Connection, name: str, server: Server, comment: str) -> None:
    kind = find_kind(server.version, comment)
    if kind != MARIADB:
        raise Refused(
            f"Database {name!r} is on a server that nothing here was tested on",
            f"it is {kind} {server.version} ({comment}), which lacks settings and parts of the catalog that are used",
            "Move it to MariaDB 10.5 or newer, or leave its entry out",
            code="server-untested",
        )
    if server.number < OLDEST:
        raise Refused(
            f"The server of database {name!r} is too old",
            f"it is MariaDB {server.version}, and {'.'.join(map(str, OLDEST))} is the oldest that is supported",
            "Upgrade the server first",
            code="server-too-old",
        )
    rows = execute(connection, _GALERA)
    if rows and str(rows[0][0]).upper() in ("ON", "1"):
        raise Refused(
            f"Database {name!r} is on a Galera cluster",
            "its servers do not share the locks that keep two runs apart (wsrep_on is ON)",
            "Migrate it by hand on one server, while no other run can reach it",
            code="server-is-galera",
        )


def read_promised_session(connection: Connection) -> int | None:
    """Return the number of the session that the server (or a proxy in its place) gave when it was opened.

    None where the driver does not say.
    """
    driver: Any = unwrap_connection(connection)
    driver = getattr(driver, "_connection", driver)  # below what adapts an asynchronous one
    for name in ("thread_id", "connection_id"):
        value = getattr(driver, name, None)
        with suppress(Exception):
            value = value() if callable(value) else value
            if isinstance(value, int):
                return value
    return None
