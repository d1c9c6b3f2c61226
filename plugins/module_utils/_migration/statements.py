# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A statement as it is printed and journaled."""

from __future__ import annotations

import re

#: There may be a secret in a string, and an apostrophe in a comment or in a name begins none.
_STRING = re.compile(
    r"""(?P<name>`(?:[^`]|``)*`)|--[^\n]*|\#[^\n]*|/\*.*?(?:\*/|$)
    |'(?:[^'\\]|\\.|'')*(?:'|$)|"(?:[^"\\]|\\.|"")*(?:"|$)""",
    re.DOTALL | re.VERBOSE,
)
_LONGEST, _LONGEST_JOURNALED = 160, 4000


def render_for_journal(statement: str) -> str:
    """Return a statement as it is journaled: what it names is read from there after a failure."""
    return shorten(statement, _LONGEST_JOURNALED)


def shorten(statement: str, longest: int = _LONGEST) -> str:
    """Return a statement on one line, without its strings and its comments."""
    plain = _STRING.sub(lambda found: found["name"] or ("'…'" if found[0][0] in "'\"" else " "), statement)
    return " ".join(plain.split())[:longest]
