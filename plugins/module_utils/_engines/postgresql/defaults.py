# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The defaults of a new database and schema, as statements: an archive holds only what differs from them.

They are for what a restore in place cannot move away, the schema ``public`` and the database itself.
"""

from __future__ import annotations

#: One row a statement. ``{kept}`` are schemas as an array of names. What ``initdb`` gave ``public`` is in the catalog.
SCHEMAS = """
select statement from (
  select n.oid, 1 turn, 0::bigint part,
         format('revoke all on schema %I from %s cascade', n.nspname,
                case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end) as statement
    from pg_namespace n
    cross join lateral (select distinct grantee from aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner)))) a
   where n.nspname = any({kept}) and pg_has_role(n.nspowner, 'usage')
  union all
  select n.oid, 2, a.part,
         format('grant %s on schema %I to %s%s', a.privilege_type, n.nspname,
                case a.grantee when 0 then 'public' when a.grantor then quote_ident(pg_get_userbyid(n.nspowner))
                               else quote_ident(pg_get_userbyid(a.grantee)) end,
                case when a.is_grantable and a.grantee <> a.grantor then ' with grant option' else '' end)
    from pg_namespace n
    left join pg_init_privs i on i.classoid = 'pg_namespace'::regclass and i.objoid = n.oid and i.objsubid = 0
    cross join lateral aclexplode(coalesce(i.initprivs, acldefault('n', n.nspowner)))
      with ordinality a(grantor, grantee, privilege_type, is_grantable, part)
   where n.nspname = any({kept}) and pg_has_role(n.nspowner, 'usage')
  union all
  select n.oid, 3, 0, format('comment on schema %I is %s', n.nspname,
                             case n.nspname when 'public' then quote_literal('standard public schema') else 'null' end)
    from pg_namespace n where n.nspname = any({kept}) and pg_has_role(n.nspowner, 'usage')
) s order by oid, turn, part
"""

#: The same of the current database.
DATABASE = """
select statement from (
  select 0 turn, format('alter database %I reset all', current_database()) as statement
  union all
  select 1, format('alter role %I in database %I reset all', pg_get_userbyid(setrole), current_database())
    from pg_db_role_setting where setrole in (select oid from pg_roles where rolname = current_user)
     and setdatabase = (select oid from pg_database where datname = current_database())
  union all
  select 2, format('comment on database %I is null', current_database())
  union all
  select 3, format('revoke all on database %I from %s cascade', datname,
                   case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
    from pg_database
    cross join lateral (select distinct grantee from aclexplode(coalesce(datacl, acldefault('d', datdba)))) a
   where datname = current_database()
  union all
  select 4, format('grant %s on database %I to %s', a.privilege_type, datname,
                   case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
    from pg_database cross join lateral aclexplode(acldefault('d', datdba)) a
   where datname = current_database()
) s order by turn
"""
