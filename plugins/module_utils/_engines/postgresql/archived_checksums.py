# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checksums of the rows in an archive, which gzip wrote while the rows were dumped: nothing has to be unpacked.

Each table's rows are a file of their own in an archive that is a directory. Below them gzip keeps their CRC-32 and
their length, and pg_restore has compared both when it unpacked the file. Which file is which table's is in ``toc.dat``
alone, whose format is that of pg_dump's ``WriteToc``. What is not understood to the last byte is not used.
"""

from __future__ import annotations

import heapq
import os
import re
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..sql import quote_name

_MAGIC = b"PGDMP"
#: Of pg_dump 12 to 15, of 16, and of 17 and 18.
_VERSIONS = ((1, 14), (1, 15), (1, 16))
#: Bytes. Before 17 each large object has an entry, and a table of contents of millions is not worth its memory.
_LARGEST = 64 << 20
_FILE = re.compile(rb"\d+\.dat")
_GZIP = b"\x1f\x8b"
#: Names in one command.
_MOST_CHOSEN = 100
#: What follows the rows in their file.
AFTER_ROWS = b"\\.\n\n\n"


class _NotUnderstood(Exception):
    """A table of contents is not what was expected."""


@dataclass(frozen=True)
class Checksum:
    """The checksum of a table's rows as text in their file: CRC-32, and bytes modulo 2 to the power of 32."""

    crc: int = 0
    length: int = 0

    def with_text(self, text: bytes | memoryview) -> Checksum:
        """Return that of a text with more at its end."""
        return Checksum(zlib.crc32(text, self.crc), (self.length + len(text)) & 0xFFFFFFFF)


@dataclass(frozen=True)
class ArchivedRows:
    """The rows of one table in an archive."""

    checksum: Checksum
    #: The table's schema and name.
    table: tuple[bytes, bytes]
    #: Bytes of their file.
    size: int


def read_archived_rows(archive: Path, lines: Iterable[str]) -> dict[bytes, ArchivedRows] | None:
    """Return the rows of tables by their COPY statements; None where the archive does not have a checksum of each.

    Args:
        archive: a directory that pg_dump has written.
        lines: of the archive's table of contents, those of the tables' rows.
    """
    try:
        toc = archive / "toc.dat"
        if toc.stat().st_size > _LARGEST:
            return None
        entries = _parse_data_entries(toc.read_bytes())
        found: dict[bytes, ArchivedRows] = {}
        for line in lines:
            entry = entries[int(line.partition(";")[0])]
            if (
                entry.statement in found
                or not entry.statement.endswith(b" FROM stdin;\n")
                or not _FILE.fullmatch(entry.file)
            ):
                return None
            found[entry.statement] = _read_gzip_trailer(archive / os.fsdecode(entry.file), entry.table)
        return found
    except (OSError, LookupError, ValueError, _NotUnderstood):
        return None


def select_half(rows: Iterable[ArchivedRows]) -> list[str]:
    """Return tables that hold about half of all bytes, as patterns of pg_dump, each of which means one table alone.

    A name is a pattern in the encoding of the session, which is that of the archive for ASCII at least.
    """
    largest = heapq.nlargest(_MOST_CHOSEN, rows, key=lambda each: each.size)
    left, chosen, sizes = sum(each.size for each in largest), [], 0
    for each in largest:
        if sizes + each.size <= left / 2 and all(part.isascii() for part in each.table):
            chosen.append(".".join(quote_name(part.decode()) for part in each.table))
            sizes += each.size
    return chosen


def _read_gzip_trailer(plain: Path, table: tuple[bytes, bytes]) -> ArchivedRows:
    """Return what gzip says of a file's content."""
    if plain.exists():  # pg_restore takes this one
        raise _NotUnderstood
    with Path(f"{plain}.gz").open("rb") as handle:
        if handle.read(len(_GZIP)) != _GZIP:
            raise _NotUnderstood
        size = handle.seek(-8, os.SEEK_END) + 8
        return ArchivedRows(Checksum(*struct.unpack("<II", handle.read(8))), table, size)


@dataclass(frozen=True)
class _Entry:
    """An entry of a table of contents: schema and name of a table, the COPY statement, and the file of its rows."""

    table: tuple[bytes, bytes]
    statement: bytes
    file: bytes


def _parse_data_entries(content: bytes) -> dict[int, _Entry]:
    """Return the entries of tables' rows by their numbers."""
    reader = _Reader(content)
    version = _read_head(reader)
    entries = {}
    for _each in range(reader.read_integer()):
        number, kind, *facts = _read_entry(reader, version)
        if kind == b"TABLE DATA":
            schema, name, statement, file = facts
            if number in entries or schema is None or name is None or statement is None or file is None:
                raise _NotUnderstood
            entries[number] = _Entry((schema, name), statement, file)
    if reader.rest:
        raise _NotUnderstood
    return entries


def _read_head(reader: _Reader) -> tuple[int, ...]:
    """Read all that comes before the entries, and return the version of the format."""
    if reader.read_next(len(_MAGIC)) != _MAGIC:
        raise _NotUnderstood
    version = tuple(reader.read_next(3))[:2]
    if version not in _VERSIONS:
        raise _NotUnderstood
    reader.integer_size, _offset_size, _format = reader.read_next(3)
    if version < (1, 15):
        reader.read_integer()  # how much it is compressed
    else:
        reader.read_next(1)  # by what it is compressed
    for _part in range(7):  # when it was made
        reader.read_integer()
    for _name in range(3):  # of the database, and the versions of the server and of pg_dump
        reader.read_text()
    return version


def _read_entry(
    reader: _Reader, version: tuple[int, ...]
) -> tuple[int, bytes | None, bytes | None, bytes | None, bytes | None, bytes | None]:
    """Return the number, the kind, the schema, the name, the COPY statement and the file of the next entry."""
    number, _has_data = reader.read_integer(), reader.read_integer()
    _table_oid, _oid, name, kind = (reader.read_text() for _each in range(4))
    reader.read_integer()  # the section
    _made, _dropped, statement = (reader.read_text() for _each in range(3))
    schema, _tablespace, _access_method = (reader.read_text() for _each in range(3))
    if version >= (1, 16):
        reader.read_integer()  # the kind of relation
    for _each in range(2):  # the owner, and whether rows have numbers, which they had before 12
        reader.read_text()
    while reader.read_text() is not None:  # what it depends on
        pass
    return number, kind, schema, name, statement, reader.read_text()


class _Reader:
    """A table of contents, read from its beginning."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        #: Bytes of a number, after one for its sign.
        self.integer_size = 4

    @property
    def rest(self) -> int:
        """Return how many bytes were not read yet."""
        return len(self._content) - self._at

    def read_next(self, count: int) -> bytes:
        """Return the next bytes."""
        if not 0 <= count <= self.rest:
            raise _NotUnderstood
        self._at += count
        return self._content[self._at - count : self._at]

    def read_integer(self) -> int:
        """Return the next number."""
        sign, *digits = self.read_next(1 + self.integer_size)
        value = int.from_bytes(bytes(digits), "little")
        return -value if sign else value

    def read_text(self) -> bytes | None:
        """Return the next text, None where there is none."""
        length = self.read_integer()
        return None if length < 0 else self.read_next(length)
