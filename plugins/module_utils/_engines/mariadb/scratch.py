# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A copy of a MariaDB database in a schema of ours, and what a rehearsal wants to know of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..comparison import Comparison
from ..data import Archive, Content, RetainedCopy
from ..interface import Report, Scratch
from ..rehearser import Rehearser
from . import copy_state
from .catalog import SEQUENCE, TABLES
from .content import Column, build_digest_columns
from .fill_copy import fill
from .places import SchemaPlace
from .quoting import quote_name
from .same_name import TABLE_IS_HERE
from .scratch_place import (
    Place,
    build_maker,
    drop,
    drop_if_dead,
    list_dead_copies,
    make,
    make_engine_for,
    open_place,
    reserve_name,
)
from .untouched import Untouched

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .session import MariaDBSession

_VERSIONED = "SYSTEM VERSIONED"
_COLUMNS = f"""
select table_name, column_name, data_type from information_schema.columns
 where {TABLE_IS_HERE} order by table_name, ordinal_position
"""


class MariaDBRehearser(Rehearser):
    """Makes copies in schemas of their own."""

    def __init__(self, engine: MariaDBSession) -> None:
        self.engine = engine

    def check_place(self) -> None:
        """Check the privileges of the user who makes copies."""
        open_place(self.engine).own.close()

    @contextmanager
    def open_scratch(self, archive: Archive, report: Report) -> Iterator[Scratch]:
        """Make a schema for a copy, and drop it at the end."""
        schema, untouched = self.engine.name_on_server, Untouched.of(self.engine)
        place = open_place(self.engine)
        try:
            for left in list_dead_copies(place, schema):
                drop_if_dead(place, left)
            name = reserve_name(place)
            engine = make_engine_for(self.engine, place.maker.url.set(database=name))

            def refill() -> list[str]:
                engine.close()
                drop(place, name)
                make(place, name, self.engine)
                report(f"loads the backup into {name}")
                return fill(engine, archive, schema)

            def convert_name(table: str) -> str:
                return f"{name}{table[len(schema) :]}" if table.startswith(f"{schema}.") else table

            try:
                yield Scratch(engine, refill, convert_name, lambda: untouched.check(self.engine))
            finally:
                engine.close()
                drop(place, name)
        finally:
            place.own.close()

    def list_scratches(self) -> list[RetainedCopy]:
        """Search the server for schemas that this host has written down and no session has locked."""
        maker = build_maker(self.engine)
        with maker.connect() as own:
            place = Place(maker, own, "")
            names = list_dead_copies(place, self.engine.name_on_server)
            return [RetainedCopy(name, "", "", SchemaPlace(name).measure_size(own)) for name in names]

    def drop_scratch(self, scratch: RetainedCopy) -> None:
        """Drop a schema, if no rehearsal holds its lock."""
        maker = build_maker(self.engine)
        with maker.connect() as own:
            drop_if_dead(Place(maker, own, ""), scratch.name)

    def read_contents(self, connection: Connection, leave_out: frozenset[str], in_full: bool) -> dict[str, Content]:
        """Have the server hash every value; sums do not depend on the order of rows."""
        schema = str(_query_rows(connection, "select database()")[0][0])
        columns: dict[str, list[Column]] = {}
        for table, name, kind in _query_rows(connection, _COLUMNS):
            columns.setdefault(table, []).append(Column(name, str(kind).lower(), True, None, "", False))
        return {
            table: _read_content(connection, table, kind, columns.get(table, []) if in_full else [])
            for table, kind, _engine in _query_rows(connection, TABLES)
            if kind != SEQUENCE and f"{schema}.{table}" not in leave_out
        }

    def measure_disk_usage(self) -> int:
        """Return what the server estimates for the tables and their indexes."""
        return self.engine.open_own_connection().run(self.engine.measure_size)

    def read_copy(self, archive: Archive, leave_out: frozenset[str], in_full: bool, report: Report) -> Any:
        """Read what mariadb-dump writes, and compare it with the backup."""
        found = copy_state.read_copy(self.engine, in_full, report)
        copy_state.refuse_differences(self.engine, archive, found)
        return found

    def compare_copy(
        self, before: Any, archive: Archive, leave_out: frozenset[str], in_full: bool, report: Report
    ) -> Comparison:
        """Compare what mariadb-dump writes."""
        now = copy_state.read_copy(self.engine, in_full, report)
        version_tables = {name[len(self.engine.name_on_server) + 1 :] for name in leave_out}
        return copy_state.compare(before, now, version_tables)


def _read_content(connection: Connection, table: str, kind: str, columns: list[Column]) -> Content:
    """Return what a table holds; the history of one with system versions is part of it."""
    wanted = (
        [build_digest_columns(columns), *(build_digest_columns([column]) for column in columns)]
        if columns
        else ["count(*)"]
    )
    whole = f"{quote_name(table)} for system_time all" if kind == _VERSIONED else quote_name(table)
    row = _query_rows(connection, f"select {', '.join(wanted)} from {whole}")[0]
    if not columns:
        return Content(int(row[0]))
    # Each digest has the number of rows before it.
    digests = [str(value) for value in row[1::2]]
    names = [column.name for column in columns]
    return Content(int(row[0]), digests[0], dict(zip(names, digests[1:])))


def _query_rows(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    """Execute a statement in which nothing is a parameter: on env.py's own connection a name may have any character."""
    result = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    return [tuple(row) for row in result]
