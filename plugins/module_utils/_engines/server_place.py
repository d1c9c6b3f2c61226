# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The database of a server that a driver's connection leads to, without a query."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

_HERE = {"", "none", "localhost", "127.0.0.1", "::1"}


#: What a URL begins with, and what a name is that may be printed: neither a password nor options are.
_URL = re.compile(r"[a-z][a-z0-9+.-]*://")
_NAME = re.compile(r"[\w.$:-]{1,64}")


@dataclass(frozen=True)
class ServerPlace:
    """A database and its server; two names of one server are two places."""

    database: str
    host: str
    port: str

    @classmethod
    def of(cls, database: Any, host: Any, port: Any) -> ServerPlace:
        """Return a place as drivers name its parts, of which each may be missing."""
        name = database.decode(errors="replace") if isinstance(database, bytes) else str(database or "")
        found = str(host or "").lower()
        return cls(name, "localhost" if found in _HERE or found.startswith(("/", "@")) else found, str(port or ""))

    def is_same(self, other: ServerPlace) -> bool:
        """Return whether both are one; a port that is not known is the server's own."""
        ports = {self.port, other.port}
        return (self.database, self.host) == (other.database, other.host) and (len(ports) == 1 or "" in ports)

    def __str__(self) -> str:
        database = self.database if _NAME.fullmatch(self.database) else "a database"
        host = self.host if _NAME.fullmatch(self.host) else "a server"
        return f"{database} on {host}{':' + self.port if self.port.isdigit() else ''}"


def find_url_place(url: Any) -> ServerPlace:
    """Return the place that a URL of SQLAlchemy names."""
    query = dict(url.query)
    return ServerPlace.of(url.database, url.host or query.get("host"), url.port or query.get("port"))


def find_driver_place(connection: Any) -> ServerPlace | None:
    """Return where a driver's connection leads, None where that driver does not show it."""
    with suppress(Exception):  # psycopg2 and psycopg
        info = connection.info
        return ServerPlace.of(info.dbname, info.host, info.port)
    with suppress(Exception):  # PyMySQL and those that have its names
        return ServerPlace.of(connection.db, connection.host, connection.port)
    with suppress(Exception):  # asyncpg, itself or as SQLAlchemy wraps it
        inner = getattr(connection, "_connection", connection)
        address = inner._addr
        host, port = address if isinstance(address, tuple) else (address, "")
        return ServerPlace.of(inner._params.database, host, port)
    return None


def find_argument_place(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> ServerPlace | None:
    """Return the place that a driver is called with, None where that is not to be read: a text of options, for one."""
    # Only a URL: in a text of options, or in a password, there may be anything.
    texts = [each for each in (*arguments[:1], keywords.get("dsn")) if isinstance(each, str)]
    dsn = next((each for each in texts if _URL.match(each)), "")
    with suppress(ValueError):
        parts = urlsplit(dsn)
        database = keywords.get("database") or keywords.get("dbname") or keywords.get("db")
        database = database or unquote(parts.path.lstrip("/"))
        host, port = keywords.get("host") or parts.hostname, keywords.get("port") or parts.port
        return ServerPlace.of(database, host, port) if database else None
    return None
