# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writers of rows on MariaDB: rows that differ from the backup are others', unless counters name the run.

No row says who wrote it. Rows that are those of the backup lose nothing by a restore. All
others count as others', but where all that the server has written since the backup was written by env.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..._core.errors import Refused
from ..comparison import Comparison
from ..data import ANY_TABLE, Archive, Counted, Writes, WrittenRows
from ..interface import Report
from ..parts import find_restorer
from ..write_tracker import NoteTouched, WriteTracker
from . import client_input
from .beside import Beside, explain_not_compared
from .compare import (
    WrittenTables,
    compare,
    compare_definitions,
    list_doubtful_rows,
    list_doubtful_since,
    read_both_definitions,
)
from .dump_text import parse_dump
from .noted_names import NotedNames, listen_to_statements
from .noted_rows import NotedRows, list_altered
from .redefined import DEFINED, find_redefined, select_definition_counters
from .restorer import MariaDBRestorer
from .sent_statements import DRIVER, SENT
from .session_counters import Counts, Sessions, add_counts, count_growth, read_counters
from .taken_rows import list_taken_tables, select_taken_names
from .write_counts import COUNTS, is_only_ours, may_vouch, read_server_counters
from .written_tables import list_written_tables, read_catalog, read_other_schemas

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .session import MariaDBSession

#: What is remembered of a run until whose end no one else had written.
_ONLY_OURS = "only_ours"
_ANY = "any table"
_IN_DOUBT = "what is in {} may be another session's"


class MariaDBWriteTracker(WriteTracker):
    """Compares rows with those of the backup, loaded beside."""

    counts_transactions = False

    def __init__(self, engine: MariaDBSession) -> None:
        self.engine = engine
        #: What the server had counted when the backup began, or when the run failed; nothing if it vouches for nothing.
        self._base: dict[str, Any] = {}
        #: Whether the counters are those of a run that failed: what it dumps later says nothing of the time before.
        self._is_resumed = False
        #: The number of our own session then, and what it had written.
        self._own_base: tuple[int, Counts] = 0, {}
        #: What env.py's sessions have written since.
        self.sessions = Sessions()
        self._noted: NotedRows | None = None

    def note_dump_start(self) -> dict[str, Any]:
        """Return what the server has counted, right before a dump; from here on it is known whether others write."""
        found: dict[str, Any] = {}
        with suppress(Exception):  # then it is not known who writes or defines anything
            found = read_server_counters(self.engine.open_own_connection())
        defined = {DEFINED: select_definition_counters(found)} if found else {}
        base = found if found and may_vouch(self.engine.open_own_connection()) else {}
        if not self._is_resumed:
            self._start(base)
        return {**base, **defined}

    def _start(self, base: dict[str, Any]) -> None:
        own = self.engine.open_own_connection()
        self._base, self.sessions = base, Sessions()
        self._own_base = int(own.query_rows("select connection_id()")[0][0]), own.run(read_counters)

    def count_transaction(self, connection: Connection, held: bool = False) -> Counted:
        """Read what env.py's session had written before its first step; which rows, no counter says."""
        with suppress(Exception):  # what is not counted is others'
            self.sessions.begin(connection)
        return Counted()

    def check_other_writers(self, connection: Connection) -> None:
        """Read what env.py's session has written until now."""
        with suppress(Exception):  # what is not counted is others'
            self.sessions.read(connection)

    def hand_over(self) -> Any:
        """Return the counters, and what env.py's sessions have written."""
        noted = self._noted.as_facts() if self._noted else None
        return {"base": self._base, "own": list(self._own_base), "sessions": self.sessions.as_facts(), "noted": noted}

    def take_over(self, known: Any) -> None:
        """Add what env.py's sessions have written in another process."""
        if known:
            self._base = known["base"]
            self._own_base = int(known["own"][0]), known["own"][1]
            self.sessions.take(known["sessions"])
            if known["noted"] is not None:
                self._noted = NotedRows(self.engine.open_own_connection(), self.engine.name_on_server)
                self._noted.take(known["noted"])

    @contextmanager
    def watch_touched(self, note: NoteTouched) -> Iterator[None]:
        """Note what the statements name that the driver sends, with what others of it is not known."""
        schema = self.engine.name_on_server
        is_heard = self.engine.driver == DRIVER
        if not is_heard:
            note([], f"what the driver {self.engine.driver} sends is not heard")
        try:
            own = self.engine.open_own_connection()
            noted = NotedNames(read_catalog(own, schema), note)
            has_capitals = int(own.query_rows("select @@lower_case_table_names")[0][0]) == 0
        except Refused as refusal:  # another session holds a lock for long, for one
            note([], f"what there is in the database could not be read: {refusal.why}")
            yield
            return
        # Of another driver's statements those of SQLAlchemy show at least what they take.
        heard = listen_to_statements(noted.hear)
        if is_heard:
            heard = SENT.listen(schema, noted.hear, noted.note_doubt, self.sessions, has_capitals)
        with heard:
            yield

    def list_untouched(self, archive: Archive, written_rows: WrittenRows, tables: Iterable[str]) -> set[str]:
        """Return those that no statement of the run may have written through."""
        wanted = set(tables)
        if not wanted or ANY_TABLE in written_rows.touched:
            return set()
        written = self._find_written(written_rows)(*read_both_definitions(self.engine, archive))
        return set() if written is None else {name for name in wanted if self._strip_schema(name) not in written}

    def _strip_schema(self, table: str) -> str:
        return table.removeprefix(f"{self.engine.name_on_server}.")

    def read_content_state(self) -> dict[str, str] | None:
        """Return what the server has counted, if only env.py has written since the dump began."""
        now = self._read_vouched()
        return {COUNTS: json.dumps(now)} if now else None

    def resume(self, content: dict[str, str] | None, unchanged: Sequence[str] = ()) -> None:
        """Go on from the counters of when the run failed."""
        self._is_resumed = True
        self._start(json.loads(content[COUNTS]) if content and COUNTS in content else {})
        self._own_base = 0, {}

    def list_redefined_by_others(self, written_rows: WrittenRows, executed: Iterable[str]) -> list[str]:
        """Return what the run has changed that others may have defined anew, unless no one else had until its end."""
        if _has_had_no_other_writers(written_rows):
            return []
        return find_redefined(
            executed,
            written_rows.activity.get(DEFINED, {}),
            select_definition_counters(read_server_counters(self.engine.open_own_connection())),
        )

    def _read_vouched(self, loaded: Counts | None = None) -> dict[str, Any]:
        """Return what the server has counted, nothing unless it is what we and env.py have written.

        Args:
            loaded: what a client of ours has written.
        """
        if not self._base:
            return {}
        with suppress(Exception):  # then it is not known
            own = self.engine.open_own_connection()
            number, ours = int(own.query_rows("select connection_id()")[0][0]), own.run(read_counters)
            if number == self._own_base[0]:
                ours = count_growth(self._own_base[1], ours)
            now = read_server_counters(own)
            if is_only_ours(self._base, now, add_counts(self.sessions.count_writes(), ours, loaded or {})):
                return now
        return {}

    def hash_made_rows(self, written_rows: WrittenRows) -> dict[str, Any]:
        """Return whether only env.py has written since the dump began; else what a run has made is in doubt."""
        return {_ONLY_OURS: True} if self._read_vouched() else {}

    def list_taken_from_others(self, archive: Archive | None, written_rows: WrittenRows) -> list[str]:
        """Return the tables from which statements may have taken rows, unless no one else had written until then."""
        if _has_had_no_other_writers(written_rows):
            return []
        noted = select_taken_names(written_rows.touched)
        if noted is None:
            return [_ANY]
        left_out = {name.rpartition(".")[2] for name in written_rows.version_tables}
        noted = {name for name in noted if name.partition(" ")[2] not in left_out}
        if not noted:
            return []
        schema, own = self.engine.name_on_server, self.engine.open_own_connection()
        if archive is None:
            before = now = parse_dump(client_input.read_definition_lines(self.engine))
        else:
            before, now = read_both_definitions(self.engine, archive)
        found = list_taken_tables(noted, before, now, read_other_schemas(own, schema), schema)
        return [_ANY] if found is None else [words for words in found if words.partition(" ")[2] not in left_out]

    def find_later_writes(self, written_rows: WrittenRows) -> Writes:
        """Return that what is in what the run has made may be others', unless no one else has written."""
        if self._read_vouched():
            return Writes()
        return _build_doubt(
            list_doubtful_since(
                self.engine.open_own_connection(),
                self.engine.name_on_server,
                written_rows.before,
                written_rows.version_tables,
            )
        )

    def find_writes_into_made(self, written_rows: WrittenRows) -> Writes:
        """Return the same by the backup that the restore has loaded; it holds the restore."""
        swap = self._restorer.at_work
        if swap is None:
            return self.find_later_writes(written_rows)
        if self._read_vouched(swap.beside.loaded):
            return Writes()
        tables = swap.beside.archive.version_tables | written_rows.version_tables
        return _build_doubt(
            list_doubtful_rows(swap.beside, self.engine.open_own_connection(), self.engine.name_on_server, tables)
        )

    def list_touched_by_others(self, written_rows: WrittenRows) -> list[str]:
        """Return that they may have written anywhere: so a backup is taken before what was committed is undone."""
        return [] if self._read_vouched() else ["others may have written since the backup"]

    def find_final_writes(self, connection: Connection, written_rows: WrittenRows) -> Writes:
        """Compare the tables that may be dropped with what was noted right before all was backed up."""
        if self._noted is None or written_rows.kept_in is None or self._read_vouched():
            return Writes()
        return Writes(self._noted.find_changed())

    def note_rows(self, written_rows: WrittenRows, now: list[str]) -> None:
        """Note the tables that the run has made or altered."""
        own = self.engine.open_own_connection()
        self._noted = NotedRows(own, self.engine.name_on_server)
        self._noted.note(list_altered(own, self.engine.name_on_server, written_rows.before, now))

    def list_changed_by_run(self, archive: Archive, ours: dict[str, int]) -> list[str]:
        """Return nothing: to read it, the backup would have to be loaded, and a revert compares with it at its end."""
        return []

    def compare(self, archive: Archive, written_rows: WrittenRows, limit: int, report: Report) -> Comparison:
        """Load the backup beside the database, and compare definitions and rows."""
        return compare(self.engine, archive, written_rows, limit, report, self._find_written(written_rows))

    def compare_written(self, archive: Archive, written_rows: WrittenRows, limit: int, report: Report) -> None:
        """Let a restore know what the run may have written: it leaves all others as they are."""
        self._restorer.written = self._find_written(written_rows)

    def _find_written(self, written_rows: WrittenRows) -> WrittenTables:
        own, schema = self.engine.open_own_connection(), self.engine.name_on_server
        elsewhere = read_other_schemas(own, schema)
        return lambda before, now: list_written_tables(written_rows.touched, before, now, elsewhere, schema)

    def compare_schema(
        self, archive: Archive, written_rows: WrittenRows, report: Report
    ) -> tuple[list[str], list[str]]:
        """Compare the definitions with those of the backup; nothing shows who has changed one."""
        report("compares the definitions with the backup")
        return compare_definitions(self.engine, archive, written_rows), []

    def find_writes_since(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Compare the rows, as they are once no other session can write, with those of the backup."""
        swap = self._restorer.at_work
        if swap is None:
            return Writes(unknown="the backup was not loaded, so what others wrote since is unknown")
        if self._read_vouched(swap.beside.loaded):
            return Writes()
        return _compare_rows(swap.beside, swap.locked_rows, swap.written)

    def foresee_writes(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Load the backup beside the database, and compare while others are at work."""
        beside = Beside(self.engine, archive, lambda _: None, is_locked=False)
        try:
            beside.load()
            beside.read()
            return _compare_rows(beside, beside.rows_now, None)
        except Exception as error:  # noqa: BLE001 - whatever it is: what cannot be known counts as a write
            return Writes(unknown=explain_not_compared(error))
        finally:
            beside.drop()

    @property
    def _restorer(self) -> MariaDBRestorer:
        restorer = find_restorer(self.engine)
        if not isinstance(restorer, MariaDBRestorer):
            raise TypeError(type(restorer))
        return restorer


def _has_had_no_other_writers(written_rows: WrittenRows) -> bool:
    """Return whether no one else had written until the end of a run, or its failure."""
    return bool(written_rows.content or written_rows.content_digest.get(_ONLY_OURS))


def _compare_rows(beside: Beside, rows: dict[str, str], written: set[str] | None) -> Writes:
    left_out = {name.rpartition(".")[2] for name in beside.archive.version_tables}
    changed = [table for table in beside.list_changed_tables(rows) if table not in left_out]
    # What was in them when they were dropped, no one can read any more.
    gone = [words for words in beside.list_missing() if words not in {f"table {name}" for name in left_out}]
    given = [name for name in beside.list_moved_sequences() if written is None or name in written]
    words = [f"rows differ from those of the backup in {', '.join(changed)}"] if changed else []
    words += [f"sequences have given out values: {', '.join(given)}"] if given else []
    words += [f"what others had written into it before it was dropped is unknown: {', '.join(gone)}"] if gone else []
    return Writes(unknown="; ".join(words))


def _build_doubt(found: list[str]) -> Writes:
    return Writes(unknown=_IN_DOUBT.format(", ".join(found))) if found else Writes()
