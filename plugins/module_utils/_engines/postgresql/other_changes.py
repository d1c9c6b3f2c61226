# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes since a backup that others made, beyond rows that are counted: a restore would take them back.

A table that was emptied or rewritten has another file. Each row of a catalog tells the transaction that wrote it
(``xmin``), and a run knows its own. What cannot be told from others' counts as theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...connection import execute
from ...engines.data import Archive, Deeds
from ...engines.postgresql_writes import (
    NUMBERS,
    Relation,
    activity,
    counters_cannot_be_trusted,
    relations_of,
    sequence_positions,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_HALF = NUMBERS // 2
_MOST_NAMED = 5

_NOT_OURS = "not like 'pg\\_%' and {0} <> 'information_schema' and {0} not like 'alembic\\_aside\\_%'"
_IN_SCHEMA = (
    "{0} in (select oid from pg_namespace where nspname "
    + _NOT_OURS.format("nspname")
    + " and nspname not like 'alembic\\_retained\\_%')"
)
_OF_RELATION = "{0} in (select oid from pg_class where " + _IN_SCHEMA.format("relnamespace") + ")"
_ALL = "true"

#: Catalog, the object to describe, and which of its rows are of the database's own objects.
_CATALOGS = [
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
    ("pg_ts_dict", "'pg_ts_dict'::regclass, t.oid, 0", _IN_SCHEMA.format("dictnamespace")),
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
        "setdatabase = (select oid from pg_database where datname = current_database())",
    ),
]


def changes_of_others(
    connection: Connection, archive: Archive, deeds: Deeds, positions: dict[str, tuple[int, bool]]
) -> list[str]:
    """Return in words what others changed since a backup, or may have.

    Args:
        connection: our own.
        archive: the backup.
        deeds: what the run has done.
        positions: the sequences of the archive, by quoted name.
    """
    before = archive.activity
    if "files" not in before:
        return ["the backup does not say which tables there were"]
    leave_out = deeds.version_tables | archive.version_tables
    found = []
    doubt = counters_cannot_be_trusted(connection, before)
    if doubt:
        found.append(f"{doubt}, so it cannot be told what others wrote")
    found += _tables(before["files"], relations_of(connection), deeds, leave_out)
    now = activity(connection)
    # Its row in the catalog is written by a restore, which closes it to others.
    if now["database"] != before["database"]:
        found.append("the owner or the privileges of the database were changed")
    written = now["large_objects"] - before["large_objects"]
    if written > deeds.wrote.get("pg_catalog.pg_largeobject", 0):
        found.append("large objects were written")
    for name, here in sequence_positions(connection).items():
        if here and name in positions and here[:2] != positions[name] and here[2] not in deeds.sequences:
            found.append(f"sequence {name} went from {positions[name][0]} to {here[0]}")
    named = sorted(set(_catalogs(connection, deeds, leave_out)))
    if named:
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        found.append(f"the schema was changed: {', '.join(named[:_MOST_NAMED])}{more}")
    return found


def _tables(
    before: dict[str, list[object]], now: dict[str, Relation], deeds: Deeds, leave_out: frozenset[str]
) -> Iterator[str]:
    for oid, facts in before.items():
        was = Relation(*facts)  # type: ignore[arg-type]
        here = now.get(oid)
        if was.name in leave_out:
            continue
        if here is None:
            if oid not in deeds.dropped:
                yield f"table {was.name} is gone, and the run is not known to have dropped it"
        elif here.file != was.file and here.file not in deeds.files:
            yield f"table {was.name} was emptied or rewritten, and not by the run as far as is known"


def _catalogs(connection: Connection, deeds: Deeds, leave_out: frozenset[str]) -> Iterator[str]:
    since = int(deeds.activity["newest_transaction"]) % NUMBERS
    number = "t.xmin::text::bigint"
    conditions = [f"(({number} - {since} + {NUMBERS}) % {NUMBERS}) < {_HALF}"]
    own = ", ".join(str(each % NUMBERS) for each in sorted(deeds.transactions))
    if own:
        conditions.append(f"{number} not in ({own})")
    for first, end in deeds.windows:
        conditions.append(f"not (({number} - {first % NUMBERS} + {NUMBERS}) % {NUMBERS} < {(end - first) % NUMBERS})")
    strange = " and ".join(conditions)
    parts = [
        f"select pg_describe_object({described}) from {catalog} t where {which} and {strange}"
        for catalog, described, which in _CATALOGS
    ]
    for (name,) in execute(connection, " union all ".join(parts).replace(":", "\\:")):
        if name and not any(table.partition(".")[2] in name for table in leave_out):
            yield str(name)
