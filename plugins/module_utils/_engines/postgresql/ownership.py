# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Queries for what the owner of a database could not make anew, or not move."""

from __future__ import annotations

from . import catalog_queries
from .scope import WHOLE, match_scope


def may_act_as(role: str) -> str:
    """A condition: whether the session may change what a role owns, and give it to that role.

    A membership with INHERIT does the first, one with SET the second (GRANT in PostgreSQL 16 and newer); before 16 each
    membership does the second, and who has NOINHERIT not the first.
    """
    given = "case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end"
    return f"(pg_has_role({role}, 'usage') and pg_has_role({role}, {given}))"


def _build_owners_query(objects: str, owner: str, schema: str, only: str = "true") -> str:
    """A query for the owners of objects of one catalog that are in the database and no extension's."""
    return f"""
  select o.{owner}, '{objects}'::regclass, o.oid from {objects} o join pg_namespace n on n.oid = o.{schema}
   where {only} and {catalog_queries.is_own(objects, "o.oid")}"""


#: Constructors of range types, which are the first superuser's.
_NO_CONSTRUCTOR = """not exists (select from pg_depend i
     where i.classid = 'pg_proc'::regclass and i.objid = o.oid and i.deptype = 'i')"""
_OWNERS = (
    _build_owners_query("pg_class", "relowner", "relnamespace", "o.relkind in ('r', 'p', 'v', 'm', 'S', 'f')"),
    _build_owners_query("pg_proc", "proowner", "pronamespace", _NO_CONSTRUCTOR),
    _build_owners_query("pg_type", "typowner", "typnamespace", "o.typtype in ('e', 'd', 'r')"),
    _build_owners_query("pg_statistic_ext", "stxowner", "stxnamespace"),
    _build_owners_query("pg_operator", "oprowner", "oprnamespace"),
    _build_owners_query("pg_collation", "collowner", "collnamespace"),
    _build_owners_query("pg_conversion", "conowner", "connamespace"),
    _build_owners_query("pg_ts_config", "cfgowner", "cfgnamespace"),
    _build_owners_query("pg_ts_dict", "dictowner", "dictnamespace"),
    _build_owners_query("pg_namespace", "nspowner", "oid", "n.nspname <> 'public'"),
    f"select lomowner, 'pg_largeobject'::regclass, oid from pg_largeobject_metadata where {WHOLE}",
)
#: The owner, the catalog and the number of each object.
OWNED = " union all ".join(_OWNERS)

#: Others whose objects are in the database.
STRANGERS = f"""
select distinct pg_get_userbyid(owner) from ({OWNED}
) objects (owner, class, oid) where not {may_act_as("owner")}
"""

#: Those of them whose member could become a superuser: membership is never what a customer's role is given.
SUPERUSERS = f"""
select name from ({STRANGERS}) strangers (name)
 where exists (select from pg_roles r where r.rolsuper and pg_has_role(strangers.name, r.oid, 'member'))
"""

#: Statements that give the objects of those to the calling role; what follows its table's owner is not among them.
TO_GIVE_AWAY = f"""
select format('ALTER %s %s OWNER TO %I', upper(case i.type when 'statistics object' then 'statistics' else i.type end),
              i.identity, current_user)
  from ({OWNED}
  ) objects (owner, class, oid) cross join lateral pg_identify_object(class, objects.oid, 0) i
 where not {may_act_as("owner")}
   and exists (select from pg_roles r where r.rolsuper and pg_has_role(owner, r.oid, 'member'))
   and not exists (select from pg_depend d where d.classid = class and d.objid = objects.oid and d.deptype in ('a', 'i')
                      and d.refclassid = 'pg_class'::regclass and class = 'pg_class'::regclass)
 order by 1
"""

#: Range types that cannot be moved by their owner, because their constructors belong to the first superuser. They are
#: in the way where their schema stays.
RANGES = f"""
select format('%I.%I', n.nspname, t.typname) from pg_type t join pg_namespace n on n.oid = t.typnamespace
 where t.typtype = 'r' and {catalog_queries.is_own("pg_type", "t.oid")}
   and (n.nspname = 'public' and current_setting('server_version_num')::int < 150000
        or not pg_has_role(n.nspowner, 'usage') or exists (select from pg_extension x where x.extnamespace = n.oid))
"""

#: What only a superuser can make anew, and does before or after the owner's own work.
PRIVILEGED = """
select 'extension ' || x.extname from pg_extension x
  join pg_available_extension_versions v on v.name = x.extname and v.version = x.extversion
 where not coalesce((to_jsonb(v)->>'trusted')::boolean, false) and x.extname <> 'plpgsql'
union all select 'event trigger ' || evtname from pg_event_trigger
union all select 'foreign data wrapper ' || fdwname from pg_foreign_data_wrapper w
  where not exists (select from pg_depend e where e.classid = 'pg_foreign_data_wrapper'::regclass and e.objid = w.oid
                       and e.deptype = 'e')
"""

#: The first number that the server gives to an object which it does not bring itself.
_FIRST_OF_USERS = 16384

#: What only a superuser can make anew, and what the owner's own objects need in the middle of the work.
NEVER = f"""
select 'operator class ' || c.opcname from pg_opclass c join pg_namespace n on n.oid = c.opcnamespace
 where {catalog_queries.is_own("pg_opclass", "c.oid")}
union all
select 'operator family ' || c.opfname from pg_opfamily c join pg_namespace n on n.oid = c.opfnamespace
 where {catalog_queries.is_own("pg_opfamily", "c.oid")}
union all
select 'text search parser ' || c.prsname from pg_ts_parser c join pg_namespace n on n.oid = c.prsnamespace
 where {catalog_queries.is_own("pg_ts_parser", "c.oid")}
union all
select 'text search template ' || c.tmplname from pg_ts_template c join pg_namespace n on n.oid = c.tmplnamespace
 where {catalog_queries.is_own("pg_ts_template", "c.oid")}
union all
select 'function ' || f.proname from pg_proc f join pg_namespace n on n.oid = f.pronamespace
  join pg_language l on l.oid = f.prolang
 where not l.lanpltrusted and l.lanname <> 'sql' and f.prokind <> 'a' and {catalog_queries.is_own("pg_proc", "f.oid")}
   and not exists (
     select from pg_depend i where i.classid = 'pg_proc'::regclass and i.objid = f.oid and i.deptype = 'i')
union all
select format('foreign table %I, whose server %I its owner may not use', c.relname, s.srvname)
  from pg_foreign_table f join pg_class c on c.oid = f.ftrelid join pg_foreign_server s on s.oid = f.ftserver
  join pg_namespace n on n.oid = c.relnamespace
 where not has_server_privilege(s.oid, 'usage') and {catalog_queries.is_own("pg_class", "c.oid")}
union all
select format('cast (%s as %s)', format_type(k.castsource, null), format_type(k.casttarget, null))
  from pg_cast k join pg_type s on s.oid = k.castsource join pg_type t on t.oid = k.casttarget
 where {WHOLE} and k.oid >= {_FIRST_OF_USERS}
   and (k.castmethod = 'b' or not (pg_has_role(s.typowner, 'usage') or pg_has_role(t.typowner, 'usage')))
   and not exists (select from pg_depend e
                    where e.classid = 'pg_cast'::regclass and e.objid = k.oid and e.deptype in ('e', 'i'))
union all
select distinct 'default privileges of role ' || pg_get_userbyid(defaclrole)
  from pg_default_acl left join pg_namespace n on n.oid = defaclnamespace
 where not pg_has_role(defaclrole, 'usage') and ({WHOLE} or {match_scope()})
"""

#: The statements that let the calling role act as others. Those that a membership lacks are named: it may be there.
MAKE_MEMBER = """
select format('GRANT %I TO %I%s', wanted, current_user,
              case when current_setting('server_version_num')::int >= 160000 then ' WITH INHERIT TRUE, SET TRUE' end)
  from unnest(cast(:names as text[])) wanted
union all
select format('ALTER ROLE %I INHERIT', current_user) from pg_roles
 where rolname = current_user and not rolinherit and current_setting('server_version_num')::int < 160000
"""

#: Of ``public``, which every new database has, the owner and, before 15, the privileges are not its owner's to change.
PUBLIC = f"""
select pg_get_userbyid(n.nspowner) from pg_namespace n
  left join pg_init_privs i on i.classoid = 'pg_namespace'::regclass and i.objoid = n.oid and i.objsubid = 0
 where n.nspname = 'public' and not {may_act_as("n.nspowner")}
   and (current_setting('server_version_num')::int >= 150000 or n.nspacl is distinct from i.initprivs)
"""
