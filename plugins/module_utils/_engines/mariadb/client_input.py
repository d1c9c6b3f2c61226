# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client programs at work on a restore: they understand what mariadb-dump writes, byte for byte."""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from ..._core.errors import CORRECT_IT, REPLACED_NOTHING, Failed
from ..connection import describe_error
from .backup import dump_options
from .catalog import INVALID_VIEWS, TABLES
from .client_tools import find_required_tool, run_tool
from .dump_waits import DumpWaits
from .lock_attempts import retry_until_locked
from .places import leave_out_ours
from .session import round_lock_timeout
from .session_counters import LAST_OF_CLIENT, Counts, read_counts

if TYPE_CHECKING:
    from .session import MariaDBSession

T = TypeVar("T")

#: Comments in the body of a trigger stay, and no byte is taken for a command or for the end of a line.
EXACTLY = ("--comments", "--binary-mode", "--batch", "--default-character-set=utf8mb4", "--max-allowed-packet=1G")
#: What is old may be larger than new rows may be, or contradict a check that was not enforced when it was written.
SETTINGS = "set session innodb_strict_mode = 0, check_constraint_checks = 0"
_LOCK_TIMEOUT = re.compile(r"ERROR (?:1205|1213) ")
_DEFINITIONS = (
    "--no-data",
    "--skip-lock-tables",
    "--routines",
    "--triggers",
    "--events",
    "--skip-dump-date",
    "--no-tablespaces",
    "--default-character-set=utf8mb4",
)


def feed(
    engine: MariaDBSession,
    schema: str,
    lines: Iterable[bytes],
    lock_timeout: float | None = None,
    printed_lines: list[str] | None = None,
) -> Counts:
    """Execute the lines of a script in a schema, and return what the client has written; it ends at the first error.

    Args:
        engine: of the database.
        schema: the one that the client uses.
        lines: of the script.
        lock_timeout: seconds that a statement waits for a lock, else ``lock_wait``; it is never the server's day.
        printed_lines: gets what its statements print.

    Raises:
        Failed: a statement failed, or not all lines could be read.
    """
    tool = find_required_tool("client", engine.database.name)
    reading, writing = os.pipe()
    seconds = round_lock_timeout(engine.job.lock_wait if lock_timeout is None else lock_timeout)
    limits = f"set session lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds};\n"
    feeder = _Feeder(writing, itertools.chain([limits.encode()], lines))
    try:
        with os.fdopen(reading, "rb") as source:
            feeder.start()
            printed = run_tool(tool, [*EXACTLY, f"--database={schema}"], engine.url, engine.driver, source=source)
    except Failed as failure:
        feeder.join()
        feeder.refuse_error(schema)
        raise Failed(f"The client failed in {schema}", failure.why, CORRECT_IT, code=REPLACED_NOTHING) from failure
    finally:
        feeder.join()
    feeder.refuse_error(schema)
    if printed_lines is not None:
        printed_lines += printed.splitlines()
    rows = [line.split("\t") for line in printed.splitlines()]
    answers = [row for row in rows if len(row) == 2 and row[1].isdigit()]
    if not answers:
        why = "it ended without an error, and did not execute its last statement"
        raise Failed(f"The client failed in {schema}", why, CORRECT_IT, code=REPLACED_NOTHING)
    return read_counts(answers)


def feed_piece(engine: MariaDBSession, schema: str, piece: bytes) -> None:
    """Execute what may be executed twice: with short waits for locks, again and again until ``lock_wait`` is over.

    Raises:
        Failed: a statement failed.
    """
    retry_until_locked(
        engine.job.lock_wait, lambda: feed(engine, schema, [piece], engine.job.lock_timeout), is_lock_failure
    )


def is_lock_failure(error: Exception) -> bool:
    """Return whether a client failed because a statement did not get its lock."""
    return isinstance(error, Failed) and _LOCK_TIMEOUT.search(error.why) is not None


class _Feeder(threading.Thread):
    """Writes lines into the pipe that a client reads."""

    def __init__(self, descriptor: int, lines: Iterable[bytes]) -> None:
        super().__init__(daemon=True)
        self._descriptor = descriptor
        self._lines = lines
        self._error: BaseException | None = None

    def run(self) -> None:
        """Write all lines; for a client an error is the end of its input."""
        # Where the client ends before its input does, its own words say why.
        with suppress(BrokenPipeError), os.fdopen(self._descriptor, "wb") as sink:
            try:
                sink.write(f"{SETTINGS};\n".encode())
                sink.writelines(self._lines)
                sink.write(LAST_OF_CLIENT)
            except BrokenPipeError:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever it is, the thread that waits raises it
                self._error = error

    def refuse_error(self, schema: str) -> None:
        """Raise what went wrong.

        Raises:
            Failed: not all lines could be read.
        """
        if self._error is not None:
            raise Failed(
                f"What is executed in {schema} could not be read",
                describe_error(self._error),
                CORRECT_IT,
                code=REPLACED_NOTHING,
            ) from self._error


def read_invalid_views(engine: MariaDBSession) -> list[str]:
    """Return the views of which a table or a column is gone: mariadb-dump stops at them."""
    return [str(name) for (name,) in engine.open_own_connection().query_rows(INVALID_VIEWS)]


def leave_out_invalid_views(engine: MariaDBSession) -> list[str]:
    """Return the options that let mariadb-dump go past such views."""
    return [f"--ignore-table={engine.name_on_server}.{name}" for name in read_invalid_views(engine)]


def read_definition_lines(engine: MariaDBSession) -> list[bytes]:
    """Return the lines of a dump of a database without its rows, and without views of which something is gone.

    Raises:
        Failed: it could not be dumped.
    """
    tool = find_required_tool("dump", engine.database.name)
    ours = leave_out_ours(engine.open_own_connection(), engine.name_on_server)
    words = [*_DEFINITIONS, *ours, *leave_out_invalid_views(engine), "--", engine.name_on_server]
    printed = run_tool(tool, words, engine.url, engine.driver, report=DumpWaits(engine))
    return printed.encode("utf-8", "surrogateescape").splitlines(keepends=True)


def read_dump_of_now(engine: MariaDBSession, read: Callable[[Iterable[bytes]], T]) -> T:
    """Dump the database as a backup does, and return what is read of the dump's lines; none of it is on a disk.

    Raises:
        Failed: it could not be dumped.
    """
    tool = find_required_tool("dump", engine.database.name)
    kinds = {str(kind) for _name, kind, _engine in engine.open_own_connection().query_rows(TABLES)}
    answers: list[T] = []
    reading, writing = os.pipe()

    def take() -> None:
        with os.fdopen(reading, "rb") as lines:
            answers.append(read(lines))

    reader = threading.Thread(target=take, daemon=True)
    try:
        with os.fdopen(writing, "wb") as output:
            reader.start()
            ours = leave_out_ours(engine.open_own_connection(), engine.name_on_server)
            words = [*dump_options(kinds), *ours, "--", engine.name_on_server]
            run_tool(tool, words, engine.url, engine.driver, output=output, report=DumpWaits(engine))
    finally:
        reader.join()
    if not answers:
        raise Failed(f"The dump of {engine.name_on_server} could not be read", remedy=CORRECT_IT, code=REPLACED_NOTHING)
    return answers[0]
