# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scratch database on a PostgreSQL server, and what a rehearsal wants to know of it."""

from __future__ import annotations

import hashlib
import json
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._core.errors import Failed, Refused, describe_first
from ..comparison import Comparison
from ..connection import OwnConnection, choose_client_encoding, describe_error, execute, find_sqlstate
from ..data import Archive, Content, RetainedCopy
from ..interface import Report, Scratch
from ..rehearser import Rehearser
from ..sql import escape_colons, quote_name
from . import catalog_queries, client_tools, copy_state, made_with
from .psql import Contents, use_list
from .replay import LAST, OF_DATABASE, Replay, let_in
from .restore_statements import end_session, quote_literal, run_sql
from .schema_bonds import EXTENSION, list_needed_elsewhere
from .scratch_place import Place, make_engine_for, open_place
from .session import PostgreSQLSession, read_major_version

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_PREFIX = "rehearsal_"
_COMMENT = "hosting.alembic: scratch database of a rehearsal; the next one drops it"
#: Advisory locks with this first half say that the rehearsal of a scratch database is alive.
_LOCK_SCRATCH = 0x68616C73
_FORCE_SINCE = 13
_MOST_NAMED = 5
#: Seconds that others in a scratch database are waited for.
_PATIENCE = 10

#: Settings that hold a list, stored as it has to be written.
_LISTS = frozenset({"local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces"})

#: Each blocks more than the one before. The weakest stops only those who drop or alter the table.
_MODES = (
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)

_LOCKS = """
select n.nspname || '.' || c.relname, l.mode
  from pg_locks l
  join pg_class c on c.oid = l.relation
  join pg_namespace n on n.oid = c.relnamespace
  join pg_stat_activity a on a.pid = l.pid
 where l.granted and l.mode <> 'AccessShareLock' and c.relkind in ('r', 'p', 'm') and l.pid <> pg_backend_pid()
   and l.database = (select oid from pg_database where datname = current_database())
   and a.backend_type = 'client backend' and n.nspname not like 'pg\\_%'
"""

_COLUMNS = """
select n.nspname, c.relname, a.attname
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
  join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped and n.nspname not like 'pg\\_%'
 order by 1, 2, 3
"""

# One without any comment was killed between making it and saying what it is.
_LEFTOVERS = """
select datname, pg_database_size(oid) from pg_database
 where starts_with(datname, :prefix) and coalesce(shobj_description(oid, 'pg_database'), :comment) = :comment
 order by 1
"""

_EXTENSIONS = """
select x.extname, n.nspname from pg_extension x join pg_namespace n on n.oid = x.extnamespace
 where x.extname = any(cast(:names as text[]))
"""

_SETTINGS = """
select setrole = 0, unnest(setconfig)
  from pg_db_role_setting
 where setdatabase = (select oid from pg_database where datname = current_database())
   and setrole in (0, (select oid from pg_roles where rolname = current_user))
"""


class PostgreSQLRehearser(Rehearser):
    """Makes copies in databases of their own."""

    def __init__(self, engine: PostgreSQLSession) -> None:
        self.engine = engine

    @contextmanager
    def open_scratch(self, archive: Archive, report: Report) -> Iterator[Scratch]:
        """Make a database for a copy, and drop it at the end.

        Raises:
            Refused: none can be made, or a copy of a schema would lack what lies in other ones.
        """
        extensions = self._list_needed_extensions()
        place = open_place(self.engine)
        name = f"{self._prefix}{secrets.token_hex(4)}"
        try:
            _drop_leftovers(place.own, self._prefix)
            # The search for what dead rehearsals left takes this lock first.
            place.own.query_rows("select pg_advisory_lock(:first, hashtext(:name))", first=_LOCK_SCRATCH, name=name)
            engine = make_engine_for(self.engine, place.url.set(database=name))

            def fill() -> list[str]:
                return self._fill(place, engine, name, archive, report, extensions)

            try:
                yield Scratch(engine, fill)
            finally:
                engine.close()
                _drop(place.own, name)
        finally:
            place.own.close()

    def _list_needed_extensions(self) -> list[str]:
        """Return the extensions that a schema needs of its database.

        Raises:
            Refused: it needs more than these, which are made anew in the copy.
        """
        if not self.engine.database.schema:
            return []
        needed = list_needed_elsewhere(self.engine.open_own_connection())
        others = [name for name in needed if not name.startswith(EXTENSION)]
        if others:
            raise Refused(
                f"Schema {self.engine.database.schema!r} cannot be rehearsed by itself",
                f"it needs what its backup does not hold: {describe_first(others, _MOST_NAMED)}",
                "Rehearse on a database of your own that has these, as an entry of another inventory",
                code="rehearsal-needs-other-schemas",
            )
        return [name[len(EXTENSION) :] for name in needed]

    def list_scratches(self) -> list[RetainedCopy]:
        """Search the server where copies are made; a role that may make none has left none."""
        try:
            place = open_place(self.engine)
        except Refused:
            if self.engine.database.rehearse_url or self.engine.database.admin_url:
                raise
            return []
        with place.own as own:
            rows = own.query_rows(_LEFTOVERS, prefix=self._prefix, comment=_COMMENT)
            return [
                RetainedCopy(name, "", "", size) for name, size in rows if _drop_if_dead(own, name, only_check=True)
            ]

    def drop_scratch(self, scratch: RetainedCopy) -> None:
        """Drop a database, if no rehearsal holds its lock."""
        with open_place(self.engine).own as own:
            _drop_if_dead(own, scratch.name)

    @property
    def _prefix(self) -> str:
        names = [str(self.engine.url.host), str(self.engine.url.port), str(self.engine.url.database)]
        return f"{_PREFIX}{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:12]}_"

    def _fill(
        self,
        place: Place,
        engine: PostgreSQLSession,
        name: str,
        archive: Archive,
        report: Report,
        extensions: list[str],
    ) -> list[str]:
        """Create the scratch anew and restore into it, as it is if that can be, else without owners and grants."""
        server = place.own.run(read_major_version)
        found = client_tools.choose_tools(self.engine.job.pg_bin, self.engine.database.name, server, archive.path)
        reasons: list[str] = []
        last = Failed(
            f"The copy of database {self.engine.database.name!r} was not filled", code="rehearsal-copy-failed"
        )
        path = str(archive.activity.get("search_path", ""))
        plain = ["--no-owner", "--no-acl"]
        for options, search_path in ((), ""), (plain, ""), ((), path), (plain, path):
            if search_path and not any("does not exist" in reason for reason in reasons):
                continue
            engine.close()
            notes = self._create(place, name)
            try:
                self._make_extensions(place, name, extensions)
                self._replay(place, found, server, name, archive, [*options], search_path, report)
                break
            except Failed as failure:
                reasons += failure.why.splitlines()[:1] or [failure.what]
                last = failure
        else:
            raise last.with_reason("; ".join(reasons[:-1]))
        if options:
            notes.append(f"restored without owners and grants, because of: {reasons[0]}")
        # What the planner does not know makes a migration look slower than it is.
        engine.open_own_connection().query_rows("analyze")
        return notes

    def _replay(
        self,
        place: Place,
        found: client_tools.Tools,
        server: int,
        name: str,
        archive: Archive,
        options: list[str],
        search_path: str,
        report: Report,
    ) -> None:
        maker = place.maker.set(database=name)
        contents = Contents.of(found, archive.path, report)
        left_out = ["SUBSCRIPTION", *OF_DATABASE, *LAST]
        with tempfile.TemporaryDirectory() as folder, make_engine_for(self.engine, maker).connect() as made:
            replay = Replay(
                found, server, archive.path, self.engine.application, made.run(choose_client_encoding), report
            )
            if place.by_superuser:
                left_out += replay.make_extensions(made, maker, contents, Path(folder))
                let_in(place.own, name)
            chosen = use_list(Path(folder), "contents", contents.select_other_lines(left_out))
            target = place.url.set(database=name)
            replay.run(target, [*options, f"--use-list={chosen}"], self.engine.job.backup_jobs, search_path)

    def _make_extensions(self, place: Place, name: str, extensions: list[str]) -> None:
        """Make those that the dump of a schema does not have, each in the schema that it lies in."""
        if not extensions:
            return
        schemas = dict(self.engine.open_own_connection().query_rows(_EXTENSIONS, names=extensions))
        with make_engine_for(self.engine, place.maker.set(database=name)).connect() as made:
            for extension in extensions:
                schema = _quote_identifier(schemas[extension])
                try:
                    made.query_rows(f"create schema if not exists {schema}")
                    made.query_rows(f"create extension {_quote_identifier(extension)} schema {schema}")
                except Exception as error:
                    raise Failed(
                        f"Extension {extension} of the copy was not made",
                        describe_error(error),
                        "Name a role in admin_url that may make it",
                        code="rehearsal-copy-failed",
                    ) from error

    def _create(self, place: Place, name: str) -> list[str]:
        """Create an empty database of the same kind, with the same settings; return those that could not be set."""
        _drop(place.own, name)
        made = made_with.read_options(self.engine.open_own_connection(), self.engine.name_on_server)
        # Another server may be an older one.
        options = [made_with.as_sql(made_with.translate_options(made.items(), place.own.run(read_major_version)))]
        if place.url.username:
            options.append(f"owner {quote_name(str(place.url.username))}")
        if place.by_superuser:
            options.append("connection limit 0")
        run_sql(place.own, f"create database {name} template template0 {' '.join(options)}")
        place.own.query_rows(f"comment on database {name} is {escape_colons(quote_literal(_COMMENT))}")
        notes = [
            self._set(place, name, everybodys, setting)
            for everybodys, setting in self.engine.open_own_connection().query_rows(_SETTINGS)
        ]
        return [note for note in notes if note]

    def _set(self, place: Place, name: str, everybodys: bool, setting: str) -> str:
        key, _equals, value = setting.partition("=")
        whose = "" if everybodys else f"role {_quote_identifier(str(place.url.username))} in "
        words = value if key in _LISTS else escape_colons(quote_literal(value))
        try:
            place.own.query_rows(f"alter {whose}database {name} set {_quote_identifier(key)} to {words}")
        except Exception as error:  # noqa: BLE001 - some only a superuser may set; the rehearsal goes on without
            return f"without its setting {key}: {type(error).__name__}"
        return ""

    def read_contents(self, connection: Connection, leave_out: frozenset[str], in_full: bool) -> dict[str, Content]:
        """Have the server hash every value; sums do not depend on the order of rows."""
        columns: dict[tuple[str, str], list[str]] = {}
        for schema, table, column in execute(connection, _COLUMNS):
            columns.setdefault((schema, table), []).append(column)
        found = {}
        for schema, table, readable, _has_rows in execute(connection, catalog_queries.TABLES):
            if readable and f"{schema}.{table}" not in leave_out:
                names = columns.get((schema, table), []) if in_full else []
                found[f"{schema}.{table}"] = _read_content(connection, schema, table, names)
        return found

    def measure_disk_usage(self) -> int:
        """Query the server, which counts files, and so what is not committed too; no table is waited for."""
        return int(self.engine.open_own_connection().query_rows("select pg_database_size(current_database())")[0][0])

    def read_locks(self) -> set[tuple[str, str]]:
        """Query pg_locks. A table that is not committed yet has no name for us, and no session can wait for it."""
        return {(str(table), str(mode)) for table, mode in self.engine.open_own_connection().query_rows(_LOCKS)}

    @staticmethod
    def find_strongest_mode(modes: set[str]) -> str:
        """Return the mode that conflicts with most others."""
        return max(modes, key=lambda mode: _MODES.index(mode) if mode in _MODES else -1)

    def read_copy(self, archive: Archive, leave_out: frozenset[str], in_full: bool, report: Report) -> Any:
        """Compare the rows with the archive's, and read what pg_dump prints."""
        if in_full:
            copy_state.check_copy(self.engine, archive, report)
        return copy_state.read_copy(self.engine, archive, leave_out, in_full, report)

    def compare_copy(
        self, before: Any, archive: Archive, leave_out: frozenset[str], in_full: bool, report: Report
    ) -> Comparison:
        """Compare what pg_dump prints."""
        now = copy_state.read_copy(self.engine, archive, leave_out, in_full, report)
        return copy_state.compare_copy(before, now, leave_out)


def _read_content(connection: Connection, schema: str, table: str, columns: list[str]) -> Content:
    names = [_quote_identifier(column) for column in columns]
    wanted = ["count(*)"]
    if names:
        wanted += [_build_sum(f"row({', '.join(names)})"), *map(_build_sum, names)]
    rows = execute(
        connection, f"select {', '.join(wanted)} from {_quote_identifier(schema)}.{_quote_identifier(table)}"
    )[0]
    digests = [str(value) for value in rows[2:]]
    return Content(int(rows[0]), str(rows[1]) if names else "", dict(zip(columns, digests)))


def _build_sum(value: str) -> str:
    return f'sum(cast(coalesce(hashtextextended(cast({value} as text) collate "C", 0), 7) as numeric))'


def _drop_leftovers(own: OwnConnection, prefix: str) -> None:
    for name, _size in own.query_rows(_LEFTOVERS, prefix=prefix, comment=_COMMENT):
        _drop_if_dead(own, name)


def _drop_if_dead(own: OwnConnection, name: str, *, only_check: bool = False) -> bool:
    """Drop a scratch database whose rehearsal is dead, and return whether it is."""
    lock = {"first": _LOCK_SCRATCH, "name": name}
    if not own.query_rows("select pg_try_advisory_lock(:first, hashtext(:name))", **lock)[0][0]:
        return False
    try:
        if not only_check:
            _drop(own, name)
    finally:
        own.query_rows("select pg_advisory_unlock(:first, hashtext(:name))", **lock)
    return True


def _drop(own: OwnConnection, name: str) -> None:
    version = own.run(read_major_version)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            if version >= _FORCE_SINCE:
                own.query_rows(f"drop database if exists {_quote_identifier(name)} with (force)")
            else:
                for (pid,) in own.query_rows("select pid from pg_stat_activity where datname = :name", name=name):
                    end_session(own, pid)
                own.query_rows(f"drop database if exists {_quote_identifier(name)}")
            return
        except Exception as error:
            # A session that is not ours to end, autovacuum's for one, ends by itself.
            if find_sqlstate(error) not in ("42501", "55006") or time.monotonic() >= deadline:
                raise
            time.sleep(0.1)


def _quote_identifier(name: str) -> str:
    """Return a name as SQL wants it, safe from SQLAlchemy's own reading of colons."""
    return escape_colons(quote_name(name))
