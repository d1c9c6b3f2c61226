# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The place of a rehearsal's copies: the server, the role, and the sessions in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..._core.errors import Refused
from ..connection import OwnConnection
from ..migration_url import build_migration_url

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from .session import PostgreSQLSession


@dataclass(frozen=True)
class Place:
    """The place of scratch databases: the connection that makes them, and how to reach them."""

    own: OwnConnection
    #: Who works in it, and fills it: an archive is code of its owner, which runs while it is loaded.
    url: URL
    #: Who makes it, and in it what only a superuser may make.
    maker: URL
    by_superuser: bool = False


def make_engine_for(engine: PostgreSQLSession, url: URL) -> PostgreSQLSession:
    """Return an engine of the same kind for another URL; its entry names no other."""
    text = url.render_as_string(hide_password=False)
    entry = replace(engine.database, url=text, password=None, direct_url=None)
    return type(engine)(entry, url, engine.job)


def open_place(engine: PostgreSQLSession) -> Place:
    """Return where scratch databases are made.

    Raises:
        Refused: no role that is configured may make one.
    """
    entry = engine.database
    if entry.rehearse_url:
        url = _build_url(engine, entry.rehearse_url, entry.rehearse_password, "rehearse_url")
        place = Place(make_engine_for(engine, url).connect(), url, url)
        _refuse_superuser_here(engine, place.own)
    elif entry.admin_url:
        admin = _build_url(engine, entry.admin_url, entry.admin_password, "admin_url")
        own = make_engine_for(engine, admin).connect()
        place = Place(own, engine.url, admin, _is_above(engine, own))
    else:
        place = Place(engine.connect(), engine.url, engine.url)
    rows = place.own.query_rows("select rolcreatedb or rolsuper, rolname from pg_roles where rolname = current_user")
    if not rows[0][0]:
        place.own.close()
        raise Refused(
            f"There is no place to rehearse database {entry.name!r}",
            f"{rows[0][1]} may not create databases on its server",
            "Grant it CREATEDB, or name admin_url or rehearse_url in the database's entry",
            code="rehearsal-privileges-missing",
        )
    return place


def _is_above(engine: PostgreSQLSession, own: OwnConnection) -> bool:
    """Return whether a connection is a superuser's, and the database's own user is none."""
    statement = "select rolsuper from pg_roles where rolname = current_user"
    return bool(own.query_rows(statement)[0][0] and not engine.open_own_connection().query_rows(statement)[0][0])


def _refuse_superuser_here(engine: PostgreSQLSession, own: OwnConnection) -> None:
    if _is_above(engine, own) and own.run(engine.read_identity).server == engine.read_own_identity().server:
        own.close()
        raise Refused(
            f"The rehearse_url of database {engine.database.name!r} is a superuser's on the same server",
            "code in the database and env.py would have that role's rights over every database there",
            "Name a role that may create databases and nothing else, or use admin_url",
            code="rehearsal-role-superuser",
        )


def _build_url(engine: PostgreSQLSession, text: str, password: str | None, option: str) -> URL:
    entry = replace(engine.database, url=text, password=password, direct_url=None)
    url = build_migration_url(entry, option).set(drivername=engine.url.drivername)
    return url if url.database else url.set(database="postgres")
