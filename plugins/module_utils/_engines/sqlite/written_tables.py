# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables that env.py's connections write to, as SQLite's authorizer sees them: triggers and cascades included.

An attached file is neither backed up nor compared, so nothing is written to it: SQLite refuses the statement.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..._core.errors import Refused
from ..beside_files import ALTER, ATTACH, DEFINES, DENY, OK, PRAGMA, WRITES
from ..elsewhere import ELSEWHERE
from ..unseen_writes import is_memory

if TYPE_CHECKING:
    from ..beside_files import FileWatch

#: Means all tables, where SQLite's authorizer could not be set.
ANY = "*"
#: Where SQLite keeps what AUTOINCREMENT has given, which any statement may change.
SEQUENCES = "sqlite_sequence"
#: The names in it, which SQLite itself writes with each table that is renamed: that gives out no number.
SEQUENCE_NAMES = f"{SEQUENCES}.name"

#: Everything that changes a schema or what is in it.
_CHANGES = frozenset({*DEFINES, *WRITES})
_OWN_SCHEMAS = {"main", "temp", "vacuum_db", None}


class WrittenTables:
    """Hears of each statement of the connections that it was given, when it is compiled."""

    def __init__(self) -> None:
        #: Statements by table.
        self.counts: dict[str, int] = {}
        #: The tables among them whose rows may not be what they were; an ALTER TABLE that adds or renames changes none.
        self.rows: set[str] = set()
        #: Tables, indexes, views and triggers that they have made, changed or dropped.
        self.definitions: set[str] = set()
        #: How often they have compiled such a statement, and the states of the schema before and after (see
        #: ``schema_states.py``).
        self.changes = 0
        self.schemas: dict[str, None] = {}
        self._sent = 0
        #: Attached schemas that are not files.
        self._in_memory: set[str] = set()
        self._attached_a_file = False
        #: What to report to where nothing is written.
        self.is_deaf = False
        #: Why a statement was refused, if one was.
        self.refusal: Refused | None = None

    def listen(self, connection: Any) -> None:
        """Listen to a driver's new connection."""
        if self.is_deaf:
            return
        try:
            watch = ELSEWHERE.build_file_watch(connection)
            authorize = self._authorize if watch is None else functools.partial(self._authorize_both, watch)
            driver = getattr(connection, "driver_connection", None)
            if driver is not None and hasattr(connection, "await_"):  # aiosqlite, which works in a thread of its own
                connection.await_(driver._execute(driver._conn.set_authorizer, authorize))
            else:
                connection.set_authorizer(authorize)
        except Exception:  # noqa: BLE001 - a driver that has none
            self.counts[ANY] = 1
            self.rows.add(ANY)

    def note_attached(self, databases: Iterable[tuple[Any, ...]]) -> None:
        """Take what is attached to env.py's connection before it changes anything: rows of PRAGMA database_list."""
        for _number, name, file in databases:
            if name in ("main", "temp"):
                continue
            if file:
                self._attached_a_file = True
            else:
                self._in_memory.add(name)

    def learn_attached(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        """Take what a statement has attached by a parameter, of which the authorizer knows nothing."""
        if connection.dialect.name == "sqlite" and "attach" in statement.lower():
            self.note_attached(list_attached(connection.connection))

    def count_statements(self) -> dict[str, int]:
        """Return the statements by table; ``ANY``, where it is among them, has grown with each call."""
        if ANY in self.counts:
            self.counts[ANY] += 1
        return dict(self.counts)

    def as_facts(self) -> dict[str, Any]:
        """Return what another process adds to its own."""
        return {
            "counts": dict(self.counts),
            "rows": sorted(self.rows),
            "definitions": sorted(self.definitions),
            "schemas": list(self.schemas),
        }

    def collect_new_facts(self) -> dict[str, Any]:
        """Return the same, of the states of the schema those that this has not returned before."""
        facts = self.as_facts()
        facts["schemas"], self._sent = facts["schemas"][self._sent :], len(self.schemas)
        return facts

    def add_facts(self, facts: dict[str, Any]) -> None:
        """Add what connections of another process have written."""
        for table, count in facts["counts"].items():
            self.counts[str(table)] = max(self.counts.get(table, 0), int(count))
        self.rows.update(map(str, facts["rows"]))
        self.definitions.update(map(str, facts["definitions"]))
        self.schemas.update(dict.fromkeys(map(str, facts["schemas"])))

    def _authorize_both(self, watch: FileWatch, *facts: Any) -> int:
        answer = self._authorize(*facts)
        return answer if answer == DENY else watch.authorize(*facts)

    def _authorize(self, action: int, first: Any, second: Any, schema: Any, _inner: Any) -> int:
        with suppress(Exception):  # an error in here would refuse the statement
            if action == ATTACH and not is_memory(first):
                self._attached_a_file = True
            elif action in DEFINES:
                self.changes += 1
                self.definitions.add(str(first))
            elif action == ALTER:
                self._count(second)
                self.changes += 1
                self.definitions.add(str(second))
                if schema is not None:  # the column that it drops
                    self.rows.add(str(second))
                schema = first
            elif action in WRITES:
                only_names = first == SEQUENCES and second == "name" and WRITES[action] == "update"
                self._count(SEQUENCE_NAMES if only_names else first)
                self.rows.add(str(first))
            elif action == PRAGMA and str(first).lower() == "writable_schema":
                self.rows.add(ANY)  # then a row may be read in another way
            if action in _CHANGES or action == ALTER:
                return self._permit(schema)
        return OK

    def _count(self, table: Any) -> None:
        if table and (not str(table).startswith("sqlite_") or table in (SEQUENCES, SEQUENCE_NAMES)):
            self.counts[str(table)] = self.counts.get(str(table), 0) + 1

    def _permit(self, schema: Any) -> int:
        if schema in _OWN_SCHEMAS or schema in self._in_memory or not self._attached_a_file:
            return OK
        self.refusal = Refused(
            f"The migrations write to the attached database {schema!r}",
            "an attached file is neither backed up nor compared, so a failure could not be undone in it",
            "Give that file an entry of its own in migrate_databases, with its own env.py, and do not attach it",
            code="attached-database-written",
        )
        return DENY


def is_refusal(error: BaseException) -> bool:
    """Return whether SQLite refused a statement because the authorizer did."""
    return isinstance(getattr(error, "orig", None) or error, sqlite3.DatabaseError) and "not authorized" in str(error)


def list_attached(connection: Any) -> list[tuple[Any, ...]]:
    """Return what a driver's connection has open, past SQLAlchemy, which would begin a transaction for it."""
    cursor = connection.cursor()
    cursor.execute("pragma database_list")
    found = [tuple(row) for row in cursor.fetchall()]
    cursor.close()
    return found
