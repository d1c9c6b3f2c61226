# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database that was dropped: it is made anew, empty, and then restored as any other.

In an empty database there is nothing that a restore could lose, whatever has made it.
"""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import Refused
from ..connection import find_sqlstate
from ..data import Archive
from ..sql import quote_name
from . import client_tools, made_with
from .catalog_queries import is_own
from .psql import Contents
from .restore_method import open_other_database
from .restore_statements import run_sql
from .scope import WHOLE
from .session import read_major_version

if TYPE_CHECKING:
    from .session import PostgreSQLSession

#: How pg_dump says what a database is made with; the name before it may hold anything.
_OPTION = re.compile(r" (\w+) = ('(?:[^']|'')*'|\w+)")
_MADE_WITH = re.compile(
    r"^CREATE DATABASE .* WITH TEMPLATE = template0(?P<options>(?: \w+ = (?:'(?:[^']|'')*'|\w+))*);$", re.MULTILINE
)
_NO_DATABASE = "select 1 from pg_database where datname = :name"
_RIGHTS = "42501"

#: Whatever a person or an application could miss.
_ANYTHING = f"""
select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where {is_own("pg_class", "c.oid")})
    or exists (select from pg_proc f join pg_namespace n on n.oid = f.pronamespace where {is_own("pg_proc", "f.oid")})
    or exists (select from pg_type t join pg_namespace n on n.oid = t.typnamespace where {is_own("pg_type", "t.oid")})
    or {WHOLE} and exists (
      select from pg_namespace n where n.nspname <> 'public' and {is_own("pg_namespace", "n.oid")})
    or {WHOLE} and exists (select from pg_largeobject_metadata)
"""


def is_dropped(engine: PostgreSQLSession) -> bool:
    """Return whether the server says that it has no such database; what does not let us in may be there."""
    try:
        engine.open_own_connection()
    except Refused:
        try:
            with open_other_database(engine) as (other, _url):
                return not other.query_rows(_NO_DATABASE, name=engine.name_on_server)
        except Refused:
            return False
    return False


def holds_nothing(engine: PostgreSQLSession) -> bool:
    """Return whether there is nothing in a database."""
    return not engine.open_own_connection().query_rows(_ANYTHING)[0][0]


def make_again(engine: PostgreSQLSession, archive: Archive) -> None:
    """Make a database that was dropped, empty, with the encoding and the locale of its backup.

    Raises:
        Refused: it may not be made by who restores; the remedy is what a superuser types.
    """
    options = _read_options(engine, archive.path)
    with open_other_database(engine) as (other, _url):
        user = other.query_rows("select current_user")[0][0]
        owner = engine.url.username or user
        words = made_with.as_sql(options)
        belongs = f" owner {quote_name(owner)}" if owner != user else ""
        try:
            run_sql(other, f"create database {quote_name(engine.name_on_server)} template template0{belongs} {words}")
        except Exception as error:
            if find_sqlstate(error) != _RIGHTS:
                raise
            raise build_missing_refusal(engine, archive, str(user)) from error


def drop_empty(engine: PostgreSQLSession) -> None:
    """Drop a database that was made for a restore that failed, if it is still empty."""
    with suppress(Exception):  # what stays is empty, and restored as if it was not there
        if holds_nothing(engine):
            engine.close()
            with open_other_database(engine) as (other, _url):
                run_sql(other, f"drop database {quote_name(engine.name_on_server)}")


def build_missing_refusal(engine: PostgreSQLSession, archive: Archive, user: str) -> Refused:
    """Return why a dropped database cannot be made again, with the command that makes it."""
    return Refused(
        f"Database {engine.database.name!r} is not on its server any more",
        f"{user} may not create databases",
        "Create it empty, then restore again, or give it an admin_url."
        f" As a superuser: {shlex.join(_build_createdb(engine, archive))}",
        code="database-missing",
    )


def may_make(engine: PostgreSQLSession) -> str:
    """Return who would make a database and may not; nothing where that is allowed."""
    with open_other_database(engine) as (other, _url):
        rows = other.query_rows("select rolname, rolsuper or rolcreatedb from pg_roles where rolname = current_user")
    return "" if rows[0][1] else str(rows[0][0])


def _build_createdb(engine: PostgreSQLSession, archive: Archive) -> list[str]:
    with open_other_database(engine) as (other, _url):
        superuser = other.query_rows("select rolname from pg_roles where oid = 10")[0][0]
    server = client_tools.build_conninfo(engine.url.set(username=superuser, password=None, database="postgres"))
    words = made_with.as_words(_read_options(engine, archive.path))
    command = ["createdb", f"--maintenance-db={server}", "--template=template0", f"--owner={engine.url.username}"]
    return [*command, *words, engine.name_on_server]


def _read_options(engine: PostgreSQLSession, dump: Path) -> dict[str, str]:
    """Return what the backup says that its database was made with; nothing where it does not say.

    A newer pg_dump than the server names the provider of the locale, which the server may not know.
    """
    with open_other_database(engine) as (other, _url):
        server = other.run(read_major_version)
    tools = client_tools.choose_tools(engine.job.pg_bin, engine.database.name, server, dump)
    if not Contents.of(tools, dump, _ignore_report).has("DATABASE -"):
        return {}
    command = [str(tools.folder / "pg_restore"), "--create", "--schema-only", "--file=-", str(dump)]
    script = client_tools.run_tool(command, client_tools.build_plain_environment(), dump, _ignore_report)
    made = _MADE_WITH.search(script)
    found = _OPTION.findall(made["options"]) if made else []
    printed = ((name.lower(), _unquote_text(value)) for name, value in found if name != "TABLESPACE")
    return made_with.translate_options(printed, server)


def _unquote_text(value: str) -> str:
    return value[1:-1].replace("''", "'") if value.startswith("'") else value


def _ignore_report(_words: str) -> None:
    return None
