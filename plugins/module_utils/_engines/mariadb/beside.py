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

from ..._core.errors import ANOTHER_BACKUP, NOT_POSSIBLE, REPLACED_NOTHING, Failed, Refused, describe_first
from ..._core.paths import hash_file
from ..connection import OwnConnection, describe_error
from ..data import Archive
from ..interface import Report
from . import client_input
from .catalog import read_exactly
from .content import hash_rows, list_shared_columns, read_columns, run_sql
from .dump_text import Definitions, parse_dump, select_table_lines
from .fill_copy import list_bound_elsewhere
from .made_schemas import MadeSchemas
from .places import Place, PrefixPlace, SchemaPlace, list_prefix_places
from .prefixed_dump import prefix_dump
from .session_counters import Counts
from .swap_state import (
    NEW,
    build_prefix,
    is_empty,
    list_empty_schemas,
    list_named_schemas,
    read_row,
    record,
)
from .which_place import choose_new_place

if TYPE_CHECKING:
    from .content import Column
    from .session import MariaDBSession

_MOST_NAMED = 5
_LONGEST_LINE = 100


class Beside:
    """The tables of a dump in a place of their own, until ``drop``."""

    def __init__(self, engine: MariaDBSession, archive: Archive, report: Report, *, is_locked: bool = True) -> None:
        self.engine = engine
        self.schema = engine.name_on_server
        self.archive = archive
        self._report = report
        #: Whether no other run of ours works on the database, which may have a schema of that name.
        self._is_locked = is_locked
        self.place: Place | None = None
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
        own = self.engine.open_own_connection()
        place = choose_new_place(self.engine, is_locked=self._is_locked)
        self.read_dump()
        if isinstance(place, PrefixPlace):
            self._refuse_elsewhere()
        self.place = self._make_place(own, place)
        self._report(f"loads the backup into {self.place.name}")
        try:
            self._load_tables()
            self._refuse_incomplete()
        except BaseException:
            self.drop()
            raise

    @property
    def there(self) -> Place:
        """Return where the tables are."""
        if self.place is None:
            raise RuntimeError("no backup is loaded")
        return self.place

    def _refuse_elsewhere(self) -> None:
        """Refuse tables that have their rows elsewhere, or refer to another database.

        Raises:
            Refused: there are any.
        """
        found = list_bound_elsewhere(self.before)
        if found:
            raise Refused(
                f"The backup of {self.engine.database.name!r} cannot be loaded into the database itself",
                f"these have their rows elsewhere, or refer to another database: {describe_first(found, _MOST_NAMED)}",
                "Let an administrator grant a schema beside it: see the commands below",
                code=NOT_POSSIBLE,
            )

    def _load_tables(self) -> None:
        """Load the tables of the dump while it is read for the second time.

        Raises:
            Failed: a statement failed, or the dump is no longer what it was when it was read before.
        """
        digest = hashlib.sha256()
        with self.archive.path.open("rb") as lines:
            read, there = _pass_lines(lines, digest), self.there
            if isinstance(there, PrefixPlace):
                script = there.prepend_lock(prefix_dump(read, there, self.before.list_tables()))
            else:
                script = select_table_lines(read)
            self.loaded = client_input.feed(self.engine, there.locate_table("")[0], script)
        if digest.hexdigest() != self._digest:
            raise self._describe_damage()

    def _refuse_incomplete(self) -> None:
        """Compare what was loaded with what the dump defines, and with the rows that were counted when it was proven.

        Raises:
            Failed: tables or rows are missing.
        """
        own = self.engine.open_own_connection()
        there, defined = self.there, self.before.list_tables()
        wrong = sorted(defined ^ set(there.read_tables(own, defined)))
        expected = self.archive.row_counts or {}
        # The history of a versioned table is in a dump, and not in its count.
        for table in sorted(there.read_plain_tables(own, defined) - set(wrong)):
            counted = expected.get(f"{self.schema}.{table}")
            if counted is None:
                continue
            loaded = int(run_sql(own, f"select count(*) from {there.qualify_table(table)}")[0][0])
            wrong += [f"{table} has {loaded} rows and not {counted}"] if loaded != counted else []
        if wrong:
            raise Failed(
                f"The backup {self.archive.path.parent} could not be loaded",
                f"what was loaded is not what it defines: {describe_first(wrong, _MOST_NAMED)}",
                ANOTHER_BACKUP,
                code=REPLACED_NOTHING,
            )

    def _describe_damage(self) -> Failed:
        why = f"{self.archive.path.name} is not what its manifest says"
        return Failed(f"The backup {self.archive.path.parent} is damaged", why, ANOTHER_BACKUP, code=REPLACED_NOTHING)

    def _make_place(self, own: OwnConnection, place: Place) -> Place:
        """Make the place, which says of itself that this host has made it, and return it."""
        made = MadeSchemas.of(self.engine)
        if isinstance(place, SchemaPlace):
            if is_empty(own, place.name) or is_loaded(own, place, made):
                place.drop(own)  # what a run that was killed has left
            elif place.is_there(own):
                place = SchemaPlace(f"{place.name}_x{secrets.token_hex(3)}")
        facts = secrets.token_hex()
        made.note(place.noted_as, facts.encode())
        place.make(own, self.schema)
        self.place = place
        record(own, place, facts)
        return place

    def read_dump(self) -> None:
        """Read what the dump defines.

        Raises:
            Failed: it is not what was proven, or holds what cannot be made again.
        """
        self._digest = hash_file(self.archive.path)
        if self.archive.sha256 not in ("", self._digest):
            raise self._describe_damage()
        with self.archive.path.open("rb") as lines:
            self.before = parse_dump(lines)
        if self.before.not_understood:
            raise Failed(
                f"The backup {self.archive.path.parent} holds what cannot be made again",
                "; ".join(self.before.not_understood),
                ANOTHER_BACKUP,
                code=REPLACED_NOTHING,
            )

    def read(self) -> None:
        """Read the definitions and the rows of both."""
        self.read_definitions()
        own = self.engine.open_own_connection()
        self._columns_before = self.there.read_columns(own, self.before.list_tables())
        self._report("compares the rows with those of the backup")
        self.rows_before = self._hash_tables(self.there)
        self.rows_now = self._hash_tables(SchemaPlace(self.schema))

    def read_definitions(self) -> None:
        """Read what the database defines now."""
        self._lines_now = self.engine.open_own_connection().run(read_exactly)
        self.now = parse_dump(client_input.read_definition_lines(self.engine))
        self.now.invalid_views = client_input.read_invalid_views(self.engine)

    def compare_definitions(self) -> list[str]:
        """Return how definitions differ from those that were read, while all tables are locked by our session."""
        before, now = Counter(self._lines_now), Counter(self.engine.open_own_connection().run(read_exactly))
        return [f"{line[:_LONGEST_LINE]} has changed" for line in sorted((before - now) + (now - before))]

    def read_rows(self, tables: Container[str]) -> dict[str, str]:
        """Read the rows of some tables once more, while they are locked."""
        return self._hash_tables(SchemaPlace(self.schema), tables)

    def _hash_tables(self, place: Place, tables: Container[str] | None = None) -> dict[str, str]:
        """Return digests by table, by the columns that both have, each as the backup's type has it."""
        own = self.engine.open_own_connection()
        now = read_columns(own, self.schema)
        return {
            table: hash_rows(
                own, *place.locate_table(table), [columns[name] for name in list_shared_columns(columns, now[table])]
            )
            for table, columns in self._columns_before.items()
            if table in self.before.tables and table in self.now.tables and table in now
            if tables is None or table in tables
        }

    def find_columns_before(self, table: str) -> dict[str, Column]:
        """Return the columns that a table had."""
        return self._columns_before.get(table, {})

    def list_changed_tables(self, rows: dict[str, str]) -> list[str]:
        """Return the tables whose rows, as they were read, are not the backup's; none that was not read, or is gone."""
        return sorted(table for table, digest in self.rows_before.items() if rows.get(table, digest) != digest)

    def list_missing(self) -> list[str]:
        """Return the tables, sequences and columns with values that the backup has and the database has not."""
        now = read_columns(self.engine.open_own_connection(), self.schema)
        found = [f"table {name}" for name in self.before.tables.keys() - self.now.tables.keys()]
        found += [f"sequence {name}" for name in self.before.sequences.keys() - self.now.sequences.keys()]
        for table in self.before.tables.keys() & self.now.tables.keys():
            lost = self.find_columns_before(table).keys() - now.get(table, {}).keys()
            found += [
                f"column {table}.{name}" for name in lost if not self.find_columns_before(table)[name].is_generated
            ]
        return sorted(found)

    def list_moved_sequences(self) -> list[str]:
        """Return the sequences that have given out values since the backup."""
        return find_moved_sequences(self.before, self.now)

    def drop(self) -> None:
        """Drop what was loaded."""
        if self.place:
            with suppress(Exception):  # the next one drops it
                self.place.drop(self.engine.open_own_connection())
                MadeSchemas.of(self.engine).forget(self.place.noted_as)
            self.place = None


def _pass_lines(lines: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    """Yield the lines, and add each to a digest."""
    for line in lines:
        digest.update(line)
        yield line


def is_loaded(own: OwnConnection, place: Place, made: MadeSchemas) -> bool:
    """Return whether a place is one into which this host has loaded a backup."""
    row = read_row(own, place)
    return row is not None and made.is_ours(place.noted_as, row[0].encode())


def drop_left(engine: MariaDBSession) -> list[str]:
    """Drop what comparisons and restores of this host have loaded that were killed, and return the places' names."""
    own, made = engine.open_own_connection(), MadeSchemas.of(engine)
    alive = {int(number) for (number,) in own.query_rows("select id from information_schema.processlist")}
    found: list[Place] = [SchemaPlace(name) for name in list_empty_schemas(own, engine.name_on_server)]
    schemas = [
        SchemaPlace(name)
        for name, session in list_named_schemas(own, engine.name_on_server, NEW)
        if session not in alive
    ]
    found += [each for each in schemas if each not in found and is_loaded(own, each, made)]
    prefixes = list_prefix_places(own, engine.name_on_server, build_prefix(""))
    found += [each for each in prefixes if made.is_noted(each.noted_as) and each.is_unwritten(own)]
    found += [
        each
        for each in prefixes
        if each not in found and each.name.startswith(build_prefix(NEW)) and is_loaded(own, each, made)
    ]
    for place in found:
        if isinstance(place, PrefixPlace) and not place.is_loaded_by_no_one(own, engine.job.lock_wait):
            continue  # a client whose run was killed goes on for a moment, and would make tables behind our back
        place.drop(own)
        made.forget(place.noted_as)
    return [place.name for place in found]


def explain_not_compared(error: BaseException) -> str:
    """Say why a database was not compared."""
    words = f"{error.what}: {error.why}" if isinstance(error, Refused) else describe_error(error)
    return f"the backup could not be loaded beside the database ({words})"


def find_sequence_definition(found: Definitions, name: str) -> str:
    """Return what makes a sequence, without where it is."""
    return found.sequences[name].split("\n")[0]


def find_moved_sequences(before: Definitions, now: Definitions) -> list[str]:
    """Return the sequences that have given out values in between."""
    both = before.sequences.keys() & now.sequences.keys()
    return sorted(name for name in both if _find_sequence_value(before, name) != _find_sequence_value(now, name))


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


def _find_sequence_value(found: Definitions, name: str) -> str:
    return found.sequences[name].partition("\n")[2]


def _list_definitions(found: Definitions) -> dict[str, object]:
    """Return all definitions, each by its kind and name."""
    listed: dict[str, object] = {f"table {name}": text for name, text in found.tables.items()}
    listed |= {f"sequence {name}": find_sequence_definition(found, name) for name in found.sequences}
    listed |= {f"view {name}": definition for name, definition in found.views.items()}
    for table, triggers in found.triggers.items():
        listed |= {f"trigger {number} of table {table}": each for number, each in enumerate(triggers, 1)}
    return {**listed, **found.routines}
