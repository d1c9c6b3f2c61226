# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What statements of DDL name: objects that they make, and parts of tables that they change."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

#: A quoted name, a word, or one character that is neither.
_TOKEN = re.compile(r"/\*M?!\d*|/\*.*?\*/|--[ \t][^\n]*|#[^\n]*|`((?:[^`]|``)+)`|([\w$]+)|(\S)", re.DOTALL)
_KINDS = {"TABLE", "VIEW", "TRIGGER", "EVENT", "PROCEDURE", "FUNCTION", "SEQUENCE", "INDEX", "PACKAGE"}
_BEFORE_NAME = {"IF", "NOT", "EXISTS", "TO", "AS", "="}
#: Kinds whose names differ by their case where the server distinguishes those of tables.
_AS_TABLES = {"table", "view", "trigger"}
#: What is in a statement that makes a table with columns of others, or changes the character set of one.
_TAKES_COLUMNS = {"like", "select"}
_RENAMED_PARTS = {"COLUMN", "INDEX", "KEY"}
_RECODES = {"charset", "character", "collate"}
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
    """What some statements name.

    Args:
        schema: a statement that names another one names nothing.
        is_exact: whether names of tables and triggers differ by their case.
    """

    schema: str
    is_exact: bool
    #: Objects that are made, by kind; what is renamed to, of whatever kind.
    _made: set[tuple[str, str]] = field(default_factory=set)
    _renamed: set[str] = field(default_factory=set)
    #: Tables that are dropped, and those that are made in the place of one.
    _dropped: set[str] = field(default_factory=set)
    _remade: set[str] = field(default_factory=set)
    #: All words of what makes or changes a table, by the table.
    _changes: dict[str, set[str]] = field(default_factory=dict)
    #: By table, all words of what has made it of other tables, or renamed another one to it.
    _sources: dict[str, set[str]] = field(default_factory=dict)

    def add(self, statements: Iterable[str]) -> Named:
        """Read statements."""
        for statement in statements:
            tokens = _tokens(statement)
            if tokens and tokens[0].word == "CREATE":
                self._read_create(tokens)
            elif tokens and tokens[0].word == "ALTER":
                self._read_alter(tokens)
            elif [token.word for token in tokens[:2]] == ["RENAME", "TABLE"]:
                self._rename({self._key(token.text) for token in tokens[2:]})
            elif [token.word for token in tokens[:1]] == ["DROP"]:
                self._dropped |= {self._key(token.text) for token in tokens[1:]}
        return self

    def has(self, kind: str, name: str) -> bool:
        """Return whether an object is made by a statement."""
        if kind in ("table", "view", "sequence") and self._key(name) in self._renamed:
            return True
        if kind in ("table", "system versioned") and "versioning" in self._changes.get(self._key(name), ()):
            return True
        return (kind, self._key_of(kind, name)) in self._made

    def has_part(self, table: str, name: str) -> bool:
        """Return whether a column, a key or a constraint of a table is named by what changes the table."""
        words = self._changes.get(self._key(table), set())
        if name.casefold() in words:
            return True
        numbered = _NUMBERED.fullmatch(name.casefold())
        if numbered is None:
            return False
        if numbered["kind"]:
            return numbered["base"] == table.casefold() and "references" in words
        return (numbered["base"] == "constraint" and "check" in words) or numbered["base"] in words

    def sources_of(self, table: str) -> set[str]:
        """Return all words of what has made a table of others, or renamed another one to it, and of what made these."""
        found: set[str] = set()
        waiting = {self._key(table)}
        while waiting:
            new = self._sources.get(waiting.pop(), set()) - found
            found |= new
            waiting |= new
        return found

    def remakes(self, table: str) -> bool:
        """Return whether a statement makes a table in the place of another one, whose rows are gone."""
        return self._key(table) in self._remade

    def recodes(self, table: str) -> bool:
        """Return whether a statement changes the character set or the collation of a table."""
        return bool(self._changes.get(self._key(table), set()) & _RECODES)

    def words_of(self, tables: Iterable[str]) -> set[str]:
        """Return all words of what makes, changes or renames one of some tables, without regard to capitals."""
        keys = {self._key(table) for table in tables}
        changes = [self._changes.get(key, set()) for key in keys]
        return {word.casefold() for words in (*changes, *map(self.sources_of, keys)) for word in words}

    def _key(self, name: str) -> str:
        return name if self.is_exact else name.casefold()

    def _key_of(self, kind: str, name: str) -> str:
        return self._key(name) if kind in _AS_TABLES else name.casefold()

    def _rename(self, names: set[str]) -> None:
        self._renamed |= names
        for name in names:
            self._sources.setdefault(name, set()).update(names)

    def _change(self, table: str, tokens: list[_Token]) -> set[str]:
        words = {token.text.casefold() for token in tokens}
        self._changes.setdefault(self._key(table), set()).update(words)
        return words

    def _read_create(self, tokens: list[_Token]) -> None:
        kind, first = _kind_in(tokens)
        name, behind = self._name_at(tokens, first)
        if kind == "index" and name:
            first = next((number for number, token in enumerate(tokens) if token.word == "ON"), len(tokens))
            table, _behind = self._name_at(tokens, first + 1)
            self._changes.setdefault(self._key(table), set()).add(name.casefold())
        elif name:
            self._made.add((kind, self._key_of(kind, name)))
        if "REPLACE" in [token.word for token in tokens[:first]] or self._key(name) in self._dropped:
            self._remade.add(self._key(name))
        if kind == "table" and name and self._change(name, tokens[behind:]) & _TAKES_COLUMNS:
            words = {self._key(token.text) for token in tokens[behind:]}
            self._sources.setdefault(self._key(name), set()).update(words)

    def _read_alter(self, tokens: list[_Token]) -> None:
        kind, first = _kind_in(tokens)
        name, behind = self._name_at(tokens, first)
        if not name:
            return
        renamed = self._renamed_to(tokens[behind:])
        if kind != "table":
            self._made |= {(kind, self._key_of(kind, each)) for each in (name, *renamed)}
            return
        self._change(name, tokens[behind:])
        if renamed:
            self._rename({self._key(each) for each in (name, *renamed)})

    def _renamed_to(self, tokens: list[_Token]) -> list[str]:
        """Return the new names of what is altered, not those of its parts."""
        after = [number + 1 for number, token in enumerate(tokens) if token.word == "RENAME"]
        wanted = [number for number in after if tokens[number:] and tokens[number].word not in _RENAMED_PARTS]
        return [self._name_at(tokens, number)[0] for number in wanted]

    def _name_at(self, tokens: list[_Token], first: int) -> tuple[str, int]:
        """Return the name that begins at a token, nothing if it is of another schema, and the token behind it."""
        while first < len(tokens) and tokens[first].word in _BEFORE_NAME:
            first += 1
        if first >= len(tokens):
            return "", first
        if [token.text for token in tokens[first + 1 : first + 2]] == ["."] and first + 2 < len(tokens):
            is_here = self._key(tokens[first].text) == self._key(self.schema)
            return tokens[first + 2].text if is_here else "", first + 3
        return tokens[first].text, first + 1


def _kind_in(tokens: list[_Token]) -> tuple[str, int]:
    """Return the kind of object that a statement makes or changes, and the number of the token behind it."""
    first = next((number for number, token in enumerate(tokens) if token.word in _KINDS), len(tokens))
    kind = "".join(token.word for token in tokens[first : first + 1]).lower()
    if kind == "package" and [token.word for token in tokens[first + 1 : first + 2]] == ["BODY"]:
        return "package body", first + 2
    return kind, first + 1


def _tokens(statement: str) -> list[_Token]:
    found = []
    for match in _TOKEN.finditer(statement):
        name, word, other = match.groups()
        if name is not None:
            found.append(_Token(name.replace("``", "`"), is_quoted=True))
        elif word or other:
            found.append(_Token(word or other))
    return found
