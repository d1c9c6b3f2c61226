# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The place of a rehearsal's copies, and the schemas of a server that are such copies of this host."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..._core.errors import Failed, Refused
from ..connection import OwnConnection, describe_error
from ..migration_url import build_migration_url
from .content import CHARSET, run_sql
from .limited_user import COPIES, refuse_unlimited
from .locks import lock_name, try_lock
from .made_schemas import MadeSchemas
from .only_here import COMMENT_OF, build_comment
from .privileges import has_code, is_distrusted, parse_privileges, read_grants, select_missing
from .quoting import qualify_name, quote_grant_pattern, quote_grantee, quote_literal, quote_name
from .same_name import TABLE_IS_IN_SCHEMA
from .swap_state import REHEARSAL, SINCE, build_schema_names, drop_schema, list_named_schemas
from .which_place import FOR_SWAP

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from .session import MariaDBSession

#: What migrations may do in a copy, besides what a restore does in a schema beside the database.
_FOR_COPY = (*FOR_SWAP, "DELETE", "EXECUTE")
_TABLES = f"select table_name, table_type from information_schema.tables where {TABLE_IS_IN_SCHEMA}"
_LOCK = "hosting.alembic rehearsal"
#: Seconds that others in a copy are waited for.
_PATIENCE = 20
_POLL_INTERVAL = 0.2


@dataclass(frozen=True)
class Place:
    """The place of copies, and our own connection to it: the locks on copies last as long as the connection."""

    maker: MariaDBSession
    own: OwnConnection
    #: What the names of copies begin with.
    begins: str

    @property
    def made(self) -> MadeSchemas:
        """Return what this host has written down of the server's schemas."""
        return MadeSchemas.of(self.maker)


def make_engine_for(engine: MariaDBSession, url: URL) -> MariaDBSession:
    """Return an engine of the same kind for another URL; its entry names no other."""
    text = url.render_as_string(hide_password=False)
    entry = replace(engine.database, url=text, password=None, direct_url=None)
    return type(engine)(entry, url, engine.job)


def build_maker(engine: MariaDBSession) -> MariaDBSession:
    """Return an engine of the user who makes copies, on the server where they are made."""
    entry = engine.database
    if not entry.rehearse_url:
        return engine
    named = replace(entry, url=entry.rehearse_url, password=entry.rehearse_password, direct_url=None)
    url = build_migration_url(named, "rehearse_url").set(drivername=engine.url.drivername)
    return make_engine_for(engine, url if url.database else url.set(database="information_schema"))


def open_place(engine: MariaDBSession) -> Place:
    """Return where a copy is made.

    Raises:
        Refused: the user may not make a schema, or not all that is in it; or may do anything outside of copies.
    """
    maker = build_maker(engine)
    own = maker.connect()
    try:
        refuse_unlimited(engine, maker, own)
        begins = _choose_prefix(engine, own)
        _refuse_distrusted(engine, own)
    except BaseException:
        own.close()
        raise
    return Place(maker, own, begins)


def _choose_prefix(engine: MariaDBSession, own: OwnConnection) -> str:
    grants = own.run(read_grants)
    name = build_schema_names(engine.name_on_server, REHEARSAL)[0]
    if not select_missing(parse_privileges(f"{name}{SINCE[REHEARSAL]}", grants), _FOR_COPY):
        return name
    user = str(own.query_rows("select current_user()")[0][0])
    raise Refused(
        f"There is no place to rehearse database {engine.database.name!r}",
        f"{user} may not make a schema {name}_…",
        f"GRANT ALL PRIVILEGES ON {quote_grant_pattern(COPIES, '%')}.* TO {quote_grantee(user)};"
        " or name another rehearse_url in"
        " the database's entry",
        code="rehearsal-privileges-missing",
    )


def _refuse_distrusted(engine: MariaDBSession, own: OwnConnection) -> None:
    """Refuse where the server's binary log keeps the user from making the triggers and functions of the database."""
    if has_code(engine.open_own_connection(), engine.name_on_server) and is_distrusted(own):
        raise Refused(
            f"There is no place to rehearse database {engine.database.name!r}",
            "it has triggers or functions, and the server has a binary log and lets only SUPER make these",
            "SET GLOBAL log_bin_trust_function_creators = 1; or name a rehearse_url on another server in the database's"
            " entry",
            code="rehearsal-privileges-missing",
        )


def reserve_name(place: Place) -> str:
    """Return the name of a copy that is about to be made, and lock it: until the connection ends it is in use."""
    name = f"{place.begins}_{secrets.token_hex(4)}"
    place.own.run(try_lock, lock_name(_LOCK, name))
    return name


def make(place: Place, name: str, engine: MariaDBSession) -> None:
    """Make an empty schema that says what it is a copy of; it is written down before, with what it says."""
    schema = engine.name_on_server
    charset, collation = engine.open_own_connection().query_rows(CHARSET, schema=schema)[0]
    comment = build_comment(schema)
    place.made.note(name, comment.encode())
    run_sql(
        place.own,
        f"create database {quote_name(name)} character set {charset} collate {collation}"
        f" comment {quote_literal(comment)}",
    )


def drop(place: Place, name: str) -> None:
    """Drop a copy; a session that is just ending is waited for."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            _drop_tables(place.own, name)
            drop_schema(place.own, name)
            break
        except Exception as error:
            if not place.maker.is_lock_timeout(error) or time.monotonic() >= deadline:
                raise _describe_left(place, name, error) from error
            time.sleep(_POLL_INTERVAL)
    place.made.forget(name)


def _drop_tables(own: OwnConnection, name: str) -> None:
    """Drop the tables of a copy: DROP DATABASE forgets first what the copy says of itself, and waits for locks then."""
    run_sql(own, "set foreign_key_checks = 0")
    try:
        for table, kind in own.query_rows(_TABLES, schema=name):
            what = kind.lower() if kind in ("VIEW", "SEQUENCE") else "table"
            run_sql(own, f"drop {what} if exists {qualify_name(name, table)}")
    finally:
        run_sql(own, "set foreign_key_checks = 1")


def _describe_left(place: Place, name: str, error: Exception) -> Failed:
    return Failed(
        f"The copy {name!r} of database {place.maker.database.name!r} was not dropped",
        describe_error(error),
        "The next rehearsal on this host drops the copy",
        code="rehearsal-copy-left",
    )


def list_dead_copies(place: Place, schema: str) -> list[str]:
    """Return the copies of a database that this host has made and no rehearsal works with."""
    found = [name for name, _session in list_named_schemas(place.own, schema, REHEARSAL)]
    return [name for name in found if _is_ours(place, name) and not _is_alive(place, name)]


def drop_if_dead(place: Place, name: str) -> None:
    """Drop a copy, unless it is not this host's, or a rehearsal works with it."""
    lock = lock_name(_LOCK, name)
    if not place.own.run(try_lock, lock):
        return
    try:
        if _is_ours(place, name):
            drop(place, name)
    finally:
        place.own.query_rows("select release_lock(:name)", name=lock)


def _is_ours(place: Place, name: str) -> bool:
    rows = place.own.query_rows(COMMENT_OF, schema=name)
    return bool(rows) and place.made.is_ours(name, str(rows[0][0]).encode())


def _is_alive(place: Place, name: str) -> bool:
    return bool(place.own.query_rows("select is_used_lock(:name)", name=lock_name(_LOCK, name))[0][0])
