# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of a plan or a status in parts: call again for what was not begun, and print how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .._run.screen import show
from .progress import Progress

#: Seconds of the first call; most plans take less, and are one execution on the host.
FIRST_PART = 4.0
#: Those of the others. Each costs a module's start, about a second, and sources of databases that are queried again.
_SHORTEST_PART, _LONGEST_PART = 10.0, 120.0
#: A part is so many times as long as what it costs beside.
_TIMES_THE_COST = 2
_KNOWN_OF_EACH = ("name", "identity", "instance", "can_be_shared")


def call_in_parts(call: Callable[[Result], Result], arguments: Result, progress: Progress, outcome: str) -> Result:
    """Call a module until it has answered for each database, and return the answers as one.

    Args:
        call: calls the module once.
        arguments: what it is called with.
        progress: prints how far the host is.
        outcome: what has been done to a database, in a word.
    """
    began = time.monotonic()
    done: list[Result] = []
    begin_for = FIRST_PART
    earlier: list[Result] = []
    while True:
        called = time.monotonic()
        answer = call({**arguments, "begin_for": begin_for, "done_before": [_select_known(entry) for entry in done]})
        if answer.get("failed"):
            return answer
        done += answer["databases"]
        total = answer.pop("total", len(done))
        if answer.pop("finished", True):
            return {**_join_answers([*earlier, answer]), "databases": done, "progress": progress.printed}
        earlier.append(answer)
        results = [{"name": entry["name"], "outcome": outcome} for entry in done]
        show([f"  {line}" for line in progress.list_lines(results, total, [])])
        cost = time.monotonic() - called - begin_for
        begin_for = min(max(_SHORTEST_PART, (time.monotonic() - began) / 2, cost * _TIMES_THE_COST), _LONGEST_PART)


def _select_known(entry: Result) -> Result:
    return {key: entry[key] for key in _KNOWN_OF_EACH if key in entry}


def _join_answers(answers: list[Result]) -> Result:
    """Return the last answer, with what is pending and refused in any of them."""
    joined = dict(answers[-1])
    if "pending" in joined:
        joined["pending"] = any(answer["pending"] for answer in answers)
        joined["refusals"] = [line for answer in answers for line in answer["refusals"]]
    return joined
