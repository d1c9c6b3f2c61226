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
from .by_hand_entries import Entries, entries_by_role
from .catalog_queries import ours
from .restore_statements import fit_name, literal
from .schema_bonds import hanging_on, may_make_schemas

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import URL

    from ..data import Archive
    from .session import PostgreSQLSession

_OWNER = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
#: Others to whom only a superuser can give what is in a schema, because they may not create anything there.
_MAY_OWN_NOTHING = f"""
select 1 from ({{strangers}}) s(name) cross join pg_namespace n
 where {ours("pg_namespace", "n.oid")} and not has_schema_privilege(s.name, n.oid, 'create')
"""
_OWNER_OF_SCHEMA = "select pg_get_userbyid(nspowner) from pg_namespace where nspname = :schema"
#: Schemas in which what a role owns was put by a superuser, or made before it lost the right to.
_MAY_NOT_CREATE_IN = f"""
select n.nspname, r.name from unnest(cast(:roles as text[])) r(name) cross join pg_namespace n
 where {ours("pg_namespace", "n.oid")} and not has_schema_privilege(r.name, n.oid, 'create')
"""
_OPEN = "connection limit -1"
_OF_PUBLIC = re.compile(r"schema public owner ")
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


def command(engine: PostgreSQLSession, archive: Archive) -> str:
    """Return what puts a dump in the place of a database; the replaced one is kept beside.

    An administrator creates, renames, and makes what only a superuser can and what calls nothing. The rest is restored
    by the database's user, because an archive holds code, which has the rights of whom it is restored by. Each password
    is requested, or taken from ~/.pgpass.
    """
    if engine.database.schema:
        return _command_for_schema(engine, archive.path)
    own, name = engine.own_connection(), engine.name_on_server
    new, replaced = fit_name(name, "_restored"), fit_name(name, "_replaced")
    admin, owner = _superuser(engine), own.rows(_OWNER)[0][0]
    user, server = str(own.rows("select current_user")[0][0]), admin.set(database="postgres")
    entries = entries_by_role(engine, archive.path)
    options = made_with.unlike_template(own, name)
    by_owner = _Steps(engine, archive.path, new, admin, entries)
    grants, revokes = _to_own(engine, entries)
    no_public = bool(archive.fingerprint) and not any(map(_OF_PUBLIC.match, archive.fingerprint))
    prepare = (["drop schema public"] if no_public else []) + grants
    steps = [_createdb(engine, server, new, user, options)]
    if entries.first:
        # The owner is let in after what must find nothing of his.
        steps = [_psql(engine, server, [_create_closed(new, options)]), by_owner.by_admin(entries.first)]
        prepare += [f"alter database {quote_name(new)} {what}" for what in (f"owner to {quote_name(user)}", _OPEN)]
    steps += [_psql(engine, admin.set(database=new), prepare)] if prepare else []
    steps += by_owner.in_turn()
    steps += [_psql(engine, admin.set(database=new), revokes)] if revokes else []
    steps += [by_owner.by_admin(entries.last)] if entries.last else []
    renames = [
        *([f"alter database {quote_name(new)} owner to {quote_name(owner)}"] if owner != user else []),
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = {literal(name)}",
        f"alter database {quote_name(name)} rename to {quote_name(replaced)}",
        f"alter database {quote_name(new)} rename to {quote_name(name)}",
    ]
    return " && ".join([*steps, _psql(engine, server, renames)])


def _createdb(engine: PostgreSQLSession, server: URL, new: str, user: str, options: dict[str, str]) -> str:
    words = [*_program(engine, "createdb"), f"--maintenance-db={client_tools.conninfo_by_hand(server)}"]
    return shlex.join([*words, "--template=template0", f"--owner={user}", *made_with.as_words(options), new])


def _create_closed(new: str, options: dict[str, str]) -> str:
    words = f"create database {quote_name(new)} template template0 connection limit 0 {made_with.as_sql(options)}"
    return words.strip()


def _to_own(engine: PostgreSQLSession, entries: Entries) -> tuple[list[str], list[str]]:
    """Return what lets the user give others what was theirs, and what takes back what is not to stay."""
    own = engine.own_connection()
    roles = [str(own.rows("select current_user")[0][0]), *entries.members]
    rows = own.rows(_MAY_NOT_CREATE_IN, roles=roles) if entries.first or entries.members else []
    lacking = [(quote_name(schema), quote_name(role)) for schema, role in rows if schema in entries.schema_names]
    grants = [f"grant create on schema {schema} to {role}" for schema, role in lacking]
    revokes = [f"revoke create on schema {schema} from {role}" for schema, role in lacking]
    return restore_method.grants(own, entries.members) + grants, revokes


def _command_for_schema(engine: PostgreSQLSession, dump: Path) -> str:
    own, schema, admin = engine.own_connection(), engine.database.schema, _superuser(engine)
    user, owner = str(own.rows("select current_user")[0][0]), own.rows(_OWNER_OF_SCHEMA, schema=schema)[0][0]
    entries = entries_by_role(engine, dump)
    name, replaced = quote_name(schema), quote_name(fit_name(schema, "_replaced"))
    prepare = [f"alter schema {name} rename to {replaced}", f"create schema {name} authorization {quote_name(user)}"]
    prepare += restore_method.grants(own, entries.members)
    owned = [f"alter schema {name} owner to {quote_name(owner)}"] if owner != user else []
    steps = _Steps(engine, dump, engine.name_on_server, admin, entries)
    last = [steps.by_admin(entries.last)] if entries.last else []
    owns = [_psql(engine, admin, owned)] if owned else []
    return " && ".join([_psql(engine, admin, prepare), *steps.in_turn(), *owns, *last])


@dataclass(frozen=True)
class _Steps:
    """The parts of an archive as they are restored into a database one after the other."""

    engine: PostgreSQLSession
    dump: Path
    database: str
    admin: URL
    entries: Entries

    def by_admin(self, numbers: list[str]) -> str:
        """Return what restores some entries as an administrator."""
        chosen = shlex.join(["printf", "%s;\\n", *numbers])
        return f"{chosen} | {self._restore(self.admin, [*self._whole(), '--use-list=/dev/stdin'])}"

    def in_turn(self) -> list[str]:
        """Return what restores all else as the owner, and in its midst what only an administrator defines."""
        left_out = self.entries.administrators + (self.entries.schemas if self.engine.database.schema else [])
        if not left_out:
            return [self._restore(self.engine.url.set(password=None), self._options())]
        steps, begin = [], "1"
        for group in self.entries.between:
            steps += [self._by_owner(f"{begin},/^{group[0]};/p", left_out), self.by_admin(group)]
            begin = f"/^{group[-1]};/"
        return [*steps, self._by_owner(f"{begin},$p", left_out)]

    def _by_owner(self, part: str, left_out: list[str]) -> str:
        listing = shlex.join([*_program(self.engine, "pg_restore"), "--list", str(self.dump)])
        theirs = f"^({'|'.join(left_out)});"
        chosen = f"{shlex.join(['sed', '-n', part])} | {shlex.join(['grep', '-vE', theirs])}"
        options = [*self._options(), "--use-list=/dev/stdin"]
        return f"{listing} | {chosen} | {self._restore(self.engine.url.set(password=None), options)}"

    def _whole(self) -> list[str]:
        return ["--single-transaction"] if self.engine.database.schema else []

    def _options(self) -> list[str]:
        return [*(self._whole() or ["--jobs=2"]), *(["--no-owner"] if self.entries.no_owner else [])]

    def _restore(self, url: URL, options: list[str]) -> str:
        target = f"--dbname={client_tools.conninfo_by_hand(url.set(database=self.database))}"
        words = [*_program(self.engine, "pg_restore"), "--exit-on-error", *options, target, str(self.dump)]
        return shlex.join(words)


def _superuser(engine: PostgreSQLSession) -> URL:
    return engine.url.set(username=engine.own_connection().rows(_SUPERUSER)[0][0], password=None)


def _psql(engine: PostgreSQLSession, url: URL, statements: list[str]) -> str:
    words = [*_program(engine, "psql"), "--set=ON_ERROR_STOP=1", f"--dbname={client_tools.conninfo_by_hand(url)}"]
    return shlex.join([*words, *(f"--command={statement}" for statement in statements)])


def _program(engine: PostgreSQLSession, name: str) -> list[str]:
    found = client_tools.find_tools(engine.job.pg_bin)
    return [f"{found.folder}/{name}" if found and engine.job.pg_bin else name]
