# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check that all of an archive is in a new database: rows, large objects and positions of sequences.

A table that was just filled by one COPY is read in the order in which it was written. So the text of its rows has the
checksum that the archive keeps of them, which is read without unpacking them. Where it has another one, or the archive
keeps none, the two texts are compared as they are, in large pieces; and only where these differ are the rows compared
in whatever order they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..._core.errors import ANOTHER_BACKUP, Failed
from ..interface import Report
from . import client_tools
from .archived_checksums import AFTER_ROWS, ArchivedRows, Checksum, read_archived_rows, select_half
from .arrival import refuse_what_did_not_arrive
from .content import Contents, list_differing_objects, stream_output
from .psql import Contents as Listing
from .psql import use_list

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_PIECE = 1 << 20
#: Bytes in the archive.
_WORTH_TWO_SESSIONS = 8 << 20
_END = b"\\.\n"
COPY = b"COPY "
_STDIN = b" FROM stdin;\n"
_KEPT = re.compile(rb"^SELECT pg_catalog\.(?:setval|lo_open|lowrite)\(")
_ROWS = ["TABLE DATA"]
_OTHERS = ["SEQUENCE SET", "BLOBS", "BLOB DATA"]

#: Reads rows until their end, and returns what they are compared by and what was read beyond it.
RowsReader = Callable[[IO[bytes], bytes], "tuple[Any, bytes]"]


class RestoredContent:
    """One comparison of an archive with the database that it was restored into."""

    def __init__(self, found: client_tools.Tools, archive: Path, url: URL, application: str, report: Report) -> None:
        self._archive = archive
        self._programs = found.folder
        self._url = url
        self._application = application
        self._report = report

    def refuse_differences(self, contents: Listing, folder: Path, name: str) -> None:
        """Compare, and fail where something did not arrive.

        Args:
            contents: the archive's.
            folder: for a list of its entries.
            name: of the database, for people.

        Raises:
            Failed: it is not the same.
        """
        lines = contents.select_lines([*_ROWS, *_OTHERS])
        if not lines:
            return
        self._report("compares what was restored with the backup")
        chosen = use_list(folder, "data", lines)
        now = [str(self._programs / "pg_dump"), "--data-only", "--no-password"]
        now.append(f"--dbname={client_tools.build_conninfo(self._url)}")
        if self._has_checksums(contents, folder, now) or self._has_texts(chosen, now):
            return
        with self._open_archive(chosen) as old, self._open_dump([*now, "--blobs"]) as new:
            differing = _list_differences(self._read(old), self._read(new))
        refuse_what_did_not_arrive(name, differing)

    def _has_checksums(self, contents: Listing, folder: Path, now: list[str]) -> bool:
        """Return whether rows have the archive's checksums, and all else its text; False where it has no checksums."""
        rows = read_archived_rows(self._archive, contents.select_lines(_ROWS))
        if rows is None:
            return False
        expected = {statement: each.checksum for statement, each in rows.items()}
        others = contents.select_lines(_OTHERS)
        rest: dict[bytes, Any] = {b"": _hash_lines([])}
        if others:
            with self._open_archive(use_list(folder, "others", others)) as old:
                rest = hash_script(old)
        try:
            return self._read_checksums(now, rows.values()) == {**expected, **rest}
        except Failed:  # pg_dump finds none of the tables that it is to dump; the texts show what differs
            return False

    def _read_checksums(self, now: list[str], rows: Collection[ArchivedRows]) -> dict[bytes, Any]:
        """Return what the database prints, all but the rows as their digest; read by two sessions where it is large."""
        chosen = select_half(rows) if sum(each.size for each in rows) > _WORTH_TWO_SESSIONS else []
        with self._open_dump([*now, "--blobs", *(f"--exclude-table-data={name}" for name in chosen)]) as first:
            if not chosen:
                return hash_script(first, compute_rows_checksum)
            with (
                self._open_dump([*now, *(f"--table={name}" for name in chosen)]) as second,
                ThreadPoolExecutor(1) as pool,
            ):
                later = pool.submit(hash_script, second, compute_rows_checksum)
                found = hash_script(first, compute_rows_checksum)
                # Of sequences and large objects the first one has all.
                return {**later.result(), **found}

    def _has_texts(self, chosen: Path, now: list[str]) -> bool:
        """Return whether the archive and the database print the same rows in the same order, and all else too."""
        # Both are read at the same time: the archive is unpacked by one core while the server prints with another.
        with (
            self._open_archive(chosen) as old,
            self._open_dump([*now, "--blobs"]) as new,
            ThreadPoolExecutor(1) as other,
        ):
            archived = other.submit(hash_script, old)
            restored = hash_script(new)
            return archived.result() == restored

    def _open_archive(self, chosen: Path) -> AbstractContextManager[IO[bytes]]:
        command = [str(self._programs / "pg_restore"), f"--use-list={chosen}", "--file=-", str(self._archive)]
        return stream_output(command, client_tools.build_plain_environment())

    def _open_dump(self, command: list[str]) -> AbstractContextManager[IO[bytes]]:
        return stream_output(command, client_tools.build_environment(self._url, self._application))

    def _read(self, stream: IO[bytes]) -> Contents:
        found = Contents()
        found.read(stream, self._report)
        return found


def hash_script(stream: IO[bytes], read_rows: RowsReader | None = None) -> dict[bytes, Any]:
    """Return a digest of the rows below each COPY of a script, and one of its large objects and sequences."""
    found: dict[bytes, Any] = {}
    others: list[bytes] = []
    rest = b""
    while True:
        line, rest = read_line(stream, rest)
        if not line:
            found[b""] = _hash_lines(others)
            return found
        if line.startswith(COPY):
            line, rest = read_statement(line, stream, rest)
            found[line], rest = (read_rows or hash_rows)(stream, rest)
        elif _KEPT.match(line):
            others.append(hashlib.sha256(line).digest())


def _hash_lines(others: list[bytes]) -> bytes:
    return hashlib.sha256(b"".join(sorted(others))).digest()


def read_statement(line: bytes, stream: IO[bytes], rest: bytes) -> tuple[bytes, bytes]:
    """Return a COPY statement from its first line on, which a name may contain the end of, and what is beyond it."""
    while not line.endswith(_STDIN):
        more, rest = read_line(stream, rest)
        if not more:
            raise _build_no_end_error()
        line += more
    return line, rest


def read_line(stream: IO[bytes], rest: bytes) -> tuple[bytes, bytes]:
    """Return the next line, and what was read beyond it."""
    parts = [rest]
    while b"\n" not in parts[-1]:
        piece = stream.read(_PIECE)
        if not piece:
            return b"".join(parts), b""
        parts.append(piece)
    line, end, rest = b"".join(parts).partition(b"\n")
    return line + end, rest


def build_digest() -> hashlib._Hash:
    """Return the digest that all rows are compared by."""
    return hashlib.sha256()


def hash_rows(stream: IO[bytes], rest: bytes) -> tuple[bytes, bytes]:
    """Return the digest of the rows until their end, and what was read beyond it."""
    digest = build_digest()
    text = b"\n" + rest  # the end of no rows is at the beginning of a line too
    while True:
        end = text.find(b"\n" + _END)
        if end >= 0:
            digest.update(text[:end])
            return digest.digest(), text[end + 1 + len(_END) :]
        # The end may lie on both sides of a piece's.
        keep = len(_END)
        digest.update(text[:-keep])
        piece = stream.read(_PIECE)
        if not piece:
            raise _build_no_end_error()
        text = text[-keep:] + piece


def compute_rows_checksum(stream: IO[bytes], rest: bytes) -> tuple[Checksum, bytes]:
    """Return the checksum that a file with the rows until their end would have, and what was read beyond it."""
    found = Checksum()
    # Of this the first byte has been counted.
    text = b"\n" + rest
    while True:
        # To search for one byte is much faster, and most texts have none like it.
        end = text.find(b"\n" + _END) if b"\\" in text else -1
        if end >= 0:
            return found.with_text(text[1 : end + 1] + AFTER_ROWS), text[end + 1 + len(_END) :]
        # The end may lie on both sides of a piece's.
        counted = max(len(text) - 1 - len(_END), 0)
        found = found.with_text(memoryview(text)[1 : counted + 1])
        piece = stream.read(_PIECE)
        if not piece:
            raise _build_no_end_error()
        text = text[counted:] + piece


def _build_no_end_error() -> Failed:
    return Failed("A dump cannot be read", "its rows have no end", ANOTHER_BACKUP, code="dump-unreadable")


def _list_differences(old: Contents, new: Contents) -> list[str]:
    found = []
    for table in sorted({*old.tables, *new.tables}):
        was, here = old.tables.get(table), new.tables.get(table)
        if was != here and ((was and was.rows) or (here and here.rows)):
            counts = f"{was.rows if was else 'no'} rows in the backup, {here.rows if here else 'no'} restored"
            found.append(f"rows of table {table} differ ({counts})")
    found += list_differing_objects(old.large_objects, new.large_objects)
    positions = {name for name, _at in set(old.sequences.items()) ^ set(new.sequences.items())}
    return found + [f"sequence {name} differs" for name in sorted(positions)]
