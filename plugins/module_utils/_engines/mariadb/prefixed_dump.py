# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A dump's tables under other names, for a load into the database that has tables of these names itself.

A statement that passed as it is could drop or fill a table of the application. So each one is known to the letter, or
nothing is loaded; data is never searched for a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..._core.errors import REPLACED_NOTHING, REPORT_IT, Failed
from .dump_lines import INSERTED, NAME, join_lines
from .dump_text import NOT_OF_TABLES, unquote_name
from .foreign_keys import convert_to_prefix
from .quoting import quote_name

if TYPE_CHECKING:
    from .places import PrefixPlace

_END = rb"\s*;\s*"
_CREATES_TABLE = re.compile(rb"CREATE TABLE " + NAME + rb" \(\n")
_CREATES_SEQUENCE = re.compile(rb"CREATE SEQUENCE " + NAME + rb"[^;`'\"]*" + _END)
_SETS_SEQUENCE = re.compile(rb"(?:DO|SELECT) SETVAL\(" + NAME + rb",[-\w\s,]*\)" + _END)
#: Neither is needed where names are new.
_LEFT_OUT = (
    re.compile(rb"DROP (?:TABLE|SEQUENCE) IF EXISTS " + NAME + _END),
    re.compile(rb"/\*!40000 ALTER TABLE " + NAME + rb" (?:DIS|EN)ABLE KEYS \*/" + _END),
    re.compile(rb"(?:UN)?LOCK TABLES[^;]*" + _END),
)
#: Changes nothing but the client's own session.
_OF_SESSION = re.compile(rb"(?:/\*M?!\d+ )?SET (?!GLOBAL|PASSWORD|STATEMENT)[^;/]*(?:\*/)?" + _END, re.IGNORECASE)
_COMMIT = re.compile(rb"COMMIT" + _END, re.IGNORECASE)
_QUOTED = re.compile(rb"`(?:[^`]|``)*`|'(?:[^'\\]|\\.|'')*'", re.DOTALL)
_SANDBOX = b"/*M!999999"
_LONGEST = 100


def prefix_dump(lines: Iterable[bytes], place: PrefixPlace, tables: set[str]) -> Iterator[bytes]:
    """Yield what makes and fills the tables and sequences of a dump under the names that they have in a place.

    Args:
        lines: of the dump.
        place: the names.
        tables: the tables and sequences that the dump defines.

    Raises:
        Failed: a statement is not one that mariadb-dump is known to write.
    """
    rewriter = _Rewriter(place, tables)
    in_block = in_rows = False
    statement: list[bytes] = []
    for line in join_lines(lines):
        if line.startswith(b"DELIMITER ") and not statement:
            in_block, in_rows = line.strip() != b"DELIMITER ;", False
        elif in_block:
            continue
        elif in_rows:
            if not line.startswith(b"("):
                raise _build_statement_error(line)
            in_rows = not _has_end(line, b");")
            yield line
        elif not statement and (not line.strip() or line.startswith((b"--", _SANDBOX))):
            continue
        elif not statement and INSERTED.match(line):
            in_rows = not _has_end(line, b");")
            yield rewriter.rewrite_insert(line)
        else:
            statement.append(line)
            if _has_end(line, b";"):
                yield rewriter.rewrite_statement(b"".join(statement))
                statement = []
    if statement or in_rows:
        raise _build_statement_error(b"".join(statement) or b"rows without an end")


class _Rewriter:
    """Gives statements other names."""

    def __init__(self, place: PrefixPlace, tables: set[str]) -> None:
        self._place = place
        self._tables = tables

    def rewrite_insert(self, line: bytes) -> bytes:
        """Return the first line of a statement that inserts rows."""
        match = INSERTED.match(line)
        if match is None:
            raise _build_statement_error(line)
        return self._rename(line, match)

    def rewrite_statement(self, statement: bytes) -> bytes:
        """Return a whole statement, nothing for one that is left out."""
        if statement.startswith(NOT_OF_TABLES) or any(each.fullmatch(statement) for each in _LEFT_OUT):
            return b""
        if _OF_SESSION.fullmatch(statement) or _COMMIT.fullmatch(statement):
            return statement
        match = _CREATES_TABLE.match(statement)
        if match and b";" not in _QUOTED.sub(b"", statement.rstrip()[:-1]):
            text = self._rename(statement, match).decode("utf-8", "surrogateescape")
            made = convert_to_prefix(text, unquote_name(match[1]), self._place, self._tables)
            return made.encode("utf-8", "surrogateescape")
        for pattern in (_CREATES_SEQUENCE, _SETS_SEQUENCE):
            match = pattern.fullmatch(statement)
            if match:
                return self._rename(statement, match)
        raise _build_statement_error(statement)

    def _rename(self, statement: bytes, match: re.Match[bytes]) -> bytes:
        name = unquote_name(match[1])
        if name not in self._tables:
            raise _build_statement_error(statement)
        there = quote_name(self._place.locate_table(name)[1]).encode()
        return statement[: match.start(1) - 1] + there + statement[match.end(1) + 1 :]


def _has_end(line: bytes, end: bytes) -> bool:
    return line.rstrip().endswith(end)


def _build_statement_error(statement: bytes) -> Failed:
    return Failed(
        "The dump has a statement that cannot be executed under other names",
        statement[:_LONGEST].decode("utf-8", "replace"),
        REPORT_IT,
        code=REPLACED_NOTHING,
    )
