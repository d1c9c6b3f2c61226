# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""psql, which gets its input piece by piece, and archives of pg_dump read entry by entry."""

from __future__ import annotations

import os
import re
import secrets
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import IO, TYPE_CHECKING

from ..._core.errors import ANOTHER_BACKUP, Failed
from ..._core.processes import has_ended
from ..interface import Report
from . import client_tools
from .scope import build_scope_setting
from .service_file import hand_over_variables

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_STATE = re.compile(r"^(?:psql:\S+ )?(?:ERROR|FATAL):  (\w{5}): (.*)$", re.MULTILINE)
_CONNECTS = re.compile(r'^\\(connect -reuse-previous=on "dbname=.*"|connect \S+|(un)?restrict \w+|encoding \w+)$')
#: The kinds of entries that begin with another kind's words, the longer ones first.
_ENTRY = re.compile(r"^\d+; \d+ \d+ (.*)$")


_PIECE = 1 << 20
#: What pg_restore of 17 and newer says first, and what older servers do not understand.
TRANSACTION_TIMEOUT = b"SET transaction_timeout = 0;\n"
#: What every pg_restore says besides, so that it waits for every lock.
LOCK_TIMEOUT = b"SET lock_timeout = 0;\n"
#: What every pg_restore says then. Names in an archive have their schemas; those in the body of a function need not.
SEARCH_PATH = b"SELECT pg_catalog.set_config('search_path', '', false);\n"


class PsqlError(Failed):
    """A statement failed, and with it the transaction."""

    def __init__(self, words: str) -> None:
        found = _STATE.findall(words)
        self.sqlstate = found[0][0] if found else ""
        why = found[0][1] if found else words.strip()[-500:]
        super().__init__("The server refused a step of the restore", why, code="restore-failed")


class Psql:
    """A session whose transaction is rolled back by the server unless a commit was sent.

    ``encoding`` is what it speaks with the server, by a name that PostgreSQL and Python share. What an archive holds
    is in its own, which it says itself; here it passes through as it is.
    """

    def __init__(
        self, found: client_tools.Tools, url: URL, application: str, encoding: str = "UTF8", schema: str = ""
    ) -> None:
        self._encoding = encoding
        self._schema = schema
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the session
        variables = {**client_tools.build_environment(url, application), "PGCLIENTENCODING": encoding}
        with hand_over_variables(variables) as handed:
            self._process = subprocess.Popen(
                [
                    str(found.folder / "psql"), "--no-psqlrc", "--quiet", "--no-align", "--tuples-only",
                    "--no-password", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose",
                    f"--dbname={client_tools.build_conninfo(url)}",
                ],
                **handed,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                umask=0o077,
            )  # fmt: skip
        self._lines: Queue[str | None] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.write(f"{build_scope_setting(schema)}\n".encode(encoding, "surrogateescape"))

    def reset(self) -> None:
        """Have it forget all settings but the schema that it works for.

        Raises:
            PsqlError: it has ended.
        """
        self.execute(f"reset all;\n{build_scope_setting(self._schema)}")

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line.decode(self._encoding, "replace").rstrip("\n"))
        self._lines.put(None)

    @property
    def stdin(self) -> IO[bytes]:
        """Return where it reads from."""
        if self._process.stdin is None:
            raise PsqlError("psql has no standard input")
        return self._process.stdin

    def execute(self, script: str, report: Report | None = None, doing: str = "") -> list[str]:
        """Have SQL executed and return the lines it printed.

        Raises:
            PsqlError: a statement failed.
        """
        mark = secrets.token_hex(16)
        begun = time.monotonic()
        try:
            self.stdin.write(f"{script}\n\\echo {mark}\n".encode(self._encoding, "surrogateescape"))
            self.stdin.flush()
        except OSError as error:
            raise PsqlError(self.read_errors()) from error
        lines: list[str] = []
        while True:
            try:
                line = self._lines.get(timeout=0.5)
            except Empty:
                if report and doing:
                    report(f"{doing} for {time.monotonic() - begun:.0f} s")
                continue
            if line is None:
                raise PsqlError(self.read_errors())
            if line == mark:
                return lines
            lines.append(line)

    def copy_out(self, statement: bytes, folder: Path) -> Iterator[bytes]:
        """Yield what a COPY TO STDOUT prints, piece by piece; it waits while its output is not read.

        Raises:
            PsqlError: it has ended.
        """
        path = folder / "copied"
        os.mkfifo(path, 0o600)
        # Opened before psql opens it, and without waiting for that.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self.write(f"\\o '{path}'\n".encode() + statement + b"\\o\n")
            self.stdin.flush()
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            while True:
                if not waiting.poll(500):
                    if self._process.poll() is not None:
                        raise PsqlError(self.read_errors())
                    continue
                piece = os.read(descriptor, _PIECE)
                if not piece:
                    return
                yield piece
        finally:
            os.close(descriptor)
            path.unlink()

    def write(self, line: bytes) -> None:
        """Have one line of a script executed without reading what it prints.

        Raises:
            PsqlError: it has ended already.
        """
        try:
            self.stdin.write(line)
        except OSError as error:
            raise PsqlError(self.read_errors()) from error

    def replay(self, command: list[str], report: Report, header: dict[bytes, bytes] | None = None) -> None:
        """Feed it what a command prints, with lines replaced in what comes before the first entry of an archive.

        Raises:
            Failed: the command failed, or what it printed.
        """
        begun = time.monotonic()
        with tempfile.TemporaryFile() as errors:
            filtered = subprocess.PIPE if header else self.stdin
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=filtered,
                stderr=errors,
                env=client_tools.build_plain_environment(),
            )
            try:
                if process.stdout is not None:
                    self._pass_on(process.stdout, header or {})
                while not has_ended(process, 0.5):
                    report(f"replays the dump for {time.monotonic() - begun:.0f} s")
            except BaseException:
                process.kill()
                process.wait()
                raise
            if process.returncode:
                if self._has_ended():
                    raise PsqlError(self.read_errors())
                errors.seek(0)
                raise Failed(
                    "The dump cannot be read",
                    errors.read().decode(errors="replace").strip()[-500:],
                    ANOTHER_BACKUP,
                    code="dump-unreadable",
                )

    def _pass_on(self, source: IO[bytes], header: dict[bytes, bytes]) -> None:
        """Pass a script on; from the first entry on no output is read, which may be a customer's own text."""
        with source, suppress(BrokenPipeError):  # it has ended, and says why
            for line in source:
                self.stdin.write(header.get(line, line))
                if line.startswith(b"-- Name: "):
                    break
            shutil.copyfileobj(source, self.stdin, 1 << 20)
            self.stdin.flush()

    def _has_ended(self) -> bool:
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            return False
        return True

    def read_errors(self) -> str:
        """Return its standard error."""
        self._has_ended()
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def read_refusals(self) -> list[tuple[str, str]]:
        """Return the errors so far, as SQLSTATE and words, where statements were allowed to fail."""
        self._errors.seek(0)
        return list(_STATE.findall(self._errors.read().decode(errors="replace")))

    def close(self) -> None:
        """End it; what was not committed is gone."""
        self._process.kill()
        self._process.wait()
        self._reader.join(5)
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            try:
                if stream:
                    stream.close()
            except OSError:  # what it did not read any more
                continue

    def __enter__(self) -> Psql:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Contents:
    """An archive's table of contents, line by line as pg_restore prints and takes it."""

    lines: list[str]

    @classmethod
    def of(cls, found: client_tools.Tools, dump: Path, report: Report) -> Contents:
        """Read the contents, those of the database itself included.

        Raises:
            Failed: it cannot be read.
        """
        command = [str(found.folder / "pg_restore"), "--list", "--create", str(dump)]
        listing = client_tools.run_tool(command, client_tools.build_plain_environment(), dump, report)
        # A name may hold what else Python takes for the end of a line, and after it what looks like an entry.
        return cls([line for line in listing.split("\n") if _ENTRY.match(line)])

    def select_lines(self, kinds: Iterable[str]) -> list[str]:
        """Return the lines of entries that begin with one of some kinds."""
        return [line for line in self.lines if _is_of_kind(line, kinds)]

    def select_other_lines(self, kinds: Iterable[str]) -> list[str]:
        """Return the lines of all other entries."""
        return [line for line in self.lines if not _is_of_kind(line, kinds)]

    def has(self, kind: str) -> bool:
        """Return whether there is an entry that begins so."""
        return bool(self.select_lines([kind]))

    @property
    def extensions(self) -> list[str]:
        """Return the names of the extensions in it."""
        return [line.partition("EXTENSION - ")[2].strip() for line in self.select_lines(["EXTENSION -"])]

    def find_owner(self, database: str) -> str:
        """Return whose the database was."""
        for line in self.select_lines([f"DATABASE - {database}"]):
            return line.partition(f"DATABASE - {database} ")[2]
        return ""


def _is_of_kind(line: str, kinds: Iterable[str]) -> bool:
    entry = _ENTRY.match(line)
    return bool(entry) and any(f"{entry[1]} ".startswith(f"{kind} ") for kind in kinds)  # type: ignore[index]


def use_list(folder: Path, name: str, lines: list[str]) -> Path:
    """Write a list of entries for pg_restore."""
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")
    return path


def read_database_facts(found: client_tools.Tools, dump: Path, contents: Contents, folder: Path, report: Report) -> str:
    """Return the statements that give a database its settings, privileges and comment, from its own archive."""
    lines = contents.select_lines(
        ["DATABASE PROPERTIES -", "ACL - DATABASE", "COMMENT - DATABASE", "SECURITY LABEL - DATABASE"]
    )
    if not lines:
        return ""
    chosen = use_list(folder, "facts", lines)
    command = [str(found.folder / "pg_restore"), "--create", f"--use-list={chosen}", "--file=-", str(dump)]
    script = client_tools.run_tool(command, client_tools.build_plain_environment(), dump, report)
    # It begins by making the database, chosen or not, and connects to it more than once.
    printed = script.split("\n")
    begin = next((number for number, line in enumerate(printed) if line.startswith("\\connect ")), len(printed))
    return "\n".join(line for line in printed[begin:] if not _CONNECTS.match(line))
