# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The content of a file of mariadb-dump, read line by line."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .dump_lines import INSERTED, NAME, join_lines
from .dump_text import unquote_name

_CREATED = re.compile(rb"CREATE (?:TABLE|SEQUENCE) (?:IF NOT EXISTS )?" + NAME)
_DELIMITER = re.compile(rb"DELIMITER (\S+)")
#: Between two rows on one line, outside of strings: an older program writes all rows of a statement into one, and a
#: newer one the first row behind the names of the columns.
_BETWEEN_ROWS = re.compile(rb"\),\s*\(")
_STRING = re.compile(rb"'(?:[^'\\]|\\.|'')*'", re.DOTALL)
_OTHERS = {
    "trigger": b"/*!50003 CREATE*/",
    "event": b"/*!50106 DROP EVENT IF EXISTS",
    "view": b"/*!50001 VIEW ",
    "function": b"/*!50003 DROP FUNCTION IF EXISTS",
    "procedure": b"/*!50003 DROP PROCEDURE IF EXISTS",
    "package": b"/*!50003 DROP PACKAGE IF EXISTS",
    "package body": b"/*!50003 DROP PACKAGE BODY IF EXISTS",
}
LAST_LINE = b"-- Dump completed"


@dataclass
class DumpContent:
    """The tables and sequences of a dump with their rows, and how many there are of the other kinds of objects."""

    rows: dict[str, int] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    is_complete: bool = False
    #: Bytes of the longest statement, and the table that it fills or makes.
    longest: int = 0
    longest_of: str = ""


def read_dump(path: Path) -> DumpContent:
    """Return what a dump holds; a row is a line that begins with a parenthesis, or many are one line."""
    found = DumpContent()
    last, inserting, is_plain, begins, length = b"", "", True, False, 0
    with path.open("rb") as file:
        for line in join_lines(file):
            last = line.strip() or last
            is_first = length == 0
            length += len(line)
            if last.endswith(b";" if is_plain else b";;"):
                if length > found.longest:
                    found.longest, found.longest_of = length, inserting or next(reversed(found.rows), "")
                length = 0
            delimiter = _DELIMITER.match(line)
            if delimiter:
                is_plain = delimiter[1] == b";"
                begins = not is_plain
                continue
            if not is_plain:  # in the body of a routine may be anything
                if begins and line.startswith(_OTHERS["trigger"]):
                    found.others["trigger"] += 1
                # Between two events the delimiter stays.
                if is_first and not begins and line.startswith(_OTHERS["event"]):
                    found.others["event"] += 1
                begins = False
                continue
            if inserting and line.startswith(b"("):
                found.rows[inserting] += 1
                inserting = "" if line.rstrip().endswith(b");") else inserting
                continue
            inserting = _read_line(found, line)
    found.is_complete = last == LAST_LINE or last.startswith(LAST_LINE + b" on ")
    return found


def _read_line(found: DumpContent, line: bytes) -> str:
    """Take one line, and return the table whose rows come in the next ones."""
    inserted = INSERTED.match(line)
    if inserted:
        table, behind = unquote_name(inserted[1]), line[inserted.end() :].strip()
        found.rows.setdefault(table, 0)
        if behind:
            found.rows[table] += len(_BETWEEN_ROWS.findall(_STRING.sub(b"", behind))) + 1
        return "" if behind.endswith(b");") else table
    created = _CREATED.match(line)
    if created:
        found.rows.setdefault(unquote_name(created[1]), 0)
        return ""
    for kind, beginning in _OTHERS.items():
        if kind != "trigger" and line.startswith(beginning):
            found.others[kind] += 1
    return ""
