# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup's tables, loaded into a schema of ours beside the database, and how the database differs from them."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from ..._core.errors import NOT_POSSIBLE, REPLACED_NOTHING, Failed, Refused, first_of
from ..._core.paths import sha256_of
from ..connection import OwnConnection, first_line
from ..data import Archive
from ..interface import Report
from . import client_input
from .catalog import read_exactly
from .content import columns_of, digest_of, list_shared_columns, run_sql
from .dump_text import Definitions, definitions_of, select_table_lines
from .made_schemas import MadeSchemas
from .privileges import lacking, privileges_on, read_grants
from .quoting import qualify_name
from .same_name import TABLE_IS_IN_SCHEMA
from .session_counters import Counts
from .swap_state import (
    NEW,
    SINCE,
    create_schema,
    drop_schema,
    empty_schemas,
    is_empty,
    is_there,
    list_named_schemas,
    names_for,
    read_row,
    record,
    tables_in,
)

if TYPE_CHECKING:
    from .content import Column
    from .session import MariaDBSession

#: What it takes to move tables between schemas, and to make again what belongs to them.
FOR_SWAP = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "CREATE",
    "DROP",
    "ALTER",
    "INDEX",
    "REFERENCES",
    "LOCK TABLES",
    "TRIGGER",
    "CREATE VIEW",
    "SHOW VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "EVENT",
)
_PLAIN = f"select table_name from information_schema.tables where {TABLE_IS_IN_SCHEMA} and table_type = 'BASE TABLE'"
_MOST_NAMED = 5
_LONGEST_LINE = 100


def schema_to_make(own: OwnConnection, schema: str, kind: str) -> str | None:
    """Return a name of which the user may make a schema, None if there is none."""
    grants = own.run(read_grants)
    # A schema of what is replaced has the time behind its name.
    return next(
        (
            name
            for name in names_for(schema, kind)
            if not lacking(privileges_on(f"{name}{SINCE[kind]}", grants), FOR_SWAP)
        ),
        None,
    )


def no_schema(name: str) -> Refused:
    """Return that a user may make no schema beside a database."""
    return Refused(
        f"Database {name!r} cannot be compared with its backup, or restored from it",
        "its user may not make a schema beside it",
        "Grant it: see the commands below",
        code=NOT_POSSIBLE,
    )


class Beside:
    """The tables of a dump in a schema of their own, until ``drop``."""

    def __init__(self, engine: MariaDBSession, archive: Archive, report: Report, *, is_locked: bool = True) -> None:
        self.engine = engine
        self.schema = engine.name_on_server
        self.archive = archive
        self._report = report
        #: Whether no other run of ours works on the database, which may have a schema of that name.
        self._is_locked = is_locked
        self.name = ""
        #: What the client has written that has loaded it.
        self.loaded: Counts = {}
        #: What the dump defines, and the database did when it was read.
        self.before = Definitions()
        self.now = Definitions()
        #: Digests by table, each by the columns that both have.
        self.rows_before: dict[str, str] = {}
        self.rows_now: dict[str, str] = {}
        #: What the database defined then, as its lines.
        self._lines_now: list[str] = []
        self._columns_before: dict[str, dict[str, Column]] = {}
        #: Of the dump, when it was read.
        self._digest = ""

    def load(self) -> None:
        """Load the tables of the dump.

        Raises:
            Refused: the user may not make a schema.
            Failed: the dump is damaged, or the server did not take it.
        """
        own = self.engine.own_connection()
        name = schema_to_make(own, self.schema, NEW)
        if name is None:
            raise no_schema(self.engine.database.name)
        if not self._is_locked:
            name += f"_s{own.rows('select connection_id()')[0][0]}"
        self.read_dump()
        self.name = self._made(own, name)
        name = self.name
        self._report(f"loads the backup into {name}")
        try:
            self._load_tables()
            self._refuse_incomplete()
        except BaseException:
            self.drop()
            raise

    def _load_tables(self) -> None:
        """Load the tables of the dump while it is read for the second time.

        Raises:
            Failed: a statement failed, or the dump is no longer what it was when it was read before.
        """
        digest = hashlib.sha256()
        with self.archive.path.open("rb") as lines:
            self.loaded = client_input.feed(self.engine, self.name, select_table_lines(_passing(lines, digest)))
        if digest.hexdigest() != self._digest:
            raise self._damaged()

    def _refuse_incomplete(self) -> None:
        """Compare what was loaded with what the dump defines, and with the rows that were counted when it was proven.

        Raises:
            Failed: tables or rows are missing.
        """
        own = self.engine.own_connection()
        wrong = sorted(self.before.all_tables() ^ set(tables_in(own, self.name)))
        expected = self.archive.row_counts or {}
        # The history of a versioned table is in a dump, and not in its count.
        plain = {str(table) for (table,) in own.rows(_PLAIN, schema=self.name)}
        for table in sorted(plain - set(wrong)):
            counted = expected.get(f"{self.schema}.{table}")
            if counted is None:
                continue
            loaded = int(run_sql(own, f"select count(*) from {qualify_name(self.name, table)}")[0][0])
            wrong += [f"{table} has {loaded} rows and not {counted}"] if loaded != counted else []
        if wrong:
            raise Failed(
                f"The backup {self.archive.path.parent} could not be loaded",
                f"what was loaded is not what it defines: {first_of(wrong, _MOST_NAMED)}",
                code=REPLACED_NOTHING,
            )

    def _damaged(self) -> Failed:
        why = f"{self.archive.path.name} is not what its manifest says"
        return Failed(f"The backup {self.archive.path.parent} is damaged", why, code=REPLACED_NOTHING)

    def _made(self, own: OwnConnection, name: str) -> str:
        """Make the schema, which says of itself that this host has made it, and return its name."""
        made = MadeSchemas.of(self.engine)
        if is_empty(own, name) or is_loaded(own, name, made):
            drop_schema(own, name)  # what a run that was killed has left
        elif is_there(own, name):
            name += f"_x{secrets.token_hex(3)}"
        facts = secrets.token_hex()
        made.note(name, facts.encode())
        create_schema(own, name, self.schema)
        self.name = name
        record(own, name, facts)
        return name

    def read_dump(self) -> None:
        """Read what the dump defines.

        Raises:
            Failed: it is not what was proven, or holds what cannot be made again.
        """
        self._digest = sha256_of(self.archive.path)
        if self.archive.sha256 not in ("", self._digest):
            raise self._damaged()
        with self.archive.path.open("rb") as lines:
            self.before = definitions_of(lines)
        if self.before.not_understood:
            raise Failed(
                f"The backup {self.archive.path.parent} holds what cannot be made again",
                "; ".join(self.before.not_understood),
                code=REPLACED_NOTHING,
            )

    def read(self) -> None:
        """Read the definitions and the rows of both."""
        self.read_definitions()
        own = self.engine.own_connection()
        self._columns_before = columns_of(own, self.name)
        self._report("compares the rows with those of the backup")
        self.rows_before = self._digests(self.name)
        self.rows_now = self._digests(self.schema)

    def read_definitions(self) -> None:
        """Read what the database defines now."""
        self._lines_now = self.engine.own_connection().run(read_exactly)
        self.now = definitions_of(client_input.definitions_now(self.engine))
        self.now.invalid_views = client_input.invalid_views(self.engine)

    def compare_definitions(self) -> list[str]:
        """Return how definitions differ from those that were read, while all tables are locked by our session."""
        before, now = Counter(self._lines_now), Counter(self.engine.own_connection().run(read_exactly))
        return [f"{line[:_LONGEST_LINE]} has changed" for line in sorted((before - now) + (now - before))]

    def read_rows(self, tables: Container[str]) -> dict[str, str]:
        """Read the rows of some tables once more, while they are locked."""
        return self._digests(self.schema, tables)

    def _digests(self, schema: str, tables: Container[str] | None = None) -> dict[str, str]:
        """Return digests by table, by the columns that both have, each as the backup's type has it."""
        own = self.engine.own_connection()
        now = columns_of(own, self.schema)
        return {
            table: digest_of(own, schema, table, [columns[name] for name in list_shared_columns(columns, now[table])])
            for table, columns in self._columns_before.items()
            if table in self.before.tables and table in self.now.tables and table in now
            if tables is None or table in tables
        }

    def columns_before(self, table: str) -> dict[str, Column]:
        """Return the columns that a table had."""
        return self._columns_before.get(table, {})

    def list_changed_tables(self, rows: dict[str, str]) -> list[str]:
        """Return the tables whose rows, as they were read, are not the backup's; none that was not read, or is gone."""
        return sorted(table for table, digest in self.rows_before.items() if rows.get(table, digest) != digest)

    def list_missing(self) -> list[str]:
        """Return the tables, sequences and columns with values that the backup has and the database has not."""
        now = columns_of(self.engine.own_connection(), self.schema)
        found = [f"table {name}" for name in self.before.tables.keys() - self.now.tables.keys()]
        found += [f"sequence {name}" for name in self.before.sequences.keys() - self.now.sequences.keys()]
        for table in self.before.tables.keys() & self.now.tables.keys():
            lost = self.columns_before(table).keys() - now.get(table, {}).keys()
            found += [f"column {table}.{name}" for name in lost if not self.columns_before(table)[name].is_generated]
        return sorted(found)

    def list_moved_sequences(self) -> list[str]:
        """Return the sequences that have given out values since the backup."""
        return find_moved_sequences(self.before, self.now)

    def drop(self) -> None:
        """Drop the schema."""
        if self.name:
            with suppress(Exception):  # the next one drops it
                drop_schema(self.engine.own_connection(), self.name)
                MadeSchemas.of(self.engine).forget(self.name)
            self.name = ""


def _passing(lines: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    """Yield the lines, and add each to a digest."""
    for line in lines:
        digest.update(line)
        yield line


def is_loaded(own: OwnConnection, name: str, made: MadeSchemas) -> bool:
    """Return whether a schema is one into which this host has loaded a backup."""
    row = read_row(own, name)
    return row is not None and made.is_ours(name, row[0].encode())


def drop_left(engine: MariaDBSession) -> list[str]:
    """Drop what comparisons and restores of this host have loaded that were killed, and return the schemas' names."""
    own, made = engine.own_connection(), MadeSchemas.of(engine)
    alive = {int(number) for (number,) in own.rows("select id from information_schema.processlist")}
    found = empty_schemas(own, engine.name_on_server)
    found += [
        name
        for name, session in list_named_schemas(own, engine.name_on_server, NEW)
        if name not in found and session not in alive and is_loaded(own, name, made)
    ]
    for name in found:
        drop_schema(own, name)
        made.forget(name)
    return found


def cannot_compare(error: BaseException) -> str:
    """Say why a database was not compared."""
    words = f"{error.what}: {error.why}" if isinstance(error, Refused) else first_line(error)
    return f"the backup could not be loaded beside the database ({words})"


def definition_of_sequence(found: Definitions, name: str) -> str:
    """Return what makes a sequence, without where it is."""
    return found.sequences[name].split("\n")[0]


def find_moved_sequences(before: Definitions, now: Definitions) -> list[str]:
    """Return the sequences that have given out values in between."""
    both = before.sequences.keys() & now.sequences.keys()
    return sorted(name for name in both if _value(before, name) != _value(now, name))


def describe_moved_counters(
    before: Definitions, now: Definitions, left_out: Container[str], when: str = ""
) -> list[str]:
    """Return in words where the AUTO_INCREMENT of tables is not what it was.

    Args:
        before: what there was.
        now: what there is.
        left_out: tables that are not compared.
        when: words behind what it is now.
    """
    old, new = before.counters, now.counters
    return [
        f"AUTO_INCREMENT of table {name} goes on at {new[name]}{when}, and did at {old[name]}"
        for name in sorted(old.keys() & new.keys())
        if old[name] != new[name] and name not in left_out
    ]


def describe_changed_definitions(before: Definitions, now: Definitions) -> list[str]:
    """Return how definitions differ, each in words."""
    old, new = _list_definitions(before), _list_definitions(now)
    found = [f"{name} is missing" for name in old.keys() - new.keys()]
    found += [f"{name} was not there before" for name in new.keys() - old.keys()]
    found += [f"the definition of {name} differs" for name in old.keys() & new.keys() if old[name] != new[name]]
    return sorted(found)


def _value(found: Definitions, name: str) -> str:
    return found.sequences[name].partition("\n")[2]


def _list_definitions(found: Definitions) -> dict[str, object]:
    """Return all definitions, each by its kind and name."""
    listed: dict[str, object] = {f"table {name}": text for name, text in found.tables.items()}
    listed |= {f"sequence {name}": definition_of_sequence(found, name) for name in found.sequences}
    listed |= {f"view {name}": definition for name, definition in found.views.items()}
    for table, triggers in found.triggers.items():
        listed |= {f"trigger {number} of table {table}": each for number, each in enumerate(triggers, 1)}
    return {**listed, **found.routines}
