# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bonds between a schema and the rest of its database: what depends on it, and what it needs.

A schema that is restored is moved away and made anew. What refers to the old one from another schema would go on with
that; what the new one refers to has to be there.
"""

from __future__ import annotations

from ..connection import OwnConnection
from .scope import match_scope
from .system_catalogs import LIES_IN_SCHEMA, LIES_IN_TABLE

#: The first number that the server gives to an object which it does not bring itself.
_FIRST_OF_USERS = 16384
#: How what is needed of elsewhere begins where it is an extension.
EXTENSION = "extension "

_TRIGGERS = """
select 'pg_trigger'::regclass, o.oid, coalesce(k.connamespace, c.relnamespace)
  from pg_trigger o join pg_class c on c.oid = o.tgrelid
  left join pg_constraint k on k.oid = o.tgconstraint and o.tgisinternal
"""
#: Each object with the schema that it lies in, or that its table lies in.
_SCHEMA_OF = " union all ".join(
    [f"select '{catalog}'::regclass::oid, oid, {schema} from {catalog}" for catalog, schema in LIES_IN_SCHEMA.items()]
    + [
        f"select '{catalog}'::regclass, o.oid, c.relnamespace from {catalog} o join pg_class c on c.oid = o.{relation}"
        for catalog, relation in LIES_IN_TABLE.items()
        if catalog != "pg_trigger"
    ]
    # Those of a foreign key go with it, although they are on both tables.
    + [_TRIGGERS]
)
_BONDS = f"""
with lies (class, number, schema) as materialized ({_SCHEMA_OF}),
     ours as (select n.oid from pg_namespace n where {match_scope()}),
     hidden as (select oid from pg_namespace where nspname like 'pg\\_%'),
     extended (class, number, name) as (
       select e.classid, e.objid, x.extname from pg_depend e join pg_extension x on x.oid = e.refobjid
        where e.deptype = 'e' and e.refclassid = 'pg_extension'::regclass)
"""
#: Objects elsewhere that refer to one of the schema; an extension stays with what it has there.
_HANGING = f"""
{_BONDS}
select distinct pg_describe_object(d.classid, d.objid, d.objsubid)
  from pg_depend d
  join lies on (lies.class, lies.number) = (d.refclassid, d.refobjid) and lies.schema in (select oid from ours)
  left join lies other on (other.class, other.number) = (d.classid, d.objid)
 where coalesce(other.schema not in (select oid from ours) and other.schema not in (select oid from hidden),
                d.classid <> 'pg_extension'::regclass)
   and (d.refclassid, d.refobjid) not in (select class, number from extended)
 order by 1
"""
#: What is needed of elsewhere: extensions as a whole, and each other object.
_NEEDED = f"""
{_BONDS}
select distinct coalesce('{EXTENSION}' || extended.name, pg_describe_object(d.refclassid, d.refobjid, 0))
  from pg_depend d
  join lies on (lies.class, lies.number) = (d.classid, d.objid) and lies.schema in (select oid from ours)
  left join lies other on (other.class, other.number) = (d.refclassid, d.refobjid)
  left join extended on (extended.class, extended.number) = (d.refclassid, d.refobjid)
 where d.refobjid >= {_FIRST_OF_USERS} and d.deptype <> 'e'
   and coalesce(other.schema not in (select oid from ours) and other.schema not in (select oid from hidden), true)
   and not exists (select from pg_class i where d.refclassid = 'pg_class'::regclass and i.oid = d.refobjid
                      and i.relkind in ('i', 'I'))
 order by 1
"""
#: Default privileges in all schemas of what the user makes: they would come on top of those that the backup has.
_DEFAULT_PRIVILEGES = """
select 1 from pg_default_acl where defaclnamespace = 0 and pg_get_userbyid(defaclrole) = current_user limit 1
"""
_MAY_MAKE = "select has_database_privilege(current_database(), 'create')"


def list_dependents(own: OwnConnection) -> list[str]:
    """Return what lies elsewhere and refers to the schema of a session, as the server describes it."""
    return [str(name) for (name,) in own.query_rows(_HANGING.replace("::", "\\:\\:"))]


def list_needed_elsewhere(own: OwnConnection) -> list[str]:
    """Return what the schema of a session refers to, as the server describes it."""
    return [str(name) for (name,) in own.query_rows(_NEEDED.replace("::", "\\:\\:"))]


def has_default_privileges(own: OwnConnection) -> bool:
    """Return whether what the user makes anywhere in the database gets privileges of its own."""
    return bool(own.query_rows(_DEFAULT_PRIVILEGES))


def may_make_schemas(own: OwnConnection) -> bool:
    """Return whether the user may make a schema in the database."""
    return bool(own.query_rows(_MAY_MAKE)[0][0])
