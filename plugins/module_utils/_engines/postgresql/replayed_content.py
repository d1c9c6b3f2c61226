# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check that all of an archive was replayed, in the session that replays it, before the commit.

No other session sees the rows before that. So each table is copied out by the session itself and compared with the
archive's text, both in pieces; only where the texts differ are the rows compared in whatever order they are. All
tables are compared, however large: a restore costs more than reading what it has written.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from ..interface import Report
from . import client_tools
from .arrival import refuse_what_did_not_arrive
from .content import Contents, TableContent, list_differing_objects, stream_output
from .content_verification import COPY, build_digest, hash_rows, read_line, read_statement
from .psql import Contents as Listing
from .psql import use_list

if TYPE_CHECKING:
    from .psql import Psql

#: As pg_dump has them, so that the same value is printed in the same way.
_SETTINGS = b"""set datestyle = iso; set intervalstyle = postgres; set extra_float_digits = 3;
set synchronize_seqscans = off; set statement_timeout = 0;
"""
_ENCODING = b"SET client_encoding = "
_FROM, _TO = b" FROM stdin;\n", b" TO stdout;\n"
_LARGE_OBJECTS = """
select oid::text || ' ' || encode(sha256(lo_get(oid)), 'hex') from pg_largeobject_metadata order by oid;
"""
_AT_ONCE = 200


class ReplayedContent:
    """One comparison of an archive with what a session has replayed of it."""

    def __init__(self, psql: Psql, found: client_tools.Tools, archive: Path, folder: Path, report: Report) -> None:
        self._psql = psql
        self._restore = str(found.folder / "pg_restore")
        self._archive = archive
        self._folder = folder
        self._report = report

    def refuse_differences(self, lines: list[str], blobs: list[str], name: str) -> None:
        """Compare, and fail where something did not arrive.

        Args:
            lines: of the archive's table of contents, those that were replayed.
            blobs: those of large objects.
            name: of the database, for people.

        Raises:
            Failed: it is not the same; nothing is committed.
        """
        self._report("compares what was restored with the backup")
        listing = Listing(lines)
        rows, positions = listing.select_lines(["TABLE DATA"]), listing.select_lines(["SEQUENCE SET"])
        differing = self._compare_tables(rows) if rows else []
        differing += self._compare_sequences(self._read(positions)) if positions else []
        differing += self._compare_large_objects(self._read(blobs)) if blobs else []
        refuse_what_did_not_arrive(name, differing)

    def _build_command(self, lines: list[str]) -> list[str]:
        chosen = use_list(self._folder, "compared", lines)
        return [self._restore, f"--use-list={chosen}", "--file=-", str(self._archive)]

    def _read(self, lines: list[str]) -> Contents:
        found = Contents()
        with stream_output(self._build_command(lines), client_tools.build_plain_environment()) as stream:
            found.read(stream, self._report)
        return found

    def _compare_tables(self, lines: list[str]) -> list[str]:
        """Return the tables whose rows differ, in words."""
        differing: list[bytes] = []
        rest = b""
        with stream_output(self._build_command(lines), client_tools.build_plain_environment()) as stream:
            while True:
                line, rest = read_line(stream, rest)
                if not line:
                    break
                if line.startswith(_ENCODING):
                    self._psql.write(_SETTINGS + line)
                elif line.startswith(COPY):
                    line, rest = read_statement(line, stream, rest)
                    digest, rest = hash_rows(stream, rest)
                    if digest != _hash_rows(self._copy_out(line)):
                        differing.append(line)
        return self._compare_rows(lines, differing) if differing else []

    def _copy_out(self, line: bytes) -> Iterator[bytes]:
        return self._psql.copy_out(line[: -len(_FROM)] + _TO, self._folder)

    def _compare_rows(self, lines: list[str], differing: list[bytes]) -> list[str]:
        """Compare the rows of some tables in whatever order they are."""
        archived = self._read(lines)
        found = []
        for line in differing:
            now = Contents()
            now.read(chain(io.BytesIO(line), _split_lines(self._copy_out(line)), [b"\\.\n"]), self._report)
            for table, here in now.tables.items():
                was = archived.tables.get(table, TableContent([]))
                if (was.rows, was.total) != (here.rows, here.total):
                    found.append(f"rows of table {table} differ ({was.rows} in the backup, {here.rows} restored)")
        return found

    def _compare_sequences(self, archived: Contents) -> list[str]:
        found, names = [], sorted(archived.sequences)
        for start in range(0, len(names), _AT_ONCE):
            part = names[start : start + _AT_ONCE]
            query = " union all ".join(f"select {n}, last_value, is_called from {name}" for n, name in enumerate(part))
            for line in self._psql.execute(f"{query};"):
                number, value, given = line.split("|")
                name = part[int(number)]
                if archived.sequences[name] != (int(value), given == "t"):
                    found.append(f"sequence {name} differs")
        return found

    def _compare_large_objects(self, archived: Contents) -> list[str]:
        here = dict(line.split(" ", 1) for line in self._psql.execute(_LARGE_OBJECTS))
        return list_differing_objects(archived.large_objects, here)


def _hash_rows(pieces: Iterable[bytes]) -> bytes:
    """Return the digest of rows as ``hash_rows`` makes it: each with the end of a line before it, not after it."""
    digest = build_digest()
    held = b"\n"
    for piece in pieces:
        digest.update(held)
        digest.update(piece[:-1])
        held = piece[-1:]
    return digest.digest()


def _split_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        rest += piece
        *lines, rest = io.BytesIO(rest).readlines() or [b""]
        if rest.endswith(b"\n"):
            lines, rest = [*lines, rest], b""
        yield from lines
