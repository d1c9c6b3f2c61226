# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Notes for a person about a later restore, while everything is still well: at the plan and at the backup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..data import Archive, RestoreMethod
from . import catalog_queries, ownership
from .foreseen import list_space_shortages

if TYPE_CHECKING:
    from .session import PostgreSQLSession

#: Functions that a restore executes (for CHECK constraints, indexes, generated columns, materialized views) and that
#: name something of the database without its schema: (function, what it names).
_NEEDS_SEARCH_PATH = rf"""
with executed as (
  select distinct d.refobjid oid from pg_depend d where d.refclassid = 'pg_proc'::regclass and (
    d.classid = 'pg_constraint'::regclass
    or d.classid = 'pg_class'::regclass and exists (
      select from pg_class c where c.oid = d.objid and c.relkind in ('i', 'I'))
    or d.classid = 'pg_attrdef'::regclass and exists (
      select from pg_attrdef f join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
       where f.oid = d.objid and coalesce(to_jsonb(a)->>'attgenerated', '') <> '')
    or d.classid = 'pg_rewrite'::regclass and exists (
      select from pg_rewrite r join pg_class c on c.oid = r.ev_class where r.oid = d.objid and c.relkind = 'm'))
), named as (
  select relname as name, relnamespace ns from pg_class where relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  union all select proname, pronamespace from pg_proc
)
select format('%I.%I', n.nspname, p.proname), string_agg(distinct o.name, ', ' order by o.name)
  from executed e join pg_proc p on p.oid = e.oid join pg_namespace n on n.oid = p.pronamespace
  join pg_language l on l.oid = p.prolang
  join named o on p.prosrc ~* ('\m' || regexp_replace(o.name, '([^[:alnum:]_])', '\\\1', 'g') || '\M')
  join pg_namespace s on s.oid = o.ns
 where l.lanname in ('sql', 'plpgsql') and {catalog_queries.is_own("pg_proc", "p.oid")} and o.name <> p.proname
   and s.nspname not like 'pg\_%' and s.nspname <> 'information_schema'
   and strpos(p.prosrc, s.nspname || '.' || o.name) = 0 and strpos(p.prosrc, '"' || s.nspname || '"."') = 0
   and not exists (select from unnest(p.proconfig) setting where setting like 'search_path=%')
 group by 1
"""

_NOTES = f"""
select 'path', needs.* from ({_NEEDS_SEARCH_PATH}) needs (function, names)
union all select 'prepared', gid, '' from pg_prepared_xacts where database = current_database()
union all select 'privileged', privileged.*, '' from ({ownership.PRIVILEGED}) privileged
  where not (select rolsuper from pg_roles where rolname = current_user)
order by 1, 2
"""


def restore_notes(engine: PostgreSQLSession, method: RestoreMethod, archive: Archive | None) -> list[str]:
    """Return what a restore would need or meet, in words.

    Args:
        engine: of the database.
        method: how a restore would be done now.
        archive: what was dumped, where it was.
    """
    rows = engine.open_own_connection().query_rows(_NOTES)
    found = [
        f"function {function} names {names} without a schema, so a restore is replayed with this role's search_path;"
        f" ALTER FUNCTION {function} SET search_path makes it work without"
        for kind, function, names in rows
        if kind == "path"
    ]
    prepared = _of_kind(rows, "prepared")
    if prepared:
        found.append(f"no restore is done while there are prepared transactions: {prepared}")
    privileged = _of_kind(rows, "privileged")
    if method.name == "in_place" and privileged:
        found.append(f"if a revision drops it, only a superuser can make it again: {privileged}")
    lacking = list_space_shortages(engine, archive.path) if archive else []
    return found + [" ".join(str(refusal).split()).rstrip(".") for refusal in lacking]


def _of_kind(rows: Sequence[Sequence[str]], kind: str) -> str:
    return ", ".join(row[1] for row in rows if row[0] == kind)
