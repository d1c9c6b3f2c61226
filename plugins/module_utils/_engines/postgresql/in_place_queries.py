# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Queries of the catalogs for a restore in place: what is moved away, dropped, locked and taken away."""

from __future__ import annotations

from . import catalog_queries
from .scope import WHOLE, match_scope

#: Whether the schema itself stays. A range type moves only with its schema, so then public is made anew as well; before
#: PostgreSQL 15 it is the superuser's.
SCHEMAS = f"""
select n.nspname, n.nspname = 'public' and (current_setting('server_version_num')::int < 150000 or not exists (
         select from pg_type t where t.typnamespace = n.oid and t.typtype = 'r'))
       or not pg_has_role(n.nspowner, 'usage') or exists (select from pg_extension x where x.extnamespace = n.oid)
  from pg_namespace n where {catalog_queries.is_own("pg_namespace", "n.oid")}
"""

#: As each database of PostgreSQL 15 and newer has it; an archive says only what differs from that, and never makes it.
PUBLIC = """
create schema public authorization pg_database_owner;
grant usage on schema public to public;
comment on schema public is 'standard public schema';
"""

OWNED = "select nspname, 1 from pg_namespace where pg_has_role(nspowner, 'usage')"

#: Whatever lies in a schema by itself: (catalog, oid, schema's oid, order). Routines go first: the text that names
#: them names the schemas of their arguments' types too.
OBJECTS = """
select 'pg_proc'::regclass classid, oid, pronamespace ns, 1 turn from pg_proc
union all select 'pg_operator'::regclass, oid, oprnamespace, 1 from pg_operator
union all select 'pg_opclass'::regclass, oid, opcnamespace, 1 from pg_opclass
union all select 'pg_opfamily'::regclass, oid, opfnamespace, 1 from pg_opfamily
union all select 'pg_collation'::regclass, oid, collnamespace, 2 from pg_collation
union all select 'pg_conversion'::regclass, oid, connamespace, 2 from pg_conversion
union all select 'pg_statistic_ext'::regclass, oid, stxnamespace, 2 from pg_statistic_ext
union all select 'pg_ts_config'::regclass, oid, cfgnamespace, 2 from pg_ts_config
union all select 'pg_ts_dict'::regclass, oid, dictnamespace, 2 from pg_ts_dict
union all select 'pg_ts_parser'::regclass, oid, prsnamespace, 2 from pg_ts_parser
union all select 'pg_ts_template'::regclass, oid, tmplnamespace, 2 from pg_ts_template
union all select 'pg_class'::regclass, c.oid, relnamespace, 3 from pg_class c
  where relkind in ('r', 'p', 'f', 'v', 'm') or relkind = 'S' and not exists (
    select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
       and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i'))
union all select 'pg_type'::regclass, t.oid, typnamespace, 4 from pg_type t
  where typtype in ('e', 'd', 'r', 'm') or typtype = 'b' and not exists (select from pg_type e where e.typarray = t.oid)
     or typtype = 'c' and exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c')
"""

MOVES = f"""
select format('alter %s %s set schema %I', case i.type when 'statistics object' then 'statistics' else i.type end,
              i.identity, moved.target)
  from ({OBJECTS}) o
  join (values {{pairs}}) moved(name, target) on o.ns = (select n.oid from pg_namespace n where n.nspname = moved.name)
  cross join lateral pg_identify_object(o.classid, o.oid, 0) i
 where not exists (select from pg_depend e where e.classid = o.classid and e.objid = o.oid and e.deptype = 'e')
 order by o.turn
"""

#: A cast has no schema that it could be moved to, and would be in the next dump without its types.
CASTS = """
select format('drop cast (%s as %s)', format_type(k.castsource, null), format_type(k.casttarget, null))
  from pg_cast k join pg_type s on s.oid = k.castsource join pg_type t on t.oid = k.casttarget
  join pg_namespace n on n.oid in (s.typnamespace, t.typnamespace)
 where n.nspname like 'alembic\\_aside\\_%' and not exists (
   select from pg_depend e where e.classid = 'pg_cast'::regclass and e.objid = k.oid and e.deptype in ('e', 'i'))
"""

LOCKS = f"""
select format('lock table only %I.%I in access exclusive mode', n.nspname, c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and {catalog_queries.is_own("pg_class", "c.oid")} order by c.oid
"""

#: Privileges that would be added to what is made anew, and that the archive has itself.
DEFAULT_PRIVILEGES = f"""
select format('alter default privileges for role %I %s revoke all on %s from %s', pg_get_userbyid(defaclrole),
              case when defaclnamespace <> 0 then format('in schema %I', n.nspname) end, kind,
              case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
  from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace
  cross join lateral (select case defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then
                             'routines' when 'T' then 'types' when 'n' then 'schemas' end kind) k
  cross join lateral (select distinct grantee from aclexplode(defaclacl)) a
 where (a.grantee <> d.defaclrole or d.defaclnamespace <> 0) and ({WHOLE} or {match_scope()})
union all
select format('alter default privileges for role %I grant all on %s to %1$I', pg_get_userbyid(defaclrole),
              case defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'routines'
                                 when 'T' then 'types' when 'n' then 'schemas' end)
  from pg_default_acl where defaclnamespace = 0 and {WHOLE}
union all
select format('alter default privileges for role %I grant %s to public', pg_get_userbyid(defaclrole),
              case defaclobjtype when 'f' then 'execute on routines' else 'usage on types' end)
  from pg_default_acl where defaclnamespace = 0 and defaclobjtype in ('f', 'T') and {WHOLE}
"""

EXTENSION_TABLES = """
select n.nspname, c.relname from pg_depend e
  join pg_class c on e.classid = 'pg_class'::regclass and e.objid = c.oid
  join pg_namespace n on n.oid = c.relnamespace
 where e.deptype = 'e' and c.relkind in ('r', 'p', 'S')
"""
