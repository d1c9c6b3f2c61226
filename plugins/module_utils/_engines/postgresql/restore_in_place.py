# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore inside the database, for an owner who may not create databases: one transaction, so all of it or nothing.

What is there is moved into schemas beside, and the archive is replayed. Extensions stay, because who may not make them
could not bring them back, and so do the schemas they live in: from there each object is moved by itself.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._core.errors import CORRECT_IT, Failed, Refused
from ..connection import choose_client_encoding, execute
from ..data import Archive, Restored
from ..interface import Guard, Report
from ..sql import quote_name
from . import catalog_queries, client_tools, defaults, publications
from .in_place_queries import CASTS, DEFAULT_PRIVILEGES, EXTENSION_TABLES, LOCKS, MOVES, OWNED, PUBLIC, SCHEMAS
from .other_sessions import OTHERS
from .psql import LOCK_TIMEOUT, TRANSACTION_TIMEOUT, Contents, Psql, PsqlError, read_database_facts, use_list
from .rendering import normalise_line, render_fixed_settings
from .replay import build_header
from .replayed_content import ReplayedContent
from .restore_method import verify
from .restore_statements import RETAINED_SCHEMA, end_sessions, find_free_name, fit_name, format_now, mark, quote_literal
from .run_sessions import close_sessions_of_run
from .schema_verification import refuse_in_place, refuse_what_stays
from .session import read_major_version
from .unlocked import Unlocked
from .write_counters import WRITTEN_IN_CATALOGS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .session import PostgreSQLSession


#: Steps as they are reported: the last moments before what is there is touched, and before the commit.
MOVES_AWAY = "moves what is there away"
VERIFIES = "verifies"

#: What stays as it is, because it cannot be moved away.
_LEFT_OUT = [
    "DATABASE -", "DATABASE PROPERTIES -", "ACL - DATABASE", "COMMENT - DATABASE", "SECURITY LABEL - DATABASE",
    *publications.ENTRIES, "SUBSCRIPTION", "EVENT TRIGGER", "FOREIGN DATA WRAPPER", "SERVER", "USER MAPPING",
    "PROCEDURAL LANGUAGE", "ACCESS METHOD", "BLOBS", "COMMENT - EXTENSION",
]  # fmt: skip

#: What makes large objects, without their data.
_LARGE_OBJECTS = ["BLOB", "ACL - LARGE OBJECT", "COMMENT - LARGE OBJECT", "SECURITY LABEL - LARGE OBJECT"]


class InPlace:
    """One restore."""

    def __init__(
        self, engine: PostgreSQLSession, archive: Archive, run: str, report: Report, search_path: str = ""
    ) -> None:
        self._search_path = search_path
        self._not_restored: list[str] = []
        #: How often it has read each sequence that was there, and what it has written that the server counts for all.
        self._reads: Counter[str] = Counter()
        self._wrote: Counter[str] = Counter()
        self._pid = 0
        self._engine = engine
        #: The one schema that is restored, none for all.
        self._schema = engine.database.schema
        self._archive = archive
        self._run = run
        self._report = report
        server = engine.open_own_connection().run(read_major_version)
        self._tools = client_tools.choose_tools(engine.job.pg_bin, engine.database.name, server, archive.path)

    def restore(self, guard: Guard) -> Restored:
        """Restore the archive and return where the replaced objects lie.

        Raises:
            Refused, Failed: as ``Restorer.restore``.
        """
        contents = Contents.of(self._tools, self._archive.path, self._report)
        if not self._schema:
            refuse_what_stays(self._engine, self._tools, self._archive.path, contents, self._report)
        try:
            retained = self._restore(contents, guard)
        except Failed:
            with suppress(Exception):  # it would hide the failure; what is not handed over counts as others'
                self._hand_over_counts()
            raise
        refuse_in_place(self._engine, self._tools, self._archive.path, contents, self._report)
        self._analyze()
        return Restored(f"schema {retained}", "in_place", self._not_restored)

    def _restore(self, contents: Contents, guard: Guard) -> str:
        """Restore in one transaction, and return the name of what is retained."""
        deadline = time.monotonic() + self._engine.job.lock_wait
        with tempfile.TemporaryDirectory() as folder:
            while True:
                with self._open_psql() as psql:
                    if not self._lock_tables(psql, deadline):
                        continue
                    seen = self._read_unlocked(psql)
                    with self._read_in_session(psql):
                        guard()
                    retained = self._replace(psql, contents, Path(folder))
                    self._restore_database_facts(psql, contents, Path(folder))
                    self._end_sessions()
                    seen.refuse_changes(self._read_unlocked(psql), self._engine.database.name)
                    psql.execute("commit;")
                return retained

    def _hand_over_counts(self) -> None:
        """Have the engine know what this session has read and written: in another attempt that is not others'."""
        self._engine.sequence_reads.update(self._reads)
        self._engine.attempts_wrote.update(self._wrote)
        # It hands its counts in when it ends.
        self._engine.own_pids.discard(self._pid)
        close_sessions_of_run(self._engine)

    def _count(self, psql: Psql) -> None:
        """Note what the session has written until now; a statement that fails next is not known to have written."""
        self._wrote = Counter({table: int(count) for table, count in self._query_rows(psql, WRITTEN_IN_CATALOGS)})

    @contextmanager
    def _read_in_session(self, psql: Psql) -> Iterator[None]:
        """Have the engine read in the session that has locked the tables, inside of the block."""
        ((self._pid,),) = self._query_json(psql, "select pg_backend_pid()")
        self._engine.own_pids.add(self._pid)
        self._engine.read_locked = partial(self._query_rows, psql)
        try:
            yield
        finally:
            self._engine.read_locked = None

    def _open_psql(self) -> Psql:
        encoding = self._engine.open_own_connection().run(choose_client_encoding)
        return Psql(self._tools, self._engine.url, self._engine.application, encoding, self._schema)

    def _lock_tables(self, psql: Psql, deadline: float) -> bool:
        """Lock every table, ending the sessions that block it and may be ended; return whether that succeeded.

        Raises:
            Refused: others have held locks all the time.
        """
        others = self._end_sessions()
        timeout = int(max(self._engine.job.lock_timeout, 0.5) * 1000)
        try:
            psql.execute(
                "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0;"
                " set client_min_messages = warning; begin isolation level read committed read write;"
                f" set local lock_timeout = {timeout};\n{LOCKS}\n\\gexec"
            )
        except PsqlError as error:
            if error.sqlstate not in ("55P03", "40P01"):
                raise
            if time.monotonic() >= deadline:
                raise Refused(
                    f"Database {self._engine.database.name!r} is in use, so it cannot be restored in place",
                    f"others hold locks on its tables: {', '.join(others[:5]) or 'unknown'}",
                    "End them, or raise migrate_lock_wait",
                    code="database-in-use",
                ) from None
            self._report(f"waits for {', '.join(others[:3]) or 'locks'}")
            return False
        # What came in meanwhile waits for our locks, and may have written before.
        self._end_sessions()
        # What is made anew may refer to tables of other schemas, which are not locked yet.
        wait = int(self._engine.job.lock_wait * 1000) if self._schema else 0
        psql.execute(f"set local lock_timeout = {wait};")
        return True

    def _read_unlocked(self, psql: Psql) -> Unlocked:
        found = Unlocked.read(self._engine.open_own_connection(), partial(self._query_rows, psql))
        self._reads.update(list(found.sequences))
        return found

    def _end_sessions(self) -> list[str]:
        own = self._engine.open_own_connection()
        found = end_sessions(own, own.query_rows(OTHERS, application=self._engine.application))
        for _try in range(20):
            if not own.query_rows(OTHERS, application=self._engine.application):
                break
            time.sleep(0.05)
        return found

    def _replace(self, psql: Psql, contents: Contents, folder: Path) -> str:
        """Move the present objects away, replay the archive and verify it, and return the name of what is retained."""
        schemas = {str(name): bool(kept) for name, kept in self._query_json(psql, SCHEMAS)}
        group = self._find_free_name(psql)
        names = self._name_retained(group, schemas)
        self._report(MOVES_AWAY)
        psql.execute(self._retain_current(group, names, schemas))
        if not schemas.get("public", True):
            psql.execute(PUBLIC)
        pairs = ", ".join(
            f"({quote_literal(name)}, {quote_literal(names[name])})" for name, kept in schemas.items() if kept
        )
        if pairs:
            psql.execute(f"{MOVES.format(pairs=pairs)}\n\\gexec")
        if not self._schema:
            psql.execute(f"{CASTS}\n\\gexec")
            psql.execute(f"{publications.DROP}\n\\gexec")
        psql.execute(f"{DEFAULT_PRIVILEGES}\n\\gexec")
        if not self._schema:
            self._retain_large_objects(psql, group)
        self._count(psql)
        kept = {name for name, stays in schemas.items() if stays}
        lines = self._choose_entries(psql, contents, kept)
        # Large objects apart, at the end: until then it is known how much was written of them.
        self._replay(psql, folder, Contents(lines).select_other_lines(_LARGE_OBJECTS), [])
        self._replay(psql, folder, Contents(lines).select_lines(_LARGE_OBJECTS), contents.select_lines(["BLOBS"]))
        self._count(psql)
        self._restore_kept_schemas(psql, folder, contents, kept)
        # The archive's prologue has made settings of its own, for the session.
        psql.reset()
        psql.execute(f"set row_security = off;\n{render_fixed_settings()}")
        self._verify(psql)
        content = ReplayedContent(psql, self._tools, self._archive.path, folder, self._report)
        content.refuse_differences(lines, contents.select_lines(["BLOBS"]), self._engine.database.name)
        psql.reset()
        return group

    def _name_retained(self, group: str, schemas: Iterable[str]) -> dict[str, str]:
        """Return what each schema is called when it is retained; under no name, where large objects are retained."""
        if self._schema:
            return {self._schema: group}
        names = {name: group if name == "public" else fit_name(group, f"_{name}") for name in schemas}
        return names if "public" in names else {**names, "": group}

    def _find_free_name(self, psql: Psql) -> str:
        statement = "select 1 from pg_namespace where nspname = {};"
        return find_free_name(
            RETAINED_SCHEMA, self._run, lambda name: bool(psql.execute(statement.format(quote_literal(name))))
        )

    def _retain_current(self, group: str, names: dict[str, str], schemas: dict[str, bool]) -> str:
        statements = []
        for name, target in names.items():
            if schemas.get(name, True):
                statements.append(f"create schema {quote_name(target)};")
            else:
                statements.append(f"alter schema {quote_name(name)} rename to {quote_name(target)};")
            comment = mark(group=group, aside_of=name, run=self._run, made=format_now())
            statements.append(f"comment on schema {quote_name(target)} is {quote_literal(comment)};")
        return "\n".join(statements)

    def _retain_large_objects(self, psql: Psql, group: str) -> None:
        """Copy them into a table: a large object has no schema that it could be moved to."""
        if psql.execute("select 1 from pg_largeobject_metadata limit 1;"):
            table = f"{quote_name(group)}.large_objects"
            psql.execute(
                f"create table {table} as select oid as id, lo_get(oid) as data from pg_largeobject_metadata;\n"
                f"\\o /dev/null\nselect lo_unlink(id) from {table};\n\\o"
            )

    def _restore_database_facts(self, psql: Psql, contents: Contents, folder: Path) -> None:
        """Give the database itself the settings, the privileges and the comment that it had."""
        if self._schema or not contents.has(f"DATABASE - {self._engine.name_on_server}"):
            return  # it is of one schema, or of a database of another name
        facts = read_database_facts(self._tools, self._archive.path, contents, folder, self._report)
        psql.reset()
        psql.execute(f"\\o /dev/null\n{defaults.DATABASE}\n\\gexec")
        psql.execute("\\set ON_ERROR_STOP 0\n\\set ON_ERROR_ROLLBACK on")
        psql.execute(f"{facts}\n\\o")
        psql.execute("\\set ON_ERROR_STOP 1\n\\set ON_ERROR_ROLLBACK off")
        for state, words in psql.read_refusals():
            if state != "42501":
                raise Failed(
                    "What the backup says of the database itself cannot be set",
                    words,
                    CORRECT_IT,
                    code="database-settings-not-restored",
                )
            self._not_restored.append(f"a property of the database, which stays as it is: {words}")

    def _choose_entries(self, psql: Psql, contents: Contents, kept: set[str]) -> list[str]:
        """Return the entries to replay: without what stays, and without what belongs to extensions."""
        left_out = list(_LEFT_OUT)
        left_out += [f"SCHEMA - {name}" for name in kept] + _list_entry_prefixes(kept)
        for schema, table in self._query_json(psql, EXTENSION_TABLES):
            left_out += [f"{kind} {schema} {table}" for kind in ("TABLE DATA", "SEQUENCE SET")]
        there = [row[0] for row in self._query_json(psql, "select extname, 1 from pg_extension")]
        left_out += [f"EXTENSION - {name}" for name in there]
        for name in there:
            if not self._schema and name != "plpgsql" and not contents.has(f"EXTENSION - {name}"):
                psql.execute(f"drop extension {quote_name(name)};")
        roles = [row[0] for row in self._query_json(psql, publications.ROLES)]
        return contents.select_other_lines(left_out) + publications.select_own_entries(contents, roles)

    def _restore_kept_schemas(self, psql: Psql, folder: Path, contents: Contents, kept: set[str]) -> None:
        """Give schemas that stay the privileges and comments that they had, where they are ours.

        At the end: others own what was replayed only if they may create it there, and a dump does not say so before.
        """
        names = f"array[{', '.join(map(quote_literal, sorted(kept)))}]::text[]"
        psql.reset()
        psql.execute(f"{defaults.SCHEMAS.format(kept=names)}\n\\gexec")
        mine = {row[0] for row in self._query_json(psql, OWNED)}
        lines = contents.select_lines(_list_entry_prefixes(kept & mine))
        if lines:
            self._replay(psql, folder, lines, [])

    def _replay(self, psql: Psql, folder: Path, lines: list[str], blobs: list[str]) -> None:
        if not lines and not blobs:
            return
        restore = str(self._tools.folder / "pg_restore")
        chosen = use_list(folder, "contents", lines)
        path = str(self._archive.path)
        psql.execute("\\o /dev/null")
        psql.replay([restore, f"--use-list={chosen}", "--file=-", path], self._report, self._build_header())
        if blobs:
            # They come with a BEGIN and a COMMIT of their own; every other line of theirs is one call.
            chosen = use_list(folder, "blobs", blobs)
            script = folder / "blobs.sql"
            command = [restore, f"--use-list={chosen}", f"--file={script}", path]
            client_tools.run_tool(
                command, client_tools.build_plain_environment(), folder, self._report, "read large objects"
            )
            with script.open("rb") as source:
                for line in source:
                    if line.strip() not in (b"BEGIN;", b"COMMIT;", TRANSACTION_TIMEOUT.strip()):
                        psql.write(line)
        psql.execute("\\o", self._report, "replays the dump")

    def _build_header(self) -> dict[bytes, bytes]:
        """Return what takes the place of lines of the archive; beside other schemas no lock is waited for for ever."""
        return {**build_header(self._search_path), **({LOCK_TIMEOUT: b""} if self._schema else {})}

    def _verify(self, psql: Psql) -> None:
        self._report(VERIFIES)
        rows = self._query_json(psql, catalog_queries.FINGERPRINT)
        leave_out = self._archive.version_tables
        fingerprint = sorted(normalise_line(line) for table, line in rows if table not in leave_out)
        counts = None
        if self._archive.row_counts is not None:
            counts = {}
            for schema, table in self._query_json(psql, catalog_queries.TABLES_WITH_ROWS):
                rows_there = psql.execute(f"select count(*) from {quote_name(schema)}.{quote_name(table)};")
                counts[f"{schema}.{table}"] = int(rows_there[0])
        verify(self._archive, fingerprint, counts, self._engine.database.name)

    def _query_rows(self, psql: Psql, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._query_json(psql, query)]

    def _query_json(self, psql: Psql, query: str) -> list[list[Any]]:
        """Return the rows of a query, which may hold anything."""
        lines = psql.execute(f"select coalesce(json_agg(to_json(t)), '[]')::text from ({query}) t;")
        # A record becomes an object whose order is that of its columns, whatever they are called.
        return [list(row) for row in json.loads("\n".join(lines), object_pairs_hook=_list_values)]

    def _analyze(self) -> None:
        self._report("analyzes what was restored")
        self._engine.open_own_connection().run(_analyze)


def _list_entry_prefixes(schemas: set[str]) -> list[str]:
    """Return how the entries of schemas begin that are not the schemas themselves."""
    return [
        f"{kind} - SCHEMA {name}"
        for kind in ("ACL", "COMMENT")
        for each in sorted(schemas)
        for name in (each, quote_name(each))
    ]


def _list_values(pairs: list[tuple[str, Any]]) -> list[Any]:
    return [value for _name, value in pairs]


def _analyze(connection: Connection) -> None:
    for schema, table in execute(connection, catalog_queries.TABLES_WITH_ROWS):
        connection.exec_driver_sql(f"analyze {quote_name(schema)}.{quote_name(table)}".replace("%", "%%"))
