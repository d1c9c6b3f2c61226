# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The content of tables and large objects as pg_dump and pg_restore print it, as digests in bounded memory."""

from __future__ import annotations

import fcntl
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO

from ..._core.errors import CORRECT_IT, Failed
from ..interface import Report
from .service_file import hand_over_variables

_COPY = re.compile(rb"^COPY (?P<table>.+?) \((?P<columns>.*)\) FROM stdin;$", re.DOTALL)
_COPY_NOTHING = re.compile(rb"^COPY (?P<table>.+?)  ?FROM stdin;$", re.DOTALL)
#: A name may contain the end of a line.
_BEGUN = re.compile(rb"^COPY (?!.* FROM stdin;$)", re.DOTALL)
_LARGE = re.compile(rb"^SELECT pg_catalog\.lo_open\('(\d+)',")
_LARGE_DATA = re.compile(rb"^SELECT pg_catalog\.lowrite\(0, '\\x([0-9a-f]*)'\);$")
_LARGE_MADE = re.compile(rb"^(?:SELECT pg_catalog\.lo_create|ALTER LARGE OBJECT|COMMENT ON LARGE OBJECT|GRANT|REVOKE)")
_SETVAL = re.compile(rb"^SELECT pg_catalog\.setval\('(.*)', (-?\d+), (true|false)\);$")
_COLUMN = re.compile(rb'"(?:[^"]|"")*"|[^, ]+')
_REPORT_EVERY = 1 << 18
#: Of Linux; Python has a name for it since 3.10.
_SET_PIPE_SIZE = 1031
_PIPE_BYTES = 1 << 20


@dataclass
class TableContent:
    """The rows of one table, whatever their order: how many, and the sum of their digests."""

    columns: list[bytes]
    rows: int = 0
    total: int = 0

    def add(self, line: bytes, order: list[int]) -> None:
        """Add one row of COPY's text, its fields in the order of the columns' names."""
        if order:
            fields = line.split(b"\t")
            line = b"\t".join([fields[place] for place in order])
        self.rows += 1
        self.total += int.from_bytes(hashlib.blake2b(line, digest_size=16).digest(), "big")


def list_differing_objects(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return in words the large objects that are not on both sides with one digest, by their numbers."""
    numbers = {number for number, _digest in set(one.items()) ^ set(other.items())}
    return [f"large object {number} differs" for number in sorted(numbers, key=int)]


@dataclass
class Contents:
    """The content of a script of data."""

    tables: dict[str, TableContent] = field(default_factory=dict)
    #: Large objects by number, and the statements that make them.
    large_objects: dict[str, str] = field(default_factory=dict)
    made: set[bytes] = field(default_factory=set)
    #: The positions of sequences by name: the value, and whether it was given out.
    sequences: dict[str, tuple[int, bool]] = field(default_factory=dict)
    #: The only columns to read of a table, by its name; all of others.
    columns: dict[str, list[bytes]] = field(default_factory=dict)

    def read(self, lines: Iterable[bytes], report: Report) -> None:
        """Read a script."""
        stream = iter(lines)
        digests: dict[str, hashlib._Hash] = {}
        large = ""
        for line in stream:
            text = line.rstrip(b"\n")
            while _BEGUN.match(text) and (more := next(stream, b"")):
                text += b"\n" + more.rstrip(b"\n")
            copied = _COPY.match(text) or _COPY_NOTHING.match(text)
            opened, data, position = _LARGE.match(text), _LARGE_DATA.match(text), _SETVAL.match(text)
            if copied:
                self._read_rows(copied, stream, report)
            elif opened:
                large = opened[1].decode()
                digests.setdefault(large, hashlib.sha256())
            elif data:
                digests[large].update(bytes.fromhex(data[1].decode()))
            elif position:
                self.sequences[_decode_name(position[1]).replace("''", "'")] = int(position[2]), position[3] == b"true"
            elif _LARGE_MADE.match(text):
                self.made.add(text)
        self.large_objects.update({number: digest.hexdigest() for number, digest in digests.items()})

    def _read_rows(self, copied: re.Match[bytes], stream: Iterator[bytes], report: Report) -> None:
        columns = _COLUMN.findall(copied["columns"]) if "columns" in copied.groupdict() else []
        table = _decode_name(copied["table"])
        known = self.columns.get(table, columns)
        chosen = [place for place, column in enumerate(columns) if column in known]
        order = sorted(chosen, key=lambda place: columns[place])
        # The common case costs nothing: the columns are in the order of their names in both or in neither.
        content = self.tables.setdefault(table, TableContent([columns[place] for place in order]))
        plain = order == list(range(len(columns)))
        for line in stream:
            row = line.rstrip(b"\n")
            if row == b"\\.":
                return
            content.add(row, [] if plain else order)
            if not content.rows % _REPORT_EVERY:
                report(f"compares {table}, {content.rows:,} rows")


def _decode_name(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


def _start_command(command: list[str], variables: dict[str, str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    with hand_over_variables(variables) as handed:
        return subprocess.Popen(
            command, **handed, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, umask=0o077
        )


def _widen(stream: IO[bytes]) -> None:
    """Let a pipe hold more, so that both ends wait less for one another; it works as well without."""
    with suppress(OSError):
        fcntl.fcntl(stream, _SET_PIPE_SIZE, _PIPE_BYTES)


@contextmanager
def stream_output(command: list[str], variables: dict[str, str]) -> Iterator[IO[bytes]]:
    """Yield what a command prints.

    Raises:
        Failed: it ended with another code than 0; its own words are the reason.
    """
    with tempfile.TemporaryFile() as errors:
        process = _start_command(command, variables, errors)
        if process.stdout is None:
            raise TypeError("the process has no standard output")
        try:
            _widen(process.stdout)
            yield process.stdout
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()
        if code:
            errors.seek(0)
            words = errors.read().decode(errors="replace").strip()
            raise Failed(
                f"{command[0].rpartition('/')[2]} failed with exit code {code}",
                words[-500:],
                CORRECT_IT,
                code="client-program-failed",
            )
