# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Driving Alembic: any env.py, unedited, with a step function of our own.

Alembic calls the function once for each ``run_migrations()`` in env.py. Each such call is a *stream*: one version
table with its heads. Most have one; an env.py that serves several schemas has more.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .alembic_library import CommandError, EnvironmentContext, MigrationContext, MigrationStep
from .connection import own_url
from .engines.base import Engine
from .engines.data import Identity
from .engines.registry import engine_for
from .errors import Refused
from .job import Database, Job
from .libraries import sa
from .models import differences_of
from .plans import CONTRACT, EXPAND, Heads, Revision, Stream
from .scripts import configuration, script_directory
from .source import Source
from .steps import Step, Watcher, connection_of, heads_after, watched

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class Attributes(dict[Any, Any]):
    """``config.attributes`` with a ``connection`` that is opened only if env.py asks for one."""

    def __init__(self, open_connection: Callable[[], Connection | None]) -> None:
        super().__init__()
        self._open = open_connection

    def _fill(self, key: object) -> None:
        if key == "connection" and not super().__contains__(key):
            connection = self._open()
            if connection is not None:
                self[key] = connection

    def __contains__(self, key: object) -> bool:
        self._fill(key)
        return super().__contains__(key)

    def __getitem__(self, key: Any) -> Any:
        self._fill(key)
        return super().__getitem__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return an attribute as a dictionary does."""
        self._fill(key)
        return super().get(key, default)


class Environment:
    """One release's Alembic environment, aimed at one database. Needs a process of its own: env.py may do anything."""

    def __init__(self, database: Database, job: Job, engine: Engine) -> None:
        self.database = database
        self.job = job
        self.engine = engine
        self.source = Source(job.layout.release(job.release) / "source")
        self._url = engine.url.render_as_string(hide_password=False)
        self._inside = ExitStack()
        self._prepare()
        self.config = configuration(self.source, job.alembic_options, self._url, database.x_arguments)
        self.script = script_directory(self.config, self.source)

    @classmethod
    def of(cls, database: Database, job: Job) -> Environment:
        """Return the environment of a database."""
        return cls(database, job, engine_for(database, job))

    @property
    def target(self) -> str:
        """Return what Alembic shall upgrade to."""
        return self.database.target or self.job.target

    def streams(self) -> list[Stream]:
        """Run env.py without letting it change anything, and return where the database stands.

        Raises:
            Refused: env.py fails, leads to another database, or its target cannot be reached.
        """
        found: list[Stream] = []

        def read(heads: Heads, context: MigrationContext) -> Iterable[MigrationStep]:
            found.append(self._stream(heads, context))
            return ()

        with self._refusing():
            self._run(read)
        if not found:
            raise Refused(
                f"env.py never ran migrations for {self.database.name!r}",
                "it returned without calling context.run_migrations()",
                "Check the conditions in env.py, its -x arguments and its environment",
            )
        return found

    def unborn(self) -> list[Stream]:
        """Return the one stream of a database that does not exist yet, without running env.py, which could make it.

        Raises:
            Refused: the target cannot be reached.
        """
        with self._refusing():
            return [self._planned("main.alembic_version", ())]

    def upgrade(self, watcher: Watcher, only: dict[str, list[str]] | None = None) -> list[Step]:
        """Upgrade to the target and return every step that was begun, also after an error (as its ``steps``).

        Args:
            watcher: is told what happens.
            only: the revisions of each version table to apply, where it shall not be all.

        Raises:
            Interrupted: a revision failed, or env.py did.
        """

        def steps_of(heads: Heads, table: str) -> list[MigrationStep]:
            ahead = self._steps_ahead(heads)
            return ahead if only is None else [step for step in ahead if step.revision.revision in only.get(table, ())]

        return self._migrate(steps_of, watcher)

    def downgrade(self, committed: dict[str, list[str]], watcher: Watcher) -> list[Step]:
        """Undo revisions, the last first, and return every step that was begun.

        Args:
            committed: for each version table the revisions to undo, in the order they were applied.
            watcher: is told what happens.

        Raises:
            Interrupted: a downgrade failed, or env.py did.
        """

        def steps_of(_heads: Heads, table: str) -> list[MigrationStep]:
            scripts = [self.script.get_revision(revision) for revision in reversed(committed.get(table, []))]
            return [MigrationStep.downgrade_from_script(self.script.revision_map, script) for script in scripts]

        return self._migrate(steps_of, watcher)

    def compare_models(self) -> list[str] | None:
        """Return how the database differs from the models that env.py names, or None if it names none.

        Raises:
            Refused: env.py fails, or leads to another database.
        """
        found: list[list[str]] = []

        def compare(_heads: Heads, context: MigrationContext) -> Iterable[MigrationStep]:
            self._check_same_database(self._identity(connection_of(context)))
            if context.opts.get("target_metadata") is not None:
                found.append(differences_of(context))
            return ()

        with self._refusing():
            self._run(compare)
        return [line for lines in found for line in lines] if found else None

    def can_be_undone(self, revision: str) -> bool:
        """Tell whether a revision has a downgrade at all."""
        return hasattr(self.script.get_revision(revision).module, "downgrade")

    def applied(self, heads: Heads) -> set[str]:
        """Return all revisions that are applied when these are the heads.

        Raises:
            CommandError: this release does not know one of them.
        """
        if not heads:
            return set()
        return {script.revision for script in self.script.iterate_revisions(heads, "base")}

    def knows(self, revision: str) -> bool:
        """Tell whether this release holds a revision."""
        try:
            return self.script.get_revision(revision) is not None
        except CommandError:
            return False

    def applied_below(self, heads: Iterable[str]) -> set[str]:
        """Return all revisions at and below some heads, without those that this release does not know."""
        return {revision for head in heads if self.knows(head) for revision in self.applied((head,))}

    def sha256_of(self, revision: str) -> str:
        """Return the digest of a revision's file, or nothing if it cannot be read."""
        try:
            return hashlib.sha256(Path(self.script.get_revision(revision).path).read_bytes()).hexdigest()
        except OSError:
            return ""

    def _migrate(self, steps_of: Callable[[Heads, str], list[MigrationStep]], watcher: Watcher) -> list[Step]:
        begun: list[Step] = []
        streams: dict[str, bool] = {}  # version table -> whether its steps came to their end

        def work(heads: Heads, context: MigrationContext) -> Iterator[MigrationStep]:
            connection = connection_of(context)
            self._check_same_database(self._identity(connection))
            table = self._table(context)
            self.engine.lock_migrating(connection, self.job.lock_wait)
            # Only now may the version table be made: dont_mutate kept Alembic from doing so before we could look.
            if not heads:
                context._ensure_version_table()
            streams[table] = False
            watcher.works_on(connection)
            steps = steps_of(heads, table)
            if not steps:
                _end_reading(context, connection)
            return watched(context, steps, begun, watcher, table, streams, self.engine)

        try:
            self._run(work)
        except (Exception, SystemExit) as error:
            raise Interrupted(error, begun) from error
        if not streams or not all(streams.values()):
            raise Interrupted(begun[-1].error if begun else None, begun)
        return begun

    def _run(self, function: Callable[[Heads, MigrationContext], Iterable[MigrationStep]]) -> None:
        opened: list[Connection] = []
        self.config.attributes = Attributes(lambda: self._offer_connection(opened))
        try:
            with EnvironmentContext(self.config, self.script, fn=function, dont_mutate=True, as_sql=False):
                self.script.run_env()
        finally:
            for connection in opened:
                connection.close()

    def _offer_connection(self, opened: list[Connection]) -> Connection | None:
        """Open what env.py may take from ``config.attributes``; only a synchronous connection can be handed over."""
        url = own_url(self.engine.url)
        if url.get_driver_name() == "asyncpg":
            return None
        connection = sa.create_engine(url, poolclass=sa.pool.NullPool).connect()
        opened.append(connection)
        return connection

    def _prepare(self) -> None:
        """Set the process up as the database's entry asks, and stay inside of what ``migrate_setup`` returns."""
        os.environ.update(self.database.environment)
        os.environ.update(dict.fromkeys(self.database.url_variables, self._url))
        os.chdir(self.source.folder)
        if str(self.source.folder) not in sys.path:
            sys.path.insert(0, str(self.source.folder))
        if not self.job.setup:
            return
        try:
            module, _colon, name = self.job.setup.partition(":")
            prepared = getattr(importlib.import_module(module), name)()
            if hasattr(prepared, "app_context"):  # a Flask application
                prepared = prepared.app_context()
            if hasattr(prepared, "__enter__"):
                self._inside.enter_context(prepared)
        except (Exception, SystemExit) as error:
            raise Refused(
                f"migrate_setup {self.job.setup!r} failed",
                f"{type(error).__name__}: {error}",
                "It is called without arguments before env.py runs; it is looked up in the release and the virtualenv",
            ) from error

    def _stream(self, heads: Heads, context: MigrationContext) -> Stream:
        self._check_same_database(self._identity(connection_of(context)))
        return self._planned(self._table(context), heads)

    def _identity(self, connection: Connection) -> Identity:
        """Return where a connection leads; one of another kind is not even asked in the engine's words."""
        kind = connection.dialect.name
        if kind != self.engine.name:
            return Identity(f"a server of {kind}", str(connection.engine.url.database))
        return self.engine.identity(connection)

    def _planned(self, table: str, heads: Heads) -> Stream:
        steps = self._steps_ahead(heads)
        pending = tuple(Revision(step.revision.revision, step.revision.doc or "") for step in steps)
        return Stream(table, tuple(sorted(heads)), pending, heads_after(heads, steps), self._unexpanded(heads))

    def _unexpanded(self, heads: Heads) -> tuple[str, ...]:
        """Return what is missing of the expanding branch, where the target is to contract."""
        if self.target != f"{CONTRACT}@head":
            return ()
        missing = self.script._upgrade_revs(f"{EXPAND}@head", heads)  # type: ignore[arg-type]
        return tuple(step.revision.revision for step in missing)

    def _steps_ahead(self, heads: Heads) -> list[Any]:
        return list(self.script._upgrade_revs(self.target, heads))  # type: ignore[arg-type]

    def _table(self, context: MigrationContext) -> str:
        schema = self.engine.schema_of(connection_of(context), context.version_table_schema)
        return f"{schema}.{context.version_table}"

    def _check_same_database(self, found: Identity) -> None:
        """Make sure that what is backed up is what is migrated.

        Raises:
            Refused: env.py leads elsewhere.
        """
        expected = self.engine.own_identity()
        if found != expected:
            raise Refused(
                f"env.py does not connect to the database that {self.database.name!r} names",
                f"it connects to {found}, and the url leads to {expected}",
                "Let env.py take its URL from sqlalchemy.url, or name its variable in url_variables",
            )

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn whatever Alembic or env.py raises into a refusal that says what to do."""
        try:
            yield
        except Refused:
            raise
        except CommandError as error:
            raise self._explained(error) from error
        except (Exception, SystemExit) as error:
            raise Refused(
                f"env.py failed for {self.database.name!r}",
                f"{type(error).__name__}: {error}",
                "Try `alembic current` with the same URL and environment",
            ) from error

    def _explained(self, error: Exception) -> Refused:
        words = str(error)
        if "Multiple head revisions" in words:
            heads = ", ".join(self.script.get_heads())
            return Refused(
                f"The release has several heads, and {self.target!r} names only one",
                f"they are {heads}",
                "Set migrate_target to heads, to branch@head, or merge them",
            )
        unknown = re.search(r"Can't locate revision identified by '([^']+)'", words)
        if unknown and unknown[1] not in self.target:
            return Refused(f"Database {self.database.name!r} is at a revision that this release does not know", words)
        return Refused(f"{self.target!r} cannot be reached in {self.database.name!r}", words, "Check migrate_target")


class Interrupted(Exception):
    """Alembic did not come to its end. ``steps`` are those begun, ``cause`` is None if env.py hid the error."""

    def __init__(self, cause: BaseException | None, steps: list[Step]) -> None:
        super().__init__(str(cause) if cause else "env.py ended without running its migrations to their end")
        self.cause = cause
        self.steps = steps


def _end_reading(context: MigrationContext, connection: Connection) -> None:
    """End the transaction that looking has begun, where nothing is to be done in it.

    The next context on the same connection would take it for one of env.py's own, and not commit.
    """
    of_others = context._in_external_transaction or context._transaction is not None
    if not of_others and connection.in_transaction() and hasattr(connection, "commit"):
        connection.commit()
