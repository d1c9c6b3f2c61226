# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore into a new database that then takes the other's name; until then all sessions go on.

At any moment that a crash may choose there is the database, open or refusing connections, beside a scratch database
whose name and mark say what it is. The mark on a database that refuses connections says that it was us, so that
``recover`` opens no database that another session has closed. Who swaps holds an advisory lock with the database's oid
in another database; pg_locks shows it to all, so a live swap is distinguished from one that died.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import CORRECT_IT, HALF_WAY, Failed, Refused
from ..connection import OwnConnection, choose_client_encoding, describe_error
from ..data import Archive, Restored
from ..interface import Guard, Report
from ..sql import quote_name
from . import client_tools, made_with, publications
from .content_verification import RestoredContent
from .other_sessions import build_in_use_refusal, build_prepared_refusal
from .psql import Contents, Psql, read_database_facts, use_list
from .replay import LAST, OF_DATABASE, Replay, let_in
from .restore_method import open_other_database, read_powers, verify
from .restore_statements import SWAPPING, find_free_name, format_now, mark, quote_literal, run_in_transaction, run_sql
from .schema_verification import RestoredSchema
from .session import read_major_version
from .swap_state import DATABASE, build_scratch_name, drop_scratch, end_sessions_in, open_again, put_right

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from .session import PostgreSQLSession

#: Seconds that a database refuses connections at the most while others are waited for.
_PATIENCE = 20
#: Whatever the database and its owner have set; others of these names are the server's own.
_ANALYZE = b"""
select set_config(name, '0', false) from pg_settings
 where name ~ '^(statement|lock|transaction|idle.*)_timeout$' and context = 'user';
analyze;
"""
_OF_PUBLIC = re.compile(r"schema public owner ")


class Swap:
    """One restore."""

    def __init__(
        self, engine: PostgreSQLSession, archive: Archive, run: str, report: Report, search_path: str = ""
    ) -> None:
        self._search_path = search_path
        #: Whether it came as far as to have all of the archive restored beside the database.
        self.filled = False
        self._engine = engine
        self._archive = archive
        self._run = run
        self._report = report
        self._name = engine.name_on_server
        self._scratch = build_scratch_name(engine)
        self._server = engine.open_own_connection().run(read_major_version)
        self._tools = client_tools.choose_tools(engine.job.pg_bin, engine.database.name, self._server, archive.path)
        self._closed = False
        self._swapped = False
        self._oid = 0
        self._restorer = engine.open_own_connection().query_rows("select current_user")[0][0]
        self.not_restored: list[str] = []

    def restore(self, guard: Guard) -> Restored:
        """Restore the archive and return where the replaced database lies.

        Raises:
            Refused, Failed: as ``Restorer.restore``.
        """
        with open_other_database(self._engine) as (other, url):
            self._begin(other)
            retained = self._name_retained(other)
            try:
                with tempfile.TemporaryDirectory() as folder:
                    self._fill(other, url, Path(folder))
                    self.filled = True
                    facts = read_database_facts(
                        self._tools, self._archive.path, self._contents, Path(folder), self._report
                    )
                self._close_database(other)
                guard()
                self._swap(other, url, retained, facts)
            except BaseException as error:
                self._leave_as_it_was(error)
                if self._swapped and isinstance(error, Exception):
                    raise Failed(
                        f"Database {self._engine.database.name!r} was replaced, and its restore did not end",
                        describe_error(error),
                        f"The replaced database is kept as {retained}",
                        code=HALF_WAY,
                    ) from error
                if isinstance(error, (Refused, KeyboardInterrupt, SystemExit)) or not isinstance(error, Exception):
                    raise
                raise Failed(
                    f"The restore of {self._engine.database.name!r} failed",
                    describe_error(error),
                    "The database is as it was before the restore",
                    code="restore-failed",
                ) from error
        return Restored(retained, "swap", self.not_restored)

    def _begin(self, other: OwnConnection) -> None:
        put_right(self._engine, other)
        row = other.query_rows(DATABASE, name=self._name)[0]
        self._comment, self._owner, self._oid = row[1], row[2], int(row[6])
        prepared = build_prepared_refusal(other, self._name, self._engine.database.name)
        if prepared:
            raise prepared
        if not self._mark_swapping(other, self._oid):
            raise Refused(
                f"Database {self._engine.database.name!r} is being restored by another run",
                remedy="Wait until that one has ended, then run again",
                code="database-being-restored",
            )

    def _mark_swapping(self, other: OwnConnection, oid: int) -> bool:
        signed = oid - (1 << 32) if oid >= 1 << 31 else oid
        statement = "select pg_try_advisory_lock(cast(:swapping as int), cast(:oid as int))"
        return bool(other.query_rows(statement, swapping=SWAPPING, oid=signed)[0][0])

    def _name_retained(self, other: OwnConnection) -> str:
        statement = "select 1 from pg_database where datname = :name"
        return find_free_name(
            self._name, f"_aside_{self._run}", lambda name: bool(other.query_rows(statement, name=name))
        )

    def _fill(self, other: OwnConnection, url: URL, folder: Path) -> None:
        """Make the scratch database, restore into it, verify and analyze it."""
        self._contents = Contents.of(self._tools, self._archive.path, self._report)
        self._report("makes a new database")
        mine = read_powers(self._engine.open_own_connection(), self._name)
        self._by_superuser = read_powers(other, self._name).superuser and not mine.superuser
        run_sql(other, self._create_statement(other))
        # A role that may make databases makes them, and no more: an archive is code of the database's owner.
        scratch_url = self._engine.url.set(database=self._scratch)
        left_out = ["SUBSCRIPTION"]
        if not mine.superuser:
            left_out += publications.ENTRIES
        # What is of the database itself follows when it has its name.
        left_out += OF_DATABASE
        with self._engine.connect(url.set(database=self._scratch)) as made:
            application, encoding = self._engine.application, made.run(choose_client_encoding)
            replay = Replay(self._tools, self._server, self._archive.path, application, encoding, self._report)
            admin_url = url.set(database=self._scratch)
            if self._by_superuser:
                left_out += replay.make_extensions(made, admin_url, self._contents, folder)
                let_in(other, self._scratch)
                left_out += LAST
            if self._archive.fingerprint and not any(map(_OF_PUBLIC.match, self._archive.fingerprint)):
                run_sql(made, "drop schema public")
        lines = self._contents.select_other_lines(left_out)
        if not mine.superuser and not self._by_superuser:
            roles = [row[0] for row in self._engine.open_own_connection().query_rows(publications.ROLES)]
            lines += publications.select_own_entries(self._contents, roles)
        chosen = use_list(folder, "contents", lines)
        replay.run(scratch_url, [f"--use-list={chosen}"], max(self._engine.job.backup_jobs, 1), self._search_path)
        if self._by_superuser:
            replay.make_last(admin_url, self._contents, folder)
        with self._engine.connect(scratch_url) as restored:
            counts = restored.run(self._engine.count_table_rows) if self._archive.row_counts is not None else None
            fingerprint = restored.run(self._engine.read_fingerprint, self._archive.version_tables)
            verify(self._archive, fingerprint, counts, self._engine.database.name)
            self._note_public(fingerprint)
        # Each of both reads all tables with one core.
        with self._open_psql(scratch_url) as analyzing:
            analyzing.write(_ANALYZE)
            analyzing.stdin.flush()
            content = RestoredContent(
                self._tools, self._archive.path, scratch_url, self._engine.application, self._report
            )
            content.refuse_differences(self._contents, folder, self._engine.database.name)
            self._compare_schema(scratch_url, mine.superuser or self._by_superuser)
            analyzing.execute("", self._report, "analyzes the new database")

    def _note_public(self, fingerprint: list[str]) -> None:
        """Note that public is as in each new database where no dump of before 15 says how it was."""
        lines = [[line for line in each if _OF_PUBLIC.match(line)] for each in (self._archive.fingerprint, fingerprint)]
        if self._archive.fingerprint and lines[0] != lines[1]:
            self.not_restored.append(
                "the owner and the privileges of schema public, which a pg_dump of before PostgreSQL 15 leaves out:"
                " they are those of a new database"
            )

    def _open_psql(self, url: URL) -> Psql:
        return Psql(self._tools, url, self._engine.application)

    def _compare_schema(self, url: URL, everything: bool) -> None:
        """Compare what was restored with the archive, but for what no restore by this role brings."""
        engine, name = self._engine, self._engine.database.name
        left_out, lines = ("SUBSCRIPTION",), self._contents.select_other_lines([*OF_DATABASE, "SUBSCRIPTION"])
        if not everything:
            roles = [row[0] for row in engine.open_own_connection().query_rows(publications.ROLES)]
            lines = self._contents.select_other_lines([*OF_DATABASE, "SUBSCRIPTION", *publications.ENTRIES])
            lines += publications.select_own_entries(self._contents, roles)
        schema = RestoredSchema(
            self._tools, self._archive.path, engine.application, self._report, engine.job.backup_lock_wait, left_out
        )
        schema.refuse_differences(lines, url, name)

    def _create_statement(self, other: OwnConnection) -> str:
        row = other.query_rows(DATABASE, name=self._name)[0]
        options = [
            f"create database {quote_name(self._scratch)} template template0 owner {quote_name(self._restorer)}",
            f"connection limit {0 if self._by_superuser else -1}",
            made_with.as_sql(made_with.build_options(json.loads(row[0]), row[4])),
        ]
        # To name the template's own takes a right to it.
        if row[3] != other.query_rows(DATABASE, name="template0")[0][3]:
            options.append(f"tablespace {quote_name(row[3])}")
        return " ".join(options)

    def _close_database(self, other: OwnConnection) -> None:
        """Admit no new session and end the present ones, but for our own two connections."""
        own = self._engine.open_own_connection()
        keep = tuple(pid for pid in (_read_pid(own), self._engine.lock_pid()) if pid)
        facts = mark(closed_by=self._run, at=format_now(), comment=self._comment)
        self._report("refuses connections to the database")
        self._closed = True
        run_in_transaction(
            other,
            f"alter database {quote_name(self._name)} allow_connections false",
            f"comment on database {quote_name(self._name)} is {quote_literal(facts)}",
        )
        self._send_away(other, keep)

    def _send_away(self, other: OwnConnection, keep: tuple[int, ...]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            left = end_sessions_in(other, self._oid, keep)
            if not left:
                return
            if time.monotonic() >= deadline:
                raise build_in_use_refusal(self._engine.database.name, left)
            self._report(f"waits for {left[0]}")
            time.sleep(0.1)

    def _swap(self, other: OwnConnection, url: URL, retained: str, facts: str) -> None:
        """Rename both in one transaction, in which the new one gets what its archive says of the database itself."""
        scratch_oid = int(other.query_rows(DATABASE, name=self._scratch)[0][6])
        # A run that gets the lock on the new database sees by this that it may not use it yet.
        self._mark_swapping(other, scratch_oid)
        self._engine.close()
        self._engine.suspend_lock()
        self._send_away(other, ())
        note = mark(aside_of=self._name, run=self._run, made=format_now(), comment=self._comment)
        owner = self._contents.find_owner(self._name) or self._owner
        with self._open_psql(url) as psql:
            psql.execute(
                f"begin;\nalter database {quote_name(self._scratch)} owner to {quote_name(owner)};\n"
                f"alter database {quote_name(self._name)} rename to {quote_name(retained)};\n"
                f"alter database {quote_name(self._scratch)} rename to {quote_name(self._name)};\n"
                f"comment on database {quote_name(retained)} is {quote_literal(note)};"
            )
            # Each that may not be set is reported, and undone by itself.
            psql.execute("\\set ON_ERROR_STOP 0\n\\set ON_ERROR_ROLLBACK on")
            psql.execute(f"\\o /dev/null\n{facts}\n\\o")
            psql.execute("\\set ON_ERROR_STOP 1\n\\set ON_ERROR_ROLLBACK off")
            for state, words in psql.read_refusals():
                if state != "42501":
                    raise Failed(
                        "What the backup says of the database itself cannot be set",
                        words,
                        CORRECT_IT,
                        code="database-settings-not-restored",
                    )
                self.not_restored.append(f"a property of the database: {words}")
            psql.execute(f"alter database {quote_name(retained)} allow_connections true;\ncommit;")
        self._swapped = True
        self._engine.take_lock_again()

    def _leave_as_it_was(self, error: BaseException) -> None:
        """Open the database again and drop the scratch database, whatever has happened."""
        try:
            with open_other_database(self._engine) as (other, _url):
                names = other.query_rows("select datname from pg_database where oid = cast(:oid as oid)", oid=self._oid)
                self._swapped = bool(names) and names[0][0] != self._name
                if not self._swapped:
                    if self._closed:
                        open_again(other, self._name, {"comment": self._comment})
                    drop_scratch(other, self._scratch)
            self._engine.take_lock_again()
        except Exception as failure:  # noqa: BLE001 - the server may be gone, in whatever words
            if not self._closed:
                return  # the scratch database is the next restore's to drop
            raise Failed(
                f"Database {self._engine.database.name!r} refuses connections since a restore was interrupted",
                f"{describe_error(error)}; {describe_error(failure)}",
                "When the server is back, type the same restore again, or what is printed if the database is held: "
                "each opens it first",
                code="database-closed",
            ) from error


def _read_pid(own: OwnConnection) -> int:
    return int(own.query_rows("select pg_backend_pid()")[0][0])
