# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""MariaDB: locks by name, mariadb-dump, and DDL that commits at once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._core.errors import Failed, Refused
from ..connection import OwnConnection
from ..data import Dump, RestoreMethod
from ..interface import Lock, Report
from ..parts import find_restorer
from .backup import write_dump
from .blockers import read_blockers
from .catalog import read_fingerprint
from .locks import DATABASE, MIGRATING, NamedLock, describe_holder, lock_name, try_lock, wait_for_orphan
from .not_transactional import list_notes, read_nontransactional
from .only_here import Guard, NamesDatabase, describe_unsent, restrict_changes
from .preflight import list_obstacles
from .read_only import is_kept, keep_read_only
from .restore_method import choose_method
from .session import MariaDBSession
from .statements import may_commit, may_contain_others
from .timeouts import is_autocommit, watch
from .write_tracker import MariaDBWriteTracker

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

    from ..._core.job import Job


class MariaDB(MariaDBSession):
    """One database of a MariaDB server, 10.5 or newer."""

    #: Whether there are tables that take part in no transaction, where that was read since the last DDL.
    _has_not_transactional: bool | None = None
    #: Such tables with their engines, as the plan has read them.
    _without_transactions: dict[str, str] | None = None
    #: Whether this is a copy, and env.py's connections may change nothing else.
    _is_kept_here = False

    @classmethod
    def prepare(cls, job: Job) -> None:
        """Find nothing out: a client program is run when one is needed."""

    def list_obstacles(self, own: OwnConnection, backup_space: Path, tables: Sequence[str] = ()) -> list[Refused]:
        """Return what would stop a backup and an upgrade now."""
        self._without_transactions = own.run(read_nontransactional)
        return list_obstacles(self, own, backup_space, self._without_transactions)

    def read_fingerprint(self, connection: Connection, leave_out: frozenset[str]) -> list[str]:
        """Return what information_schema says of the database, without the version tables."""
        return read_fingerprint(connection, leave_out)

    @property
    def _lock_on(self) -> str:
        """Return the server's own name of the database: two spellings of one have one lock."""
        return self.read_own_identity().database

    def try_lock(self) -> Lock | None:
        """Try the lock on the connection of our own, which is not closed then before it is released."""
        lock = NamedLock(self.open_own_connection(), self.database.name, self._lock_on)
        if not lock.attempt():
            lock.release()
            return None
        self.held = lock
        try:
            find_restorer(self).recover_interrupted_restore()
        except BaseException:
            lock.release()
            raise
        return lock

    def read_lock_holder(self) -> str:
        """Return the session that holds it, with its user where that may be seen."""
        return describe_holder(self.open_own_connection(), lock_name(DATABASE, self._lock_on))

    def lock_migrating(self, connection: Connection, patience: float) -> None:
        """Lock on env.py's own connection, so that the lock lives as long as the session that changes things."""
        deadline = time.monotonic() + patience
        while not try_lock(connection, lock_name(MIGRATING, self._lock_on)):
            if time.monotonic() >= deadline:
                raise Failed(
                    f"A backend of an earlier run still works in database {self.database.name!r}",
                    "it holds the lock on the migrating connection",
                    "Wait until it has ended; SHOW PROCESSLIST shows it",
                    code="backend-still-works",
                )
            time.sleep(random.uniform(0.1, 0.4))  # noqa: S311 - jitter, not a secret

    def end_migrating(self, patience: float, report: Report) -> None:
        """Wait for the lock on the migrating connection, which lives as long as its session."""
        wait_for_orphan(self.open_own_connection(), self.database, self._lock_on, patience, report)

    def keep_read_only(self, writes: list[str], *, uncommitted: bool) -> AbstractContextManager[URL | None]:
        """Have the server refuse what writes, or keep it from being committed."""
        return keep_read_only(writes, uncommitted=uncommitted)

    @contextmanager
    def restrict_changes(self) -> Iterator[None]:
        """Have the server refuse what writes elsewhere, and send no statement that names a database in full."""
        self._is_kept_here = True
        with restrict_changes(Guard(self.open_own_connection(), self.name_on_server)):
            yield

    def explain_error(self, error: BaseException) -> BaseException:
        """Return why a statement was refused, if it was to write elsewhere."""
        if isinstance(error, NamesDatabase):
            return describe_unsent(error)
        return self.describe_refusal_elsewhere(error) if self._is_kept_here and is_kept(error) else error

    def was_kept(self, error: BaseException) -> bool:
        """Query the number of the error."""
        return is_kept(error)

    def watch_connections(self) -> AbstractContextManager[None]:
        """Set timeouts on every connection that is opened inside the block."""
        return watch(self.job)

    def has_implicit_commit(self, statement: str) -> bool:
        """Recognise DDL and what else does so, by its first words."""
        found = may_commit(statement)
        if found:
            self._has_not_transactional = None
        return found

    def may_hide_writes(self, statement: str) -> bool:
        """Recognise what executes others: EXECUTE, CALL, compound statements, and several at once."""
        return may_contain_others(statement)

    def has_lasting_writes(self, connection: Connection) -> bool:
        """Return whether the connection is in autocommit, or there are tables that take part in no transaction."""
        if self._has_not_transactional is None:
            self._has_not_transactional = bool(self.open_own_connection().run(read_nontransactional))
        return self._has_not_transactional or is_autocommit(connection)

    def list_blockers(self, own: OwnConnection) -> list[str]:
        """Return the sessions that may hold what our migrating connection waits for, and how that is known."""
        return read_blockers(own, self.name_on_server, self.own_sessions)

    def read_activity(self) -> dict[str, Any]:
        """Return what the server has counted, by which it is known later whether others have written."""
        return self.find_part(MariaDBWriteTracker).note_dump_start()

    def collect_facts_there(self) -> dict[str, Any]:
        """Return what env.py's sessions have written, as they were counted in its process."""
        return {"sessions": self.find_part(MariaDBWriteTracker).sessions.as_facts()}

    def take_facts_there(self, facts: dict[str, Any]) -> None:
        """Add it to what is known here."""
        if "sessions" in facts:
            self.find_part(MariaDBWriteTracker).sessions.take(facts["sessions"])

    def dump(self, folder: Path, count_rows: bool, report: Report) -> Dump:
        """Run mariadb-dump and compare what it wrote with the database."""
        return write_dump(self, folder, count_rows, report)

    def choose_restore_method(self) -> RestoreMethod:
        """Return how it would be restored."""
        return choose_method(self)

    def list_backup_notes(self) -> list[str]:
        """Name the tables without transactions, as the obstacles were read, if they were."""
        if self._without_transactions is None:
            self._without_transactions = self.open_own_connection().run(read_nontransactional)
        return list_notes(self._without_transactions)
