# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The method by which a PostgreSQL database can be restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..._core.errors import NOT_POSSIBLE, Refused, describe_first
from ..._core.job import Database
from ..connection import OwnConnection
from ..data import Archive, RestoreMethod
from ..migration_url import build_migration_url
from ..sql import quote_name
from . import catalog_queries, ownership
from .arrival import refuse_what_did_not_arrive
from .bound_to_tables import list_bound_to_tables
from .older_server import convert_fingerprint
from .rendering import render_as_restored
from .schema_bonds import has_default_privileges, list_dependents, list_needed_elsewhere, may_make_schemas
from .session import read_major_version

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from .session import PostgreSQLSession

_MOST_NAMED = 10
#: A superuser does not restore an archive: what is in it would run with his rights.
BY_HAND = (
    "Restore it by the command that is printed where it is held: an administrator creates and renames, and the"
    " database's user restores"
)

_POWERS = f"""
select r.rolsuper, r.rolcreatedb, pg_has_role(d.datdba, 'usage'), d.oid::bigint, d.datname,
       {ownership.may_act_as("d.datdba")}
  from pg_roles r, pg_database d where r.rolname = current_user and d.datname = :database
"""

_LEFT_OUT = """
select 'slot', slot_name from pg_replication_slots where database = current_database()
union all select 'publication', pubname from pg_publication where not {may_act_as_publisher}
union all select 'subscription', s.subname from {subscriptions} s
union all select 'event trigger', evtname from pg_event_trigger
union all select 'foreign server', srvname from pg_foreign_server
union all select 'role', pg_get_userbyid(setrole) from pg_db_role_setting
  where setrole <> 0 and not pg_has_role(setrole, 'member')
    and setdatabase = (select oid from pg_database where datname = current_database())
union all select 'setting', s.name from pg_db_role_setting r cross join unnest(r.setconfig) each(word)
  join pg_settings s on lower(s.name) = lower(split_part(each.word, '=', 1))
  where s.context = 'superuser' and (r.setrole = 0 or pg_has_role(r.setrole, 'member'))
    and r.setdatabase = (select oid from pg_database where datname = current_database())
"""


@dataclass(frozen=True)
class Powers:
    """The rights of a role in the database."""

    superuser: bool
    createdb: bool
    owner: bool
    oid: int
    #: Whether it may give a new database to the owner of this one.
    acts_as_owner: bool

    @property
    def may_swap(self) -> bool:
        """Return whether it may make databases and rename this one."""
        return self.superuser or (self.createdb and self.acts_as_owner)


def build_admin_url(engine: PostgreSQLSession) -> URL | None:
    """Return the URL of who may create databases, if there is one.

    Raises:
        Refused: it cannot be used.
    """
    if not engine.database.admin_url:
        return None
    entry = Database(engine.database.name, engine.database.admin_url, password=engine.database.admin_password)
    url = build_migration_url(entry, "admin_url")
    if url.get_backend_name() != "postgresql":
        raise Refused(
            f"The admin_url of database {entry.name!r} is not one of PostgreSQL",
            f"it begins with {url.get_backend_name()}",
            "Write it as postgresql://role@server/postgres, and its password into admin_password",
            code="admin-url-invalid",
        )
    return url


@contextmanager
def open_other_database(engine: PostgreSQLSession) -> Iterator[tuple[OwnConnection, URL]]:
    """Yield a connection to another database of the same server, from where this one can be renamed, and its URL.

    Raises:
        Refused: there is no other database that lets us in, or it is on another server.
    """
    url = build_admin_url(engine) or engine.url
    names = [name for name in (url.database, "postgres", "template1") if name and name != engine.url.database]
    refusal: Refused | None = None
    for name in names:
        try:
            own = engine.connect(url.set(database=name))
        except Refused as error:
            refusal = error
            continue
        with own:
            yield own, url.set(database=name)
        return
    raise Refused(
        f"No other database on the server of {engine.database.name!r} lets its user in",
        refusal.why if refusal else "",
        "Grant CONNECT on database postgres, or give it an admin_url",
        code="admin-database-missing",
    )


def read_powers(own: OwnConnection, database: str) -> Powers:
    """Return what the role of a connection may do with a database.

    Raises:
        Refused: there is no such database on that server.
    """
    rows = own.query_rows(_POWERS, database=database)
    if not rows:
        raise Refused(
            f"There is no database {database!r} on the server", "", "Check its admin_url", code="admin-url-other-server"
        )
    superuser, createdb, owner, oid, _name, acts = rows[0]
    return Powers(bool(superuser), bool(createdb), bool(owner), int(oid), bool(acts))


def choose_method(engine: PostgreSQLSession) -> RestoreMethod:
    """Return how a database can be restored with the privileges there are."""
    wanted = engine.job.restore_method
    own = engine.open_own_connection()
    mine = read_powers(own, engine.name_on_server)
    if engine.database.schema:
        return _build_schema_method(engine, mine)
    try:
        swap = None if wanted == "in_place" else _find_swap_obstacle(engine, mine)
    except Refused as refusal:
        swap = refusal
    if wanted != "in_place" and swap is None:
        gone = _list_unrestored_by_swap(own, mine.superuser or _has_superuser(engine))
        if wanted == "auto" and gone:
            kept = build_in_place_method(engine)
            if kept.obstacle is None and not kept.loses:
                return replace(kept, notes=[f"it is done in place, because a swap would lose {'; '.join(gone)}"])
        return RestoreMethod("swap", gone, loses=gone)
    if wanted == "swap":
        return RestoreMethod("swap", [], swap)
    found = build_in_place_method(engine)
    notes = [f"it is done in place, because {swap.why}"] if swap and swap.why and not found.obstacle else []
    return replace(found, notes=notes)


def build_in_place_method(engine: PostgreSQLSession) -> RestoreMethod:
    """Return how a database would be restored in place."""
    own = engine.open_own_connection()
    if engine.database.schema:
        return _build_schema_method(engine, read_powers(own, engine.name_on_server))
    obstacle = _find_in_place_obstacle(engine, read_powers(own, engine.name_on_server))
    return RestoreMethod("in_place", _list_unrestored_in_place(own), obstacle, loses=list_bound_to_tables(own))


def _build_schema_method(engine: PostgreSQLSession, mine: Powers) -> RestoreMethod:
    """Return how one schema can be restored: the others stay as they are, so nothing else is swapped or moved."""
    own = engine.open_own_connection()
    hanging = list_dependents(own)
    what, why, remedy = f"Schema {engine.database.schema!r} cannot be restored by itself", "", ""
    if engine.job.restore_method == "swap":
        why, remedy = "a swap replaces all of the database", "Let migrate_restore_method be auto"
    elif hanging:
        why = f"other schemas use what is in it: {describe_first(hanging, _MOST_NAMED)}"
        remedy = "Move that into the schema, or restore by hand"
    elif not (mine.superuser or may_make_schemas(own)):
        why = f"{engine.url.username} may not create schemas, and what is replaced is kept in one"
        remedy = (
            f"GRANT CREATE ON DATABASE {quote_name(engine.name_on_server)} TO {quote_name(engine.url.username or '')};"
        )
    elif has_default_privileges(own):
        why = f"default privileges in all schemas would come on top of what {engine.url.username} makes anew"
        remedy = "ALTER DEFAULT PRIVILEGES IN SCHEMA instead, for each schema that is to have them"
    obstacle = Refused(what, why, remedy, code=NOT_POSSIBLE) if why else _find_owner_obstacle(engine, mine)
    needed = list_needed_elsewhere(own)
    notes = [f"it needs what stays in other schemas: {describe_first(needed, _MOST_NAMED)}"] if needed else []
    return RestoreMethod("in_place", _list_slots(_find_left_out(own)), obstacle, notes, list_bound_to_tables(own))


def _has_superuser(engine: PostgreSQLSession) -> bool:
    if not engine.database.admin_url:
        return False
    with open_other_database(engine) as (other, _url):
        return read_powers(other, engine.name_on_server).superuser


def _find_swap_obstacle(engine: PostgreSQLSession, mine: Powers) -> Refused | None:
    what = f"Database {engine.database.name!r} cannot be restored by a swap"
    if not mine.may_swap and not engine.database.admin_url:
        lacking = "create databases" if not mine.createdb else "rename this one"
        return Refused(what, f"{engine.url.username} may not {lacking}", "Give it an admin_url", code=NOT_POSSIBLE)
    with open_other_database(engine) as (other, _url):
        theirs = read_powers(other, engine.name_on_server)
    if not theirs.may_swap:
        return Refused(
            what,
            "the role of its admin_url may not create databases, or not rename this one",
            "Give the role CREATEDB and membership of the database's owner, or name another role in admin_url",
            code=NOT_POSSIBLE,
        )
    if mine.superuser:
        return None
    own = engine.open_own_connection()
    strangers = [f"owned by {name}" for (name,) in _read_strangers(engine, mine)]
    if strangers:
        return Refused(
            what, f"some of it is {', '.join(strangers)}", _describe_membership(engine, mine), code=NOT_POSSIBLE
        )
    # All that is the owner's is restored by the owner, whichever role makes the database.
    queries = [ownership.NEVER] if theirs.superuser else [ownership.NEVER, ownership.PRIVILEGED]
    missing = [row[0] for query in queries for row in own.query_rows(query)]
    if missing:
        why = f"only a superuser can make anew: {', '.join(missing)}"
        return Refused(what, why, "Name a superuser in admin_url", code=NOT_POSSIBLE)
    public = own.query_rows(ownership.PUBLIC)
    return (
        Refused(
            what,
            f"its schema public belongs to {public[0][0]}",
            "Name its owner or a superuser in admin_url",
            code=NOT_POSSIBLE,
        )
        if public
        else None
    )


def _describe_membership(engine: PostgreSQLSession, mine: Powers) -> str:
    """Return the statements that let the owner of a database restore what others own in it.

    Who is a member of a superuser is one himself, so no role is made one.
    """
    own = engine.open_own_connection()
    if own.query_rows(ownership.SUPERUSERS):
        given = [row[0] for row in own.query_rows(ownership.TO_GIVE_AWAY)]
        return (
            f"{BY_HAND}. The next one can be restored by its user after, as a"
            f" superuser: {describe_first(given, _MOST_NAMED, '; ')}"
        )
    statements = list_grants(own, [row[0] for row in _read_strangers(engine, mine)])
    return f"As a superuser: {' '.join(f'{each};' for each in statements)}"


def list_grants(own: OwnConnection, names: list[str]) -> list[str]:
    """Return the statements that let the role of a connection restore what others own."""
    return [row[0] for row in own.query_rows(ownership.MAKE_MEMBER, names=names)] if names else []


def _find_in_place_obstacle(engine: PostgreSQLSession, mine: Powers) -> Refused | None:
    if not (mine.superuser or mine.owner):
        what = f"Database {engine.database.name!r} cannot be restored by its user"
        return Refused(what, "it belongs to another role", "Name its owner in the url", code=NOT_POSSIBLE)
    return _find_owner_obstacle(engine, mine)


def _find_owner_obstacle(engine: PostgreSQLSession, mine: Powers) -> Refused | None:
    """Return what of it does not belong to its user, or is not his to make anew."""
    strangers = _read_strangers(engine, mine)
    ranges = [] if mine.superuser else engine.open_own_connection().query_rows(ownership.RANGES)
    never = [] if mine.superuser else engine.open_own_connection().query_rows(ownership.NEVER)
    remedy = BY_HAND
    if strangers:
        why, remedy = (
            f"some of it belongs to {', '.join(row[0] for row in strangers)}",
            _describe_membership(engine, mine),
        )
    elif never:
        why = f"only a superuser can make anew: {', '.join(row[0] for row in never)}"
    elif ranges:
        why = f"its owner cannot move range types: {', '.join(row[0] for row in ranges)}"
        remedy = "Give it an admin_url that may create databases"
    else:
        return None
    return Refused(f"Database {engine.database.name!r} cannot be restored by its user", why, remedy, code=NOT_POSSIBLE)


def _read_strangers(engine: PostgreSQLSession, mine: Powers) -> list[tuple[Any, ...]]:
    return [] if mine.superuser else engine.open_own_connection().query_rows(ownership.STRANGERS)


def _find_left_out(own: OwnConnection) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    subscriptions = catalog_queries.build_subscriptions_query(own.run(read_major_version))
    for kind, name in own.query_rows(
        _LEFT_OUT.format(subscriptions=subscriptions, may_act_as_publisher=ownership.may_act_as("pubowner"))
    ):
        found.setdefault(kind, []).append(name)
    return {kind: ", ".join(sorted(set(names))) for kind, names in found.items()}


def _list_unrestored_by_swap(own: OwnConnection, superuser: bool) -> list[str]:
    found = _find_left_out(own)
    lines = []
    if "slot" in found:
        lines.append(f"logical replication slots, which stay with the replaced database: {found['slot']}")
    if "subscription" in found:
        lines.append(f"subscriptions, which stay with the replaced database: {found['subscription']}")
    if "publication" in found and not superuser:
        lines.append(f"publications of others: {found['publication']}")
    if "role" in found and not superuser:
        lines.append(f"settings in this database of other roles: {found['role']}")
    if "setting" in found and not superuser:
        lines.append(f"settings of this database that only a superuser can make: {found['setting']}")
    return lines


def _list_unrestored_in_place(own: OwnConnection) -> list[str]:
    found = _find_left_out(own)
    lines = _list_slots(found)
    for kind, why in (
        ("publication", "publications, which go on with the replaced tables"),
        ("subscription", "subscriptions, which go on with the replaced tables"),
        ("event trigger", "event triggers, which stay as they are"),
        ("foreign server", "foreign servers, which stay as they are"),
        ("role", "settings in this database of other roles, which stay as they are"),
    ):
        if kind in found:
            lines.append(f"{why}: {found[kind]}")
    return lines


def _list_slots(found: dict[str, str]) -> list[str]:
    if "slot" not in found:
        return []
    return [f"logical replication slots, which see the restore as changes: {found['slot']}"]


def verify(archive: Archive, fingerprint: list[str], row_counts: dict[str, int] | None, name: str) -> None:
    """Compare what was restored with what was true when the dump was taken.

    Both fingerprints are taken with the same settings, an empty search_path among them, and say nothing that a restore
    renders anew (see ``_engines/postgresql/rendering.py``). An index that was INVALID is in no dump.

    Raises:
        Failed: it is not the same.
    """
    fingerprint = convert_fingerprint(archive.fingerprint, fingerprint)
    differing = sorted(set(render_as_restored(archive.fingerprint)) ^ set(render_as_restored(fingerprint)))
    if archive.row_counts is not None and row_counts is not None:
        tables = sorted(set(archive.row_counts) | set(row_counts))
        differing += [
            f"{table}: {archive.row_counts.get(table)} rows, and {row_counts.get(table)} were restored"
            for table in tables
            if archive.row_counts.get(table) != row_counts.get(table)
        ]
    refuse_what_did_not_arrive(name, differing)
