# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names in statements of DDL: objects that they make, and parts of tables that they change."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

#: A quoted name, a word, or one character that is neither.
_TOKEN = re.compile(r"/\*M?!\d*|/\*.*?\*/|--[ \t][^\n]*|#[^\n]*|`((?:[^`]|``)+)`|([\w$]+)|(\S)", re.DOTALL)
_QUOTED = re.compile(r"`((?:[^`]|``)+)`")
#: Kinds that others may define anew, and whose earlier body is in no place then.
_WITH_BODIES = {"VIEW", "TRIGGER", "EVENT", "PROCEDURE", "FUNCTION", "PACKAGE"}
_KINDS = {"TABLE", "VIEW", "TRIGGER", "EVENT", "PROCEDURE", "FUNCTION", "SEQUENCE", "INDEX"}
_BEFORE_NAME = {"IF", "NOT", "EXISTS"}
#: Kinds whose names differ by their case where the server distinguishes those of tables.
_AS_TABLES = {"table", "view", "trigger"}
#: Names that the server chooses for what has none.
_NUMBERED = re.compile(r"(?P<base>.+?)_(?P<kind>ibfk_)?\d+", re.DOTALL)


@dataclass(frozen=True)
class _Token:
    text: str
    is_quoted: bool = False

    @property
    def word(self) -> str:
        """Return a word of the language in capitals, nothing of a name in quotes."""
        return "" if self.is_quoted else self.text.upper()


@dataclass
class Named:
    """The names in some statements.

    Args:
        schema: a statement that names another one names nothing.
        is_exact: whether names of tables and triggers differ by their case.
    """

    schema: str
    is_exact: bool
    #: Objects that are made, by kind; what is renamed to, of whatever kind.
    _made: set[tuple[str, str]] = field(default_factory=set)
    _renamed: set[str] = field(default_factory=set)
    #: Objects that are dropped, by kind.
    _dropped: set[tuple[str, str]] = field(default_factory=set)
    #: Whether one alters the database itself.
    alters_database: bool = False
    #: All words of what changes a table, by the table.
    _changes: dict[str, set[str]] = field(default_factory=dict)

    def add(self, statements: Iterable[str]) -> Named:
        """Read statements."""
        for statement in statements:
            tokens = _parse_tokens(statement)
            if tokens and tokens[0].word == "CREATE":
                self._read_create(tokens)
            elif tokens and tokens[0].word == "ALTER":
                self._read_alter(tokens)
            elif tokens and tokens[0].word == "DROP":
                self._read_drop(tokens)
            elif [token.word for token in tokens[:2]] == ["RENAME", "TABLE"]:
                self._renamed |= {self._fold_name(token.text) for token in tokens[2:]}
        return self

    def has(self, kind: str, name: str) -> bool:
        """Return whether an object is made by a statement."""
        if kind in ("table", "view") and self._fold_name(name) in self._renamed:
            return True
        return (kind, self._build_key(kind, name)) in self._made

    def is_dropped(self, kind: str, name: str) -> bool:
        """Return whether an object is dropped, or made anew or renamed, by a statement."""
        if self.has(kind, name):
            return True
        return (kind, self._build_key(kind, name)) in self._dropped

    def has_part(self, table: str, name: str) -> bool:
        """Return whether a column, a key or a constraint of a table is named by what changes the table."""
        words = self._changes.get(self._fold_name(table), set())
        if name.casefold() in words:
            return True
        numbered = _NUMBERED.fullmatch(name.casefold())
        if numbered is None:
            return False
        if numbered["kind"]:
            return numbered["base"] == table.casefold() and "references" in words
        return (numbered["base"] == "constraint" and "check" in words) or numbered["base"] in words

    def is_changed(self, table: str, words: Iterable[str]) -> bool:
        """Return whether one of some words is in what changes a table, or whether the table is made or renamed."""
        if self.has("table", table):
            return True
        return bool(self._changes.get(self._fold_name(table), set()) & set(words))

    def _fold_name(self, name: str) -> str:
        return name if self.is_exact else name.casefold()

    def _build_key(self, kind: str, name: str) -> str:
        return self._fold_name(name) if kind in _AS_TABLES else name.casefold()

    def _read_create(self, tokens: list[_Token]) -> None:
        kind, first = _find_kind(tokens)
        name, _behind = self._parse_name(tokens, first)
        if kind == "index" and name:
            table, _behind = self._parse_name(tokens, _find_position(tokens, {"ON"}) + 1)
            self._changes.setdefault(self._fold_name(table), set()).add(name.casefold())
        elif name:
            self._made.add((kind, self._build_key(kind, name)))

    def _read_alter(self, tokens: list[_Token]) -> None:
        found = _find_definition(tokens)
        if found:
            self._made.add((found.kind, self._build_key(found.kind, found.name)))
            renamed, _behind = self._parse_name(tokens, _find_position(tokens, {"RENAME"}) + 2)
            if renamed and found.kind == "event":
                self._made.add((found.kind, self._build_key(found.kind, renamed)))
            return
        table, behind = self._parse_name(tokens, _find_position(tokens, {"TABLE"}) + 1)
        if not table:
            self.alters_database |= bool({"DATABASE", "SCHEMA"} & {token.word for token in tokens[1:2]})
            return
        self._changes.setdefault(self._fold_name(table), set()).update(
            token.text.casefold() for token in tokens[behind:]
        )
        if "RENAME" in [token.word for token in tokens[behind:]]:
            self._renamed |= {self._fold_name(token.text) for token in tokens[behind:]}
            self._dropped.add(("table", self._fold_name(table)))

    def _read_drop(self, tokens: list[_Token]) -> None:
        kind, first = _find_kind(tokens)
        name, behind = self._parse_name(tokens, first)
        if kind == "index" and name and [token.word for token in tokens[behind : behind + 1]] == ["ON"]:
            table, _behind = self._parse_name(tokens, behind + 1)
            self._changes.setdefault(self._fold_name(table), set()).add(name.casefold())
            return
        while True:
            if name:
                self._dropped.add((kind, self._build_key(kind, name)))
            if [token.text for token in tokens[behind : behind + 1]] != [","]:
                return
            name, behind = self._parse_name(tokens, behind + 1)

    def _parse_name(self, tokens: list[_Token], first: int) -> tuple[str, int]:
        """Return the name that begins at a token, nothing if it is of another schema, and the token behind it."""
        while first < len(tokens) and tokens[first].word in _BEFORE_NAME:
            first += 1
        if first >= len(tokens):
            return "", first
        if [token.text for token in tokens[first + 1 : first + 2]] == ["."] and first + 2 < len(tokens):
            is_here = self._fold_name(tokens[first].text) == self._fold_name(self.schema)
            return tokens[first + 2].text if is_here else "", first + 3
        return tokens[first].text, first + 1


@dataclass(frozen=True)
class Definition:
    """The change of a view, a trigger, an event or a routine by a statement of DDL."""

    kind: str
    name: str


def parse_definition(statement: str) -> Definition | None:
    """Return what a statement defines or drops, None if it is another statement."""
    tokens = _parse_tokens(statement)
    return _find_definition(tokens) if tokens and tokens[0].word in ("CREATE", "ALTER", "DROP") else None


def _find_definition(tokens: list[_Token]) -> Definition | None:
    first = _find_position(tokens, _KINDS | _WITH_BODIES)
    kind = "".join(token.word for token in tokens[first : first + 1])
    if kind not in _WITH_BODIES:
        return None
    behind = first + 1
    while behind < len(tokens) and tokens[behind].word in (*_BEFORE_NAME, "BODY"):
        behind += 1
    names = [token.text for token in tokens[behind : behind + 3]]
    name = names[2] if names[1:2] == ["."] and len(names) > 2 else "".join(names[:1])
    return Definition(kind.lower(), name)


def parse_quoted_names(text: str) -> list[str]:
    """Return the names in quotes that a text has, without regard to capitals."""
    return [name.replace("``", "`").casefold() for name in _QUOTED.findall(text)]


def _find_position(tokens: list[_Token], words: set[str]) -> int:
    """Return the number of the first token that is one of some words, or how many tokens there are."""
    return next((number for number, token in enumerate(tokens) if token.word in words), len(tokens))


def _find_kind(tokens: list[_Token]) -> tuple[str, int]:
    """Return the kind of object that a statement is about, and the number of the token behind it."""
    first = _find_position(tokens, _KINDS)
    return "".join(token.word for token in tokens[first : first + 1]).lower(), first + 1


def _parse_tokens(statement: str) -> list[_Token]:
    found = []
    for match in _TOKEN.finditer(statement):
        name, word, other = match.groups()
        if name is not None:
            found.append(_Token(name.replace("``", "`"), is_quoted=True))
        elif word or other:
            found.append(_Token(word or other))
    return found
