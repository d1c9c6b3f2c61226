# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program on the host that prints databases as JSON: a list of objects."""

from __future__ import annotations

import json
import os
from typing import Any

from .._core.bounded import KeyTwice, read_output, refuse_repeated_keys
from .._core.errors import Failed, Refused
from .._core.run_as import choose_user_to_become
from .source import Source

#: Bytes of an answer.
LARGEST = 16 << 20

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def read_rows_of_command(source: Source, run_as: str) -> list[dict[str, Any]]:
    """Return what the program prints.

    Args:
        source: names it.
        run_as: the user that it runs as; none named, the user of the module.

    Raises:
        Refused: that user is not there, or the program failed, or it printed something else.
    """
    what = f"The command of source {source.name!r} failed"
    user = choose_user_to_become(run_as, f"The command of source {source.name!r}") if run_as else None
    variables = {"PATH": os.environ.get("PATH", _PATH), "LANG": os.environ.get("LANG", "C.UTF-8")}
    if user is not None:
        variables.update(PATH=_PATH, HOME=user.home, USER=user.name, LOGNAME=user.name)
    else:
        variables["HOME"] = os.environ.get("HOME", "/")
    try:
        printed = read_output(
            source.command, what, variables=variables, user=user, seconds=source.timeout, most=LARGEST
        )
    except Failed as failure:
        raise Refused(what, failure.why, failure.remedy, code="discovery-failed") from None
    try:
        # A number stays as it is printed.
        answer = json.loads(printed, object_pairs_hook=refuse_repeated_keys, parse_float=str)
    except KeyTwice as twice:
        raise build_rows_refusal(source, f"an object has {twice} twice") from None
    except (ValueError, RecursionError):
        raise build_rows_refusal(source, "it did not print JSON") from None
    if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
        raise build_rows_refusal(source, "it did not print a list of objects")
    return answer


def build_rows_refusal(source: Source, why: str) -> Refused:
    """Return the refusal of an answer that has no rows."""
    return Refused(
        f"The answer of source {source.name!r} cannot be used",
        why,
        'Have it print a list of objects, for example [{"name": "shop", "database": "shop_db"}]',
        code="discovery-answer-invalid",
    )
