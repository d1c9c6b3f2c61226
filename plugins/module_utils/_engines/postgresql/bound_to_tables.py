# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects that others have bound to a database's tables, which a restore in place leaves with the old ones."""

from __future__ import annotations

from ..connection import OwnConnection
from . import catalog_queries, ownership
from .scope import match_scope
from .session import read_major_version

_RELATIONS = f"""
select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where {catalog_queries.is_own("pg_class", "c.oid")}
"""
#: Publications of others that name a table. What names a schema follows one that is renamed; public
#: is only where it has a range type.
_PUBLICATIONS = f"""
select p.pubname from pg_publication p where not {ownership.may_act_as("p.pubowner")} and (
  exists (select from pg_publication_rel r where r.prpubid = p.oid and r.prrelid in ({_RELATIONS})){{schemas}})
"""
_SCHEMAS = f"""
  or exists (select from pg_publication_namespace s join pg_namespace n on n.oid = s.pnnspid
              where s.pnpubid = p.oid and {match_scope()} and n.nspname not like 'alembic\\_aside\\_%'
                and (n.nspname <> 'public' or exists (
                  select from pg_type t where t.typnamespace = n.oid and t.typtype = 'r')))"""
_SUBSCRIPTIONS = f"""
select s.subname from {{subscriptions}} s where exists (
  select from pg_subscription_rel r where r.srsubid = s.oid and r.srrelid in ({_RELATIONS}))
"""
_EVENT_TRIGGERS = f"""
select t.evtname from pg_event_trigger t join pg_proc f on f.oid = t.evtfoid
  join pg_namespace n on n.oid = f.pronamespace where {catalog_queries.is_own("pg_proc", "f.oid")}
"""
_NAMESPACES_SINCE = 15


def list_bound_to_tables(own: OwnConnection) -> list[str]:
    """Describe what is bound to the replaced tables and functions and would go on with them."""
    version = own.run(read_major_version)
    schemas = _SCHEMAS if version >= _NAMESPACES_SINCE else ""
    found = (
        ("publications of others", _PUBLICATIONS.format(schemas=schemas)),
        ("subscriptions", _SUBSCRIPTIONS.format(subscriptions=catalog_queries.build_subscriptions_query(version))),
        ("event triggers", _EVENT_TRIGGERS),
    )
    return [
        f"{kind}, which would go on with what is replaced: {', '.join(names)}"
        for kind, query in found
        if (names := sorted(str(row[0]) for row in own.query_rows(query)))
    ]
