# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of an engine."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .._core.errors import Failed, Refused
from .across_processes import AcrossProcesses
from .connection import OwnConnection, describe_error
from .data import Archive, Dump, Identity, RestoreMethod
from .sql import escape_colons

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

    from .._core.job import Database, Job

#: What a line about a blocking session begins with if the session is the migration's own.
ITSELF = "the migration itself, "

Report = Callable[[str], None]

Part = TypeVar("Part")


def _keep_name(table: str) -> str:
    return table


@dataclass(frozen=True)
class Scratch:
    """A database of our own, for as long as a rehearsal lasts."""

    #: Aimed at it.
    engine: Engine
    #: Makes it anew from the backup, and returns in words what that could not bring.
    fill: Callable[[], list[str]]
    #: Returns what a table of the database (schema.table) is called in it.
    name_of: Callable[[str], str] = _keep_name
    #: Returns in words what was written in the database itself since; raises Failed where that cannot be others' rows.
    check_database: Callable[[], list[str]] = list


#: Is called when no other session can write any more and nothing was replaced yet; raises if the restore must not be.
Guard = Callable[[], None]


class Lock(ABC):
    """The lock on a whole database, held by a connection or file of its own."""

    @abstractmethod
    def check(self) -> None:
        """Raise Failed if the lock was lost."""

    @abstractmethod
    def release(self) -> None:
        """Give the lock back."""

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Engine(AcrossProcesses, ABC):
    """One kind of database. Methods that take a connection run on any connection to it, ours or env.py's."""

    name: str
    #: Whether a failed revision can leave something behind although it ran in a transaction.
    ddl_survives_rollback: bool
    #: Whether other hosts can have the same database; a file is its host's own.
    can_be_shared: bool
    #: The statement after which a connection changes nothing any more.
    only_reads: str

    def __init__(self, database: Database, url: URL, job: Job) -> None:
        self.database = database
        self.url = url
        self.job = job
        self._parts: dict[Any, Any] = {}
        self._own: OwnConnection | None = None
        self._of_parent: OwnConnection | None = None

    def find_part(self, kind: Callable[[Any], Part]) -> Part:
        """Return this engine's part of a kind, the same one each time: a part knows what happened since."""
        if kind not in self._parts:
            self._parts[kind] = kind(self)
        return cast("Part", self._parts[kind])

    def open_own_connection(self) -> OwnConnection:
        """Return the connection of our own that everything in this process reads with, opened again if it broke.

        Raises:
            Refused: as ``connect``.
        """
        if self._own is None or self._own.is_broken():
            self._own = self.connect()
        return self._own

    def close(self) -> None:
        """Close the connection of our own; the next read opens a new one."""
        if self._own is not None:
            self._own.close()
        self._own = None

    def prepare_fork(self) -> None:
        """Close what a forked process may not have open: SQLite takes the locks of its parent for its own."""
        self.close()

    def handle_fork(self) -> None:
        """Leave the connection of our own to the process that opened it, without closing what both of them have."""
        self._of_parent, self._own = self._own, None

    def keep_read_only(self, writes: list[str], *, uncommitted: bool) -> AbstractContextManager[URL | None]:
        """Keep connections that env.py opens inside the block from changing anything, where the engine can.

        Args:
            writes: receives the statements that were kept from it.
            uncommitted: let them run, and let nothing of them last.

        Returns:
            The copy on which they may run, for an engine that needs one.
        """
        return nullcontext()

    def restrict_changes(self) -> AbstractContextManager[None]:
        """Keep connections that env.py opens inside the block from changing another database than this one.

        ``explain_error`` knows an error that comes of it. For a process that is thrown away.
        """
        return nullcontext()

    def was_kept(self, error: BaseException) -> bool:
        """Return whether a statement failed because ``keep_read_only`` kept it from changing something."""
        return False

    def read_write_state(self) -> Any:
        """Return what ``describe_writes_since`` compares with, before env.py is run where it is to change nothing."""
        return None

    def describe_writes_since(self, before: Any) -> list[str]:
        """Return in words what was changed since, by env.py or by others, as far as that shows."""
        return []

    @classmethod
    @abstractmethod
    def prepare(cls, job: Job) -> None:
        """Find out once, before the processes of the databases are forked, what each would find out for itself."""

    @abstractmethod
    def is_present(self) -> bool:
        """Return whether there is anything to connect to; connecting to what is not there could create it."""

    @abstractmethod
    def connect(self) -> OwnConnection:
        """Return a connection of our own.

        Raises:
            Refused: the server cannot be reached, or does not let us in.
        """

    @abstractmethod
    def read_identity(self, connection: Connection) -> Identity:
        """Return which database a connection leads to."""

    def read_instance(self, connection: Connection) -> str:
        """Return what distinguishes servers that were cloned from one image, nothing where there can be no clone.

        Unlike the identity it changes when the server is started again.
        """
        return ""

    def read_file_number(self) -> str:
        """Return what is the same for all paths of one file, nothing of a database that is not a file."""
        return ""

    def read_creation_id(self, connection: Connection) -> str | None:
        """Return what distinguishes a database from an earlier one of its name, nothing where that is unknown.

        None means that it is not there, which of an open connection can be true of a schema only.
        """
        return ""

    @abstractmethod
    def read_own_identity(self) -> Identity:
        """Return which database the URL leads to, whether it exists already or not."""

    def take_identity(self, identity: Identity) -> None:
        """Take ``read_own_identity`` from another process that has found it out."""
        return

    @abstractmethod
    def build_connect_options(self) -> dict[str, Any] | None:
        """Return the connect options of a probe, as data without secrets, or None if only an engine can connect."""

    @abstractmethod
    def describe(self, connection: Connection) -> str:
        """Return the server's name and version, for plans and manifests."""

    @abstractmethod
    def find_schema(self, connection: Connection, schema: str | None, table: str) -> str:
        """Return the schema in which a connection finds a table, or would make it; the one given if there is one."""

    @abstractmethod
    def list_obstacles(self, own: OwnConnection, backup_space: Path, tables: Sequence[str] = ()) -> list[Refused]:
        """Return whatever would stop a backup and an upgrade now; reads, never writes.

        Args:
            own: a connection of our own.
            backup_space: a folder on the disk that a backup goes to.
            tables: the version tables, as schema.table.
        """

    @abstractmethod
    def measure_size(self, connection: Connection) -> int:
        """Return the database's size in bytes."""

    @abstractmethod
    def read_fingerprint(self, connection: Connection, leave_out: frozenset[str]) -> list[str]:
        """Return the schema as sorted lines, without the version tables named in ``leave_out`` (schema.table)."""

    def select_dumped_lines(self, fingerprint: list[str]) -> list[str]:
        """Return the lines of a fingerprint that a dump holds, so that a restore brings them back."""
        return fingerprint

    def convert_fingerprint(self, before: list[str], now: list[str]) -> list[str]:
        """Return the later of two fingerprints as the server of the earlier one, which may be an older, had given it.

        Args:
            before: the earlier fingerprint, as a manifest or a journal holds it.
            now: the later one.
        """
        del before
        return now

    @abstractmethod
    def count_table_rows(self, connection: Connection) -> dict[str, int]:
        """Return the number of rows of each table."""

    @abstractmethod
    def try_lock(self) -> Lock | None:
        """Return the lock on the database, or None while another session has it."""

    @abstractmethod
    def read_lock_holder(self) -> str:
        """Return who holds the lock, as far as it is known."""

    @abstractmethod
    def lock_migrating(self, connection: Connection, patience: float) -> None:
        """Lock on the very connection that will change things; the lock lives as long as its backend.

        Raises:
            Failed: a backend of an earlier run still holds it.
        """

    @abstractmethod
    def end_migrating(self, patience: float, report: Report) -> None:
        """Come back only when no backend of a dead run works in the database; call it with its lock held.

        Args:
            patience: seconds until such a backend is ended.
            report: is called with who it is.

        Raises:
            Refused: there still is one, and it may not be ended.
        """

    def has_implicit_commit(self, statement: str) -> bool:
        """Return whether a statement commits what its connection has written before, or may do so."""
        return False

    def may_hide_writes(self, statement: str) -> bool:
        """Return whether a statement may write rows though its first word does not say so."""
        return False

    def has_lasting_writes(self, connection: Connection) -> bool:
        """Return whether rows that are written on env.py's connection now stay, whatever is rolled back later."""
        return False

    @abstractmethod
    def watch_connections(self) -> AbstractContextManager[None]:
        """Set timeouts on every connection that is opened inside the block."""

    def shorten_lock_timeout(self, seconds: float = 1) -> AbstractContextManager[None]:
        """Let the connection of our own give up, inside the block, where others hold the lock."""
        return nullcontext()

    def read_at_once(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a statement without parameters, for which our own connection waits a second at most."""
        with self.shorten_lock_timeout():
            return self.open_own_connection().query_rows(escape_colons(statement))

    @abstractmethod
    def is_lock_timeout(self, error: BaseException) -> bool:
        """Return whether a statement failed only because others held locks, so that it may succeed another time."""

    def explain_error(self, error: BaseException) -> BaseException:
        """Return the refusal behind an error of a statement that the engine itself did not permit, or the error."""
        return error

    def describe_refusal_elsewhere(self, error: BaseException) -> Failed:
        """Return what to report of a statement that ``restrict_changes`` kept from changing another database."""
        return Failed(
            "A revision, or env.py, writes through a connection that does not lead to the copy",
            f"{describe_error(error)}; what it connects to was left as it is",
            "Let it use op.get_bind(), or take its URL from sqlalchemy.url of the configuration, then rehearse again",
            code="rehearsal-writes-elsewhere",
        )

    @abstractmethod
    def list_blockers(self, own: OwnConnection) -> list[str]:
        """Return who keeps our migrating connection waiting, one line a session."""

    def read_activity(self) -> dict[str, Any]:
        """Return what the engine has counted until now, by which it finds later what others wrote."""
        return {}

    @abstractmethod
    def dump(self, folder: Path, count_rows: bool, report: Report) -> Dump:
        """Write a dump into an empty folder and prove it.

        Raises:
            Failed: a tool failed, or the dump does not hold what it should.
        """

    def list_backup_notes(self) -> list[str]:
        """Return what a person has to know about a backup beforehand."""
        return []

    @abstractmethod
    def choose_restore_method(self) -> RestoreMethod:
        """Return how a restore would be done, by what was requested and by the privileges there are."""

    def list_restore_notes(self, method: RestoreMethod, archive: Archive | None) -> list[str]:
        """Return what a person has to know about a restore by a method beforehand; ``archive`` is a dump just made."""
        return []

    def lock(self, patience: float, report: Report) -> Lock:
        """Wait for the lock by polling; a lock that *waits* would deadlock with CREATE INDEX CONCURRENTLY.

        Args:
            patience: seconds to wait at the most.
            report: called with who holds the lock while it is waited for.

        Raises:
            Refused: another session held it all the time.
        """
        deadline = time.monotonic() + patience
        while True:
            lock = self.try_lock()
            if lock is not None:
                return lock
            holder = self.read_lock_holder()
            if time.monotonic() >= deadline:
                raise Refused(
                    f"Database {self.database.name!r} is being migrated by another run",
                    f"{holder} has held its lock for more than {patience:g} s",
                    "Wait for that run to end, or raise migrate_database_wait",
                    code="database-locked",
                )
            report(f"waits for {holder}")
            time.sleep(random.uniform(0.2, 0.6))  # noqa: S311 - jitter, not a secret

    def build_command_variables(self) -> dict[str, str]:
        """Return the environment variables that name the database for a command; a secret is among them."""
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

    def as_facts(self) -> dict[str, Any]:
        """Return what results show of this database's URL: nothing secret."""
        return {"engine": self.name, "url": self.url.render_as_string(hide_password=True)}
