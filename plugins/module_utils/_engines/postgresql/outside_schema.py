# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The changes of a step in other schemas than the one of its entry, read before it is committed.

The backup holds that schema alone, so nothing would revert what lies in the others. A foreign key to a table of another
schema changes nothing there that a dump would show; what it locks (SHARE ROW EXCLUSIVE) does not count for that reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..connection import OwnConnection, execute
from ..sql import escape_colons
from .scope import match_scope
from .transaction_numbers import NUMBERS, XMIN

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_ELSEWHERE = f"not ({match_scope()}) and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'"
#: The rows of a table of the server's own, by words for people.
_SHARED = {
    "pg_catalog.pg_largeobject": "large objects",
    "pg_catalog.pg_largeobject_metadata": "large objects",
    "pg_catalog.pg_shdescription": "the comment of the database",
    "pg_catalog.pg_user_mapping": "user mappings",
}
#: Relations that the session keeps others from changing: who only reads or writes rows takes weaker locks.
_LOCKED = """
select l.relation::bigint from pg_locks l
 where l.pid = pg_backend_pid() and l.locktype = 'relation' and l.granted
   and l.mode in ('AccessExclusiveLock', 'ExclusiveLock', 'ShareLock', 'ShareUpdateExclusiveLock')
   and l.database = (select oid from pg_database where datname = current_database())
"""
_RELATIONS = f"""
select pg_describe_object('pg_class'::regclass, c.oid, 0)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.oid = any(cast(:numbers as oid[])) and c.relkind <> 't' and {_ELSEWHERE}
"""
#: What is changed without a lock on a relation: the catalog, the object, and the schema that it lies in.
_CATALOGS = (
    ("pg_proc", "'pg_proc'::regclass, t.oid", "t.pronamespace"),
    ("pg_type", "'pg_type'::regclass, t.oid", "t.typnamespace"),
    ("pg_namespace", "'pg_namespace'::regclass, t.oid", "t.oid"),
    ("pg_enum", "'pg_type'::regclass, t.enumtypid", "(select typnamespace from pg_type where oid = t.enumtypid)"),
    ("pg_sequence", "'pg_class'::regclass, t.seqrelid", "(select relnamespace from pg_class where oid = t.seqrelid)"),
    ("pg_default_acl", "'pg_default_acl'::regclass, t.oid", "t.defaclnamespace"),
    (
        "pg_trigger",
        "'pg_trigger'::regclass, t.oid",
        "(select relnamespace from pg_class where oid = t.tgrelid and not t.tgisinternal)",
    ),
)
#: The same of what lies in no schema.
_OF_NO_SCHEMA = (
    ("pg_cast", "'pg_cast'::regclass, t.oid"),
    ("pg_extension", "'pg_extension'::regclass, t.oid"),
    ("pg_publication", "'pg_publication'::regclass, t.oid"),
    ("pg_publication_rel", "'pg_publication'::regclass, t.prpubid"),
    ("pg_event_trigger", "'pg_event_trigger'::regclass, t.oid"),
    ("pg_foreign_server", "'pg_foreign_server'::regclass, t.oid"),
    ("pg_foreign_data_wrapper", "'pg_foreign_data_wrapper'::regclass, t.oid"),
    ("pg_language", "'pg_language'::regclass, t.oid"),
    ("pg_database", "'pg_database'::regclass, t.oid"),
    ("pg_db_role_setting", "'pg_database'::regclass, t.setdatabase"),
)


def find_changes_outside(
    own: OwnConnection, connection: Connection, schema: str, wrote: Iterable[str], number: int
) -> list[str]:
    """Return what an open transaction has changed in other schemas, in words; nothing is read after the first finds.

    Args:
        own: our own connection, which sees what was there before.
        connection: env.py's, with the transaction.
        schema: the one that may be changed.
        wrote: the tables whose rows it has written, as schema.table.
        number: of the transaction, 0 if it has none and so has changed nothing.
    """
    rows = sorted({_SHARED.get(name, f"rows of {name}") for name in wrote if not name.startswith(f"{schema}.")})
    if rows or not number:
        return rows
    numbers = {"numbers": [relation for (relation,) in execute(connection, _LOCKED)]}
    made = execute(connection, _RELATIONS, numbers) if numbers["numbers"] else []
    dropped = own.query_rows(_RELATIONS, **numbers) if numbers["numbers"] else []
    made += execute(connection, _render_marked_query(XMIN, number))
    dropped += own.query_rows(_render_marked_query(XMIN.replace("xmin", "xmax"), number))
    return sorted({str(name) for (name,) in [*made, *dropped] if name})


def _render_marked_query(column: str, number: int) -> str:
    """Return the statement that reads what one transaction has written, by the number that each row carries."""
    is_own = f"t.{column} = {number % NUMBERS}"
    in_schemas = [
        f"select pg_describe_object({described}, 0) from {catalog} t join pg_namespace n on n.oid = {schema}"
        f" where {is_own} and {_ELSEWHERE}"
        for catalog, described, schema in _CATALOGS
    ]
    others = [
        f"select pg_describe_object({described}, 0) from {catalog} t where {is_own}"
        for catalog, described in _OF_NO_SCHEMA
    ]
    return escape_colons(" union ".join(in_schemas + others))
