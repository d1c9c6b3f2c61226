# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL: advisory locks, pg_dump, and a catalog that tells nearly everything."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._core.errors import Failed, Refused
from ..comparison import Comparison
from ..connection import LOCK_NOT_AVAILABLE, OwnConnection, execute, first_line, own_url, speak, sqlstate
from ..data import Archive, Aside, Counted, Deeds, Dump, Identity, Restored, RestoreMethod, Writes
from ..interface import ITSELF, Guard, Tell
from ..lock import Lock
from ..sql import quoted
from . import by_hand, catalog, client_tools, copy_state, dropped, retained, row_authors, write_counters
from .attempts import restore_by
from .catalog_rows import (
    files_since,
    read_catalog_rows,
    read_if_quiet,
    read_replaced,
    without_rows,
)
from .compare import ArchiveComparison, archived_positions
from .foreseen import foreseen_obstacles
from .grown_tables import without_writes_of_others
from .libpq_options import options_of
from .locks import LOCK_DATABASE, AdvisoryLock
from .made_tables import writes_into_made
from .orphans import wait_for_orphan
from .other_changes import changes_of_others, schema_changes_of_others
from .own_transactions import read_own_of_statement, read_subtransactions
from .preflight import major_version, obstacles
from .probe import described, door_of
from .read_only import is_kept, only_reading
from .rendering import fixed_rendering, normalised
from .restore_method import ASIDE_SCHEMA, dumped, method
from .restore_notes import restore_notes
from .restore_swap import being_swapped, is_being_swapped, mend
from .run_sessions import close_sessions_of_run
from .scratch import WithScratch
from .sequences import changes_of_sequences, read_positions, set_forward
from .session import drop_index, introduce, promised_pid
from .sessions import not_to_be_ended
from .timeouts import watch
from .touched_tables import overwritten, touched_by_others, written_after

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

    from ..._core.job import Database, Job

# As LOCK_DATABASE: its number is part of the protocol between versions of this collection.
_LOCK_MIGRATING = 0x68616C_656D6202

_CONNECT_TIMEOUT = 10
#: Bytes below which a second job of pg_dump costs more, in connections, than it saves.
_WORTH_TWO_JOBS = 64 << 20
#: The variables that libpq reads, by the options that they stand for.
_VARIABLES = {
    "PGHOST": "host",
    "PGHOSTADDR": "hostaddr",
    "PGPORT": "port",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGPASSFILE": "passfile",
    "PGDATABASE": "dbname",
    "PGOPTIONS": "options",
    "PGSSLMODE": "sslmode",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCRL": "sslcrl",
    "PGTARGETSESSIONATTRS": "target_session_attrs",
}
_GAVE_WAY = (LOCK_NOT_AVAILABLE, "40P01")
_SHORTEST_LOCK_WAIT = 1000


class PostgreSQL(WithScratch):
    """One database of a PostgreSQL server, 11 or newer."""

    name = "postgresql"
    ddl_survives_rollback = False
    only_reads = "SET default_transaction_read_only = on"
    can_be_shared = True
    restores_quickly = False

    def __init__(self, database: Database, url: URL, job: Job) -> None:
        super().__init__(database, url, job)
        self.application = f"hosting.alembic {job.run or job.verb} {socket.gethostname()}"[:63]
        self._own_identity: Identity | None = None
        self._held: AdvisoryLock | None = None
        #: The backends of all connections of our own.
        self.own_pids: set[int] = set()
        #: Until which count of each table, by number, nothing of others would be lost.
        self._nothing_lost: dict[str, int] = {}
        #: By number, tables to which nobody else had written when that was counted.
        self._cleared: dict[str, dict[str, Any]] = {}
        #: How often our own programs have read sequences, by number.
        self.sequence_reads: Counter[str] = Counter()
        #: Rows of catalogs that attempts of a restore wrote which failed, by catalog.
        self.attempts_wrote: Counter[str] = Counter()
        #: Reads in the session that has locked all tables, while one of ours has.
        self.read_locked: row_authors.Read | None = None
        #: Milliseconds that connections of our own wait for a lock.
        self._lock_timeout = max(int(job.lock_wait * 1000), _SHORTEST_LOCK_WAIT)

    @classmethod
    def prepare(cls, job: Job) -> None:
        """Find the client programs, which are asked for their version."""
        client_tools.find_tools(job.pg_bin)

    def exists(self) -> bool:
        """Leave it to the connection, which changes nothing."""
        return True

    def make_if_dropped(self, archive: Archive, tell: Tell) -> bool:
        """Make it where the server has none of that name."""
        if not dropped.is_dropped(self):
            return False
        tell("makes the database, which is not on its server any more")
        dropped.make_again(self, archive)
        return True

    def drop_empty(self) -> None:
        """Drop it if there is nothing in it."""
        dropped.drop_empty(self)

    def dropped(self, archive: Archive) -> list[Refused] | None:
        """Return who may not make it."""
        if not dropped.is_dropped(self):
            return None
        user = dropped.may_make(self)
        return [dropped.refusal_to_make(self, archive, user)] if user else []

    def is_empty(self) -> bool:
        """Look for anything that is not a new database's own."""
        return dropped.holds_nothing(self)

    def connect(self, to: URL | None = None) -> OwnConnection:
        """Open a connection, to another database if it is named, without applications' timeouts."""
        url = own_url(to or self.url)
        key = "timeout" if url.get_driver_name() == "asyncpg" else "connect_timeout"
        try:
            own = OwnConnection(url, {key: _CONNECT_TIMEOUT}, self.database.name)
        except Refused:
            raise
        except Exception as error:
            raise Refused(
                f"Database {self.database.name!r} cannot be reached",
                first_line(error),
                "Check its URL and its password, and that the server lets this host in",
                code="database-unreachable",
            ) from error
        try:
            # First of all: what is set through a pooler leaks to its other clients.
            self._check_directness(own)
            own.run(speak)
            own.run(introduce, self.application, self._lock_timeout)
        except BaseException:
            own.close()
            raise
        return own

    def identity(self, connection: Connection) -> Identity:
        """Return the server's own number and the database's name there."""
        return Identity(*execute(connection, catalog.IDENTITY)[0])

    def instance(self, connection: Connection) -> str:
        """Return the cluster's number, port and start; clones of one image share only the first."""
        return str(execute(connection, catalog.INSTANCE)[0][0])

    def made(self, connection: Connection) -> str:
        """Return the number that a database gets when it is made."""
        return str(execute(connection, catalog.MADE)[0][0])

    def own_identity(self) -> Identity:
        """Ask the server once; the answer does not change in a run."""
        if self._own_identity is None:
            self._own_identity = self.own().run(self.identity)
        return self._own_identity

    def know_identity(self, identity: Identity) -> None:
        """Need no connection of its own for it."""
        self._own_identity = identity

    def door(self) -> dict[str, Any] | None:
        """Return what the driver of our own connections is told."""
        return door_of(own_url(self.url))

    def describe(self, connection: Connection) -> str:
        """Return the server's version and where it is."""
        options = options_of(self.url)
        return described(execute(connection, "show server_version")[0][0], options.get("host"), options.get("port"))

    def schema_of(self, connection: Connection, schema: str | None, table: str) -> str:
        """Return where the search_path leads to it: it need not lie in the first schema, where it would be made."""
        return schema or str(execute(connection, catalog.SCHEMA_OF, {"name": table})[0][0])

    def obstacles(self, own: OwnConnection, backup_space: Path, tables: Sequence[str] = ()) -> list[Refused]:
        """Return what would stop a backup and an upgrade now."""
        return obstacles(self, own, backup_space, tables)

    def _check_directness(self, own: OwnConnection) -> None:
        promised, pid = own.run(promised_pid), own.rows("select pg_backend_pid()")[0][0]
        self.own_pids.add(pid)
        if promised is not None and promised != pid:
            raise Refused(
                f"Database {self.database.name!r} is behind a connection pooler",
                "locks and settings would leak between its clients",
                "Name the server itself in direct_url",
                code="connection-pooler",
            )

    def size(self, connection: Connection) -> int:
        """Return what the server counts for the database, indexes included."""
        return int(execute(connection, "select pg_database_size(current_database())")[0][0])

    def fingerprint(self, connection: Connection, leave_out: frozenset[str]) -> list[str]:
        """Return catalog facts, without the version tables and all that hangs on them."""
        with fixed_rendering(connection):
            rows = execute(connection, catalog.FINGERPRINT)
        return sorted(normalised(line) for table, line in rows if table not in leave_out)

    def dumped(self, fingerprint: list[str]) -> list[str]:
        """Return all lines but those of INVALID indexes."""
        return dumped(fingerprint)

    def row_counts(self, connection: Connection) -> dict[str, int]:
        """Count every table that has rows of its own: a partitioned one has those of its partitions.

        A foreign one has its rows elsewhere, where no backup and no migration of this database goes.
        """
        counts = {}
        for schema, table in execute(connection, catalog.TABLES_WITH_ROWS):
            statement = f"select count(*) from {quoted(schema)}.{quoted(table)}"
            counts[f"{schema}.{table}"] = int(execute(connection, statement.replace(":", "\\:"))[0][0])
        return counts

    def try_lock(self) -> Lock | None:
        """Try the advisory lock on a connection of its own."""
        try:
            own = self.connect()
        except Refused as refusal:
            # A swap closes the database, and one that died has left it closed.
            if is_being_swapped(self):
                return None
            try:
                mended = self.mend()
            except Refused as other:
                if other.code == "database-being-restored":  # by a swap that has begun since
                    return None
                raise refusal from None  # nobody lets us in there either
            if not mended:
                raise
            own = self.connect()
        lock = AdvisoryLock(own, self.database.name)
        if lock.attempt() and not being_swapped(own, lock.oid):
            self._held = lock
            return lock
        lock.release()
        return None

    def lock_holder(self) -> str:
        """Return the application, process and address of who holds it."""
        try:
            rows = self.own().rows(catalog.LOCK_HOLDER, key=LOCK_DATABASE)
        except Refused:
            return "a restore, during which the database refuses connections"
        return f"{rows[0][0]} (pid {rows[0][1]}, from {rows[0][2]})" if rows else "a session that has just ended"

    def lock_migrating(self, connection: Connection, patience: float) -> None:
        """Lock on env.py's own connection, so that the lock lives as long as the backend that changes things."""
        deadline = time.monotonic() + patience
        while not execute(connection, "select pg_try_advisory_lock(:key)", {"key": _LOCK_MIGRATING})[0][0]:
            if time.monotonic() >= deadline:
                raise Failed(
                    f"A backend of an earlier run still works in database {self.database.name!r}",
                    "it holds the lock on the migrating connection",
                    "Wait until it has ended; pg_stat_activity shows it",
                    code="backend-still-works",
                )
            time.sleep(random.uniform(0.1, 0.4))  # noqa: S311 - jitter, not a secret

    def end_migrating(self, patience: float, tell: Tell) -> None:
        """Wait for the lock on the migrating connection, which lives as long as its backend."""
        wait_for_orphan(self.own(), _LOCK_MIGRATING, self.database.name, patience, tell)

    def before_fork(self) -> None:
        """Keep the connection: the forked process leaves it alone."""

    def only_reading(self, writes: list[str], *, uncommitted: bool) -> AbstractContextManager[URL | None]:
        """Have the server refuse what writes, or keep it from being committed."""
        return only_reading(writes, uncommitted=uncommitted)

    def was_kept(self, error: BaseException) -> bool:
        """Ask the SQLSTATE."""
        return is_kept(error)

    def watch_connections(self) -> AbstractContextManager[None]:
        """Set timeouts on every connection that is opened inside the block."""
        return watch(self.job, self.application)

    @contextmanager
    def impatient(self, seconds: float = 1) -> Iterator[None]:
        """Set another lock_timeout on the connection of our own."""
        before, self._lock_timeout = self._lock_timeout, max(int(seconds * 1000), 1)
        self.own().rows(f"set lock_timeout = {self._lock_timeout}")
        try:
            yield
        finally:
            self._lock_timeout = before
            self.own().rows(f"set lock_timeout = {before}")

    def gave_way(self, error: BaseException) -> bool:
        """Tell lock_not_available and deadlock_detected."""
        return sqlstate(error) in _GAVE_WAY

    def blockers(self, own: OwnConnection) -> list[str]:
        """Return the sessions that our migrating connections wait for."""
        rows = own.rows(catalog.BLOCKERS, application=self.application)
        return [
            f"{ITSELF if row[2] == self.application else ''}"
            + "pid {} ({}, {}, {}, transaction open for {})".format(*row)
            for row in rows
        ]

    def activity(self) -> dict[str, Any]:
        """Ask the server's counters and catalogs."""
        return {**self.own().run(write_counters.activity), "catalogs": self.own().run(read_catalog_rows)}

    def dump(self, folder: Path, count_rows: bool, tell: Tell) -> Dump:
        """Run pg_dump at an exported snapshot, count rows at the same one, and read the archive back."""
        found = client_tools.find_tools(self.job.pg_bin, self.own().run(major_version))
        if found is None:
            raise Failed(f"There is no pg_dump for database {self.database.name!r}", code="client-program-missing")
        target = folder / "dump"
        with self.connect() as own:
            own.rows(f"set lock_timeout = {int(self.job.backup_lock_wait * 1000)}")
            activity = {**self.activity(), "search_path": self.own().rows("show search_path")[0][0]}
            own.rows("begin isolation level repeatable read, read only")
            snapshot = own.rows("select pg_export_snapshot()")[0][0]
            tables = own.rows(catalog.TABLES)
            counts = own.run(self.row_counts) if count_rows else None
            jobs = self.job.backup_jobs if own.run(self.size) > _WORTH_TWO_JOBS else 1
            self._pg_dump(found, target, jobs, snapshot, tell)
        listing = client_tools.run_tool(
            [str(found.folder / "pg_restore"), "--list", str(target)],
            client_tools.environment(self.url, ""),
            target,
            tell,
        )
        client_tools.check_archive(listing, target, str(self.url.database), len(tables))
        return Dump(target, f"pg_dump {found.version}", counts, activity)

    def _pg_dump(self, found: client_tools.Tools, target: Path, jobs: int, snapshot: str, tell: Tell) -> None:
        command = [
            str(found.folder / "pg_dump"),
            "--format=directory",
            f"--jobs={jobs}",
            f"--compress={self.job.backup_compression}",
            f"--lock-wait-timeout={int(self.job.backup_lock_wait * 1000)}",
            f"--snapshot={snapshot}",
            f"--file={target}",
            f"--exclude-schema={ASIDE_SCHEMA}*",
            "--no-password",
            f"--dbname={client_tools.conninfo(self.url)}",
        ]
        target.mkdir(mode=0o700)
        client_tools.run_tool(command, client_tools.environment(self.url, self.application), target, tell)

    def count_transaction(self, connection: Connection, held: bool = False) -> Counted:
        """Ask the backend of the connection."""
        return write_counters.count_transaction(connection, held)

    def count_failed_transaction(self, connection: Connection) -> Counted:
        """Ask in the transaction that follows it."""
        return write_counters.count_failed_transaction(connection)

    def subtransactions(self, connection: Connection, span: list[int], tables: list[str]) -> list[int]:
        """Read the catalogs, and the tables."""
        return read_subtransactions(connection, span[0], span[1], tables)

    def catalog_rows(self, connection: Connection, counted: Counted, span: list[int]) -> dict[str, dict[str, int]]:
        """Read the catalogs on a connection of our own."""
        return read_replaced(self.own(), connection, counted, span)

    def catalog_before(self) -> Any:
        """Read the catalogs if no transaction is open."""
        return self.own().run(read_if_quiet)

    def catalog_rows_since(self, before: Any) -> dict[str, dict[str, dict[str, int]]]:
        """Read the catalogs again."""
        if before is None:
            return {}
        gone = without_rows(before[1], self.own().run(read_catalog_rows))
        return {str(before[0]): gone} if gone else {}

    def files_since(self, before: Any) -> tuple[list[str], dict[str, int]]:
        """Read the tables again."""
        return self.own().run(files_since, before[2]) if before else ([], {})

    def transactions_of(self, statement: str, span: list[int]) -> list[int]:
        """Read the catalogs."""
        return self.own().run(read_own_of_statement, span[0], span[1], statement)

    def next_transaction(self) -> int:
        """Ask on a connection of our own: one that has a number is told of that."""
        return self.own().run(write_counters.next_transaction)

    def look_around(self, connection: Connection) -> None:
        """Do nothing: the server counts what others write."""

    def content(self) -> dict[str, str] | None:
        """Return nothing: the server counts."""
        return None

    def imprint(self, deeds: Deeds) -> dict[str, Any]:
        """Return nothing: each row tells the transaction that wrote it."""
        return {}

    def later_writes(self, deeds: Deeds) -> Writes:
        """Look at the transactions of the rows."""
        try:
            with self.impatient():
                return self.own().run(lambda connection: row_authors.written(row_authors.reading(connection), deeds))
        except Exception as error:
            if not self.gave_way(error):
                raise
            return Writes(unknown="others hold a lock on what the run has made")

    def writes_into_made(self, deeds: Deeds) -> Writes:
        """Look at the rows in the session that has locked the tables, and at the counters of all that have ended."""
        return writes_into_made(self, deeds, self.read_locked)

    def touched_by_others(self, deeds: Deeds) -> list[str]:
        """Ask the counters, and who is at work."""
        until = self.own().run(write_counters.activity)
        touched, clear = self.own().run(touched_by_others, deeds, self.application)
        known = {name: until[name] for name in ("newest_transaction", "open_transactions")}
        self._cleared = {} if touched else dict.fromkeys(clear, known)
        return touched

    def cleared(self) -> dict[str, Any]:
        """Return what was counted then."""
        return self._cleared

    def still_writes(self, connection: Connection, deeds: Deeds) -> Writes:
        """Lock the tables first; whoever waits for them finds them dropped."""
        made = row_authors.written_until_locked(connection, deeds)
        touched = written_after(connection, deeds) if deeds.secured else Writes()
        return Writes({**made.tables, **touched.tables}, made.unknown)

    def overwritten(self, connection: Connection, deeds: Deeds, wrote: Iterable[str]) -> Writes:
        """Read the transactions of the rows, or the counters where the downgrade keeps the table to itself."""
        return overwritten(self, connection, deeds, wrote)

    def rows_changed(self, archive: Archive, ours: dict[str, int]) -> list[str]:
        """Return those that the backend counted rows for."""
        return sorted(set(ours) & set(archive.activity.get("tables", {})) - archive.version_tables)

    def rows_changed_by(self, archive: Archive, wrote: dict[str, int], limit: int) -> list[str]:
        """Return those that the backend counted rows for, and that are still there."""
        there = {table.name for table in self.own().run(write_counters.relations_of).values()}
        return [table for table in self.rows_changed(archive, wrote) if table in there]

    def compare(self, archive: Archive, deeds: Deeds, limit: int, tell: Tell) -> Comparison:
        """Compare with what pg_restore prints of the archive."""
        return ArchiveComparison(self, archive, deeds, limit, tell).compare()

    def compare_schema(self, archive: Archive, deeds: Deeds, tell: Tell) -> tuple[list[str], list[str]]:
        """Compare with what pg_restore prints of the archive, and read who has written the catalogs."""
        found = ArchiveComparison(self, archive, deeds, 0, tell).compare_schema()
        return found, self.own().run(schema_changes_of_others, archive, deeds) if found else []

    def read_copy(self, archive: Archive, leave_out: frozenset[str], in_full: bool, tell: Tell) -> Any:
        """Compare the rows with the archive's, and read what pg_dump prints."""
        if in_full:
            copy_state.check_copy(self, archive, tell)
        return copy_state.read_copy(self, archive, leave_out, in_full, tell)

    def compare_copy(
        self, before: Any, archive: Archive, leave_out: frozenset[str], in_full: bool, tell: Tell
    ) -> Comparison:
        """Compare what pg_dump prints."""
        now = copy_state.read_copy(self, archive, leave_out, in_full, tell)
        return copy_state.compare_copy(before, now, leave_out)

    def remove_unfinished(self, before: list[str]) -> list[str]:
        """Drop INVALID indexes that were not there before, valid or not: what a concurrent build leaves that failed."""
        own = self.own()
        removed = []
        for schema, name, line in own.run(_invalid_indexes):
            valid = line.replace(" valid f ", " valid t ").replace(" ready f", " ready t")
            if {normalised(line), normalised(valid)} & set(before):
                continue
            own.run(drop_index, schema, name)
            removed.append(normalised(line))
        return removed

    def compare_written(self, archive: Archive, deeds: Deeds, limit: int, tell: Tell) -> None:
        """Read the tables whose counters went up by more than the run wrote."""
        self._nothing_lost = without_writes_of_others(self, archive, deeds, limit, tell)

    def writes_since(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Compare the server's counters."""
        doubt = close_sessions_of_run(self)
        return Writes(unknown=doubt) if doubt else self._written(archive, ours, None)

    def foreseen_writes(self, archive: Archive, ours: dict[str, int], content: dict[str, str] | None) -> Writes:
        """Compare the counters as they are now; a session counts only if a restore could not end it."""
        return self._written(archive, ours, not_to_be_ended(self.own(), self.name_on_server))

    def _written(self, archive: Archive, ours: dict[str, int], others: list[str] | None) -> Writes:
        leave_out, known = archive.version_tables, self._nothing_lost
        return self.own().run(
            write_counters.written, archive.activity, ours, leave_out, self.application, known, others
        )

    def foreseen_obstacles(self, archive: Archive) -> list[Refused]:
        """Read who could not be ended, what was prepared, and how much room there is."""
        return foreseen_obstacles(self, archive)

    def changes_of_others(self, archive: Archive, deeds: Deeds) -> list[str]:
        """Read files, catalogs, sequences and what cannot be counted."""
        positions = archived_positions(self, archive)
        # First: a session that has ended has handed in what it counted, and is not counted here.
        now, own = read_positions(self), self.own()
        found = own.run(changes_of_sequences, archive, deeds, positions, now, self.sequence_reads)
        return found + own.run(changes_of_others, archive, deeds.with_rows(self.attempts_wrote))

    def positions(self) -> dict[str, Any]:
        """Read each sequence."""
        return read_positions(self)

    def take_reads(self) -> dict[str, int]:
        """Return what was counted."""
        found, self.sequence_reads = dict(self.sequence_reads), Counter()
        return found

    def keep_positions(self, before: dict[str, Any], archive: Archive | None, deeds: Deeds) -> dict[str, str]:
        """Set sequences forward."""
        return set_forward(self, before, archive, deeds)

    def command_variables(self) -> dict[str, str]:
        """Add those that libpq reads, so that psql and pgBackRest connect by themselves."""
        options = options_of(self.url)
        named = {name: options[key] for name, key in _VARIABLES.items() if key in options}
        return {**super().command_variables(), **named}

    @property
    def name_on_server(self) -> str:
        """Return what the server calls the database, which need not be what the inventory calls it."""
        return str(self.url.database)

    def restore_method(self) -> RestoreMethod:
        """Swap where a database can be made, else in place."""
        return method(self)

    def restore_notes(self, method: RestoreMethod, archive: Archive | None) -> list[str]:
        """Read what the dump's functions need, and what only a superuser could make again."""
        return restore_notes(self, method, archive)

    def restore(self, archive: Archive, run: str, tell: Tell, guard: Guard) -> Restored:
        """Restore as ``restore_method`` says."""
        method = self.restore_method()
        if method.obstacle:
            raise method.obstacle
        return restore_by(self, method, archive, run, tell, guard)

    def mend(self) -> list[str]:
        """Open the database again and drop the scratch database, if a swap died."""
        return mend(self)

    def asides(self) -> list[Aside]:
        """Return replaced databases, and schemas of replaced objects."""
        return retained.of(self)

    def drop_aside(self, aside: Aside) -> None:
        """Drop a replaced database, or the schemas of one restore."""
        retained.drop(self, aside)

    def lock_pid(self) -> int:
        """Return the backend that holds this process's lock on the database, 0 if there is none."""
        return self._held.pid() if self._held else 0

    def let_go_of_lock(self) -> None:
        """Close the lock's connection while the database is renamed, which refuses others meanwhile."""
        if self._held:
            self._held.let_go()

    def take_lock_again(self) -> None:
        """Take the lock on what has the database's name now.

        Raises:
            Failed: somebody else has it.
        """
        if self._held and self._held.is_let_go:
            self._held.take(self.connect())

    def rights_for_restore(self) -> tuple[str, dict[str, Any]] | None:
        """Return the statements that let the owner restore."""
        return by_hand.rights_for_restore(self)

    def command_by_hand(self, dump: Path) -> str:
        """Return the commands by which a superuser puts a dump in the place of the held database."""
        return by_hand.command(self, dump)


def _invalid_indexes(connection: Connection) -> list[tuple[Any, ...]]:
    with fixed_rendering(connection):
        return execute(connection, catalog.INVALID_INDEXES)
