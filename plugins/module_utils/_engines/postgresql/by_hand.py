# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands for a person, where the rights that there are do not let a database be restored."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from ..sql import quote_name
from . import client_tools, made_with, ownership, restore_method
from .catalog_queries import ours
from .restore_statements import fit_name, literal
from .schema_bonds import hanging_on, may_make_schemas

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import URL

    from .session import PostgreSQLSession

_OWNER = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
#: Others to whom only a superuser can give what is in a schema, because they may not create anything there.
_MAY_OWN_NOTHING = f"""
select 1 from ({{strangers}}) s(name) cross join pg_namespace n
 where {ours("pg_namespace", "n.oid")} and not has_schema_privilege(s.name, n.oid, 'create')
"""
#: The role that made the cluster, which is always a superuser.
_SUPERUSER = "select rolname from pg_roles where oid = 10"


def rights_for_restore(engine: PostgreSQLSession) -> tuple[str, dict[str, Any]] | None:
    """Return what a superuser types so that a restore can be done, and the variables that the restore needs.

    None if no right would do: there is something that only a superuser can make anew.
    """
    own = engine.own_connection()
    mine = restore_method.powers(own, engine.name_on_server)
    if own.rows(ownership.SUPERUSERS) or (engine.database.schema and hanging_on(own)):
        return None
    if own.rows(ownership.NEVER) or own.rows(_MAY_OWN_NOTHING.format(strangers=ownership.STRANGERS)):
        return None
    if restore_method.method_in_place(engine).obstacle is None:
        return "", {"migrate_restore_method": "in_place"}
    user = quote_name(str(own.rows("select current_user")[0][0]))
    grants = _grants_on_database(engine, mine)
    grants += restore_method.grants(own, [row[0] for row in own.rows(ownership.STRANGERS)])
    if not engine.database.schema and own.rows(ownership.RANGES) and not mine.createdb:
        grants.append(f"alter role {user} createdb")
    if not grants:
        return None
    return _psql(engine, _superuser(engine), grants), {"migrate_restore_method": "auto"}


def _grants_on_database(engine: PostgreSQLSession, mine: restore_method.Powers) -> list[str]:
    """Return what a user lacks to restore a database, or to make a schema beside the one that it restores."""
    if engine.database.schema:
        name = quote_name(engine.name_on_server)
        user = quote_name(str(engine.own_connection().rows("select current_user")[0][0]))
        return [] if may_make_schemas(engine.own_connection()) else [f"grant create on database {name} to {user}"]
    return (
        []
        if mine.owner
        else restore_method.grants(engine.own_connection(), [engine.own_connection().rows(_OWNER)[0][0]])
    )


def command(engine: PostgreSQLSession, dump: Path) -> str:
    """Return what a superuser types to put a dump in the place of a database; the replaced one is kept beside.

    The password is requested, or taken from ~/.pgpass.
    """
    if engine.database.schema:
        return _command_for_schema(engine, dump)
    name = engine.name_on_server
    new, replaced = fit_name(name, "_restored"), fit_name(name, "_replaced")
    admin, owner = _superuser(engine), engine.own_connection().rows(_OWNER)[0][0]
    server, target = (client_tools.conninfo_by_hand(admin.set(database=each)) for each in ("postgres", new))
    create = [
        *_program(engine, "createdb"),
        f"--maintenance-db={server}",
        "--template=template0",
        f"--owner={owner}",
        *made_with.as_words(made_with.unlike_template(engine.own_connection(), name)),
        new,
    ]
    restore = [*_program(engine, "pg_restore"), "--exit-on-error", "--jobs=2", f"--dbname={target}", str(dump)]
    renames = [
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = {literal(name)}",
        f"alter database {quote_name(name)} rename to {quote_name(replaced)}",
        f"alter database {quote_name(new)} rename to {quote_name(name)}",
    ]
    return f"{shlex.join(create)} && {shlex.join(restore)} && {_psql(engine, admin.set(database='postgres'), renames)}"


def _command_for_schema(engine: PostgreSQLSession, dump: Path) -> str:
    schema, admin = engine.database.schema, _superuser(engine)
    rename = f"alter schema {quote_name(schema)} rename to {quote_name(fit_name(schema, '_replaced'))}"
    restore = [*_program(engine, "pg_restore"), "--exit-on-error", "--single-transaction"]
    restore += [f"--dbname={client_tools.conninfo_by_hand(admin)}", str(dump)]
    return f"{_psql(engine, admin, [rename])} && {shlex.join(restore)}"


def _superuser(engine: PostgreSQLSession) -> URL:
    return engine.url.set(username=engine.own_connection().rows(_SUPERUSER)[0][0], password=None)


def _psql(engine: PostgreSQLSession, url: URL, statements: list[str]) -> str:
    words = [*_program(engine, "psql"), "--set=ON_ERROR_STOP=1", f"--dbname={client_tools.conninfo_by_hand(url)}"]
    return shlex.join([*words, *(f"--command={statement}" for statement in statements)])


def _program(engine: PostgreSQLSession, name: str) -> list[str]:
    found = client_tools.find_tools(engine.job.pg_bin)
    return [f"{found.folder}/{name}" if found and engine.job.pg_bin else name]
