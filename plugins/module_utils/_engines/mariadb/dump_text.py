# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of a dump of mariadb-dump: tables with their rows, and the definitions of all else.

Tables are loaded beside the database; views, triggers, routines and events are made again in the database itself, from
the dump's own bytes. An event that were loaded beside would run there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .dump_lines import NAME, join_lines

_TABLE = re.compile(rb"CREATE TABLE (?:IF NOT EXISTS )?" + NAME)
_SEQUENCE = re.compile(rb"CREATE SEQUENCE (?:IF NOT EXISTS )?" + NAME)
_VIEW = re.compile(rb"/\*!50001 (?:CREATE ALGORITHM|VIEW)", re.IGNORECASE)
_NAME_OF_VIEW = re.compile(rb"\bVIEW " + NAME, re.IGNORECASE)
_ROUTINE = re.compile(
    rb"\A\s*(?:/\*!\d+ )?CREATE[^`]*?(?:DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*`)?\s*(?:\*/)?\s*(?:/\*!\d+ )?"
    rb"(PROCEDURE|FUNCTION|PACKAGE BODY|PACKAGE|EVENT)\s+(?:IF NOT EXISTS )?" + NAME,
    re.IGNORECASE,
)
_SETTING = re.compile(
    rb"SET (character_set_client|character_set_results|collation_connection|sql_mode|time_zone)\s*= (?!@)(.*?) ?\*/"
)
_OF_TRIGGER = re.compile(rb"\bTRIGGER\b", re.IGNORECASE)
_ALTER = re.compile(rb"\A(?:/\*!50003 )?ALTER DATABASE ", re.IGNORECASE)
#: Written before what was defined while the database had other defaults, and behind it with those that it has.
_DEFAULTS = re.compile(
    rb"\A(?:/\*!50003 )?ALTER DATABASE " + NAME + rb" CHARACTER SET (\w+) COLLATE (\w+) *(?:\*/)?\s*;?\s*\Z",
    re.IGNORECASE,
)
_COUNTER = re.compile(r" AUTO_INCREMENT=(\d+)")
#: A statement of a dump that makes or fills neither tables nor sequences begins with one of these.
NOT_OF_TABLES = (b"/*!50001 ", b"/*!50003 ", b"/*!50106 ", b"ALTER DATABASE ")
#: Before each event but the first this comes between the delimiters of the one before.
_NEXT_EVENT = b"/*!50106 DROP EVENT IF EXISTS "
_DATA = (b"INSERT INTO ", b"REPLACE INTO ", b"INSERT  IGNORE ", b"(")


@dataclass(frozen=True)
class Definition:
    """The definition of an object: the session's settings that it remembers, and the statement."""

    settings: tuple[tuple[bytes, bytes], ...]
    statement: bytes
    #: The character set and the collation that the database had by default then, if it has others now.
    defaults: tuple[bytes, bytes] | None = None

    @property
    def text(self) -> str:
        """Return the statement; bytes that are not UTF-8 are kept as surrogates."""
        return self.statement.decode("utf-8", "surrogateescape")

    @property
    def script(self) -> bytes:
        """Return the input of a client that makes it."""
        settings = b"".join(b"SET %s = %s;\n" % each for each in self.settings)
        return settings + b"DELIMITER ;;\n" + self.statement.strip() + b"\n;;\nDELIMITER ;\n"


@dataclass
class Definitions:
    """The definitions of a database, by name."""

    #: CREATE TABLE, without where AUTO_INCREMENT goes on.
    tables: dict[str, str] = field(default_factory=dict)
    #: Where it goes on.
    counters: dict[str, int] = field(default_factory=dict)
    sequences: dict[str, str] = field(default_factory=dict)
    views: dict[str, Definition] = field(default_factory=dict)
    #: Views of which a table or a column is gone, so that nothing could make them again.
    invalid_views: list[str] = field(default_factory=list)
    #: By table, in the order in which they fire.
    triggers: dict[str, list[Definition]] = field(default_factory=dict)
    #: By kind and name: "procedure p", "event e".
    routines: dict[str, Definition] = field(default_factory=dict)
    #: The character set and the collation that the database has by default, if a definition is from another time.
    defaults: tuple[bytes, bytes] | None = None
    #: Why some of it cannot be made again.
    not_understood: list[str] = field(default_factory=list)

    def list_tables(self) -> set[str]:
        """Return the names of what holds rows or values."""
        return {*self.tables, *self.sequences}


def parse_dump(lines: Iterable[bytes]) -> Definitions:
    """Return what a dump defines."""
    return parse_definitions(join_lines(lines))


def parse_definitions(lines: Iterable[bytes]) -> Definitions:
    """Return the same of lines that are whole already."""
    reader = _Reader()
    for statement, is_block in _split_statements(lines):
        if is_block:
            reader.take_block(statement)
        else:
            reader.take(statement)
    return reader.end()


class _Reader:
    """Takes the statements of a dump one by one."""

    def __init__(self) -> None:
        self.found = Definitions()
        #: The table of the triggers that come, and the settings of the next definition.
        self._table = ""
        self._settings: dict[bytes, bytes] = {}
        #: The other defaults that the database has for the next definition, until it gets its own back.
        self._defaults: tuple[bytes, bytes] | None = None

    def take(self, statement: bytes) -> None:
        """Take a statement between the usual delimiters."""
        self._settings.update(_SETTING.findall(statement))
        if match := _TABLE.match(statement):
            self._add_table(unquote_name(match[1]), _decode_statement(statement))
        elif match := _SEQUENCE.match(statement):
            self.found.sequences[unquote_name(match[1])] = _decode_statement(statement)
        elif statement.startswith(b"DO SETVAL(") and self.found.sequences:
            name = next(reversed(self.found.sequences))
            self.found.sequences[name] += "\n" + _decode_statement(statement)
        elif _VIEW.match(statement) and (match := _NAME_OF_VIEW.search(statement)):
            self.found.views[unquote_name(match[1])] = self._parse_definition(statement.strip().removesuffix(b";"))
        elif _ALTER.match(statement):
            self._alter(statement)

    def take_block(self, statement: bytes) -> None:
        """Take a statement between other delimiters: what makes a trigger, a routine or an event, or sets for it."""
        if statement.startswith(b"/*!50003 SET "):
            self._settings.update(_SETTING.findall(statement))
            return
        if statement.startswith(_NEXT_EVENT):
            return
        if _ALTER.match(statement):
            self._alter(statement)
            return
        definition = self._parse_definition(statement)
        if match := _ROUTINE.match(statement):
            self.found.routines[f"{match[1].decode().lower()} {unquote_name(match[2])}"] = definition
        elif _OF_TRIGGER.search(statement[:2000]):
            self.found.triggers.setdefault(self._table, []).append(definition)
        else:
            self.found.not_understood.append(_decode_statement(statement[:200]))

    def end(self) -> Definitions:
        """Return what was found."""
        if self._defaults is not None:
            self.found.not_understood.append("the defaults of the database are not set back")
        return self.found

    def _add_table(self, name: str, text: str) -> None:
        counter = _COUNTER.search(text, text.rfind("\n)"))
        if counter:
            self.found.counters[name] = int(counter[1])
            text = text[: counter.start()] + text[counter.end() :]
        self._table, self.found.tables[name] = name, text

    def _alter(self, statement: bytes) -> None:
        match = _DEFAULTS.match(statement)
        if match is None:
            self.found.not_understood.append(_decode_statement(statement))
        elif self._defaults is None:
            self._defaults = match[2], match[3]
        else:
            self.found.defaults, self._defaults = (match[2], match[3]), None

    def _parse_definition(self, statement: bytes) -> Definition:
        definition = Definition(tuple(sorted(self._settings.items())), statement.strip(), self._defaults)
        self._settings = {}
        return definition


def _split_statements(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield the statements but for the rows, each with whether it is between other delimiters."""
    current: list[bytes] = []
    in_block = False
    for line in lines:
        if line.startswith(b"DELIMITER "):
            in_block = line.strip() != b"DELIMITER ;"
            current = []
        elif in_block:
            current.append(line)
            if line.rstrip().endswith(b";;"):
                text = b"".join(current).rstrip().removesuffix(b";;")
                if text.strip():
                    yield text, True
                current = []
        elif not current and (line.startswith((*_DATA, b"--", b"/*M!999999")) or not line.strip()):
            continue
        else:
            current.append(line)
            # The final structure of a view is one statement in three comments, and ends in the last of them.
            if line.rstrip().endswith(b";"):
                yield b"".join(current), False
                current = []


def select_table_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a dump that make tables and sequences and fill them."""
    skips = in_block = goes_on = False
    for line in join_lines(lines):
        if line.startswith(b"DELIMITER "):
            in_block = line.strip() != b"DELIMITER ;"
            continue
        # A table whose default reads a sequence cannot be filled while only the table is locked.
        if in_block or line.startswith((b"/*M!999999", b"LOCK TABLES ", b"UNLOCK TABLES")):
            continue
        if not goes_on:
            skips = line.startswith(NOT_OF_TABLES)
        if line.startswith((b"--", *_DATA)) and not goes_on:
            if not line.startswith(b"--"):
                yield line
            continue
        goes_on = bool(line.strip()) and not line.rstrip().endswith(b";")
        if not skips:
            yield line


def unquote_name(name: bytes) -> str:
    """Return a name that was in backquotes."""
    return name.replace(b"``", b"`").decode("utf-8", "surrogateescape")


def _decode_statement(statement: bytes) -> str:
    return statement.decode("utf-8", "surrogateescape").strip()
