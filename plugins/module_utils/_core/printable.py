# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text that is safe to print: what a host, a revision or a database says may hold anything."""

from __future__ import annotations

import re
import unicodedata

# Controls, marks that change the direction of writing, lone surrogates, private and unassigned characters, and what
# some terminals take for the end of a line.
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")

_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")
_NOT_PLAIN_LINES = re.compile(r"[^\x20-\x7e\n\t]")


def escape_unprintable(text: str, *, lines: bool = False) -> str:
    r"""Return text in which everything that a terminal would act on is written out, as in ``\x1b``.

    Args:
        text: the text.
        lines: whether line feeds and tabulators may stay.
    """
    return (_NOT_PLAIN_LINES if lines else _NOT_PLAIN).sub(_write_out, text)


def _write_out(found: re.Match[str]) -> str:
    character = found[0]
    if unicodedata.category(character) not in _UNPRINTABLE:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
