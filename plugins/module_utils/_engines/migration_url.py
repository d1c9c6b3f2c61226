# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The URL of a database as its connections use it, with a driver that is installed."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from .._core.errors import Refused
from .._core.job import Database
from .._core.secrets import NOT_ENCODED, describe_encoding_remedy
from .._core.urls import find_backend
from .data import Drivers
from .places import ENGINES, load_part
from .sqlalchemy_import import sa

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

#: By kind of database; imported at once, since an error is looked up in it when nothing can be imported any more.
DRIVERS: dict[str, Drivers] = {kind: load_part(kind, "drivers") for kind in ENGINES}
ASYNC_DRIVERS = {"asyncpg", "aiosqlite", "psycopg_async", "asyncmy", "aiomysql"}


def build_migration_url(database: Database, option: str = "url") -> URL:
    """Return the URL that migrations use: the direct one if there is one, with its password and its driver.

    A URL that names no driver gets one that is installed, because SQLAlchemy's own choice differs between
    releases (psycopg2 before 2.1, psycopg since) and need not be there.

    Args:
        database: the database.
        option: the option that its URL was given in.

    Raises:
        Refused: the URL cannot be parsed, or no driver for it is installed.
    """
    url = _parse_url(database, option)
    if "password" in url.query:  # libpq takes it there too; in its own place it is kept out of whatever is shown
        url = url.set(password=str(url.query["password"])).difference_update_query(["password"])
    if "user" in url.query:  # which drivers take instead of the other
        url = url.set(username=str(url.query["user"])).difference_update_query(["user"])
    if database.password is not None:
        url = url.set(password=database.password)
    kind = find_backend(url.drivername)
    backend, _plus, driver = url.drivername.partition("+")
    if backend == "postgres":
        backend = "postgresql"
    if kind not in DRIVERS:
        raise Refused(
            f"Unsupported database type {backend!r} in the URL of {database.name!r}",
            "supported are " + ", ".join(sorted(DRIVERS)),
            "Begin it with postgresql://, mariadb:// or sqlite:///",
            code="database-type-unsupported",
        )
    url = url.set(drivername=f"{backend}+{driver or _list_installed(kind)[0]}")
    given = {name: value for name, value in database.environment.items() if "{url" not in value}
    with_defaults = DRIVERS[kind].with_defaults
    if with_defaults is None:
        return url
    # Another role's URL has its own server and password: those of the entry are env.py's.
    return with_defaults(url, {**os.environ, **given}, given if option == "url" else {})


def _parse_url(database: Database, option: str) -> URL:
    """Return the URL of a database as SQLAlchemy reads it.

    Raises:
        Refused: it cannot be parsed, or a password makes another server of it. No part of it is in the message.
    """
    text = database.direct_url or database.url
    option = "direct_url" if database.direct_url else option
    wrong = f"The {option} of database {database.name!r} cannot be parsed"
    try:
        url = sa.engine.make_url(text)
        why = _explain_misreading(url, text)
    except ValueError:
        why = "the port behind its host is not a number"
    except Exception as error:
        raise Refused(
            wrong,
            "it does not begin with a dialect and ://",
            "Write it as SQLAlchemy does, for example postgresql://user@server/name or sqlite:////srv/app.db, and its"
            " password into `password` beside it",
            code="url-invalid",
        ) from error
    if why:
        password = option.replace("direct_", "").replace("url", "password")
        raise Refused(wrong, f"{why}; {NOT_ENCODED}", describe_encoding_remedy(password), code="url-invalid")
    return url


def _explain_misreading(url: URL, text: str) -> str:
    """Return what shows that a URL is not read as it was meant; a path of SQLite may hold anything."""
    if url.host is not None and "@" in url.host:
        return "its host would contain an @"
    if not has_server(url):
        return ""
    # Behind a host, user:password@server or user@server/name: a / in a user name ended the host. Else it is a name.
    before, _at, behind = text.partition("://")[2].partition("?")[0].partition("/")[2].rpartition("@")
    ends_host = "/" in behind or (url.username is None and ":" in before)
    return "an @ is in it that does not end a user name or a password" if before and ends_host else ""


def build_env_url(database: Database, url: URL) -> URL:
    """Return the URL as env.py gets it: without a driver where none was named and SQLAlchemy's own choice is there.

    Many replace the beginning of such a URL, to name the driver themselves.
    """
    scheme = (database.direct_url or database.url).partition(":")[0]
    plain = url.set(drivername=url.get_backend_name())
    return plain if "+" not in scheme and plain.get_driver_name() == url.get_driver_name() else url


def build_own_url(url: URL) -> URL:
    """Return the same URL with the driver that suits our own connections, a synchronous one if any is there.

    Raises:
        Refused: no driver for it is installed.
    """
    backend = find_backend(url.drivername)
    drivers = _list_installed(backend)
    driver = url.get_driver_name()
    if driver in ASYNC_DRIVERS or driver not in drivers:
        driver = drivers[0]
    return DRIVERS[backend].own_url(url, driver)


def _list_installed(backend: str) -> list[str]:
    found = [driver for driver, package in DRIVERS[backend].packages.items() if importlib.util.find_spec(package)]
    if not found:
        raise Refused(
            f"No driver for {backend} is installed in the virtualenv of the release",
            "it needs one of " + ", ".join(DRIVERS[backend].packages),
            f"Add one to the requirements or to migrate_packages, for example {DRIVERS[backend].to_install}",
            code="driver-missing",
        )
    return found


def has_server(url: URL) -> bool:
    """Return whether a URL leads to a server, and not to a file."""
    drivers = DRIVERS.get(find_backend(url.drivername))
    return drivers is None or drivers.port is not None


def find_port(url: URL) -> int | None:
    """Return the port of a URL, its server's own where it names none."""
    drivers = DRIVERS.get(find_backend(url.drivername))
    return url.port or (drivers.port if drivers else None)
