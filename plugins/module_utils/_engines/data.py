# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data that engines take and return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.errors import Refused
from .._core.results import RestoreFacts

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

#: What a driver connects with, by its own names.
ConnectOptions = dict[str, Any]

#: Means each table in ``WrittenRows.replaced``.
ANY_TABLE = "*"
#: Why a step has written rows that were not counted, though their transactions are known, and none was there before.
INSERTED = "it committed each insert by itself"


@dataclass(frozen=True)
class Identity:
    """The identity of a database, whatever URL led to it."""

    server: str
    database: str

    def with_schema(self, schema: str) -> Identity:
        """Return which schema of the database it is, where an entry means one of them."""
        return replace(self, database=f"{self.database}/{schema}") if schema else self

    def __str__(self) -> str:
        return f"{self.database} on {self.server}"


@dataclass(frozen=True)
class Drivers:
    """The drivers of an engine that can be used here, and what they need of a URL."""

    #: The package of each by its name in a URL, the ones to prefer for our own connections first.
    packages: Mapping[str, str]
    #: What to install where there is none.
    to_install: str
    #: Returns the URL of a connection of our own by a driver.
    own_url: Callable[[URL, str], URL]
    #: The port of its servers; None where a database is a file.
    port: int | None = None
    #: Returns a URL with what the environment of the migration, the second argument, adds to it; the third is what of
    #: that the database's entry gives.
    with_defaults: Callable[[URL, Mapping[str, str], Mapping[str, str]], URL] | None = None


@dataclass(frozen=True)
class Probe:
    """The result of one probe of a database: which it is, on what server, and the heads in its version table."""

    identity: Identity
    server: str
    heads: list[str]
    #: Which of several clusters of one image it is; nothing where there can be only one.
    instance: str = ""
    #: As ``Engine.read_creation_id``.
    made: str = ""


@dataclass
class Dump:
    """A dump: its file (or directory), and what was true at its snapshot."""

    path: Path
    tool: str
    row_counts: dict[str, int] | None = None
    #: What the engine had counted just before, to find later what others wrote.
    activity: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Archive:
    """A proven dump, and what was true at its snapshot."""

    path: Path
    fingerprint: list[str]
    row_counts: dict[str, int] | None
    version_tables: frozenset[str]
    activity: dict[str, Any] = field(default_factory=dict)
    #: Of the dump, where it is one file; it was proven when it had this digest.
    sha256: str = ""


@dataclass(frozen=True)
class RestoreMethod:
    """The method of a restore: what would not come back, and what prevents it."""

    name: str
    not_restored: list[str] = field(default_factory=list)
    obstacle: Refused | None = None
    #: Why it would be done so, where one would expect another way.
    notes: list[str] = field(default_factory=list)
    #: What others would miss afterwards, so that it is done only for a person who wants it.
    loses: list[str] = field(default_factory=list)
    #: What an administrator types so that the obstacle is none, if it has a command of its own.
    rights: str = ""

    def as_facts(self) -> RestoreFacts:
        """Return what a plan shows of it."""
        obstacle = self.obstacle.as_facts() if self.obstacle else None
        facts: RestoreFacts = {"method": self.name, "not_restored": self.not_restored, "obstacle": obstacle}
        if self.rights:
            facts["rights"] = self.rights
        return facts


@dataclass(frozen=True)
class Restored:
    """The result of a restore; ``retained`` is the replaced database: a file, a database or a schema."""

    retained: str
    method: str
    not_restored: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Writes:
    """The writes of others since a backup: rows by table, or why they are unknown, which counts as writes."""

    tables: dict[str, int] = field(default_factory=dict)
    unknown: str = ""

    def __bool__(self) -> bool:
        return bool(self.tables or self.unknown)

    def __str__(self) -> str:
        rows = ", ".join(f"{count} in {table}" for table, count in sorted(self.tables.items()))
        return self.unknown or (f"rows written since the backup: {rows}" if rows else "nothing was written since")


def describe_doubtful_rows(count: int, made: str) -> str:
    """Say that rows in what a run has made may be others'."""
    return f"{count} row{'' if count == 1 else 's'} in {made} may be another session's"


@dataclass(frozen=True)
class Counted:
    """The transaction that is open, as an engine sees it; nothing where it counts neither rows nor transactions."""

    #: Rows by table that it has written, and the tables in which some of them were there before.
    rows: dict[str, int] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)
    #: Its number, 0 while it has none.
    number: int = 0
    #: No transaction that begins from now on has a smaller number.
    newest: int = 0
    #: When it began, as the server says; two that are not the same began at other times.
    began: str = ""
    #: What it holds for itself: files of tables that it has made or locked, and what it dropped. Of a SQLite file the
    #: objects that were made, changed or dropped until now.
    files: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    #: Catalogs in which it has replaced or removed rows.
    catalogs: list[str] = field(default_factory=list)
    #: How often it has read sequences, by number, and how often all sessions had read those that it dropped.
    used: dict[str, int] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    #: By number, rows that the session has written and not handed in yet, those of its earlier transactions included;
    #: and rows that were counted of tables which it dropped.
    pending: dict[str, int] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    #: The states of the schema that the run has found and left until now, in this order, where nothing else shows who
    #: has changed it.
    schemas: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class WrittenRows:
    """The known writes of a run, by which its rows can be distinguished from those of others."""

    #: The schema before it, with what others have made in it since.
    before: list[str]
    #: As schema.table; Alembic writes into them.
    version_tables: frozenset[str] = frozenset()
    #: What the engine had counted when the run backed up.
    activity: dict[str, Any] = field(default_factory=dict)
    #: Rows by table, and the tables in which it updated or deleted some; ``ANY_TABLE`` where that is not known.
    wrote: dict[str, int] = field(default_factory=dict)
    replaced: frozenset[str] = frozenset()
    #: The numbers of its transactions, and from where to where others were given while a revision ran.
    transactions: frozenset[int] = frozenset()
    spans: list[list[int]] = field(default_factory=list)
    #: What ``WriteTracker.hash_made_rows`` returned at the run's end.
    content_digest: dict[str, Any] = field(default_factory=dict)
    #: Tables that revisions wrote whose rows were not rolled back.
    stayed: frozenset[str] = frozenset()
    #: Files of tables that the run has made, and tables and sequences that it dropped, by number; of a SQLite file the
    #: objects that it has made, changed or dropped, by name.
    files: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()
    #: The states of the schema that the run has found and left, in this order, where nothing else shows who has changed
    #: it.
    schemas: list[str] = field(default_factory=list)
    #: By number, how often the run has read sequences, and how often all sessions had read those that it dropped.
    used: dict[str, int] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    #: By number, rows that all sessions had written into tables before the run dropped them.
    written: dict[str, int] = field(default_factory=dict)
    #: How many dumps the run has taken since its backup: each has read each sequence once.
    dumps: int = 0
    #: Sequences, by quoted name, that downgrades had set behind what others were given.
    set_forward: frozenset[str] = frozenset()
    #: Rows of catalogs that its transactions have replaced, by the number of the transaction.
    catalog_rows: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    #: What the engine had counted when all was last backed up; nothing where there is no backup.
    secured: dict[str, Any] = field(default_factory=dict)
    #: By number, tables that no other session had written when what the engine had counted was this.
    cleared: dict[str, Any] = field(default_factory=dict)
    #: Tables that the run wrote and whose rows were those of the backup when it failed.
    unchanged: frozenset[str] = frozenset()
    #: The dump that was taken right before the downgrades, if one was.
    kept_in: Path | None = None
    #: What the run's statements have named that may be written, ``ANY_TABLE`` where that is not known.
    touched: frozenset[str] = frozenset({ANY_TABLE})
    #: Why the run may have written where nothing noticed it.
    unseen: list[str] = field(default_factory=list)
    #: A revision has begun and not finished: its process died, and has not reported what it wrote.
    is_open: bool = False
    #: The schema that our own runs since a backup have left, for a restore on purpose; None where it is not known.
    left: list[str] | None = None
    #: The state of the database at the failure, if no other session had written until then.
    content: dict[str, str] | None = None
    #: Whether these are of all runs since a backup that is restored on purpose.
    on_purpose: bool = False

    def with_rows(self, more: Mapping[str, int]) -> WrittenRows:
        """Return these with more rows that were written, by table."""
        tables = {*self.wrote, *more}
        return replace(self, wrote={table: self.wrote.get(table, 0) + more.get(table, 0) for table in tables})


@dataclass(frozen=True)
class RetainedCopy:
    """A copy that an earlier restore retained. ``made`` is ISO 8601 in UTC, ``size`` is bytes; both may be unknown."""

    name: str
    run: str
    made: str = ""
    size: int | None = None


@dataclass(frozen=True)
class Content:
    """The content of a table: its rows and, where all was read, a digest of the rows and one of each column."""

    rows: int
    digest: str = ""
    columns: dict[str, str] = field(default_factory=dict)
