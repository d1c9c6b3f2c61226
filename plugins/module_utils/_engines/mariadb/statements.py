# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which statements of MariaDB commit the transaction that is open, before they are executed themselves."""

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
_MAY_CONTAIN = ("CALL", "EXECUTE")
_SETS = re.compile(r"\bautocommit\b|\bpassword\b", re.IGNORECASE)


def commits(statement: str) -> bool:
    """Return whether a statement commits what its session has written before, or may do so."""
    position = 0
    while True:
        comment = _COMMENT.match(statement, position)
        if comment is None or comment.end() == position:
            break
        position = comment.end()
    words = [word.upper() for word in _WORDS.findall(statement[position : position + 200])[:4]]
    if not words:
        return False
    if words[0] in _MAY_CONTAIN:
        return True
    if words[0] == "SET":
        return _SETS.search(statement) is not None
    if words[0] not in _COMMITS:
        return False
    following = [word for word in words[1:] if word not in ("OR", "REPLACE")]
    return not (following and following[0] in _COMMITS[words[0]])
