# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison of two definitions in ``sqlite_schema`` by their meaning.

No PRAGMA shows DEFERRABLE, ON CONFLICT, a CHECK or the options of a virtual table, so the text is compared. Alembic's
batch mode writes a table anew in SQLAlchemy's words: then its clauses are compared, in whatever order and place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""--[^\n]*|/\*.*?(?:\*/|$)                                   # comments
    |'(?:[^']|'')*'                                                # strings
    |"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]                      # names in quotes
    |\d[\w.]*|[^\W\d][\w$]*                                        # numbers and words
    |<>|<=|>=|==|!=|<<|>>|\|\||->>?|\S""",
    re.VERBOSE | re.DOTALL,
)
#: With these begin the constraints of a table, and the clauses of a column.
_OF_TABLE = {"constraint", "primary", "unique", "check", "foreign"}
_OF_COLUMN = {
    "constraint",
    "primary",
    "not",
    "null",
    "unique",
    "check",
    "default",
    "collate",
    "references",
    "generated",
    "as",
}
#: After these a word begins nothing: SET NULL, NOT NULL, DEFAULT NULL, ALWAYS AS.
_GOES_ON = {"set", "not", "default", "always"}

Tokens = list[str]


def has_same_meaning(kind: str, before: str, after: str) -> bool:
    """Return whether two definitions of an object mean the same.

    Args:
        kind: table, index, view or trigger.
        before: its SQL, as the schema table has it.
        after: the other.
    """
    if before == after or parse_tokens(before) == parse_tokens(after):
        return True
    if kind != "table" or "virtual" in parse_tokens(before)[:2]:
        return False
    return parse_clauses(before) == parse_clauses(after)


def parse_tokens(sql: str) -> Tokens:
    """Return what SQL consists of: without white space and comments, and words and names in lower case."""
    found = []
    for match in _TOKEN.finditer(sql):
        token = match[0]
        if token.startswith(("--", "/*")):
            continue
        if token[0] in '"`[':
            token = (
                f'"{_unquote_token(token).lower()}"'
                if not re.fullmatch(r"\w+", _unquote_token(token))
                else _unquote_token(token)
            )
        found.append(token if token[0] == "'" else token.lower())
    return found


def parse_clauses(sql: str) -> tuple[list[str], list[str]]:
    """Return the clauses of CREATE TABLE, those of columns and tables alike, and the options after it; both sorted."""
    tokens = parse_tokens(sql)
    start = tokens.index("(") if "(" in tokens else len(tokens)
    end = _find_closing(tokens, start)
    found: list[str] = []
    for element in _split(tokens[start + 1 : end]):
        found += [" ".join(element)] if element[0] in _OF_TABLE else _parse_column_clauses(element)
    return sorted(found), sorted(" ".join(option) for option in _split(tokens[end + 1 :]))


def _parse_column_clauses(element: Tokens) -> list[str]:
    """Return a column's clauses, those that are constraints of their own as if they were."""
    name, found, prefix = element[0], [], ""
    for clause in _split_clauses(element[1:]):
        words = " ".join(clause)
        if clause[0] == "constraint":
            prefix = f"{words} "
            continue
        if clause[0] in ("primary", "unique"):
            length = 2 if clause[0] == "primary" else 1
            words = " ".join([*clause[:length], "(", name, ")", *clause[length:]])
        elif clause[0] == "references":
            words = f"foreign key ( {name} ) {words}"
        elif clause[0] != "check":
            words = f"column {name} {words}"
        if clause != ["null"]:
            found.append(prefix + words)
        prefix = ""
    return [f"column {name}", *found]


def _split_clauses(tokens: Tokens) -> Iterator[Tokens]:
    """Yield the type of a column, and then each of its clauses."""
    current: Tokens = []
    depth = 0
    for previous, word, following in zip(["", *tokens], tokens, [*tokens[1:], ""]):
        begins = depth == 0 and word in _OF_COLUMN and previous not in _GOES_ON
        if begins and [word, following] != ["not", "deferrable"] and current:
            yield current
            current = []
        depth += {"(": 1, ")": -1}.get(word, 0)
        current.append(word)
    if current:
        yield current


def _split(tokens: Tokens) -> Iterator[Tokens]:
    """Yield what is between commas that are in no parentheses."""
    current: Tokens = []
    depth = 0
    for word in tokens:
        depth += {"(": 1, ")": -1}.get(word, 0)
        if [word, depth] == [",", 0]:
            yield current
            current = []
        else:
            current.append(word)
    if current:
        yield current


def _find_closing(tokens: Tokens, start: int) -> int:
    """Return where the parenthesis that opens at a place is closed."""
    depth = 0
    for number in range(start, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[number], 0)
        if depth == 0:
            return number
    return len(tokens)


def _unquote_token(token: str) -> str:
    closing = "]" if token[0] == "[" else token[0]
    return token[1:-1].replace(closing * 2, closing) if closing != "]" else token[1:-1]
