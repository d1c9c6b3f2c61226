# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables from which a run may have taken rows or values: what others had written into them is gone with these.

A table that is dropped, replaced or emptied may be as it was before, and so may one whose rows were changed. What
others had written into it since the backup is in no place then: not in the backup, and not in the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from .dump_text import Definitions
from .statement_targets import Catalog, Text, Written, find_names_in
from .statements import parse_first_words
from .written_tables import Search, build_column_name, has_column, parse_column_name

#: What is before a name from which a statement may take rows, in place of the name of an object.
_TAKES = "takes "
#: Is noted where nothing shows from which tables a statement takes rows.
TAKES_FROM_ANY = f"{_TAKES}*"
#: Is noted first, by those who note it at all.
IS_NOTED = _TAKES
#: First words of statements that change no rows but by what a query may write through.
_QUERIES = {
    *("SELECT", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "VALUES", "DO", "HANDLER", "CHECK", "CHECKSUM", "RENAME"),
    *("START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "LOCK", "UNLOCK", "FLUSH", "GRANT", "REVOKE", "KILL"),
}
#: These too, but where one of these words is behind them.
_MAY_CHANGE = {"SET", "WITH", "BEGIN"}
_CHANGES = {"statement", "not", "delete", "update", "replace", "insert"}
#: Kinds that hold no rows.
_KINDS_WITHOUT_ROWS = {
    *("VIEW", "TRIGGER", "EVENT", "PROCEDURE", "FUNCTION", "PACKAGE", "INDEX", "DATABASE", "SCHEMA"),
    *("USER", "ROLE", "SERVER", "AGGREGATE", "DEFINER", "SQL", "ALGORITHM", "UNIQUE", "FULLTEXT", "SPATIAL"),
}
#: Kinds whose bodies others execute as well, and what takes rows in a body.
_EXECUTED = {"trigger", "event", "function"}
_IN_BODY = re.compile(r"\b(?:delete|update|truncate|drop)\b|\breplace\s+(?!(?:trigger|event|function|definer)\b)")
#: By the first word of a statement, second ones by which it takes no rows.
_WITHOUT_ROWS = {
    "DROP": _KINDS_WITHOUT_ROWS,
    "ALTER": _KINDS_WITHOUT_ROWS,
    "ANALYZE": {"TABLE"},
    "OPTIMIZE": {"TABLE"},
}
#: An ALTER TABLE that takes values or rows, by what it drops or by its words.
_DROPS_VALUES = re.compile(r"\bdrop\s+(?!(?:key|index|constraint|foreign|check|primary|default)\b)")
_TAKES_BY_WORDS = {"exchange", "truncate", "discard", "import", "ignore", "blackhole"}
_CONVERTS = {"convert", "partition"}
_NAME = r"(`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|[0-9a-z_$\u0080-\U0010ffff]+)"
#: What a statement gives a name to, by its first word.
_NEW_NAMES = {
    "CREATE": re.compile(
        rf"\bcreate\s+(?:or\s+replace\s+)?(?:table|sequence)\s+(?:if\s+not\s+exists\s+)?(?:{_NAME}\s*\.\s*)?{_NAME}"
    ),
    "RENAME": re.compile(rf"\bto\s+(?:{_NAME}\s*\.\s*)?{_NAME}"),
    "ALTER": re.compile(rf"\brename\s+(?:(?:to|as)\s+|=\s*)?(?!(?:column|index|key)\b)(?:{_NAME}\s*\.\s*)?{_NAME}"),
}
#: A table that is only of the session that makes it, and what a statement empties or drops by its names alone.
_TEMPORARY = re.compile(
    rf"\bcreate\s+(?:or\s+replace\s+)?temporary\s+table\s+(?:if\s+not\s+exists\s+)?(?:{_NAME}\s*\.\s*)?{_NAME}"
)
_DROPPED = re.compile(r"\s*(?:drop\s+tables?|truncate(?:\s+table)?)\b(?:\s*if\s+exists\b)?(?P<names>.*)", re.DOTALL)
_LISTED = re.compile(rf"(?:{_NAME}\s*\.\s*)?{_NAME}")
#: Words that may be behind the tables that a statement drops, and how long it waits.
_BEHIND_NAMES = {"restrict", "cascade", "wait", "nowait", *map(str, range(100))}
#: A comment; of one whose content is executed what it begins and ends with.
_COMMENT = re.compile(r"/\*(?!m?!).*?\*/|/\*m?!\d*|\*/|--\s[^\n]*|#[^\n]*", re.DOTALL | re.IGNORECASE)
#: The first words of a statement are within so many characters; if not, it is not known what it does.
_BEGINNING = 4000


@dataclass
class Taken:
    """The names from which a statement takes rows, and the columns that it drops."""

    names: set[str] = field(default_factory=set)
    columns: set[tuple[str, str]] = field(default_factory=set)

    @property
    def noted(self) -> set[str]:
        """Return it as it is journaled."""
        columns = {build_column_name(table, column) for table, column in self.columns}
        return {f"{_TAKES}{name}" for name in self.names | columns}


def find_taken(text: Text, written: Written, catalog: Catalog) -> Taken:
    """Return what a statement may take rows or values from; what it makes or renames is known from then on.

    Args:
        text: of the statement, as it is sent.
        written: what it may write through, where that is known.
        catalog: of the database.
    """
    words = (*parse_first_words(_COMMENT.sub(" ", text.text[:_BEGINNING])), "", "")
    names = written.names | find_names_in(text, catalog.made)
    catalog.made |= _find_new_names(text.folded, words[0])
    catalog.temporary |= _find_names(_TEMPORARY, text.folded)
    if ";" in text.folded.rstrip().removesuffix(";"):
        return Taken(names)
    names |= _find_dropped(text.folded) - catalog.temporary
    if words[0] in ("DROP", "ALTER", "ANALYZE", "OPTIMIZE") and words[1] in _WITHOUT_ROWS[words[0]]:
        return Taken()
    if words[0] == "ALTER" and words[1] != "SEQUENCE":
        return _find_taken_by_alter(text, written, names)
    return Taken(find_names_in(text, catalog.writing_when_read) if _is_addition(words, text) else names)


def _is_addition(words: tuple[str, ...], text: Text) -> bool:
    """Return whether a statement takes nothing itself, but perhaps by what it calls."""
    if words[0] == "INSERT":
        return not text.words & {"duplicate", "ignore"}
    if words[0] == "CREATE":
        body = text.folded.partition("for each row")[2] or text.folded
        if "TABLE" not in words and text.words & _EXECUTED and _IN_BODY.search(body):
            return False
        replaces = "replace" in text.words and bool(text.words & {"table", "sequence"})
        return not replaces or bool({*words[1:]} & _KINDS_WITHOUT_ROWS)
    return words[0] in _QUERIES or (words[0] in _MAY_CHANGE and not text.words & _CHANGES)


def _find_taken_by_alter(text: Text, written: Written, names: set[str]) -> Taken:
    if written.columns:
        return Taken(columns=written.columns)
    takes = text.words & _TAKES_BY_WORDS or text.words >= _CONVERTS or _DROPS_VALUES.search(text.folded)
    return Taken(names if takes else set())


def _find_new_names(folded: str, first_word: str) -> set[str]:
    pattern = _NEW_NAMES.get(first_word)
    if pattern is None:
        return set()
    return _find_names(pattern, folded)


def _find_dropped(folded: str) -> set[str]:
    """Return the names of all tables that a statement drops or empties: others may have made one that is new."""
    match = _DROPPED.fullmatch(_COMMENT.sub(" ", folded))
    return _find_names(_LISTED, match["names"]) - _BEHIND_NAMES if match else set()


def _find_names(pattern: re.Pattern[str], folded: str) -> set[str]:
    """Return the names that are in the last group of what a pattern finds."""
    found = {match[match.lastindex or 0] for match in pattern.finditer(_COMMENT.sub(" ", folded))}
    return {name[1:-1].replace(name[0] * 2, name[0]) if name[0] in '`"' else name for name in found}


def list_taken_tables(
    touched: Iterable[str], before: Definitions, now: Definitions, elsewhere: set[str], schema: str
) -> list[str] | None:
    """Return from what a run may have taken rows, in words, None where it may be anything.

    Args:
        touched: what its statements have named, as it is journaled.
        before: what the backup defines.
        now: what the database defines.
        elsewhere: the names of other databases.
        schema: the database.
    """
    search, found = Search.of(before, now, elsewhere, schema), set[str]()
    for name in (each.removeprefix(_TAKES) for each in touched if each.startswith(_TAKES)):
        column = parse_column_name(name)
        if column is None:
            search.add(name)
        elif has_column(before, *column):
            found.add("column " + ".".join(column))
    if not search.run():
        return None
    return sorted(found | {f"table {name}" for name in search.found | search.unknown})


def select_taken_names(touched: Iterable[str]) -> set[str] | None:
    """Return what was noted of rows that statements may take, None where it may be any."""
    noted = {each for each in touched if each.startswith(_TAKES)}
    if IS_NOTED not in noted or TAKES_FROM_ANY in noted:
        return None
    return noted - {IS_NOTED}
