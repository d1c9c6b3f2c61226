# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands for a person, where the rights that there are do not let a database be restored."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..sql import quote_name
from . import client_tools, made_with, ownership, restore_method
from .by_hand_entries import Entries, group_entries
from .catalog_queries import is_own
from .restore_statements import fit_name, quote_literal
from .schema_bonds import list_dependents, may_make_schemas

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import URL

    from ..data import Archive
    from .session import PostgreSQLSession

_OWNER = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
#: Others to whom only a superuser can give what is in a schema, because they may not create anything there.
_MAY_OWN_NOTHING = f"""
select 1 from ({{strangers}}) s(name) cross join pg_namespace n
 where {is_own("pg_namespace", "n.oid")} and not has_schema_privilege(s.name, n.oid, 'create')
"""
_OWNER_OF_SCHEMA = "select pg_get_userbyid(nspowner) from pg_namespace where nspname = :schema"
#: Schemas in which what a role owns was put by a superuser, or made before it lost the right to.
_MAY_NOT_CREATE_IN = f"""
select n.nspname, r.name from unnest(cast(:roles as text[])) r(name) cross join pg_namespace n
 where {is_own("pg_namespace", "n.oid")} and not has_schema_privilege(r.name, n.oid, 'create')
"""
_OPEN = "connection limit -1"
_OF_PUBLIC = re.compile(r"schema public owner ")
#: The role that made the cluster, which is always a superuser.
_SUPERUSER = "select rolname from pg_roles where oid = 10"


def find_restore_rights(engine: PostgreSQLSession) -> tuple[str, dict[str, Any]] | None:
    """Return what a superuser types so that a restore can be done, and the variables that the restore needs.

    None if no right would do: there is something that only a superuser can make anew.
    """
    own = engine.open_own_connection()
    mine = restore_method.read_powers(own, engine.name_on_server)
    if own.query_rows(ownership.SUPERUSERS) or (engine.database.schema and list_dependents(own)):
        return None
    if own.query_rows(ownership.NEVER) or own.query_rows(_MAY_OWN_NOTHING.format(strangers=ownership.STRANGERS)):
        return None
    if restore_method.build_in_place_method(engine).obstacle is None:
        return "", {"migrate_restore_method": "in_place"}
    user = quote_name(str(own.query_rows("select current_user")[0][0]))
    grants = _list_database_grants(engine, mine)
    grants += restore_method.list_grants(own, [row[0] for row in own.query_rows(ownership.STRANGERS)])
    if not engine.database.schema and own.query_rows(ownership.RANGES) and not mine.createdb:
        grants.append(f"alter role {user} createdb")
    if not grants:
        return None
    return _build_psql(engine, _build_superuser_url(engine), grants), {"migrate_restore_method": "auto"}


def _list_database_grants(engine: PostgreSQLSession, mine: restore_method.Powers) -> list[str]:
    """Return what a user lacks to restore a database, or to make a schema beside the one that it restores."""
    if engine.database.schema:
        name = quote_name(engine.name_on_server)
        user = quote_name(str(engine.open_own_connection().query_rows("select current_user")[0][0]))
        return [] if may_make_schemas(engine.open_own_connection()) else [f"grant create on database {name} to {user}"]
    return (
        []
        if mine.owner
        else restore_method.list_grants(
            engine.open_own_connection(), [engine.open_own_connection().query_rows(_OWNER)[0][0]]
        )
    )


def build_manual_command(engine: PostgreSQLSession, archive: Archive) -> str:
    """Return what puts a dump in the place of a database; the replaced one is kept beside.

    An administrator creates, renames, and makes what only a superuser can and what calls nothing. The rest is restored
    by the database's user, because an archive holds code, which has the rights of whom it is restored by. Each password
    is requested, or taken from ~/.pgpass.
    """
    if engine.database.schema:
        return _build_schema_command(engine, archive.path)
    own, name = engine.open_own_connection(), engine.name_on_server
    new, replaced = fit_name(name, "_restored"), fit_name(name, "_replaced")
    admin, owner = _build_superuser_url(engine), own.query_rows(_OWNER)[0][0]
    user, server = str(own.query_rows("select current_user")[0][0]), admin.set(database="postgres")
    entries = group_entries(engine, archive.path)
    options = made_with.read_options_unlike_template(own, name)
    by_owner = _Steps(engine, archive.path, new, admin, entries)
    grants, revokes = _list_grants_and_revokes(engine, entries)
    no_public = bool(archive.fingerprint) and not any(map(_OF_PUBLIC.match, archive.fingerprint))
    prepare = (["drop schema public"] if no_public else []) + grants
    steps = [_build_createdb(engine, server, new, user, options)]
    if entries.first:
        # The owner is let in after what must find nothing of his.
        steps = [_build_psql(engine, server, [_create_closed(new, options)]), by_owner.build_admin_step(entries.first)]
        prepare += [f"alter database {quote_name(new)} {what}" for what in (f"owner to {quote_name(user)}", _OPEN)]
    steps += [_build_psql(engine, admin.set(database=new), prepare)] if prepare else []
    steps += by_owner.build_owner_steps()
    steps += [_build_psql(engine, admin.set(database=new), revokes)] if revokes else []
    steps += [by_owner.build_admin_step(entries.last)] if entries.last else []
    renames = [
        *([f"alter database {quote_name(new)} owner to {quote_name(owner)}"] if owner != user else []),
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = {quote_literal(name)}",
        f"alter database {quote_name(name)} rename to {quote_name(replaced)}",
        f"alter database {quote_name(new)} rename to {quote_name(name)}",
    ]
    return " && ".join([*steps, _build_psql(engine, server, renames)])


def _build_createdb(engine: PostgreSQLSession, server: URL, new: str, user: str, options: dict[str, str]) -> str:
    words = [*_locate_program(engine, "createdb"), f"--maintenance-db={client_tools.build_manual_conninfo(server)}"]
    return shlex.join([*words, "--template=template0", f"--owner={user}", *made_with.as_words(options), new])


def _create_closed(new: str, options: dict[str, str]) -> str:
    words = f"create database {quote_name(new)} template template0 connection limit 0 {made_with.as_sql(options)}"
    return words.strip()


def _list_grants_and_revokes(engine: PostgreSQLSession, entries: Entries) -> tuple[list[str], list[str]]:
    """Return what lets the user give others what was theirs, and what takes back what is not to stay."""
    own = engine.open_own_connection()
    roles = [str(own.query_rows("select current_user")[0][0]), *entries.members]
    rows = own.query_rows(_MAY_NOT_CREATE_IN, roles=roles) if entries.first or entries.members else []
    lacking = [(quote_name(schema), quote_name(role)) for schema, role in rows if schema in entries.schema_names]
    grants = [f"grant create on schema {schema} to {role}" for schema, role in lacking]
    revokes = [f"revoke create on schema {schema} from {role}" for schema, role in lacking]
    return restore_method.list_grants(own, entries.members) + grants, revokes


def _build_schema_command(engine: PostgreSQLSession, dump: Path) -> str:
    own, schema, admin = engine.open_own_connection(), engine.database.schema, _build_superuser_url(engine)
    user, owner = (
        str(own.query_rows("select current_user")[0][0]),
        own.query_rows(_OWNER_OF_SCHEMA, schema=schema)[0][0],
    )
    entries = group_entries(engine, dump)
    name, replaced = quote_name(schema), quote_name(fit_name(schema, "_replaced"))
    prepare = [f"alter schema {name} rename to {replaced}", f"create schema {name} authorization {quote_name(user)}"]
    prepare += restore_method.list_grants(own, entries.members)
    owned = [f"alter schema {name} owner to {quote_name(owner)}"] if owner != user else []
    steps = _Steps(engine, dump, engine.name_on_server, admin, entries)
    last = [steps.build_admin_step(entries.last)] if entries.last else []
    owns = [_build_psql(engine, admin, owned)] if owned else []
    return " && ".join([_build_psql(engine, admin, prepare), *steps.build_owner_steps(), *owns, *last])


@dataclass(frozen=True)
class _Steps:
    """The parts of an archive as they are restored into a database one after the other."""

    engine: PostgreSQLSession
    dump: Path
    database: str
    admin: URL
    entries: Entries

    def build_admin_step(self, numbers: list[str]) -> str:
        """Return what restores some entries as an administrator."""
        chosen = shlex.join(["printf", "%s;\\n", *numbers])
        return f"{chosen} | {self._restore(self.admin, [*self._build_transaction_options(), '--use-list=/dev/stdin'])}"

    def build_owner_steps(self) -> list[str]:
        """Return what restores all else as the owner, and in its midst what only an administrator defines."""
        left_out = self.entries.administrators + (self.entries.schemas if self.engine.database.schema else [])
        if not left_out:
            return [self._restore(self.engine.url.set(password=None), self._build_options())]
        steps, begin = [], "1"
        for group in self.entries.between:
            steps += [self._build_owner_step(f"{begin},/^{group[0]};/p", left_out), self.build_admin_step(group)]
            begin = f"/^{group[-1]};/"
        return [*steps, self._build_owner_step(f"{begin},$p", left_out)]

    def _build_owner_step(self, part: str, left_out: list[str]) -> str:
        listing = shlex.join([*_locate_program(self.engine, "pg_restore"), "--list", str(self.dump)])
        theirs = f"^({'|'.join(left_out)});"
        chosen = f"{shlex.join(['sed', '-n', part])} | {shlex.join(['grep', '-vE', theirs])}"
        options = [*self._build_options(), "--use-list=/dev/stdin"]
        return f"{listing} | {chosen} | {self._restore(self.engine.url.set(password=None), options)}"

    def _build_transaction_options(self) -> list[str]:
        return ["--single-transaction"] if self.engine.database.schema else []

    def _build_options(self) -> list[str]:
        return [
            *(self._build_transaction_options() or ["--jobs=2"]),
            *(["--no-owner"] if self.entries.no_owner else []),
        ]

    def _restore(self, url: URL, options: list[str]) -> str:
        target = f"--dbname={client_tools.build_manual_conninfo(url.set(database=self.database))}"
        words = [*_locate_program(self.engine, "pg_restore"), "--exit-on-error", *options, target, str(self.dump)]
        return shlex.join(words)


def _build_superuser_url(engine: PostgreSQLSession) -> URL:
    return engine.url.set(username=engine.open_own_connection().query_rows(_SUPERUSER)[0][0], password=None)


def _build_psql(engine: PostgreSQLSession, url: URL, statements: list[str]) -> str:
    words = [
        *_locate_program(engine, "psql"),
        "--set=ON_ERROR_STOP=1",
        f"--dbname={client_tools.build_manual_conninfo(url)}",
    ]
    return shlex.join([*words, *(f"--command={statement}" for statement in statements)])


def _locate_program(engine: PostgreSQLSession, name: str) -> list[str]:
    found = client_tools.find_tools(engine.job.pg_bin)
    return [f"{found.folder}/{name}" if found and engine.job.pg_bin else name]
