# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The retained copies of a PostgreSQL database: replaced databases beside it, and schemas in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.errors import Refused
from ..connection import execute
from ..data import RetainedCopy
from ..sql import quote_name
from .restore_method import open_other_database
from .restore_statements import MARK, RETAINED_SCHEMA, parse_mark, run_sql
from .scope import SET_SCHEMA

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .session import PostgreSQLSession

_RETAINED = """
select d.datname, shobj_description(d.oid, 'pg_database'),
       case when has_database_privilege(d.oid, 'connect') then pg_database_size(d.oid) end
  from pg_database d where shobj_description(d.oid, 'pg_database') like :mark
"""

_RETAINED_SCHEMAS = """
select n.nspname, obj_description(n.oid, 'pg_namespace'),
       (select coalesce(sum(pg_total_relation_size(c.oid)), 0) from pg_class c
         where c.relnamespace = n.oid and c.relkind in ('r', 'm'))
  from pg_namespace n where obj_description(n.oid, 'pg_namespace') like :mark
"""


def of(engine: PostgreSQLSession) -> list[RetainedCopy]:
    """Return the databases and the schemas that earlier restores of this database have left."""
    own = engine.open_own_connection()
    found = []
    for name, comment, size in own.query_rows(_RETAINED, mark=f"{MARK}%"):
        facts = parse_mark(comment)
        if facts.get("aside_of") == engine.name_on_server and not engine.database.schema:
            found.append(RetainedCopy(name, str(facts.get("run", "")), str(facts.get("made", "")), size and int(size)))
    schemas: dict[str, RetainedCopy] = {}
    for name, comment, size in sorted(own.query_rows(_RETAINED_SCHEMAS, mark=f"{MARK}%")):
        facts = parse_mark(comment)
        group = str(facts.get("group", ""))
        if not group or not name.startswith(RETAINED_SCHEMA):
            continue
        if engine.database.schema and facts.get("aside_of") != engine.database.schema:
            continue
        known = schemas.get(group)
        total = int(size) + (known.size or 0 if known else 0)
        schemas[group] = RetainedCopy(f"schema {group}", str(facts.get("run", "")), str(facts.get("made", "")), total)
    return [*found, *schemas.values()]


def drop(engine: PostgreSQLSession, retained: RetainedCopy) -> None:
    """Drop a replaced database, or the schemas that a restore in place has moved away.

    Raises:
        Refused: it is not one, is in use, or something else depends on it.
    """
    if retained.name not in {each.name for each in of(engine)}:
        raise Refused(
            f"{retained.name!r} is not what a restore of {engine.database.name!r} retained",
            remedy="Leave it to its owner; it is not dropped",
            code="retained-copy-unknown",
        )
    try:
        if retained.name.startswith("schema "):
            engine.open_own_connection().run(_drop_schemas, engine, retained.name[len("schema ") :])
        else:
            with open_other_database(engine) as (other, _url):
                run_sql(other, f"drop database {quote_name(retained.name)}")
    except Refused:
        raise
    except Exception as error:
        raise Refused(
            f"{retained.name!r} cannot be dropped",
            str(getattr(error, "orig", error)).strip(),
            "Correct what the server names, and prune again",
            code="retained-copy-not-droppable",
        ) from error


def _drop_schemas(connection: Connection, engine: PostgreSQLSession, group: str) -> None:
    rows = connection.exec_driver_sql(
        "select nspname, obj_description(oid, 'pg_namespace') from pg_namespace where nspname like 'alembic%%'"
    ).all()
    names = [name for name, comment in rows if parse_mark(comment).get("group") == group]
    # What hangs on it may lie in any schema.
    execute(connection, SET_SCHEMA, {"schema": ""})
    before = engine.read_fingerprint(connection, frozenset())
    connection.exec_driver_sql("begin")
    try:
        listed = ", ".join(map(quote_name, names)).replace("%", "%%")
        connection.exec_driver_sql(f"drop schema {listed} cascade")
        lost = sorted(set(before) - set(engine.read_fingerprint(connection, frozenset())))
        if lost:
            raise Refused(
                f"What is retained in {group!r} is in use",
                "; ".join(lost[:5]),
                "Drop what depends on it first",
                code="retained-copy-in-use",
            )
        connection.exec_driver_sql("commit")
    except BaseException:
        connection.exec_driver_sql("rollback")
        raise
    finally:
        execute(connection, SET_SCHEMA, {"schema": engine.database.schema})
