# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore of MariaDB: what differs from the backup moves out, the backup's tables move in.

RENAME TABLE is refused while tables are locked, so that others could write between the last check and the move. ALTER
TABLE ... RENAME is not: under one LOCK TABLES it is read who wrote, and each table moves out. Others wait for the lock,
and get an error for a moment, until the restored tables move in together, by one RENAME TABLE. Foreign keys follow
both.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ..._core.errors import CORRECT_IT, HALF_WAY, NOT_PERMITTED, REPLACED_NOTHING, Failed, Refused
from ..connection import describe_error
from ..data import Archive, Restored
from ..interface import Guard, Report
from . import swap_state
from .arriving import find_early_writes, read_arriving_digests
from .beside import Beside
from .compare import WrittenTables, name_all_tables
from .content import run_sql
from .defaults import keep_defaults, set_back
from .foreign_keys import list_keys, name_keys
from .lock_attempts import retry_until_locked
from .made_schemas import MadeSchemas
from .moved_tables import list_tables_to_move, refuse_what_would_lose
from .places import Place, PrefixPlace
from .quoting import qualify_name
from .remaking import Ended, build_half_way_error, build_not_made_error, may_not_make, write_administrator_script
from .same_name import match_name
from .scripts import (
    NotMade,
    Pieces,
    build_redo,
    build_undo,
    has_triggers,
    pack_pieces,
    run_behind,
    run_pieces,
    unpack_pieces,
)
from .session import round_lock_timeout
from .swap_state import (
    DONE,
    IN,
    OUT,
    SwapState,
    advance,
    build_content,
    format_state,
    read_tables,
    record,
)
from .which_place import choose_old_place

if TYPE_CHECKING:
    from ..connection import OwnConnection
    from .session import MariaDBSession

METHOD = "swap"


class Swap:
    """One restore of one database."""

    def __init__(
        self,
        engine: MariaDBSession,
        archive: Archive,
        run: str,
        report: Report,
        written: WrittenTables = name_all_tables,
    ) -> None:
        self.engine = engine
        self.schema = engine.name_on_server
        self.beside = Beside(engine, archive, report)
        self._report = report
        self._run = run
        self._old: Place | None = None
        self._state = SwapState(self.schema, run, "")
        self._undo: Pieces = []
        self._redo: Pieces = []
        self._written_of = written
        #: The tables that the run may have written, None for all.
        self.written: set[str] | None = None
        #: Digests of the rows of what is moved, once no other session could write.
        self.locked_rows: dict[str, str] = {}
        self._is_locked = False
        #: Tables with triggers that are moved in: what reads the digest of their rows, and the digest.
        self._arriving: dict[str, tuple[str, str]] = {}

    def run(self, guard: Guard) -> Restored:
        """Restore; what was done before an error is undone.

        Raises:
            Refused: it cannot be done, or the guard refused; the database is as it was.
            Failed: a step failed; with ``HALF_WAY`` the next run undoes it, or brings it to its end.
        """
        with self.engine.keep_session():
            return self._restore(guard)

    def _restore(self, guard: Guard) -> Restored:
        self.beside.load()
        try:
            self.beside.read()
            self._plan()
            self._make_retained()
            self._lock()
            self.locked_rows = self.beside.read_rows(self.tables_to_move)
            guard()
            self._refuse_changes()
            self.engine.check_locked()
        except BaseException as error:
            self._give_up()
            if isinstance(error, (Refused, KeyboardInterrupt, SystemExit)):
                raise
            raise self._describe_failure(error) from error
        try:
            ended = Ended("the tables are restored", self._move())
        except BaseException as error:
            try:
                self._unlock()
                undo, redo = pack_pieces(self._undo), pack_pieces(self._redo)
                ended = end_or_undo(self.engine, swap_state.Replaced(self._retained, self._state, undo, redo))
            except Exception as other:  # noqa: BLE001 - the server may be gone; the next run ends or undoes it
                raise build_half_way_error(self.engine, other) from error
            if self._state.phase != DONE and not ended.not_made:
                raise self._describe_failure(error) from error
        if ended.not_made:
            raise build_not_made_error(self.engine, ended)
        return Restored(self._retained.name if self._has_kept_anything() else "", METHOD, self._list_unrestored())

    @property
    def _retained(self) -> Place:
        """Return where replaced tables go."""
        if self._old is None:
            raise RuntimeError("nothing is replaced")
        return self._old

    @property
    def tables_to_move(self) -> set[str]:
        """Return the tables that are moved out or in."""
        return {*self._state.out, *self._state.into}

    def _has_kept_anything(self) -> bool:
        if self._state.out or self._undo:
            return True
        self._retained.drop(self.engine.open_own_connection())
        MadeSchemas.of(self.engine).forget(self._retained.noted_as)
        return False

    def _list_unrestored(self) -> list[str]:
        remade = sorted(self.beside.before.routines.keys() & self.beside.now.routines.keys())
        changed = [key for key in remade if self.beside.before.routines[key] != self.beside.now.routines[key]]
        left = sorted(set(self.beside.list_changed_tables(self.beside.rows_now)) - self.tables_to_move)
        return (
            [f"privileges on {key}" for key in changed if not key.startswith("event ")]
            + [f"rows of table {name}, which others have written since and the run has not" for name in left]
            + [
                f"the position of sequence {name}: it goes on behind the values that it has given out since"
                for name in self.beside.list_moved_sequences()
                if name not in self.tables_to_move
            ]
        )

    def _describe_failure(self, error: BaseException) -> Failed:
        if isinstance(error, Failed) and error.code == REPLACED_NOTHING:
            return error
        what = f"Database {self.engine.database.name!r} could not be restored"
        return Failed(what, describe_error(error), CORRECT_IT, code=REPLACED_NOTHING)

    def _plan(self) -> None:
        """Find out what has to be moved and made again."""
        before, now = self.beside.before, self.beside.now
        self.written = self._written_of(before, now)
        affected = list_tables_to_move(self.engine, self.beside, self.written)
        out = sorted(affected & now.list_tables())
        self._state = SwapState.begin(self.schema, self._run, self.beside.there.name)
        self._state.out, self._state.into = out, sorted(affected & before.list_tables())
        if isinstance(self.beside.there, PrefixPlace):
            into = {name: list_keys(before.tables[name]) for name in self._state.into if name in before.tables}
            kept = {name: list_keys(now.tables[name]) for name in out if name in now.tables}
            self._state.keys = {name: keys for name, keys in into.items() if keys}
            self._state.replaced_keys = {name: keys for name, keys in kept.items() if keys}
        refuse_what_would_lose(self.engine, self.beside, out)
        self._undo = build_undo(before, now, set(out))
        self._redo = build_redo(before, now, set(out), set(self._state.into))
        self._arriving = read_arriving_digests(self.beside, self._state.into)
        lacks = may_not_make(self.engine, [*self._undo, *self._redo])
        if lacks:
            raise Refused(
                f"Database {self.engine.database.name!r} cannot be restored by its user",
                "; ".join(lacks),
                "Let an administrator grant that, or restore it by hand, with the command below",
                code=NOT_PERMITTED,
            )

    def _make_retained(self) -> None:
        own = self.engine.open_own_connection()
        place = choose_old_place(self.engine)
        undo, redo = pack_pieces(self._undo), pack_pieces(self._redo)
        MadeSchemas.of(self.engine).note(place.noted_as, build_content(self._state, undo, redo))
        self._old = place
        place.make(own, self.schema)
        record(own, place, format_state(self._state), undo, redo)
        self._report(f"what is replaced becomes {place.name}")

    def _lock(self) -> None:
        """Lock all tables, so that no other session writes; those with an open transaction are waited for."""
        own = self.engine.open_own_connection()
        names = read_tables(own, self.schema)
        if not names:
            return
        statement = "lock tables " + ", ".join(f"{qualify_name(self.schema, name)} write" for name in names)
        run_sql(own, f"set session lock_wait_timeout = {round_lock_timeout(self.engine.job.lock_timeout)}")
        try:
            retry_until_locked(self.engine.job.lock_wait, lambda: run_sql(own, statement), self.engine.is_lock_timeout)
        except Exception as error:
            raise Failed(
                f"Database {self.engine.database.name!r} is in use, so its tables cannot be replaced",
                describe_error(error),
                "End the sessions that have transactions open in it",
                code="database-in-use",
            ) from error
        self._is_locked = True

    def _unlock(self) -> None:
        self._is_locked = False
        run_sql(self.engine.open_own_connection(), "unlock tables")

    def _refuse_changes(self) -> None:
        """Refuse where others have changed tables since it was planned which ones it moves.

        Raises:
            Failed: they have.
        """
        there = set(read_tables(self.engine.open_own_connection(), self.schema))
        changed = sorted(there ^ self.beside.now.list_tables())
        if not self.engine.job.restore_loses_writes:
            changed += sorted(name for name, rows in self.locked_rows.items() if self.beside.rows_now.get(name) != rows)
        # What replaces a definition, or leaves one, was found out before the tables were locked.
        changed += self.beside.compare_definitions()
        if changed:
            raise Failed(
                f"Database {self.engine.database.name!r} was changed while it was compared with its backup",
                ", ".join(changed),
                "Run the same command again",
                code=REPLACED_NOTHING,
            )

    def _move(self) -> list[str]:
        """Move tables out and in, and return what could not be made again."""
        own = self.engine.open_own_connection()
        names = {name for table in self._state.out for name in self._read_triggers(table)}
        # Under LOCK TABLES our own table can neither be read nor written, so it says beforehand what is about to be.
        for name in sorted(names):
            run_sql(own, f"drop trigger {qualify_name(self.schema, name)}")
        for table in self._state.out:
            run_sql(
                own, f"alter table {qualify_name(self.schema, table)} rename to {self._retained.qualify_table(table)}"
            )
        self._unlock()
        self._state.phase = OUT
        return move_in(self.engine, self._retained, self.beside.there, self._state, self._redo, self._arriving)

    def _read_triggers(self, table: str) -> list[str]:
        statement = (
            f"select trigger_name from information_schema.triggers where {match_name('event_object_schema', ':schema')}"
            f" and {match_name('event_object_table', ':table')}"
        )
        return [
            name for (name,) in self.engine.open_own_connection().query_rows(statement, schema=self.schema, table=table)
        ]

    def _give_up(self) -> None:
        with suppress(Exception):  # a connection that is gone has given its locks back; the next run drops the rest
            self._unlock()
        with suppress(Exception):
            if self._old:
                self._old.drop(self.engine.open_own_connection())
                MadeSchemas.of(self.engine).forget(self._old.noted_as)
        self.beside.drop()


def move_in(
    engine: MariaDBSession,
    retained: Place,
    loaded: Place,
    state: SwapState,
    redo: Pieces,
    read: dict[str, tuple[str, str]],
) -> list[str]:
    """Move the restored tables in, and make what belongs to them; return what could not be made.

    Tables cannot be locked before they are there. So the triggers are made on the connection that moves them in, which
    locks them at once; what others wrote in that moment is noticed, and named.
    """
    engine.check_locked()
    own = engine.open_own_connection()
    early: list[str] = []
    if state.into:
        pairs = (f"{loaded.qualify_table(name)} to {qualify_name(state.of, name)}" for name in state.into)
        for name in state.into:
            run_sql(own, f"drop view if exists {qualify_name(state.of, name)}")
        rename = f"rename table {', '.join(pairs)}"
        if has_triggers(redo):
            redo, printed = run_behind(engine, rename, redo, [statement for statement, _digest in read.values()])
            early = find_early_writes(read, printed)
        else:
            run_sql(own, rename)
    advance(own, retained, state, IN)
    return finish(engine, retained, loaded, state, redo) + early


def finish(engine: MariaDBSession, retained: Place, loaded: Place, state: SwapState, redo: Pieces) -> list[str]:
    """Make what belongs to the tables that have moved in, and drop what is left where they came from.

    Returns:
        What the server never lets the user make, in words: it does not keep later runs from the database.
    """
    left = []
    try:
        run_pieces(engine, redo)
    except NotMade as failure:
        left = write_administrator_script(engine, retained.noted_as, failure)
    name_keys(engine, retained, state)
    engine.check_locked()
    own = engine.open_own_connection()
    keep_defaults(engine)
    advance(own, retained, state, DONE)
    made = MadeSchemas.of(engine)
    made.end(retained.noted_as)
    loaded.drop(own)
    made.forget(loaded.noted_as)
    return left


def _is_in(own: OwnConnection, found: swap_state.Replaced) -> bool:
    """Return whether the one statement that moves the restored tables in was executed."""
    state, there = found.state, set(read_tables(own, found.state.of))
    waiting, replaced = set(found.loaded.read_tables(own, state.into)), set(found.place.read_tables(own, state.out))
    into = set(state.into)
    return bool(into) and into <= there and not into & waiting and replaced >= set(state.out)


def end_or_undo(engine: MariaDBSession, found: swap_state.Replaced) -> Ended:
    """Undo a restore that died, or end it where the restored tables are in already; return what was done."""
    with engine.keep_session():
        engine.check_locked()
        return _end_or_undo(engine, found)


def _end_or_undo(engine: MariaDBSession, found: swap_state.Replaced) -> Ended:
    own, state = engine.open_own_connection(), found.state
    undo, redo = unpack_pieces(found.undo), unpack_pieces(found.redo)
    # Where tables were moved, these show it: what the place says of it others may have changed.
    if _is_in(own, found) or (state.phase == IN and not state.into):
        left = finish(engine, found.place, found.loaded, state, redo)
        return Ended(f"ended the restore of run {state.run}", left)
    there = set(read_tables(own, state.of))
    out = [name for name in found.place.read_tables(own, state.out) if name not in there]
    if out:
        pairs = (f"{found.place.qualify_table(name)} to {qualify_name(state.of, name)}" for name in out)
        run_sql(own, f"rename table {', '.join(pairs)}")
    left = found.place.read_tables(own, state.out)
    if left:
        raise Failed(
            f"A restore of {engine.database.name!r} died, and cannot be undone",
            f"tables of the same names are there and in {found.place.name}: {', '.join(left)}",
            f"Compare them, and move back by RENAME TABLE: {', '.join(map(found.place.qualify_table, left))}",
            code=HALF_WAY,
        )
    not_remade = []
    try:
        run_pieces(engine, undo)
    except NotMade as failure:
        not_remade = write_administrator_script(engine, found.place.noted_as, failure)
    set_back(engine)
    engine.check_locked()
    for place in (found.loaded, found.place):
        place.drop(own)
        MadeSchemas.of(engine).forget(place.noted_as)
    return Ended(f"undid the restore of run {state.run}", not_remade)
