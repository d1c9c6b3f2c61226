# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The statements of MariaDB that commit the open transaction before they are executed themselves, and which of
these do nothing where they fail.
"""

from __future__ import annotations

import re

#: A comment, or the beginning of one whose content is executed.
_COMMENT = re.compile(r"\s+|--[ \t][^\n]*|--\n|#[^\n]*|/\*(?![!M])(?:.*?)\*/|/\*M?!\d*", re.DOTALL)
_WORDS = re.compile(r"[a-z_]+", re.IGNORECASE)
#: First words of such statements, with those behind them that make other ones of them.
_COMMITS: dict[str, tuple[str, ...]] = {
    "ALTER": (),
    "ANALYZE": (),
    "BEGIN": (),
    "CACHE": (),
    "CHANGE": (),
    "CHECK": (),
    "CREATE": ("TEMPORARY",),
    "DROP": ("TEMPORARY", "PREPARE"),
    "FLUSH": (),
    "GRANT": (),
    "INSTALL": (),
    "LOAD": ("DATA", "XML"),
    "LOCK": (),
    "OPTIMIZE": (),
    "RENAME": (),
    "REPAIR": (),
    "RESET": (),
    "REVOKE": (),
    "START": ("SLAVE", "REPLICA"),
    "TRUNCATE": (),
    "UNINSTALL": (),
}
#: What may contain any of them.
_MAY_CONTAIN = ("CALL", "EXECUTE", "CASE", "FOR", "IF", "LOOP", "REPEAT", "WHILE")
#: What commits where tables are locked, or in a transaction of several servers.
_MAY_COMMIT = (["UNLOCK", "TABLES"], ["UNLOCK", "TABLE"], ["XA", "COMMIT"], ["XA", "PREPARE"])
_SET_FOR = re.compile(r"\bFOR\b", re.IGNORECASE)
_SETS = re.compile(r"\bautocommit\b|\bpassword\b", re.IGNORECASE)
#: First words of statements that define objects, and do so as a whole or not at all.
_DDL = ("ALTER", "CREATE", "DROP", "RENAME", "TRUNCATE")
#: What may contain any word: strings, quoted names and comments. The content of /*! */ is executed.
_OPAQUE = re.compile(
    r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`]|``)*`|--[ \t][^\n]*|--\n|#[^\n]*|/\*(?![!M]).*?\*/""",
    re.DOTALL,
)
_FILLS_TABLE = re.compile(r"\bTABLE\b.*\bSELECT\b", re.IGNORECASE | re.DOTALL)
_SEVERAL = re.compile(r";\s*[^\s;]")
#: The body of a routine, a trigger or an event may have semicolons between its BEGIN and its END.
_COMPOUND = re.compile(
    r"[^;]*\b(?:TRIGGER|PROCEDURE|FUNCTION|EVENT|PACKAGE)\b[^;]*\bBEGIN\b.*\bEND\b[\s;]*", re.IGNORECASE | re.DOTALL
)


def is_single_ddl(statement: str) -> bool:
    """Return whether a statement is one of DDL: where it fails, only what was before it is committed.

    A procedure, a compound statement and several statements at once may have committed a part of what they do, and a
    table that is filled by a query may call what writes.
    """
    words = parse_first_words(statement)
    if not words or words[0] not in _DDL or not may_commit(statement):
        return False
    plain = _mask_text(statement)
    if words[0] == "CREATE" and _COMPOUND.fullmatch(plain):
        return True
    return not _SEVERAL.search(plain) and not (words[0] == "CREATE" and _FILLS_TABLE.search(plain))


def may_contain_others(statement: str) -> bool:
    """Return whether a statement may execute others that are not in its first words, such as those of a procedure."""
    words = parse_first_words(statement)
    if not words:
        return False
    if words[0] in _MAY_CONTAIN or words[:3] == ["BEGIN", "NOT", "ATOMIC"]:
        return True
    return bool(_list_others(words, statement))


def _list_others(words: list[str], statement: str) -> list[str]:
    """Return the statements behind the first of several, or behind SET STATEMENT."""
    if words[:2] == ["SET", "STATEMENT"]:
        plain = _mask_text(statement)
        behind = _SET_FOR.search(plain)
        return [plain[behind.end() :]] if behind else []
    if ";" not in statement or words[0] == "CREATE":  # that one commits, and may have a body
        return []
    return [each for each in _mask_text(statement).split(";")[1:] if each.strip()]


def _mask_text(statement: str) -> str:
    """Return a statement without its comments, and with a word in the place of each string and quoted name."""
    return _OPAQUE.sub(lambda match: " x " if match[0][0] in "'\"`" else " ", statement)


def parse_first_words(statement: str) -> list[str]:
    """Return the first words of a statement behind its comments, in capitals."""
    position = 0
    while True:
        comment = _COMMENT.match(statement, position)
        if comment is None or comment.end() == position:
            break
        position = comment.end()
    return [word.upper() for word in _WORDS.findall(statement[position : position + 200])[:4]]


def may_commit(statement: str) -> bool:
    """Return whether a statement commits what its session has written before, or may do so."""
    words = parse_first_words(statement)
    if not words:
        return False
    if words[0] in _MAY_CONTAIN or words[:2] in _MAY_COMMIT:
        return True
    if any(may_commit(other) for other in _list_others(words, statement)):
        return True
    if words[0] == "SET":
        return _SETS.search(statement) is not None
    if words[0] not in _COMMITS:
        return False
    following = [word for word in words[1:] if word not in ("OR", "REPLACE")]
    return not (following and following[0] in _COMMITS[words[0]])
