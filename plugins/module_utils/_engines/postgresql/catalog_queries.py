# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Queries of PostgreSQL's catalogs: a fingerprint of a database's schema, its tables, its sessions."""

from __future__ import annotations

from .scope import WHOLE, match_scope

# Objects that belong to an extension come and go with it, so they are not the migration's; nor is what a restore has
# retained.
_OURS = f"""
  {match_scope("{schema}")}
  and {{schema}} not like 'pg\\_%' and {{schema}} <> 'information_schema' and {{schema}} not like 'alembic\\_aside\\_%'
  and not exists (select from pg_depend e
                   where e.classid = '{{catalog}}'::regclass and e.objid = {{oid}} and e.deptype = 'e')
"""


def _build_acl(kind: str, owner: str, acl: str) -> str:
    """Return privileges as text: none granted means the built-in ones, and their order means nothing."""
    items = f"unnest(coalesce({acl}, acldefault({kind}, {owner})))"
    return f"(select string_agg(a::text, ',' order by a::text) from {items} a)"


_RELATION_ACL = _build_acl("(case c.relkind when 'S' then 's' else 'r' end)::\"char\"", "c.relowner", "c.relacl")
_ROUTINE_ACL = _build_acl("'f'", "f.proowner", "f.proacl")
_SCHEMA_ACL = _build_acl("'n'", "n.nspowner", "n.nspacl")


def is_own(catalog: str, oid: str, schema: str = "n.nspname") -> str:
    return _OURS.format(catalog=catalog, oid=oid, schema=schema)


#: One row an object, as (schema.relation, line). The order of columns is not part of it: a restore may change it.
#: What a partition has of its parent's constraints is not either: a restore lets the server name it anew.
#: One line is of the server, and of the role that has made its cluster (see ``older_server.py``).
FINGERPRINT = f"""
select n.nspname || '.' || c.relname,
       format('%s %I.%I owner %s acl %s options %s rls %s%s',
              case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
                             when 'm' then 'materialized view' when 'S' then 'sequence' else 'foreign table' end,
              n.nspname, c.relname, pg_get_userbyid(c.relowner), {_RELATION_ACL}, c.reloptions,
              c.relrowsecurity, c.relforcerowsecurity)
       || case when c.relkind in ('v', 'm') then ' as ' || pg_get_viewdef(c.oid) else '' end
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and {is_own("pg_class", "c.oid")}
union all
select n.nspname || '.' || c.relname,
       format('column %I.%I.%I %s null %s default %s identity %s generated %s collation %s',
              n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), not a.attnotnull,
              pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated,
              nullif(a.attcollation, 0)::regcollation)
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
 where c.relkind in ('r', 'p', 'v', 'm', 'f') and a.attnum > 0 and not a.attisdropped and {is_own("pg_class", "c.oid")}
union all
select n.nspname || '.' || coalesce(c.relname, ''),
       format('constraint %I.%I.%I %s validated %s', n.nspname,
              coalesce(c.relname, (select typname from pg_type where oid = k.contypid), ''), k.conname,
              pg_get_constraintdef(k.oid), k.convalidated)
  from pg_constraint k
  join pg_namespace n on n.oid = k.connamespace
  left join pg_class c on c.oid = k.conrelid
 where {is_own("pg_constraint", "k.oid")} and {is_own("pg_class", "coalesce(c.oid, 0)")} and k.conparentid = 0
union all
select n.nspname || '.' || c.relname,
       format('index %s valid %s ready %s', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready)
  from pg_index i
  join pg_class c on c.oid = i.indrelid
  join pg_namespace n on n.oid = c.relnamespace
 where {is_own("pg_class", "c.oid")}
union all
select n.nspname || '.' || c.relname, format('trigger %s enabled %s', pg_get_triggerdef(t.oid), t.tgenabled)
  from pg_trigger t
  join pg_class c on c.oid = t.tgrelid
  join pg_namespace n on n.oid = c.relnamespace
 where not t.tgisinternal and {is_own("pg_class", "c.oid")}
union all
select n.nspname || '.' || c.relname,
       format('policy %I on %I.%I %s %s roles %s using %s check %s', p.polname, n.nspname, c.relname, p.polcmd,
              p.polpermissive, (select string_agg(pg_get_userbyid(r), ',' order by r) from unnest(p.polroles) r),
              pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
  from pg_policy p
  join pg_class c on c.oid = p.polrelid
  join pg_namespace n on n.oid = c.relnamespace
 where {is_own("pg_class", "c.oid")}
union all
select n.nspname || '.',
       format('routine %I.%I(%s) owner %s acl %s ', n.nspname, f.proname, pg_get_function_identity_arguments(f.oid),
              pg_get_userbyid(f.proowner), {_ROUTINE_ACL})
       || case when f.prokind = 'a' then 'aggregate' else pg_get_functiondef(f.oid) end
  from pg_proc f join pg_namespace n on n.oid = f.pronamespace
 where {is_own("pg_proc", "f.oid")}
union all
select n.nspname || '.',
       format('type %I.%I %s owner %s labels %s base %s', n.nspname, t.typname, t.typtype, pg_get_userbyid(t.typowner),
              (select string_agg(quote_literal(e.enumlabel), ',' order by e.enumsortorder)
                 from pg_enum e where e.enumtypid = t.oid),
              case when t.typbasetype <> 0 then format_type(t.typbasetype, t.typtypmod) end)
  from pg_type t join pg_namespace n on n.oid = t.typnamespace
 where t.typtype in ('e', 'd', 'r') and {is_own("pg_type", "t.oid")}
union all
select n.nspname || '.', format('schema %I owner %s acl %s', n.nspname, pg_get_userbyid(n.nspowner), {_SCHEMA_ACL})
  from pg_namespace n where {is_own("pg_namespace", "n.oid")}
union all
select '.', format('extension %I', x.extname) from pg_extension x where {WHOLE}
union all
select '.', format('server %s of %s', current_setting('server_version_num')::integer / 10000, pg_get_userbyid(10))
"""

#: Indexes that are INVALID and that no session is building now: (schema, name, line of the fingerprint).
INVALID_INDEXES = f"""
select n.nspname, x.relname,
       format('index %s valid %s ready %s', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready)
  from pg_index i
  join pg_class x on x.oid = i.indexrelid
  join pg_class c on c.oid = i.indrelid
  join pg_namespace n on n.oid = c.relnamespace
 where not i.indisvalid and c.relkind <> 'p' and {is_own("pg_class", "c.oid")}
   and not exists (select from pg_locks l where l.relation = i.indrelid and l.mode = 'ShareUpdateExclusiveLock'
                      and l.granted and l.pid <> pg_backend_pid())
"""

#: Every table: (schema, name, whether we may read it, whether it has rows of its own).
TABLES = f"""
select n.nspname, c.relname, has_table_privilege(c.oid, 'select'), c.relkind = 'r'
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and {is_own("pg_class", "c.oid")}
 order by 1, 2
"""

#: Those of them that have rows of their own and may be read: (schema, name).
TABLES_WITH_ROWS = f"""
select n.nspname, c.relname
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and has_table_privilege(c.oid, 'select') and {is_own("pg_class", "c.oid")}
 order by 1, 2
"""

#: Tables that show the user only some of their rows: (schema, name).
HIDING_ROWS = f"""
select n.nspname, c.relname
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and c.relrowsecurity and row_security_active(c.oid) and {is_own("pg_class", "c.oid")}
 order by 1, 2
"""

#: Whether the user may make a table in any schema, or a schema.
MAY_CREATE = f"""
select {WHOLE} and has_database_privilege(current_database(), 'create') or exists (
  select from pg_namespace where nspname not like 'pg\\_%' and nspname <> 'information_schema'
     and {match_scope("nspname")} and has_schema_privilege(oid, 'create'))
"""

#: Which of some version tables (schema.table) are not there yet although their schema is, closed to the user.
CLOSED_SCHEMAS = """
select n.nspname
  from unnest(cast(:tables as text[])) wanted
  join pg_namespace n on wanted like n.nspname || '.%' and not has_schema_privilege(n.oid, 'create')
 where not exists (select from pg_class c where c.relnamespace = n.oid and n.nspname || '.' || c.relname = wanted)
"""

#: The cluster that answers. Clones of one image have the same number, and were started at different times.
INSTANCE = """
select concat_ws(' ', case when has_function_privilege('pg_control_system()', 'execute')
                           then (select system_identifier::text from pg_control_system()) end,
                 current_setting('port'), extract(epoch from pg_postmaster_start_time())::text, current_database())
"""

#: Bytes of tables without their indexes: what a dump has to write, uncompressed.
TABLE_BYTES = f"""
select coalesce(sum(pg_table_size(c.oid)), 0)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'm') and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
   and n.nspname not like 'alembic\\_aside\\_%' and {match_scope()}
"""

#: Bytes of all, indexes included; of one schema as the last VACUUM or ANALYZE found it, since nothing else that counts
#: them goes without a lock on each table.
SIZE = f"""
select case when {WHOLE} then pg_database_size(current_database()) else
  (select coalesce(sum(greatest(c.relpages, 0) + greatest(coalesce(t.relpages, 0), 0)), 0)
     from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_class t on t.oid = c.reltoastrelid
    where {match_scope()}) * current_setting('block_size')::bigint end
"""

#: The schema in which a name without one is found, or else made.
SCHEMA_OF = """
select coalesce((select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
                  where c.relname = :name and c.relkind in ('r', 'p', 'f', 'v', 'm') and pg_table_is_visible(c.oid)),
                current_schema(), 'public')
"""

#: The server's own number, which no URL can disguise; who may not read it gets the server's address and start.
IDENTITY = """
select case when has_function_privilege('pg_control_system()', 'execute')
            then (select system_identifier::text from pg_control_system())
            else concat_ws(' ', inet_server_addr(), inet_server_port(), pg_postmaster_start_time()) end,
       current_database()
"""

#: No other database of a cluster has had its number, and no other schema of a database; null where the schema that the
#: session works for is not there.
MADE = f"""
select case when {WHOLE} then d.oid::text else
         (select 'schema ' || d.oid || '.' || n.oid from pg_namespace n where {match_scope()}) end
  from pg_database d where d.datname = current_database()
"""

_SUBSCRIPTIONS_SINCE = 14


def build_subscriptions_query(version: int) -> str:
    """Return a subquery of the subscriptions of this database, by number and name.

    Args:
        version: the major version of the server. Before 14 only a superuser reads the catalog, and of the view that
            all may read, those with a table here are known to be of this database.
    """
    if version >= _SUBSCRIPTIONS_SINCE:
        return """(select oid, subname from pg_subscription
             where subdbid = (select oid from pg_database where datname = current_database()))"""
    return """(select distinct subid as oid, subname from pg_stat_subscription
             where subid in (select srsubid from pg_subscription_rel))"""


LOCK_HOLDER = """
select coalesce(nullif(a.application_name, ''), a.usename, '?'), a.pid,
       coalesce(host(a.client_addr), 'the same machine')
  from pg_locks l join pg_stat_activity a on a.pid = l.pid
 where l.locktype = 'advisory' and l.granted and l.objsubid = 1
   and l.database = (select oid from pg_database where datname = current_database())
   and ((l.classid::bigint << 32) | l.objid::bigint) = :key and l.mode like :mode
"""

BLOCKERS = """
select b.pid, coalesce(b.usename, '?'), coalesce(nullif(b.application_name, ''), 'unnamed'), coalesce(b.state, '?'),
       coalesce(date_trunc('second', now() - b.xact_start)::text, '?')
  from pg_stat_activity a
  cross join unnest(pg_blocking_pids(a.pid)) blocker
  join pg_stat_activity b on b.pid = blocker
 where a.application_name = :application and a.datname = current_database() and a.wait_event_type = 'Lock'
"""
