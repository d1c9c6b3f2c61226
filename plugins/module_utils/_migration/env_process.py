# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process that runs env.py without root's rights or without the passwords of the process that started it.

It is given one database, becomes its user, and from then on does what the other side calls.
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.channel import Answered, Channel
from .._core.errors import CRASHED, REPORT_IT, Refused
from .._core.job import Database, Job
from .._core.kernel import end_with_parent, show_to_user
from .._core.masking import learn
from .._core.processes import prepare_each
from .._core.run_as import User, become_user
from .._core.secrets import mask_for
from .._engines.interface import Engine
from .._engines.parts import find_rehearser, find_write_tracker
from .._engines.registry import build_engine
from .._journal.events import Journal
from .env_messages import collect_step_facts, process_ended, split_error, unpack_written_rows
from .environment import Environment
from .interrupted import Interrupted
from .own_commits import OwnCommits
from .step import Step, Watcher

if TYPE_CHECKING:
    import socket

    from sqlalchemy.engine import Connection


def serve_parent(connection: socket.socket) -> None:
    """Serve until the other side has ended."""
    process = _EnvProcess()
    process.channel = Channel(connection, process.list_handlers(), split_error)
    process.channel.serve()


class _EnvProcess:
    """One database's env.py."""

    channel: Channel
    environment: Environment

    def __init__(self) -> None:
        self.connection: Connection | None = None

    def list_handlers(self) -> dict[str, Callable[..., Any]]:
        """Return what the other side may call."""
        return {
            "start": self._start,
            "read_streams": lambda: [asdict(stream) for stream in self.environment.read_streams()],
            "plan_unborn": lambda: [asdict(stream) for stream in self.environment.plan_unborn()],
            "upgrade": self._upgrade,
            "downgrade": self._downgrade,
            "compare_models": self._compare_models,
            "can_be_undone": self._of_environment("can_be_undone"),
            "list_applied": lambda heads: sorted(self.environment.list_applied(tuple(heads))),
            "list_applied_below": lambda heads: sorted(self.environment.list_applied_below(heads)),
            "has_revision": self._of_environment("has_revision"),
            "hash_revision": self._of_environment("hash_revision"),
            "list_outside": lambda: list(self.environment.locations.list_outside()),
            "may_be_named_by_env": lambda: bool(self.environment.locations.may_be_named_by_env()),
            "read_fingerprint": lambda leave_out: self._engine.read_fingerprint(
                self._get_connection(), frozenset(leave_out)
            ),
            "read_contents": self._read_contents,
            "find_final_writes": self._find_final_writes,
            "read_version_there": lambda: int(self._engine.read_version_there()),
            "close_env_connections": self._close_opened,
        }

    def _of_environment(self, name: str) -> Callable[[str], Any]:
        def call(revision: str) -> Any:
            return getattr(self.environment, name)(revision)

        return call

    def _close_opened(self) -> None:
        self._engine.close_opened()

    @property
    def _engine(self) -> Engine:
        return self.environment.engine

    def _get_connection(self) -> Connection:
        if self.connection is None:
            raise Refused("env.py has no connection yet", remedy=REPORT_IT, code=CRASHED)
        return self.connection

    def _start(
        self, entry: dict[str, Any], options: dict[str, Any], user: dict[str, Any] | None, counts: bool | None
    ) -> None:
        end_with_parent()
        prepare_each(lambda item: item)
        learn(functools.partial(mask_for, {"databases": [entry]}))
        database, job = Database.from_options(entry), Job.from_options(options["verb"], options)
        if user:
            become_user(User.from_facts(user))
            end_with_parent()  # a process that becomes another user is taken off this list
            show_to_user(True)  # it has nothing that this user may not have, and reads its own /proc
            _check_readable(job, user["name"])
        engine = build_engine(database, job)
        engine.report_writes_to(self)
        outside = None if counts is None else OwnCommits(engine, _JournalThere(self.channel), since_backup=counts)
        self.environment = Environment(database, job, engine, outside)

    def report_write_start(self, version: int) -> None:
        """Report that env.py's connection is about to write, with the version of the file that it sees."""
        self.channel.call("report_write_start", self._engine.collect_facts_there(), version)

    def compare_versions(self) -> None:
        """Have the other side compare what both connections see."""
        self.channel.call("compare_versions", self._engine.collect_facts_there())

    def _upgrade(self, only: dict[str, list[str]] | None, counts: bool | None) -> dict[str, Any]:
        self._count_outside(counts)
        return self._migrate(lambda watcher: self.environment.upgrade(watcher, only))

    def _downgrade(self, committed: dict[str, list[str]], counts: bool | None) -> dict[str, Any]:
        self._count_outside(counts)
        return self._migrate(lambda watcher: self.environment.downgrade(committed, watcher))

    def _count_outside(self, counts: bool | None) -> None:
        if counts and self.environment.outside:
            self.environment.outside.start(_JournalThere(self.channel))

    def _migrate(self, run: Callable[[Watcher], list[Step]]) -> dict[str, Any]:
        """Run in a process of its own: modules of an application may not survive a second run of env.py.

        Raises:
            Answered: that process did.
            Failed: it ended before.
        """
        self._engine.prepare_fork()
        has_answered, answered = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                end_with_parent()
                self._engine.handle_fork()
                self.channel.answer(self._run_steps(run))
                os.write(answered, b"1")
            except BaseException:  # noqa: BLE001 - the process that waits says that this one has ended
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(answered)
        _pid, status = os.waitpid(pid, 0)
        with open(has_answered, "rb", buffering=0) as pipe:
            # What env.py has started may have the other end open still.
            os.set_blocking(has_answered, False)
            byte = pipe.read(1)
        if not byte:
            code = os.waitstatus_to_exitcode(status)
            how = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
            raise process_ended(self.environment.database.name, how)
        raise Answered

    def _run_steps(self, run: Callable[[Watcher], list[Step]]) -> dict[str, Any]:
        watcher = _Reporter(self)
        answer: dict[str, Any] = {"interrupted": False, "cause": None}
        is_copy = self.environment.job.verb == "rehearse"
        kept = self._engine.restrict_changes() if is_copy else nullcontext()
        with self._engine.watch_connections(), kept:
            try:
                run(watcher)
            except Interrupted as interruption:
                cause = self._engine.explain_error(interruption.cause) if interruption.cause else None
                answer = {"interrupted": True, "cause": self.channel.collect_error_facts(cause) if cause else None}
        answer["in_transaction_of_env"] = self.environment.in_transaction_of_env
        answer["steps"] = [[number, collect_step_facts(step)] for number, step in enumerate(watcher.steps)]
        answer["facts"] = self._engine.collect_facts_there()
        return answer

    def _compare_models(self) -> list[str] | None:
        with self._engine.watch_connections():
            return self.environment.compare_models()

    def _read_contents(self, leave_out: list[str], in_full: bool) -> dict[str, Any]:
        found = find_rehearser(self._engine).read_contents(self._get_connection(), frozenset(leave_out), in_full)
        return {table: [content.rows, content.digest, content.columns] for table, content in found.items()}

    def _find_final_writes(self, written_rows: dict[str, Any]) -> list[Any]:
        writes = find_write_tracker(self._engine).find_final_writes(
            self._get_connection(), unpack_written_rows(written_rows)
        )
        return [writes.tables, writes.unknown]


class _JournalThere(Journal):
    """The journal of the other process, for what env.py commits outside of revisions."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(Path(os.devnull), "")
        self._channel = channel

    def write(self, event: str, **facts: Any) -> None:
        replaced = {"replaced": list(facts["replaced"])} if "replaced" in facts else {}
        self._channel.call(event, {**facts, **replaced})


class _Reporter(Watcher):
    """Reports everything to the other side before it goes on."""

    wants_rows_of_savepoints = True

    def __init__(self, process: _EnvProcess) -> None:
        self._process = process
        self.steps: list[Step] = []

    def on_connection(self, connection: Connection) -> None:
        self._process.connection = connection
        self._report("on_connection")

    def on_begin(self, step: Step, number: int, count: int) -> None:
        self.steps.append(step)
        step.began = float(self._report("on_begin", step, number, count))

    def on_begin_revision(self) -> None:
        self._report("on_begin_revision")

    def on_ran(self, step: Step) -> None:
        self._report("on_ran", step)

    def on_failed(self, step: Step) -> None:
        self._report("on_failed", step)

    def on_left(self, step: Step) -> None:
        self._report("on_left", step)

    def on_early_commit(self, step: Step) -> None:
        self._report("on_early_commit", step)

    def on_early_write(self, step: Step) -> None:
        self._report("on_early_write", step)

    def on_unseen_write(self, step: Step, reason: str) -> None:
        self._report("on_unseen_write", step, reason)

    def on_define(self, step: Step, held: dict[str, list[str]]) -> None:
        self._report("on_define", step, held)

    def on_execute(self, step: Step, statement: str) -> None:
        self._report("on_execute", step, statement)

    def _report(self, event: str, step: Step | None = None, *more: Any) -> Any:
        number = next((number for number, known in enumerate(self.steps) if known is step), None)
        facts = collect_step_facts(step) if step else None
        return self._process.channel.call(event, self._process._engine.collect_facts_there(), number, facts, *more)


def _check_readable(job: Job, user: str) -> None:
    """Make sure that the release and its virtualenv can be read by the user that runs them.

    Raises:
        Refused: one cannot.
    """
    source = job.layout.release(job.release) / "source"
    library = Path(getattr(sys.modules.get("alembic"), "__file__", None) or sys.prefix).parent
    for path in (source, Path(sys.prefix), library, Path(os.__file__).parent):
        try:
            os.listdir(path)
        except OSError as error:
            raise Refused(
                f"The user {user!r} cannot read what it is to run",
                f"{path}: {error.strerror}",
                "Let it read that folder and pass those above it (chmod o+rx), or set migrate_run_as to another user",
                code="run-as-cannot-read",
            ) from error
