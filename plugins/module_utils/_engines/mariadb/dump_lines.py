# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines of what MariaDB and mariadb-dump write, of which a name may have several."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

NAME = rb"`((?:[^`]|``)+)`"
#: What begins a statement of rows, up to the first of them.
INSERTED = re.compile(
    rb"(?:INSERT|REPLACE)\s+(?:IGNORE )?INTO " + NAME + rb"(?: \((?:`(?:[^`]|``)+`(?!`)|[^`)])*\))? VALUES"
)
_INSERTS = (b"INSERT ", b"REPLACE ")
_OPENS = re.compile(rb"[`']")
#: Up to the end of what each of these has begun.
_CLOSES = {
    b"`": re.compile(rb"(?:[^`]|``)*`(?!`)"),
    b"'": re.compile(rb"(?:[^'\\]|\\.|'')*'(?!')", re.DOTALL),
}
#: Lines of one statement; a table has at most 4096 columns.
_MOST = 10_000


def join_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a dump, each with those behind it into which a name or a string of it goes on.

    In rows a line break is written as two letters; and bodies of routines, which are between other delimiters, are not
    understood here.
    """
    in_block = in_rows = False
    waiting: list[bytes] = []
    opened = b""
    for line in lines:
        if in_rows and line[:1] == b"(":
            if line.endswith((b");\n", b");")):
                in_rows = False
            yield line
            continue
        if not waiting:
            if line.startswith(b"DELIMITER "):
                in_block = line.strip() != b"DELIMITER ;"
            if in_block or line.startswith(b"--"):
                yield line
                continue
        waiting.append(line)
        text = line
        if waiting[0].startswith(_INSERTS):
            text = b"".join(waiting)
            match = INSERTED.match(text)
            # Rows behind it are closed.
            in_rows, opened = (not text.rstrip().endswith(b");"), b"") if match else (False, _open_at_end(text, b""))
        else:
            in_rows, opened = False, _open_at_end(line, opened)
        if not opened or len(waiting) == _MOST:
            yield b"".join(waiting)
            waiting, opened = [], b""
    if waiting:
        yield b"".join(waiting)


def split_definition(text: str) -> list[str]:
    """Return the lines of what SHOW CREATE returns, without their ends; a name may have several."""
    lines = text.encode("utf-8", "surrogateescape").split(b"\n")
    whole = join_lines(line + b"\n" for line in lines)
    return [line[:-1].decode("utf-8", "surrogateescape") for line in whole]


def _open_at_end(text: bytes, opened: bytes) -> bytes:
    """Return the quote that is open at the end of a text, nothing if none is.

    Args:
        text: a part of a statement.
        opened: the quote that is open at its beginning.
    """
    place = 0
    while True:
        if opened:
            closed = _CLOSES[opened].match(text, place)
            if closed is None:
                return opened
            place = closed.end()
        found = _OPENS.search(text, place)
        if found is None:
            return b""
        opened, place = found[0], found.end()
