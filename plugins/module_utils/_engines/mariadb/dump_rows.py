# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of a dump as digests: how many lines a table has, and a sum over them, which no order changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .dump_lines import INSERTED, join_lines
from .dump_text import Definitions, parse_definitions, unquote_name


@dataclass(frozen=True)
class ReadDump:
    """The definitions of a dump, and its rows by table: their number and their sum."""

    definitions: Definitions
    rows: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, lines: Iterable[bytes]) -> ReadDump:
        """Read the lines once.

        Raises:
            ValueError: it does not end as a dump does.
        """
        reader = _Rows()
        definitions = parse_definitions(reader.pass_lines(join_lines(lines)))
        if not reader.last.startswith(b"-- Dump completed"):
            raise ValueError("the dump has no end")
        return cls(definitions, reader.found)


class _Rows:
    """Adds up the rows of the lines that pass."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[int, int]] = {}
        self.last = b""
        self._table = ""

    def pass_lines(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the lines, each after it was read."""
        is_plain = True
        for line in lines:
            if line.startswith(b"DELIMITER "):
                is_plain = line.strip() == b"DELIMITER ;"
            elif is_plain:
                self._take(line)
            self.last = line if line.strip() else self.last
            yield line

    def _take(self, line: bytes) -> None:
        match = INSERTED.match(line)
        if match:
            self._table = unquote_name(match[1])
            self._add(line[match.end() :])
        elif self._table and line.startswith(b"("):
            self._add(line)
        elif line.strip():
            self._table = ""

    def _add(self, row: bytes) -> None:
        # Which row is the last of its statement depends on the others.
        row = row.strip().rstrip(b",;")
        if not row:
            return
        number = int.from_bytes(hashlib.blake2b(row, digest_size=16).digest(), "big")
        count, total = self.found.get(self._table, (0, 0))
        self.found[self._table] = count + 1, (total + number) % (1 << 128)
