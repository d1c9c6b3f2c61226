# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments of pip that hold a secret: everybody on the host can read a command line, and not an environment."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ._core.secrets import credentials_in

# Each option by its names, and how pip is told by its environment; a list is separated by spaces.
_VARIABLES = {
    "--index-url": "PIP_INDEX_URL",
    "-i": "PIP_INDEX_URL",
    "--pypi-url": "PIP_INDEX_URL",
    "--extra-index-url": "PIP_EXTRA_INDEX_URL",
    "--find-links": "PIP_FIND_LINKS",
    "-f": "PIP_FIND_LINKS",
    "--proxy": "PIP_PROXY",
}
_LISTS = ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the arguments for a command line, and the variables for what may not stand there."""
    plain: list[str] = []
    variables: dict[str, str] = {}
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        option, value, used = _option(word, waiting)
        variable = _VARIABLES.get(option, "")
        if not variable or not any(credentials_in(value)):
            plain += [word, *used]
        elif variable in _LISTS:
            known = variables.get(variable, os.environ.get(variable, ""))
            variables[variable] = f"{known} {value}".strip()
        else:
            variables[variable] = value
        del waiting[: len(used)]
    return plain, variables


def _option(word: str, following: Sequence[str]) -> tuple[str, str, list[str]]:
    """Return an option, its value, and the further words that it takes."""
    name, equals, value = word.partition("=")
    if name.startswith("--") and equals:
        return name, value, []
    if word[:2] in ("-i", "-f") and len(word) > 2:
        return word[:2], word[2:].lstrip("="), []
    if word in _VARIABLES and following:
        return word, following[0], [following[0]]
    return word, "", []
