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
    database_facts,
    job_facts,
    process_ended,
    put_into,
    rows_from,
    step_from,
    stream_from,
    texts,
    words_of,
)
from .environment import Environment
from .interrupted import Interrupted
from .own_commits import OwnCommits
from .spawner import SPAWNER
from .step import Step, Watcher

#: Loaded now, because its archive may be gone when the process is forked.
_LOADED_EARLY = env_process
_EVENTS = ("begins_revision", "on_ran", "on_failed", "on_left", "commits_early", "writes_early")


def environment_of(database: Database, job: Job, engine: Engine, outside: OwnCommits | None = None) -> Environment:
    """Return the environment of a database, in a process of its own where it is not to have what this one has.

    Args:
        database: its entry.
        job: names the release.
        engine: aimed at it.
        outside: journals what env.py commits outside of revisions.

    Raises:
        Refused: env.py cannot be prepared, or the user is not there.
    """
    user = engine.user()
    if user is None and not any(getattr(database, name) for name in FOR_ADMIN):
        return Environment(database, job, engine, outside)
    return EnvironmentApart(database, job, engine, user, outside)


class _Locations:
    """The folders of revisions, as the other process knows them."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def outside(self) -> list[str]:
        return texts(self._channel.call("outside"))

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
            engine.before_fork()
        self._channel = Channel(SPAWNER.new(), self._handlers(), words_of)
        self._call(
            "start", database_facts(database), job_facts(job), user.facts() if user else None, self._counts_outside()
        )
        self.locations = _Locations(self._channel)  # type: ignore[assignment]
        engine.use_environment_process(self)

    def _handlers(self) -> dict[str, Callable[..., Any]]:
        handlers: dict[str, Callable[..., Any]] = {name: self._event(name) for name in _EVENTS}
        handlers["wrote_outside"] = self._wrote_outside
        handlers["touches"] = self._touches
        handlers["wrote_elsewhere"] = self._wrote_elsewhere
        handlers["works_on"] = self._works_on
        handlers["begins"] = self._begins
        handlers["writes_unseen"] = self._writes_unseen
        handlers["defines"] = self._defines
        handlers["executes"] = self._executes
        handlers["begins_to_write"] = self._begins_to_write
        handlers["compares_versions"] = self._compares_versions
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

    def _event(self, name: str) -> Callable[..., None]:
        def heard(facts: Any, number: int | None, step: Any) -> None:
            self.engine.take_facts_there(facts)
            known = [put_into(self._steps[int(number)], step)] if number is not None else []
            getattr(self._watcher, name)(*known)

        return heard

    def _counts_outside(self) -> bool | None:
        """Return whether what env.py commits is journalled from now on; None for never."""
        return self.outside.is_on if self.outside else None

    def _wrote_outside(self, facts: dict[str, Any]) -> None:
        if self.outside:
            found = {str(table): int(count) for table, count in facts["wrote"].items()}
            rows = rows_from(facts["catalog_rows"])
            used = {str(int(number)): int(count) for number, count in facts["used"].items()}
            self.outside.note(found, texts(facts["replaced"]), list(map(int, facts["transactions"])), rows, used)

    def _touches(self, facts: dict[str, Any]) -> None:
        if self.outside:
            self.outside.note_touched(texts(facts["names"]), str(facts["reason"]))

    def _wrote_elsewhere(self, facts: dict[str, Any]) -> None:
        if self.outside:
            self.outside.note_elsewhere(str(facts["place"]), str(facts["how"]), bool(facts["seen"]))

    def _works_on(self, facts: Any, *_: Any) -> None:
        self.engine.take_facts_there(facts)
        self._watcher.works_on(RemoteConnection(self._channel))  # type: ignore[arg-type]

    def _begins(self, facts: Any, number: int, step: Any, place: int, count: int) -> float:
        self.engine.take_facts_there(facts)
        found = self._steps[int(number)] = step_from(step)
        found.began = time.monotonic()
        self._watcher.begins(found, int(place), int(count))
        return found.began

    def _writes_unseen(self, facts: Any, number: int, step: Any, reason: str) -> None:
        self.engine.take_facts_there(facts)
        self._watcher.writes_unseen(put_into(self._steps[int(number)], step), str(reason))

    def _defines(self, facts: Any, number: int, step: Any, held: Any) -> None:
        self.engine.take_facts_there(facts)
        found = {str(kind): texts(each) for kind, each in held.items()}
        self._watcher.defines(put_into(self._steps[int(number)], step), found)

    def _executes(self, facts: Any, number: int, step: Any, statement: str) -> None:
        self.engine.take_facts_there(facts)
        self._watcher.executes(put_into(self._steps[int(number)], step), str(statement))

    def _begins_to_write(self, facts: Any, version: int) -> None:
        self.engine.take_facts_there(facts)
        self.engine.begins_to_write_there(int(version))

    def _compares_versions(self, facts: Any) -> None:
        self.engine.take_facts_there(facts)
        self.engine.compares_versions_there(lambda: int(self._channel.call("version_there")))

    def close_env_connections(self) -> None:
        """Have env.py's connections closed: it is done, and its file is about to be replaced."""
        with suppress(Refused):
            self._call("close_env_connections")

    def streams(self, instance: str = "") -> list[Stream]:
        """Run env.py there, changing nothing, and return the revisions of the database."""
        return self._read(lambda: [stream_from(facts) for facts in self._call("streams")])

    def unborn(self) -> list[Stream]:
        """Return the one stream of a database that does not exist yet."""
        return self._read(lambda: [stream_from(facts) for facts in self._call("unborn")])

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
            answer = self._call(verb, what, self._counts_outside())
            self.engine.take_facts_there(answer["facts"])
            self.in_transaction_of_env = bool(answer["in_transaction_of_env"])
            for number, facts in answer["steps"]:
                put_into(self._steps[int(number)], facts)
            cause = self._channel.error_from(answer["cause"]) if answer["cause"] else None
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
        return None if found is None else texts(found)

    def can_be_undone(self, revision: str) -> bool:
        """Return whether a revision has a downgrade at all."""
        return bool(self._call("can_be_undone", revision))

    def list_applied(self, heads: Heads) -> set[str]:
        """Return all revisions that are applied when these are the heads."""
        return set(texts(self._call("list_applied", list(heads)))) if heads else set()

    def list_applied_below(self, heads: Iterable[str]) -> set[str]:
        """Return all revisions at and below some heads, without those that this release does not know."""
        return set(texts(self._call("list_applied_below", list(heads))))

    def knows(self, revision: str) -> bool:
        """Return whether this release holds a revision."""
        return bool(self._call("knows", revision))

    def sha256_of(self, revision: str) -> str:
        """Return the digest of a revision's file, or nothing if it cannot be read."""
        return str(self._call("sha256_of", revision))


def _admit(user: User, job: Job) -> None:
    """Let the user come to the release and to its virtualenv, and to nothing else of ours."""
    layout = job.layout
    admit(user, layout.root, layout.releases, layout.release(job.release), layout.release(job.release) / "source")
    virtualenv = Path(sys.prefix)
    if layout.virtualenvs in virtualenv.parents:
        admit(user, layout.root, layout.virtualenvs, virtualenv)
