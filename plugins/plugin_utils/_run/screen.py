# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines for the person who watches: coloured on a terminal, and not there where standard output is data."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible import constants
from ansible.utils.color import stringc
from ansible.utils.display import Display

display = Display()

#: Callbacks that print data to standard output, by the last part of their names.
_DATA = ("json", "jsonl")
#: An outcome, alone in its column or before what it counts; within a sentence or a code the same word is text.
_ALARMING = re.compile(r"\b(?:FAILED|HELD|REFUSED|NOT rolled back)\b|(?<!\S)(?:failed|held|refused)(?=:|,|  |$)")


def is_read_by_people() -> bool:
    """Return whether standard output is text; a line of ours between would break JSON."""
    return str(constants.DEFAULT_STDOUT_CALLBACK).rpartition(".")[2] not in _DATA


def show(lines: Sequence[str]) -> None:
    """Print lines in one piece: those of several hosts would come in between each other."""
    if lines and is_read_by_people():
        display.display("\n".join(map(_color_line, lines)))


def _color_line(line: str) -> str:
    # ansible-core colours nothing where standard output is not a terminal.
    return _ALARMING.sub(lambda found: stringc(found[0], constants.COLOR_ERROR), line)
