# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalogs of PostgreSQL in which a database's own objects have rows."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..connection import execute
from .scope import IS_OF_SCHEMA, match_scope

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Dialect

_NOT_OURS = (
    "not like 'pg\\_%' and {0} <> 'information_schema' and {0} not like 'alembic\\_aside\\_%' and " + match_scope("{0}")
)
_IN_SCHEMA = "{0} in (select oid from our_schemas)"
_OF_RELATION = "{0} in (select oid from our_relations)"
#: What a statement with conditions of ``CATALOGS`` begins with: the server reads this once for all of them.
OURS = f"""
with our_schemas as (
  select oid from pg_namespace where nspname {_NOT_OURS.format("nspname")} and nspname not like 'alembic\\_retained\\_%'
), our_relations as (select oid, relkind from pg_class where relnamespace in (select oid from our_schemas))
"""
_ALL = "true"
_DATABASE = "(select oid from pg_database where datname = current_database())"
_FAMILY = "{0} in (select oid from pg_opfamily where " + _IN_SCHEMA.format("opfnamespace") + ")"
_SEQUENCE = "{0} in (select oid from our_relations where relkind = 'S')"

#: Catalog, the object to describe, and which of its rows are of the database's own objects.
CATALOGS = [
    ("pg_class", "'pg_class'::regclass, t.oid, 0", _IN_SCHEMA.format("relnamespace")),
    ("pg_attribute", "'pg_class'::regclass, attrelid, attnum", _OF_RELATION.format("attrelid") + " and attnum > 0"),
    ("pg_proc", "'pg_proc'::regclass, t.oid, 0", _IN_SCHEMA.format("pronamespace")),
    ("pg_type", "'pg_type'::regclass, t.oid, 0", _IN_SCHEMA.format("typnamespace")),
    ("pg_enum", "'pg_type'::regclass, enumtypid, 0", _ALL),
    ("pg_constraint", "'pg_constraint'::regclass, t.oid, 0", _IN_SCHEMA.format("connamespace")),
    ("pg_operator", "'pg_operator'::regclass, t.oid, 0", _IN_SCHEMA.format("oprnamespace")),
    ("pg_collation", "'pg_collation'::regclass, t.oid, 0", _IN_SCHEMA.format("collnamespace")),
    ("pg_statistic_ext", "'pg_statistic_ext'::regclass, t.oid, 0", _IN_SCHEMA.format("stxnamespace")),
    ("pg_ts_config", "'pg_ts_config'::regclass, t.oid, 0", _IN_SCHEMA.format("cfgnamespace")),
    (
        "pg_ts_config_map",
        "'pg_ts_config'::regclass, mapcfg, 0",
        "mapcfg in (select oid from pg_ts_config where " + _IN_SCHEMA.format("cfgnamespace") + ")",
    ),
    ("pg_opclass", "'pg_opclass'::regclass, t.oid, 0", _IN_SCHEMA.format("opcnamespace")),
    ("pg_opfamily", "'pg_opfamily'::regclass, t.oid, 0", _IN_SCHEMA.format("opfnamespace")),
    ("pg_sequence", "'pg_class'::regclass, seqrelid, 0", _OF_RELATION.format("seqrelid")),
    ("pg_foreign_table", "'pg_class'::regclass, ftrelid, 0", _OF_RELATION.format("ftrelid")),
    ("pg_ts_dict", "'pg_ts_dict'::regclass, t.oid, 0", _IN_SCHEMA.format("dictnamespace")),
    ("pg_index", "'pg_class'::regclass, indexrelid, 0", _OF_RELATION.format("indrelid")),
    ("pg_inherits", "'pg_class'::regclass, inhrelid, 0", _OF_RELATION.format("inhrelid")),
    ("pg_conversion", "'pg_conversion'::regclass, t.oid, 0", _IN_SCHEMA.format("connamespace")),
    ("pg_amop", "'pg_opfamily'::regclass, amopfamily, 0", _FAMILY.format("amopfamily")),
    ("pg_amproc", "'pg_opfamily'::regclass, amprocfamily, 0", _FAMILY.format("amprocfamily")),
    ("pg_transform", "'pg_transform'::regclass, t.oid, 0", _ALL),
    ("pg_language", "'pg_language'::regclass, t.oid, 0", _ALL),
    ("pg_foreign_data_wrapper", "'pg_foreign_data_wrapper'::regclass, t.oid, 0", _ALL),
    ("pg_seclabel", "classoid, objoid, objsubid", _ALL),
    (
        "pg_shseclabel",
        "classoid, objoid, 0",
        f"classoid = 'pg_database'::regclass and objoid = {_DATABASE}",
    ),
    # Which column a sequence belongs to is written nowhere else.
    (
        "pg_depend",
        "classid, objid, objsubid",
        "classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass and refobjsubid > 0"
        " and deptype in ('a', 'i') and " + _SEQUENCE.format("objid"),
    ),
    ("pg_attrdef", "'pg_attrdef'::regclass, t.oid, 0", _OF_RELATION.format("adrelid")),
    ("pg_rewrite", "'pg_rewrite'::regclass, t.oid, 0", _OF_RELATION.format("ev_class")),
    ("pg_trigger", "'pg_trigger'::regclass, t.oid, 0", _OF_RELATION.format("tgrelid")),
    ("pg_policy", "'pg_policy'::regclass, t.oid, 0", _OF_RELATION.format("polrelid")),
    ("pg_namespace", "'pg_namespace'::regclass, t.oid, 0", "nspname " + _NOT_OURS.format("nspname")),
    ("pg_description", "classoid, objoid, objsubid", _ALL),
    ("pg_default_acl", "'pg_default_acl'::regclass, t.oid, 0", _ALL),
    ("pg_cast", "'pg_cast'::regclass, t.oid, 0", _ALL),
    ("pg_publication", "'pg_publication'::regclass, t.oid, 0", _ALL),
    ("pg_publication_rel", "'pg_publication'::regclass, prpubid, 0", _ALL),
    ("pg_extension", "'pg_extension'::regclass, t.oid, 0", _ALL),
    ("pg_event_trigger", "'pg_event_trigger'::regclass, t.oid, 0", _ALL),
    ("pg_foreign_server", "'pg_foreign_server'::regclass, t.oid, 0", _ALL),
    (
        "pg_db_role_setting",
        "'pg_database'::regclass, setdatabase, 0",
        f"setdatabase = {_DATABASE}",
    ),
]

#: Catalogs that older servers do not have.
_NEWER = [
    ("pg_publication_namespace", "'pg_publication'::regclass, pnpubid, 0", _ALL),
]

#: The column by which an object of a catalog lies in a schema, and that by which one lies in a table.
LIES_IN_SCHEMA = {
    "pg_class": "relnamespace", "pg_type": "typnamespace", "pg_proc": "pronamespace", "pg_constraint": "connamespace",
    "pg_operator": "oprnamespace", "pg_opclass": "opcnamespace", "pg_opfamily": "opfnamespace",
    "pg_collation": "collnamespace", "pg_conversion": "connamespace", "pg_statistic_ext": "stxnamespace",
    "pg_ts_config": "cfgnamespace", "pg_ts_dict": "dictnamespace", "pg_ts_parser": "prsnamespace",
    "pg_ts_template": "tmplnamespace", "pg_namespace": "oid", "pg_default_acl": "defaclnamespace",
}  # fmt: skip
LIES_IN_TABLE = {"pg_attrdef": "adrelid", "pg_rewrite": "ev_class", "pg_policy": "polrelid", "pg_trigger": "tgrelid"}
#: Comments and labels of whatever lies in a schema, or in a table of one.
_OBJECTS = " union all ".join(
    f"select '{catalog}'::regclass::oid, oid from {catalog} where {which.format(column)}"
    for columns, which in ((LIES_IN_SCHEMA, _IN_SCHEMA), (LIES_IN_TABLE, _OF_RELATION))
    for catalog, column in columns.items()
)
_OF_OBJECT = f"(classoid, objoid) in ({_OBJECTS})"
#: Of an entry that means one schema: the rows of these catalogs that are of its objects. Other rows of which a whole
#: database has all, and those of the database itself, are of no schema.
_OF_SCHEMA = {
    "pg_enum": f"enumtypid in (select oid from pg_type where {_IN_SCHEMA.format('typnamespace')})",
    "pg_description": _OF_OBJECT,
    "pg_seclabel": _OF_OBJECT,
    "pg_default_acl": _IN_SCHEMA.format("defaclnamespace"),
    "pg_publication_rel": _OF_RELATION.format("prrelid"),
    "pg_publication_namespace": _IN_SCHEMA.format("pnnspid"),
}
_OF_DATABASE = ("pg_shseclabel", "pg_db_role_setting")

#: What comes and goes with tables: themselves, their indexes, constraints, defaults and row types.
_OF_TABLES = """
select 'pg_class'::regclass::oid, oid from pg_class where oid in ({tables})
union all select 'pg_class'::regclass::oid, indexrelid from pg_index where indrelid in ({tables})
union all select 'pg_constraint'::regclass::oid, oid from pg_constraint where conrelid in ({tables})
union all select 'pg_attrdef'::regclass::oid, oid from pg_attrdef where adrelid in ({tables})
union all select 'pg_type'::regclass::oid, y.oid
  from pg_type y join pg_class c on y.typrelid = c.oid or y.typelem = c.reltype
 where c.oid in ({tables}) and c.reltype <> 0
"""


#: What the server of a connection has; a connection knows it by what SQLAlchemy has found out of that server.
_FOUND: WeakKeyDictionary[Dialect, list[tuple[str, str, str]]] = WeakKeyDictionary()


def list_catalogs(connection: Connection) -> list[tuple[str, str, str]]:
    """Return the catalogs that a server has, as in ``CATALOGS``; of one schema where the connection works for that."""
    if connection.dialect not in _FOUND:
        newer = ", ".join(f"'{catalog}'" for catalog, _described, _which in _NEWER)
        which = f"relnamespace = 'pg_catalog'::regnamespace and relname in ({newer})"
        there = {name for (name,) in execute(connection, f"select relname from pg_class where {which}")}
        _FOUND[connection.dialect] = [*CATALOGS, *(each for each in _NEWER if each[0] in there)]
    found = _FOUND[connection.dialect]
    return [_of_schema(*each) for each in found] if connection.info.get(IS_OF_SCHEMA) else found


def _of_schema(catalog: str, described: str, which: str) -> tuple[str, str, str]:
    is_of_database = which == _ALL or catalog in _OF_DATABASE
    return catalog, described, _OF_SCHEMA.get(catalog, "false") if is_of_database else which


def build_exclusion(described: str, tables: list[int]) -> str:
    """Return the condition that an object is none of some tables, and does not come and go with one.

    Args:
        described: the object, as in ``CATALOGS``.
        tables: their numbers.
    """
    kind, number, _part = described.split(", ")
    numbers = ", ".join(str(each) for each in tables)
    return f"({kind}::oid, {number}::oid) not in ({_OF_TABLES.format(tables=numbers)})"
