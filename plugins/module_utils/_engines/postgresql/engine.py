# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL: advisory locks, pg_dump, and a catalog that holds nearly everything."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._core.errors import Failed, Refused
from ..connection import OwnConnection, execute
from ..data import Archive, Dump, RestoreMethod
from ..interface import ITSELF, Lock, Report
from ..parts import find_restorer
from . import catalog_queries, client_tools, plan_writes, write_counters
from .catalog_changes import (
    read_catalog_rows,
)
from .locks import LOCK_DATABASE, AdvisoryLock, read_holders, try_lock, wait_for_orphan
from .preflight import list_obstacles
from .read_only import is_kept, keep_read_only, restrict_changes
from .restore_method import choose_method
from .restore_notes import restore_notes
from .scope import render_schema_options
from .session import PostgreSQLSession, read_major_version
from .swap_state import is_being_swapped, is_swap_pending
from .timeouts import watch

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

    from ..._core.job import Job

# As LOCK_DATABASE: its number is part of the protocol between versions of this collection.
_LOCK_MIGRATING = 0x68616C_656D6202

#: Bytes below which a second job of pg_dump costs more, in connections, than it saves.
_WORTH_TWO_JOBS = 64 << 20


class PostgreSQL(PostgreSQLSession):
    """One database of a PostgreSQL server, 11 or newer."""

    #: Whether connections to other databases are kept from changing them.
    _is_kept_here = False

    @classmethod
    def prepare(cls, job: Job) -> None:
        """Find the client programs, and read their versions."""
        client_tools.find_tools(job.pg_bin)

    def list_obstacles(self, own: OwnConnection, backup_space: Path, tables: Sequence[str] = ()) -> list[Refused]:
        """Return what would stop a backup and an upgrade now."""
        return list_obstacles(self, own, backup_space, tables)

    def try_lock(self) -> Lock | None:
        """Try the advisory lock on the connection of our own, which is not closed then before it is released."""
        try:
            own = self.open_own_connection()
        except Refused as refusal:
            # A swap closes the database, and one that died has left it closed.
            if is_being_swapped(self):
                return None
            try:
                recovered = find_restorer(self).recover_interrupted_restore()
            except Refused as other:
                if other.code == "database-being-restored":  # by a swap that has begun since
                    return None
                raise refusal from None  # no connection is possible there either
            if not recovered:
                raise
            own = self.open_own_connection()
        lock = AdvisoryLock(own, self.database.name, self.database.schema)
        if lock.attempt() and not is_swap_pending(own):
            self.held = lock
            return lock
        lock.release()
        return None

    def read_lock_holder(self) -> str:
        """Return the application, process and address of who holds it."""
        try:
            rows = read_holders(self.open_own_connection(), LOCK_DATABASE, self.database.schema)
        except Refused:
            return "a restore, during which the database refuses connections"
        return f"{rows[0][0]} (pid {rows[0][1]}, from {rows[0][2]})" if rows else "a session that has just ended"

    def lock_migrating(self, connection: Connection, patience: float) -> None:
        """Lock on env.py's own connection, so that the lock lives as long as the backend that changes things."""
        deadline = time.monotonic() + patience
        statement, keys = try_lock(_LOCK_MIGRATING, self.database.schema)
        while not execute(connection, statement, keys)[0][0]:
            if time.monotonic() >= deadline:
                raise Failed(
                    f"A backend of an earlier run still works in database {self.database.name!r}",
                    "it holds the lock on the migrating connection",
                    "Wait until it has ended; pg_stat_activity shows it",
                    code="backend-still-works",
                )
            time.sleep(random.uniform(0.1, 0.4))  # noqa: S311 - jitter, not a secret

    def end_migrating(self, patience: float, report: Report) -> None:
        """Wait for the lock on the migrating connection, which lives as long as its backend."""
        wait_for_orphan(self.open_own_connection(), _LOCK_MIGRATING, self.database, patience, report)

    def keep_read_only(self, writes: list[str], *, uncommitted: bool) -> AbstractContextManager[URL | None]:
        """Have the server refuse what writes, or keep it from being committed."""
        return keep_read_only(writes, uncommitted=uncommitted)

    @contextmanager
    def restrict_changes(self) -> Iterator[None]:
        """Have the server refuse what writes to another database."""
        self._is_kept_here = True
        with restrict_changes(str(self.url.database)):
            yield

    def explain_error(self, error: BaseException) -> BaseException:
        """Return why a statement was refused, if it was to write to another database."""
        return self.describe_refusal_elsewhere(error) if self._is_kept_here and is_kept(error) else error

    def read_write_state(self) -> plan_writes.State:
        """Read the number of the next transaction."""
        return self.open_own_connection().run(plan_writes.read_state)

    def describe_writes_since(self, before: plan_writes.State) -> list[str]:
        """Read it again, and the catalogs where it is another one."""
        return plan_writes.find_writes_since(self.open_own_connection(), before)

    def was_kept(self, error: BaseException) -> bool:
        """Query the SQLSTATE."""
        return is_kept(error)

    def watch_connections(self) -> AbstractContextManager[None]:
        """Set timeouts on every connection that is opened inside the block."""
        return watch(self.job, self.application, self.database.schema)

    def list_blockers(self, own: OwnConnection) -> list[str]:
        """Return the sessions that our migrating connections wait for."""
        rows = own.query_rows(catalog_queries.BLOCKERS, application=self.application)
        return [
            f"{ITSELF if row[2] == self.application else ''}"
            + "pid {} ({}, {}, {}, transaction open for {})".format(*row)
            for row in rows
        ]

    def read_activity(self) -> dict[str, Any]:
        """Query the server's counters and catalogs; older counts would make rows of before others' of after."""
        self.open_own_connection().run(write_counters.await_counters)
        return {
            **self.open_own_connection().run(write_counters.read_activity),
            "catalogs": self.open_own_connection().run(read_catalog_rows),
        }

    def dump(self, folder: Path, count_rows: bool, report: Report) -> Dump:
        """Run pg_dump at an exported snapshot, count rows at the same one, and read the archive back."""
        found = client_tools.find_tools(self.job.pg_bin, self.open_own_connection().run(read_major_version))
        if found is None:
            raise Failed(
                f"There is no pg_dump for database {self.database.name!r}",
                "none was found that is as new as the server",
                "Install PostgreSQL's client programs of its version, or set migrate_pg_bin",
                code="client-program-missing",
            )
        target = folder / "dump"
        activity = {
            **self.read_activity(),
            "search_path": self.open_own_connection().query_rows("show search_path")[0][0],
        }
        with _hold_snapshot(self.open_own_connection(), self.job.backup_lock_wait) as (own, snapshot):
            tables = own.query_rows(catalog_queries.TABLES)
            with_rows = [(schema, table) for schema, table, readable, has_rows in tables if readable and has_rows]
            counts = own.run(self.count_table_rows, with_rows) if count_rows else None
            size = own.run(self.measure_size) if self.last_size is None else self.last_size
            jobs = self.job.backup_jobs if size > _WORTH_TWO_JOBS else 1
            self._run_pg_dump(found, target, jobs, snapshot, report)
        listing = client_tools.run_tool(
            [str(found.folder / "pg_restore"), "--list", str(target)],
            client_tools.build_environment(self.url, ""),
            target,
            report,
        )
        client_tools.check_archive(listing, target, str(self.url.database), len(tables))
        return Dump(target, f"pg_dump {found.version}", counts, activity)

    def _run_pg_dump(self, found: client_tools.Tools, target: Path, jobs: int, snapshot: str, report: Report) -> None:
        command = [
            str(found.folder / "pg_dump"),
            "--format=directory",
            f"--jobs={jobs}",
            f"--compress={self.job.backup_compression}",
            f"--lock-wait-timeout={int(self.job.backup_lock_wait * 1000)}",
            f"--snapshot={snapshot}",
            f"--file={target}",
            *render_schema_options(self.database.schema),
            "--no-password",
            f"--dbname={client_tools.build_conninfo(self.url)}",
        ]
        target.mkdir(mode=0o700)
        client_tools.run_tool(command, client_tools.build_environment(self.url, self.application), target, report)

    def choose_restore_method(self) -> RestoreMethod:
        """Swap where a database can be made, else in place."""
        return choose_method(self)

    def list_restore_notes(self, method: RestoreMethod, archive: Archive | None) -> list[str]:
        """Read what the dump's functions need, and what only a superuser could make again."""
        return restore_notes(self, method, archive)


@contextmanager
def _hold_snapshot(own: OwnConnection, lock_wait: float) -> Iterator[tuple[OwnConnection, str]]:
    """Export a snapshot inside the block, in which the connection waits so many seconds for a lock."""
    own.query_rows("begin isolation level repeatable read, read only")
    try:
        set_local = f"set_config('lock_timeout', '{int(lock_wait * 1000)}', true)"
        yield own, own.query_rows(f"select pg_export_snapshot(), {set_local}")[0][0]
    finally:
        with suppress(Exception):  # the server may be gone
            own.query_rows("rollback")
