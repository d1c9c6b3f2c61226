# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Views, triggers, events and routines that a run has changed, and that others may have defined anew meanwhile.

Nothing shows who has defined one last. A server counts how often one of a kind was defined or dropped on it: where that
is as often as the run has done so, no other session has. It counts those of all databases and of all users.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .ddl_names import parse_definition
from .session_counters import count_growth
from .write_counts import AGE, COUNTS, READ, is_only_ours

#: What is kept with a backup of what the server had counted.
DEFINED = "defined"
_ROUTINE = "routine"
_KINDS = {"procedure": _ROUTINE, "function": _ROUTINE, "package": _ROUTINE}
_COUNTER = re.compile(r"Com_(?:create|alter|drop)_(?P<kind>view|trigger|event|procedure|function|package)(?:_body)?")


def select_definition_counters(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a reading of counters with those alone that count definitions, by their kinds.

    Args:
        found: what ``reading`` returned.
    """
    kinds: Counter[str] = Counter()
    for name, count in found[COUNTS].items():
        match = _COUNTER.fullmatch(name)
        if match:
            kinds[_KINDS.get(match["kind"], match["kind"])] += count
    return {COUNTS: dict(kinds), AGE: found[AGE], READ: found[READ]}


def find_redefined(executed: Iterable[str], before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what statements have defined or dropped of a kind of which others have defined any meanwhile.

    Args:
        executed: the statements of DDL of a run.
        before: what ``select_definition_counters`` returned before the run; nothing if that is not known.
        now: what it returns now.
    """
    found = [each for each in map(parse_definition, executed) if each is not None]
    ours = Counter(_KINDS.get(each.kind, each.kind) for each in found)
    return sorted(
        {
            f"{each.kind} {each.name}"
            for each in found
            if not _is_sole_definer(_KINDS.get(each.kind, each.kind), ours, before, now)
        }
    )


def _is_sole_definer(kind: str, ours: Mapping[str, int], before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether all that was defined of a kind are as many as the run has."""
    if not before:
        return False
    count = count_growth(before[COUNTS], now[COUNTS]).get(kind, 0)
    alike = {**before, COUNTS: {}}, {**now, COUNTS: {}}
    return is_only_ours(*alike, {}) and count == ours[kind]
