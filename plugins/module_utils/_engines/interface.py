# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of an engine."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.errors import Refused
from .apart import Apart
from .comparison import Comparison
from .connection import OwnConnection
from .data import Archive, Aside, Content, Counted, Deeds, Dump, Identity, Restored, RestoreMethod, Writes
from .lock import Lock

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

    from .._core.job import Database, Job

#: What a line about a blocking session begins with if the session is the migration's own.
ITSELF = "the migration itself, "

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Scratch:
    """A database of our own, for as long as a rehearsal lasts."""

    #: Aimed at it.
    engine: Engine
    #: Makes it anew from the backup, and returns in words what that could not bring.
    fill: Callable[[], list[str]]


#: Is called when nobody else can write any more and nothing was replaced yet; raises if the restore must not be.
Guard = Callable[[], None]


class Engine(Apart, ABC):
    """One kind of database. Methods that take a connection run on any connection to it, ours or env.py's."""

    name: str
    #: Whether a failed revision can leave something behind although it ran in a transaction.
    ddl_survives_rollback: bool
    #: Whether other hosts can have the same database; a file is its host's own.
    can_be_shared: bool
    #: The statement after which a connection changes nothing any more.
    only_reads: str
    #: Whether a restore takes no longer than a downgrade may.
    restores_quickly: bool
    #: Whether a restore compares what it copies with the archive's digest before it replaces anything.
    restores_checked_copies = False
    #: Whether what a restore replaces has its name exactly since the database was replaced.
    retained_means_replaced = True

    def __init__(self, database: Database, url: URL, job: Job) -> None:
        self.database = database
        self.url = url
        self.job = job
        self._own: OwnConnection | None = None
        self._of_parent: OwnConnection | None = None

    def own(self) -> OwnConnection:
        """Return the connection of our own that everything in this process looks with, opened again if it broke.

        Raises:
            Refused: as ``connect``.
        """
        if self._own is None or self._own.is_broken():
            self._own = self.connect()
        return self._own

    def close(self) -> None:
        """Close the connection of our own; the next look opens a new one."""
        if self._own is not None:
            self._own.close()
        self._own = None

    def before_fork(self) -> None:
        """Close what a forked process may not have open: SQLite takes the locks of its parent for its own."""
        self.close()

    def after_fork(self) -> None:
        """Leave the connection of our own to the process that opened it, without closing what both of them have."""
        self._of_parent, self._own = self._own, None

    def hand_over(self) -> Any:
        """Return, as data, what this process knows of who wrote, for the process that goes on in its place."""
        return None

    def take_over(self, known: Any) -> None:
        """Go on from what the process that worked on the database before has handed over."""
        return

    def only_reading(self, writes: list[str], *, uncommitted: bool) -> AbstractContextManager[URL | None]:
        """Keep connections that env.py opens inside the block from changing anything, where the engine can.

        Args:
            writes: receives the statements that were kept from it.
            uncommitted: let them run, and let nothing of them last.

        Returns:
            The copy on which they may run, for an engine that needs one.
        """
        return nullcontext()

    def was_kept(self, error: BaseException) -> bool:
        """Return whether a statement failed because ``only_reading`` kept it from changing something."""
        return False

    @classmethod
    @abstractmethod
    def prepare(cls, job: Job) -> None:
        """Find out once, before the processes of the databases are forked, what each would find out for itself."""

    @abstractmethod
    def exists(self) -> bool:
        """Tell whether there is anything to connect to; connecting to what is not there could create it."""

    def is_readable(self) -> bool:
        """Return whether there is anything that a restore could lose; what is gone or damaged cannot be compared."""
        return True

    def make_if_dropped(self, archive: Archive, tell: Tell) -> bool:
        """Make a database that a restore needs and that is gone, empty, and return whether that was necessary.

        Raises:
            Refused: it may not be made.
        """
        return False

    def drop_empty(self) -> None:
        """Drop what ``make_if_dropped`` has made, where nothing was restored into it."""
        return

    def dropped(self, archive: Archive) -> list[Refused] | None:
        """Return what would stop ``make_if_dropped``, or None where there is a database; only reads."""
        return None

    def is_empty(self) -> bool:
        """Return whether there is nothing in the database that a restore could lose; a file says so by its rows."""
        return False

    @abstractmethod
    def connect(self) -> OwnConnection:
        """Return a connection of our own.

        Raises:
            Refused: the server cannot be reached, or does not let us in.
        """

    @abstractmethod
    def identity(self, connection: Connection) -> Identity:
        """Return which database a connection leads to."""

    def instance(self, connection: Connection) -> str:
        """Return what tells servers apart that were cloned from one image, nothing where there can be no clone.

        Unlike the identity it changes when the server is started again.
        """
        return ""

    def made(self, connection: Connection) -> str:
        """Return what tells a database from an earlier one of its name, nothing where that cannot be told."""
        return ""

    @abstractmethod
    def own_identity(self) -> Identity:
        """Return which database the URL leads to, whether it exists already or not."""

    def know_identity(self, identity: Identity) -> None:
        """Take ``own_identity`` from another process that has found it out."""
        return

    @abstractmethod
    def door(self) -> dict[str, Any] | None:
        """Return by what a glance comes in, as data without secrets, or None if only an engine can look."""

    @abstractmethod
    def describe(self, connection: Connection) -> str:
        """Return the server's name and version, for plans and manifests."""

    @abstractmethod
    def schema_of(self, connection: Connection, schema: str | None, table: str) -> str:
        """Return the schema in which a connection finds a table, or would make it; the one given if there is one."""

    @abstractmethod
    def obstacles(self, own: OwnConnection, backup_space: Path, tables: Sequence[str] = ()) -> list[Refused]:
        """Return whatever would stop a backup and an upgrade now; reads, never writes.

        Args:
            own: a connection of our own.
            backup_space: a folder on the disk that a backup goes to.
            tables: the version tables, as schema.table.
        """

    @abstractmethod
    def size(self, connection: Connection) -> int:
        """Return the database's size in bytes."""

    @abstractmethod
    def fingerprint(self, connection: Connection, leave_out: frozenset[str]) -> list[str]:
        """Return the schema as sorted lines, without the version tables named in ``leave_out`` (schema.table)."""

    def dumped(self, fingerprint: list[str]) -> list[str]:
        """Return the lines of a fingerprint that a dump holds, so that a restore brings them back."""
        return fingerprint

    @abstractmethod
    def row_counts(self, connection: Connection) -> dict[str, int]:
        """Return the number of rows of each table."""

    @abstractmethod
    def try_lock(self) -> Lock | None:
        """Return the lock on the database, or None while somebody else has it."""

    @abstractmethod
    def lock_holder(self) -> str:
        """Return who holds the lock, as far as it can be told."""

    @abstractmethod
    def lock_migrating(self, connection: Connection, patience: float) -> None:
        """Lock on the very connection that will change things; the lock lives as long as its backend.

        Raises:
            Failed: a backend of an earlier run still holds it.
        """

    @abstractmethod
    def end_migrating(self, patience: float, tell: Tell) -> None:
        """Come back only when no backend of a dead run works in the database; ask with its lock held.

        Args:
            patience: seconds until such a backend is ended.
            tell: is called with who it is.

        Raises:
            Refused: there still is one, and it may not be ended.
        """

    @abstractmethod
    def watch_connections(self) -> AbstractContextManager[None]:
        """Set timeouts on every connection that is opened inside the block."""

    def impatient(self, seconds: float = 1) -> AbstractContextManager[None]:
        """Let the connection of our own give up, inside the block, where others hold what it asks for."""
        return nullcontext()

    @abstractmethod
    def gave_way(self, error: BaseException) -> bool:
        """Tell whether a statement failed only because others held locks, so that it may succeed another time."""

    def explained(self, error: BaseException) -> BaseException:
        """Return the refusal behind an error of a statement that the engine itself did not permit, or the error."""
        return error

    @abstractmethod
    def blockers(self, own: OwnConnection) -> list[str]:
        """Return who keeps our migrating connection waiting, one line a session."""

    def activity(self) -> dict[str, Any]:
        """Return what the engine has counted until now, by which it tells later what others wrote."""
        return {}

    @abstractmethod
    def dump(self, folder: Path, count_rows: bool, tell: Tell) -> Dump:
        """Write a dump into an empty folder and prove it.

        Raises:
            Failed: a tool failed, or the dump does not hold what it should.
        """

    @abstractmethod
    def count_transaction(self, connection: Connection, held: bool = False) -> Counted:
        """Return what is counted of env.py's open transaction; with ``held`` also what it keeps to itself."""

    def count_failed_transaction(self, connection: Connection) -> Counted:
        """Return what env.py's transaction has written that an error has ended, and leave it as it is."""
        return Counted()

    def subtransactions(self, connection: Connection, span: list[int], tables: list[str]) -> list[int]:
        """Return the numbers that env.py's open transaction has, besides its first one, as far as rows show them.

        Args:
            connection: env.py's.
            span: from where to where numbers were given since it began.
            tables: where it has written rows that are to be read.
        """
        return []

    def catalog_rows(self, connection: Connection, counted: Counted, span: list[int]) -> dict[str, dict[str, int]]:
        """Return the rows of catalogs that env.py's open transaction has replaced, by catalog and by who wrote them.

        Args:
            connection: env.py's.
            counted: what was counted of the transaction.
            span: as for ``subtransactions`` where it has such, else empty.
        """
        return {}

    def catalog_before(self) -> Any:
        """Return what the catalogs hold before a statement that commits by itself, as far as that will tell."""
        return None

    def catalog_rows_since(self, before: Any) -> dict[str, dict[str, dict[str, int]]]:
        """Return the rows that are gone since then, by the number of the first transaction since.

        They are the statement's if it had all transactions that there were since.
        """
        return {}

    def files_since(self, before: Any) -> tuple[list[str], dict[str, int]]:
        """Return the files that tables have got since ``catalog_before``, and what was counted of tables now gone."""
        return [], {}

    def transactions_of(self, statement: str, span: list[int]) -> list[int]:
        """Return, of the numbers given while a statement ran that committed by itself, those that show to be its own.

        Args:
            statement: in SQL.
            span: the first number, and the first one after them.
        """
        return []

    def next_transaction(self) -> int:
        """Return the number that the next transaction of anybody will get, 0 where they have none."""
        return 0

    @abstractmethod
    def look_around(self, connection: Connection) -> None:
        """Look whether others have written meanwhile, on env.py's connection without beginning a transaction there."""

    def can_read_now(self) -> bool:
        """Return whether a connection of our own can read while env.py's has a transaction open.

        What it cannot read is what that transaction holds for itself, so nothing was committed since it began.
        """
        return True

    @abstractmethod
    def content(self) -> dict[str, str] | None:
        """Return a digest of each table's rows, or None if others may have written since the dump or it counts them."""

    def resume(self, content: dict[str, str] | None, unchanged: Sequence[str] = ()) -> None:
        """Continue from what the process that failed has returned; to be called with the lock held.

        Args:
            content: what ``content`` returned.
            unchanged: what ``unchanged_tables`` returned.
        """
        return

    @abstractmethod
    def imprint(self, deeds: Deeds) -> dict[str, Any]:
        """Return what is to be remembered, at a run's end, of the rows in what it has made, to tell who wrote them."""

    @abstractmethod
    def later_writes(self, deeds: Deeds) -> Writes:
        """Return what others wrote into tables and columns that a run has made: a downgrade would drop it.

        What is unknown may be the run's own as well.
        """

    def writes_into_made(self, deeds: Deeds) -> Writes:
        """Return the same for a restore's guard, when nobody else can write; what is unknown holds it."""
        return Writes(self.later_writes(deeds).tables)

    def unchanged_tables(self, archive: Archive) -> list[str]:
        """Return the tables that the run wrote whose rows are those of the backup, if nobody else has written since.

        Args:
            archive: the backup; the run has just failed.
        """
        return []

    def touched_by_others(self, deeds: Deeds) -> list[str]:
        """Return, as text, the tables that the run has changed and others may have written since."""
        return []

    def cleared(self) -> dict[str, Any]:
        """Return by number the tables that the run has changed and nobody else, with what was counted until then."""
        return {}

    @abstractmethod
    def still_writes(self, connection: Connection, deeds: Deeds) -> Writes:
        """Return what others wrote into tables that a run has made, and keep everybody out until the transaction ends.

        Args:
            connection: env.py's, which is about to drop them.
            deeds: what the run has done.
        """

    def overwritten(self, connection: Connection, deeds: Deeds, wrote: Iterable[str]) -> Writes:
        """Return what others wrote into tables that a downgrade has changed, though nothing said that it would.

        Args:
            connection: env.py's, before the downgrade is committed.
            deeds: what the run has done.
            wrote: the tables whose rows the downgrade has written.
        """
        return Writes()

    def positions(self) -> dict[str, Any]:
        """Return where the sequences are, for ``keep_positions``."""
        return {}

    def keep_positions(self, before: dict[str, Any], archive: Archive | None, deeds: Deeds) -> dict[str, str]:
        """Set sequences forward that downgrades have set behind what others were given, and return a note on each.

        Args:
            before: what ``positions`` returned before the downgrades.
            archive: the backup of the run, if there is one.
            deeds: what the run has done, its downgrades included.
        """
        return {}

    def take_reads(self) -> dict[str, int]:
        """Return how often this process has read sequences itself, by number, and forget it: a journal keeps it."""
        return {}

    @abstractmethod
    def rows_changed(self, archive: Archive, ours: dict[str, int]) -> list[str]:
        """Return the tables of a backup whose rows a run may have changed, given what it is known to have written."""

    def rows_changed_by(self, archive: Archive, wrote: dict[str, int], limit: int) -> list[str]:
        """Return the tables, of a backup and of now, whose rows downgrades have changed.

        Args:
            archive: the backup, taken right before them.
            wrote: rows or statements by table, as they wrote them.
            limit: as for ``compare``; a table that is not compared counts as changed.
        """
        return []

    def compare(self, archive: Archive, deeds: Deeds, limit: int, tell: Tell) -> Comparison:
        """Compare the database with a backup: the schema to the letter, and the content of what may have changed.

        It is called after a failure, when what the run did is rolled back or downgraded, with the lock held.

        Args:
            archive: the backup.
            deeds: what the run has done; ``before`` has the schema changes that others made since.
            limit: bytes; a larger table that may have changed is not compared, which counts as different.
            tell: is called with what is being compared.
        """
        return Comparison()

    def compare_schema(self, archive: Archive, deeds: Deeds, tell: Tell) -> tuple[list[str], list[str]]:
        """Compare the schema with that of an older backup, and return how it differs, and what others changed in it.

        Args:
            archive: the backup.
            deeds: what the run has done since, its downgrades included.
            tell: is called with what is being compared.

        Raises:
            Failed: it could not be read.
        """
        return [], []

    def read_copy(self, archive: Archive, leave_out: frozenset[str], in_full: bool, tell: Tell) -> Any:
        """Return what a rehearsal's copy holds that was just filled from an archive, for ``compare_copy``.

        Args:
            archive: the backup.
            leave_out: version tables, as schema.table.
            in_full: also read the rows.
            tell: is called with what is being read.

        Raises:
            Failed: the copy does not hold what the archive holds.
        """
        return None

    def compare_copy(
        self, before: Any, archive: Archive, leave_out: frozenset[str], in_full: bool, tell: Tell
    ) -> Comparison:
        """Compare a copy whose revisions were all undone with what it was; sequences that moved are in the notes.

        Args:
            before: what ``read_copy`` returned.
            archive: the backup.
            leave_out: as for ``read_copy``.
            in_full: as for ``read_copy``.
            tell: is called with what is being compared.
        """
        return Comparison()

    @abstractmethod
    def remove_unfinished(self, before: list[str]) -> list[str]:
        """Remove what a failed revision leaves half-made and nobody can use, and return its lines of the fingerprint.

        Args:
            before: the fingerprint from before the run; what has a line in it stays.
        """

    @abstractmethod
    def writes_since(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Return what others wrote since a backup; only a restore's guard may ask, when nobody else can write.

        Args:
            archive: the backup.
            ours: rows by table that the run itself has written since.
            content: what ``content`` told later than the backup, if it did.
        """

    def compare_written(self, archive: Archive, deeds: Deeds, limit: int, tell: Tell) -> None:
        """Compare what others seem to have written with a backup: ``writes_since`` leaves out what is none of theirs.

        It is called before a restore, while others may still write.

        Args:
            archive: the backup.
            deeds: what the run has done.
            limit: bytes; a larger table is not compared, and what was written to it counts as others'.
            tell: is called with what is being compared.
        """
        return

    def foreseen_writes(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Return the same while others are still at work: what can be read, but for whom a restore would end."""
        return self.writes_since(archive, ours, content)

    def foreseen_obstacles(self, archive: Archive) -> list[Refused]:
        """Return what would stop a restore besides ``restore_method``, the backup and others' writes; only reads."""
        return []

    def changes_of_others(self, archive: Archive, deeds: Deeds) -> list[str]:
        """Return what others changed, or may have, beyond rows that are counted; for a restore's guard only."""
        return []

    @abstractmethod
    def restore_method(self) -> RestoreMethod:
        """Return how a restore would be done, by what was asked for and by the privileges there are."""

    def restore_notes(self, method: RestoreMethod, archive: Archive | None) -> list[str]:
        """Return what a person has to know about a restore by a method beforehand; ``archive`` is a dump just made."""
        return []

    @abstractmethod
    def restore(self, archive: Archive, run: str, tell: Tell, guard: Guard) -> Restored:
        """Bring a dump back, verified, in the place of the database; what it replaces is kept aside.

        Args:
            archive: what to bring back.
            run: names what is kept aside.
            tell: is called with how far it is.
            guard: has the last word before anything is replaced.

        Raises:
            Refused: it cannot be done, or the guard refused; the database is as it was.
            Failed: the dump is damaged, or a step failed; the database is as it was.
        """

    def mend(self) -> list[str]:
        """Undo what a restore left that died half-way, and return what was done.

        Raises:
            Refused: the server cannot be reached, or another restore is at work.
        """
        return []

    @abstractmethod
    def asides(self) -> list[Aside]:
        """Return what earlier restores of this database have left."""

    def drop_unused_aside(self, run: str) -> None:
        """Drop what a run's restore kept before it died, where it is still what the database holds."""
        return

    @abstractmethod
    def drop_aside(self, aside: Aside) -> None:
        """Drop what an earlier restore has left, for good."""

    @abstractmethod
    def scratch(self, archive: Archive, tell: Tell) -> AbstractContextManager[Scratch]:
        """Return a place for a copy of a backup, empty at first and dropped at the end, whatever happens.

        What a rehearsal that was killed has left of this database is dropped before.

        Raises:
            Refused: there is no place for one.
        """

    @abstractmethod
    def scratches(self) -> list[Aside]:
        """Return the copies that killed rehearsals of this database have left."""

    @abstractmethod
    def drop_scratch(self, scratch: Aside) -> None:
        """Drop such a copy, unless a rehearsal works with it by now."""

    @abstractmethod
    def contents(self, connection: Connection, leave_out: frozenset[str], in_full: bool) -> dict[str, Content]:
        """Return what each table holds, but for those in ``leave_out``; without ``in_full`` rows are only counted."""

    @abstractmethod
    def footprint(self) -> int:
        """Return the bytes that the database takes on the disk now, with what is not committed yet."""

    def locks(self) -> set[tuple[str, str]]:
        """Return the locks that others hold on tables, as (table, mode), where the engine has such."""
        return set()

    @staticmethod
    def strongest(modes: set[str]) -> str:
        """Return the mode of a lock that stands in the way of most others."""
        return max(modes)

    def rights_for_restore(self) -> tuple[str, dict[str, Any]] | None:
        """Return what to type so that a restore can be done, and the variables it needs then; None if there is no such.

        The first may be empty.
        """
        return None

    @abstractmethod
    def command_by_hand(self, dump: Path) -> str:
        """Return a command that a person can type to bring a dump back."""

    def lock(self, patience: float, tell: Tell) -> Lock:
        """Wait for the lock by polling; a lock that *waits* would deadlock with CREATE INDEX CONCURRENTLY.

        Args:
            patience: seconds to wait at the most.
            tell: called with who holds the lock while it is waited for.

        Raises:
            Refused: somebody else held it all the time.
        """
        deadline = time.monotonic() + patience
        while True:
            lock = self.try_lock()
            if lock is not None:
                return lock
            holder = self.lock_holder()
            if time.monotonic() >= deadline:
                raise Refused(
                    f"Database {self.database.name!r} is being migrated by somebody else",
                    f"{holder} has held its lock for more than {patience:g} s",
                    "Wait for that run to end, or raise migrate_database_wait",
                    code="database-locked",
                )
            tell(f"waits for {holder}")
            time.sleep(random.uniform(0.2, 0.6))  # noqa: S311 - jitter, not a secret

    def command_variables(self) -> dict[str, str]:
        """Return the environment variables that tell a command which database is meant; a secret is among them."""
        url = self.url
        facts = {
            "ENGINE": self.name,
            "NAME": self.database.name,
            "HOST": url.host,
            "PORT": url.port,
            "USER": url.username,
            "PASSWORD": url.password,
            "DATABASE": url.database,
        }
        return {f"HOSTING_ALEMBIC_{key}": str(value) for key, value in facts.items() if value is not None}

    def facts(self) -> dict[str, Any]:
        """Return what results show of this database's URL: nothing secret."""
        return {"engine": self.name, "url": self.url.render_as_string(hide_password=True)}
