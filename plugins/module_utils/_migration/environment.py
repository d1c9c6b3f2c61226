# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Driving Alembic: any env.py, unedited, with a step function of our own.

Alembic calls the function once for each ``run_migrations()`` in env.py. Each such call is a *stream*: one version
table with its heads. Most have one; an env.py that serves several schemas has more.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.errors import Refused
from .._core.job import Database, Job
from .._core.revisions import Heads, Stream
from .._core.urls import find_backend
from .._engines.data import Identity
from .._engines.interface import Engine
from .._engines.migration_url import build_env_url
from .._engines.registry import build_engine
from .._release.source import Source
from .alembic_import import CommandError, MigrationContext, MigrationStep, ScriptDirectory
from .attributes import Attributes, offer_connection
from .autogenerate import list_differences
from .command_line import build_context_options, parse_command_options, render_config_option
from .contexts import end_reading
from .dry_run import Elsewhere, Found, read_env_py, run_dry, run_here
from .env_exit import Runs
from .explanations import build_env_py_refusal, build_unreachable_refusal, describe_elsewhere
from .fork_guard import end_copies, guard_forks
from .interrupted import Interrupted
from .locations import Locations
from .one_engine import select_engine
from .own_commits import OwnCommits, journal_touched
from .placeholders import build_variables, fill_url
from .revisions import Revisions
from .scripts import build_configuration, list_engine_names, load_script_directory, set_url
from .setup import run_setup
from .step import Step, Watcher
from .steps import find_connection, watch_steps

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection


class Environment(Revisions):
    """One release's Alembic environment, aimed at one database. Needs a process of its own: env.py may do anything."""

    #: Whether each run of env.py has a process of its own anyway.
    in_own_process = False
    #: Is called when env.py begins and ends, where this process is thrown away after it has read the database.
    in_place: Callable[[bool], None] | None = None
    #: Calls ``read_dry`` in another process, where there is one that was forked before.
    elsewhere: Elsewhere | None = None
    #: ``Engine.read_instance`` of our own connection, where that was just read.
    _instance = ""

    def __init__(self, database: Database, job: Job, engine: Engine, outside: OwnCommits | None = None) -> None:
        self.database = database
        self.outside = outside
        self.job = job
        self.engine = engine
        self.source = Source(job.layout.release(job.release) / "source")
        self._url = build_env_url(database, engine.url).render_as_string(hide_password=False)
        self._inside = ExitStack()
        self._is_set_up = False
        self._prepare()
        self.config = build_configuration(self.source, job.alembic_options)
        set_url(self.config, self._url, database.engine_name)
        self.script = self._load_script()
        self.locations = Locations(self.script, self.source.folder)
        #: Whether env.py had begun a transaction when it ran migrations, so that Alembic commits nothing.
        self.in_transaction_of_env = False

    @classmethod
    def of(cls, database: Database, job: Job) -> Environment:
        """Return the environment of a database."""
        return cls(database, job, build_engine(database, job))

    @property
    def target(self) -> str:
        """Return what Alembic is to upgrade to."""
        return self.database.target or self.job.target

    def read_streams(self, instance: str = "") -> list[Stream]:
        """Run env.py without letting it change anything, and return the revisions of the database.

        Args:
            instance: ``Engine.read_instance`` of our own connection, just read.

        Raises:
            Refused: env.py fails, leads to another database, or its target cannot be reached.
        """
        self._instance = instance
        if self.in_place is None:
            found, locations = self._run_dry(self._read_streams, self.elsewhere)
        else:
            found, locations = self._read_here(self.in_place)
        self._instance = ""
        self.locations.take(locations)
        if not found:
            raise Refused(
                f"env.py never ran migrations for {self.database.name!r}",
                "it returned without calling context.run_migrations()",
                "Check the conditions in env.py, its -x arguments and its environment",
                code="env-py-no-migrations",
            )
        return list(found)

    def _read_streams(self) -> tuple[list[Stream], list[str]]:
        found: list[Stream] = []

        def read(heads: Heads, context: MigrationContext) -> Iterable[MigrationStep]:
            found.append(self._build_stream(heads, context))
            return ()

        with self._translate_errors():
            self._run(read, "upgrade", self.target)
        return found, self.locations.loaded

    def plan_unborn(self) -> list[Stream]:
        """Return the one stream of a database that does not exist yet, without letting env.py make it.

        Raises:
            Refused: the target cannot be reached.
        """
        if self.locations.are_empty():  # env.py may name others
            found, locations = self._run_dry(self._read_placeholder)
            self.locations.take(locations)
            return list(found)
        with self._translate_errors():
            return [self._plan_stream("main.alembic_version", ())]

    def _read_placeholder(self) -> tuple[list[Stream], list[str]]:
        """Run env.py with an empty database that is thrown away, in a process that is thrown away too."""
        with tempfile.TemporaryDirectory() as folder:
            self._redirect_env(self.engine.url.set(database=str(Path(folder) / "empty.db")))
            return self._read_streams()

    def _read_here(self, report: Callable[[bool], None]) -> tuple[list[Stream], list[str]]:
        report(True)
        try:
            found: tuple[list[Stream], list[str]] = run_here(self.engine, lambda _copy: self._read_streams())
            return found
        finally:
            report(False)

    def _run_dry(self, read: Callable[[], Any], elsewhere: Elsewhere | None = None) -> Any:
        """Run env.py by a function, without letting it change anything."""
        return run_dry(
            self.engine, self.database.name, self.job.plan_timeout, lambda copy: self._read_aimed(read, copy), elsewhere
        )

    def _read_aimed(self, read: Callable[[], Any], copy: URL | None) -> Any:
        if copy is not None:
            self._redirect_env(copy)
        return read()

    def read_dry(self, identity: Identity, instance: str, uncommitted: bool) -> Found:
        """Do what ``streams`` does in a process that is thrown away, for the one that waits for it.

        Args:
            identity: of our own connection.
            instance: as for ``streams``.
            uncommitted: let what writes run, and let nothing of it last.
        """
        self.engine.take_identity(identity)
        self._instance = instance
        return read_env_py(
            self.engine, lambda copy: self._read_aimed(self._read_streams, copy), uncommitted=uncommitted
        )

    def _redirect_env(self, url: URL) -> None:
        """Let env.py find another database; for a process that is thrown away."""
        self._url = build_env_url(self.database, url).render_as_string(hide_password=False)
        self.engine = build_engine(replace(self.database, url=self._url, direct_url=None), self.job)
        os.environ.update(build_variables(self.database, self._url))
        set_url(self.config, self._url, self.database.engine_name)

    def upgrade(self, watcher: Watcher, only: dict[str, list[str]] | None = None) -> list[Step]:
        """Upgrade to the target and return every step that was begun, also after an error (as its ``steps``).

        Args:
            watcher: gets each event.
            only: the revisions of each version table to apply, where not all are applied.

        Raises:
            Interrupted: a revision failed, or env.py did.
        """

        def list_steps(heads: Heads, table: str) -> list[MigrationStep]:
            ahead = self._list_steps_ahead(heads)
            return ahead if only is None else [step for step in ahead if step.revision.revision in only.get(table, ())]

        return self._migrate(list_steps, watcher, "upgrade", self.target)

    def downgrade(self, committed: dict[str, list[str]], watcher: Watcher) -> list[Step]:
        """Undo revisions, the last first, and return every step that was begun.

        Args:
            committed: for each version table the revisions to undo.
            watcher: gets each event.

        Raises:
            Interrupted: a downgrade failed, or env.py did.
        """

        def list_steps(_heads: Heads, table: str) -> list[MigrationStep]:
            scripts = [self.script.get_revision(revision) for revision in committed.get(table, [])]
            # What others applied was journalled when the run had ended, after what builds on it.
            places = {script.revision: place for place, script in enumerate(self.script.walk_revisions())}
            scripts.sort(key=lambda script: places[script.revision])
            return [MigrationStep.downgrade_from_script(self.script.revision_map, script) for script in scripts]

        return self._migrate(list_steps, watcher, "downgrade", self._name_below(committed))

    def compare_models(self) -> list[str] | None:
        """Return how the database differs from the models that env.py names, or None if it names none.

        Raises:
            Refused: env.py fails, or leads to another database.
        """
        lines, _locations = self._run_dry(self._compare_models)
        return list(lines) if lines is not None else None

    def _compare_models(self) -> tuple[list[str] | None, list[str]]:
        found: list[list[str]] = []

        def compare(_heads: Heads, context: MigrationContext) -> Iterable[MigrationStep]:
            self._check_same_database(find_connection(context))
            if context.opts.get("target_metadata") is not None:
                found.append(list_differences(context))
            return ()

        with self._translate_errors():
            self._run(compare, "upgrade", self.target)
        return ([line for lines in found for line in lines] if found else None), []

    def hand_over(self) -> tuple[list[str], bool]:
        """Return what env.py has made known, for another process."""
        return self.locations.loaded, self.in_transaction_of_env

    def take_over(self, known: tuple[list[str], bool]) -> None:
        """Know what env.py has made known in another process."""
        locations, self.in_transaction_of_env = known
        self.locations.take(locations)

    def _migrate(
        self, steps_of: Callable[[Heads, str], list[MigrationStep]], watcher: Watcher, command: str, revision: str
    ) -> list[Step]:
        begun: list[Step] = []
        streams: dict[str, bool] = {}  # version table -> whether its steps came to their end

        def run_steps(heads: Heads, context: MigrationContext) -> Iterator[MigrationStep]:
            connection = find_connection(context)
            self._check_same_database(connection)
            table = self._name_table(context)
            self.in_transaction_of_env = bool(getattr(context, "_in_external_transaction", False))
            self.engine.lock_migrating(connection, self.job.lock_wait)
            # Only now may the version table be made: dont_mutate kept Alembic from doing so before we could check.
            if not heads:
                context._ensure_version_table()
            streams[table] = False
            watcher.on_connection(connection)
            steps = steps_of(heads, table)
            if not steps:
                end_reading(context, connection)
            for step in steps:
                step.migration_fn = end_copies(step.migration_fn)
            ran = watch_steps(context, steps, begun, watcher, table, streams, self.engine)
            return self.outside.leave_out(connection, ran) if self.outside else ran

        try:
            self._run(run_steps, command, revision)
        except (Exception, SystemExit) as error:
            raise Interrupted(error, begun) from error
        if not streams or not all(streams.values()):
            raise Interrupted(begun[-1].error if begun else None, begun)
        return begun

    def _run(
        self, function: Callable[[Heads, MigrationContext], Iterable[MigrationStep]], command: str, revision: str
    ) -> None:
        """Run env.py as a command of Alembic does."""
        opened: list[Connection] = []
        runs = Runs()

        def list_located(heads: Heads, context: MigrationContext) -> Iterable[MigrationStep]:
            self.locations.load_late()
            return runs.follow_steps(function(heads, context))

        self.config.attributes = Attributes(lambda: offer_connection(self.engine, opened))
        arguments = tuple(fill_url(argument, self._url) for argument in self.database.x_arguments)
        named = render_config_option(self.config, self.source.folder)
        self.config.cmd_opts = parse_command_options(command, revision, named, arguments)
        self._set_up()
        options, name = build_context_options(revision), self.database.engine_name
        try:
            context = select_engine(name, self.config, self.script, fn=list_located, dont_mutate=True, **options)
            with self.locations.allow_late(), journal_touched(self.outside), guard_forks(), context, runs.may_exit():
                self.script.run_env()
        finally:
            for connection in opened:
                connection.close()

    def _prepare(self) -> None:
        """Set the process up as the database's entry requires."""
        os.environ.update(build_variables(self.database, self._url))
        os.chdir(self.source.folder)
        if str(self.source.folder) not in sys.path:
            sys.path.insert(0, str(self.source.folder))
        self._inside.enter_context(self.outside.listen() if self.outside else nullcontext())

    def _load_script(self) -> ScriptDirectory:
        """Return the release's revisions; some load only where ``migrate_setup`` was called."""
        try:
            return load_script_directory(self.config, self.source)
        except Refused:
            if not self.job.setup:
                raise
        self._set_up()
        return load_script_directory(self.config, self.source)

    def _set_up(self) -> None:
        """Call ``migrate_setup`` once, where env.py is about to run: it may write, and a plan changes nothing."""
        if not self._is_set_up:
            self._is_set_up = True
            with journal_touched(self.outside):
                run_setup(self.job.setup, self._inside)

    def _build_stream(self, heads: Heads, context: MigrationContext) -> Stream:
        self._check_same_database(find_connection(context))
        if self.locations.are_empty():
            raise Refused(
                f"The release holds no revision for {self.database.name!r}",
                f"there is none in {self.locations}",
                "Correct migrate_source, or add a revision with `alembic revision`",
                code="release-empty",
            )
        return self._plan_stream(self._name_table(context), heads)

    def _read_identity(self, connection: Connection) -> Identity:
        """Return where a connection leads; one of another kind is not even queried by the engine."""
        kind = find_backend(connection.dialect.name)
        if kind != self.engine.name:
            return Identity(f"a server of {kind}", str(connection.engine.url.database))
        return self.engine.read_identity(connection)

    def _name_table(self, context: MigrationContext) -> str:
        schema = self.engine.find_schema(find_connection(context), context.version_table_schema, context.version_table)
        return f"{schema}.{context.version_table}"

    def _check_same_database(self, connection: Connection) -> None:
        """Make sure that what is backed up is what is migrated.

        Raises:
            Refused: env.py leads elsewhere.
        """
        found: object = self._read_identity(connection)
        expected = self.engine.read_own_identity()
        theirs = self.engine.read_instance(connection) if found == expected else ""
        if theirs and theirs != (self._instance or self.engine.open_own_connection().run(self.engine.read_instance)):
            found = f"another server with the number of {found}"
        if found != expected:
            raise describe_elsewhere(
                self.database, self.source.folder, self._url, found, expected, list_engine_names(self.config)
            )

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Turn whatever Alembic or env.py raises into a refusal that says what to do."""
        try:
            yield
        except Refused:
            raise
        except CommandError as error:
            raise build_unreachable_refusal(self.database.name, self.target, self.script.get_heads(), error) from error
        except (Exception, SystemExit) as error:
            raise build_env_py_refusal(self.database.name, self.source.folder, error) from error
