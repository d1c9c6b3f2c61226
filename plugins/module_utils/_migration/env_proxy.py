# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An environment whose env.py runs in a process of its own, as the user of its database and without admin passwords."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .._core.channel import Channel, Gone
from .._core.errors import Failed, Refused
from .._core.job import Database, Job
from .._core.revisions import Heads, Stream
from .._core.run_as import User, admit
from .._core.secrets import FOR_ADMIN
from .._engines.interface import Engine
from .._release.source import Source
from . import env_process
from .env_messages import (
    RemoteConnection,
    collect_database_facts,
    collect_job_facts,
    convert_texts,
    load_rows,
    load_step,
    load_stream,
    process_ended,
    put_into,
    split_error,
)
from .environment import Environment
from .interrupted import Interrupted
from .own_commits import OwnCommits
from .spawner import SPAWNER
from .step import Step, Watcher

#: Loaded now, because its archive may be gone when the process is forked.
_LOADED_EARLY = env_process
_EVENTS = ("on_begin_revision", "on_ran", "on_failed", "on_left", "on_early_commit", "on_early_write")


def build_environment(database: Database, job: Job, engine: Engine, outside: OwnCommits | None = None) -> Environment:
    """Return the environment of a database, in a process of its own where it is not to have what this one has.

    Args:
        database: its entry.
        job: names the release.
        engine: aimed at it.
        outside: journals what env.py commits outside of revisions.

    Raises:
        Refused: env.py cannot be prepared, or the user is not there.
    """
    user = engine.find_user()
    if user is None and not any(getattr(database, name) for name in FOR_ADMIN):
        return Environment(database, job, engine, outside)
    return EnvironmentApart(database, job, engine, user, outside)


class _Locations:
    """The folders of revisions, as the other process knows them."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def list_outside(self) -> list[str]:
        return convert_texts(self._channel.call("list_outside"))

    def may_be_named_by_env(self) -> bool:
        return bool(self._channel.call("may_be_named_by_env"))


class EnvironmentApart(Environment):
    """The same environment, in another process, which gives each run of env.py one of its own."""

    in_own_process = True

    def __init__(
        self, database: Database, job: Job, engine: Engine, user: User | None, outside: OwnCommits | None
    ) -> None:
        self.database = database
        self.outside = outside
        self.job = job
        self.engine = engine
        self.source = Source(job.layout.release(job.release) / "source")
        self.in_transaction_of_env = False
        self._watcher = Watcher()
        self._steps: dict[int, Step] = {}
        if user:
            _admit(user, job)
        if not SPAWNER.is_started:
            engine.prepare_fork()
        self._channel = Channel(SPAWNER.start_process(), self._list_handlers(), split_error)
        self._call(
            "start",
            collect_database_facts(database),
            collect_job_facts(job),
            user.as_facts() if user else None,
            self._is_counting_outside(),
        )
        self.locations = _Locations(self._channel)  # type: ignore[assignment]
        engine.use_environment_process(self)

    def _list_handlers(self) -> dict[str, Callable[..., Any]]:
        handlers: dict[str, Callable[..., Any]] = {name: self._build_event_handler(name) for name in _EVENTS}
        handlers["wrote_outside"] = self._note_written_outside
        handlers["touches"] = self._note_touched
        handlers["wrote_elsewhere"] = self._note_written_elsewhere
        handlers["on_connection"] = self._handle_connection
        handlers["on_begin"] = self._handle_begin
        handlers["on_unseen_write"] = self._handle_unseen_write
        handlers["on_define"] = self._handle_define
        handlers["on_execute"] = self._handle_execute
        handlers["report_write_start"] = self._handle_write_start
        handlers["compare_versions"] = self._handle_compare_versions
        return handlers

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            return self._channel.call(name, *arguments)
        except Gone as gone:
            raise self._describe_end(gone) from gone
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._describe_end(error) from error

    def _describe_end(self, why: BaseException) -> Failed:
        return process_ended(self.database.name, str(why) or type(why).__name__)

    def _build_event_handler(self, name: str) -> Callable[..., None]:
        def handle_event(facts: Any, number: int | None, step: Any) -> None:
            self.engine.take_facts_there(facts)
            known = [put_into(self._steps[int(number)], step)] if number is not None else []
            getattr(self._watcher, name)(*known)

        return handle_event

    def _is_counting_outside(self) -> bool | None:
        """Return whether what env.py commits is journalled from now on; None for never."""
        return self.outside.is_on if self.outside else None

    def _note_written_outside(self, facts: dict[str, Any]) -> None:
        if self.outside:
            found = {str(table): int(count) for table, count in facts["wrote"].items()}
            rows = load_rows(facts["catalog_rows"])
            used = {str(int(number)): int(count) for number, count in facts["used"].items()}
            self.outside.note(
                found, convert_texts(facts["replaced"]), list(map(int, facts["transactions"])), rows, used
            )

    def _note_touched(self, facts: dict[str, Any]) -> None:
        if self.outside:
            self.outside.note_touched(convert_texts(facts["names"]), str(facts["reason"]))

    def _note_written_elsewhere(self, facts: dict[str, Any]) -> None:
        if self.outside:
            self.outside.note_elsewhere(str(facts["place"]), str(facts["how"]), bool(facts["seen"]))

    def _handle_connection(self, facts: Any, *_: Any) -> None:
        self.engine.take_facts_there(facts)
        self._watcher.on_connection(RemoteConnection(self._channel))  # type: ignore[arg-type]

    def _handle_begin(self, facts: Any, number: int, step: Any, place: int, count: int) -> float:
        self.engine.take_facts_there(facts)
        found = self._steps[int(number)] = load_step(step)
        found.began = time.monotonic()
        self._watcher.on_begin(found, int(place), int(count))
        return found.began

    def _handle_unseen_write(self, facts: Any, number: int, step: Any, reason: str) -> None:
        self.engine.take_facts_there(facts)
        self._watcher.on_unseen_write(put_into(self._steps[int(number)], step), str(reason))

    def _handle_define(self, facts: Any, number: int, step: Any, held: Any) -> None:
        self.engine.take_facts_there(facts)
        found = {str(kind): convert_texts(each) for kind, each in held.items()}
        self._watcher.on_define(put_into(self._steps[int(number)], step), found)

    def _handle_execute(self, facts: Any, number: int, step: Any, statement: str) -> None:
        self.engine.take_facts_there(facts)
        self._watcher.on_execute(put_into(self._steps[int(number)], step), str(statement))

    def _handle_write_start(self, facts: Any, version: int) -> None:
        self.engine.take_facts_there(facts)
        self.engine.note_write_start_there(int(version))

    def _handle_compare_versions(self, facts: Any) -> None:
        self.engine.take_facts_there(facts)
        self.engine.compare_versions_there(lambda: int(self._channel.call("read_version_there")))

    def close_env_connections(self) -> None:
        """Have env.py's connections closed: it is done, and its file is about to be replaced."""
        with suppress(Refused):
            self._call("close_env_connections")

    def read_streams(self, instance: str = "") -> list[Stream]:
        """Run env.py there, changing nothing, and return the revisions of the database."""
        return self._read(lambda: [load_stream(facts) for facts in self._call("read_streams")])

    def plan_unborn(self) -> list[Stream]:
        """Return the one stream of a database that does not exist yet."""
        return self._read(lambda: [load_stream(facts) for facts in self._call("plan_unborn")])

    def _read(self, read: Callable[[], list[Stream]]) -> list[Stream]:
        try:
            return read()
        except (KeyError, TypeError, ValueError) as error:
            raise self._describe_end(error) from error

    def upgrade(self, watcher: Watcher, only: dict[str, list[str]] | None = None) -> list[Step]:
        """Upgrade there, and return every step that was begun."""
        return self._run_there(watcher, "upgrade", only)

    def downgrade(self, committed: dict[str, list[str]], watcher: Watcher) -> list[Step]:
        """Undo revisions there, and return every step that was begun."""
        return self._run_there(watcher, "downgrade", committed)

    def _run_there(self, watcher: Watcher, verb: str, what: Any) -> list[Step]:
        self._watcher, self._steps = watcher, {}
        try:
            answer = self._call(verb, what, self._is_counting_outside())
            self.engine.take_facts_there(answer["facts"])
            self.in_transaction_of_env = bool(answer["in_transaction_of_env"])
            for number, facts in answer["steps"]:
                put_into(self._steps[int(number)], facts)
            cause = self._channel.rebuild_error(answer["cause"]) if answer["cause"] else None
            interrupted = bool(answer["interrupted"])
        except (Refused, Gone, KeyError, TypeError, ValueError, AttributeError) as error:
            failure = error if isinstance(error, Refused) else self._describe_end(error)
            raise Interrupted(failure, list(self._steps.values())) from error
        finally:
            self._watcher = Watcher()
        steps = list(self._steps.values())
        if interrupted:
            raise Interrupted(cause, steps) from cause
        return steps

    def compare_models(self) -> list[str] | None:
        """Return how the database differs from the models that env.py names, or None if it names none."""
        found = self._call("compare_models")
        return None if found is None else convert_texts(found)

    def can_be_undone(self, revision: str) -> bool:
        """Return whether a revision has a downgrade at all."""
        return bool(self._call("can_be_undone", revision))

    def list_applied(self, heads: Heads) -> set[str]:
        """Return all revisions that are applied when these are the heads."""
        return set(convert_texts(self._call("list_applied", list(heads)))) if heads else set()

    def list_applied_below(self, heads: Iterable[str]) -> set[str]:
        """Return all revisions at and below some heads, without those that this release does not know."""
        return set(convert_texts(self._call("list_applied_below", list(heads))))

    def has_revision(self, revision: str) -> bool:
        """Return whether this release holds a revision."""
        return bool(self._call("has_revision", revision))

    def hash_revision(self, revision: str) -> str:
        """Return the digest of a revision's file, or nothing if it cannot be read."""
        return str(self._call("hash_revision", revision))


def _admit(user: User, job: Job) -> None:
    """Let the user come to the release and to its virtualenv, and to nothing else of ours."""
    layout = job.layout
    admit(user, layout.root, layout.releases, layout.release(job.release), layout.release(job.release) / "source")
    virtualenv = Path(sys.prefix)
    if layout.virtualenvs in virtualenv.parents:
        admit(user, layout.root, layout.virtualenvs, virtualenv)
