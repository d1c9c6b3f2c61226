# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Statements that name a database in full: on a copy, which has another name, they would change the database itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

#: What one word of a statement may be. The content of /*! */ is executed, and so is what is in /*M! */.
_TOKEN = re.compile(
    r"""
      (?P<text>'(?:[^'\\]|\\.|'')*')
    | (?P<comment>--[ \t][^\n]*|--\n|\#[^\n]*|/\*(?!M?!).*?\*/)
    | (?P<quoted>`(?:[^`]|``)*`|"(?:[^"\\]|\\.|"")*")
    | (?P<plain>[\w$]+)
    | (?P<dot>\.)
    | (?P<space>\s+|/\*M?!\d*|\*/)
    | (?P<other>.)
    """,
    re.DOTALL | re.VERBOSE,
)
#: Behind one of these, and ``if exists``, comes the name of a database.
_BEFORE_NAME = {"use", "database", "schema"}
_BETWEEN = {"if", "not", "exists"}
#: What executes a text.
_EXECUTES_TEXT = re.compile(r"\b(?:prepare|execute\s+immediate)\b", re.IGNORECASE)


def find_named_database(statement: str, databases: Iterable[str], objects_of: Callable[[str], Iterable[str]]) -> str:
    """Return which of some databases a statement names in full, as in ``insert into shop.item``, "" for none.

    Args:
        statement: one or several.
        databases: their names.
        objects_of: returns what is in one: where a table or an alias has its name, only these are in question.
    """
    text = statement.casefold().replace("``", "`").replace('""', '"')
    candidates = [name for name in databases if name.casefold() in text]
    if not candidates:
        return ""
    words = list(_parse_words(statement))
    if _EXECUTES_TEXT.search(statement):
        words += [word for each in _parse_texts(statement) for word in _parse_words(each)]
    for name in candidates:
        found, is_other = _find_qualified(words, name.casefold())
        if found and (not is_other or {each.casefold() for each in objects_of(name)} & set(found)):
            return name
    return ""


def _parse_words(statement: str) -> Iterator[str]:
    """Yield the names, the words and the dots of a statement; what is none of these as an empty one."""
    for match in _TOKEN.finditer(statement):
        kind, word = match.lastgroup, match[0]
        if kind == "quoted":
            yield word[1:-1].replace(word[0] * 2, word[0]).casefold()
        elif kind == "plain":
            yield word.casefold()
        elif kind == "dot":
            yield "."
        elif kind in ("other", "text"):
            yield word if word == "*" else ""


def _parse_texts(statement: str) -> Iterator[str]:
    for match in _TOKEN.finditer(statement):
        if match.lastgroup == "text":
            yield match[0][1:-1].replace("''", "'").replace("\\'", "'").replace("\\\\", "\\")


def _find_qualified(words: list[str], database: str) -> tuple[list[str], bool]:
    """Return what is behind a name and a dot, "*" for a whole database; and whether the name is used without a dot."""
    found, is_other = [], False
    for place, word in enumerate(words):
        if word != database or (place and words[place - 1] == "."):
            continue
        if place + 2 < len(words) and words[place + 1] == ".":
            found.append(words[place + 2])
        elif _is_behind(words, place):
            return ["*"], False
        else:
            is_other = True
    return found, is_other


def _is_behind(words: list[str], place: int) -> bool:
    """Return whether the word at a place is behind one that the name of a database follows."""
    before = place - 1
    while before >= 0 and words[before] in _BETWEEN:
        before -= 1
    return before >= 0 and words[before] in _BEFORE_NAME
