# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sizes of batches, and the limits of failures. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused

_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_LIMITS = ("hosts", "databases")

#: The first host that has something to do; then a quarter of them; then the rest.
DEFAULT = (1, "25%", "100%")


def build_batches(hosts: list[str], rollout: Any, canary: list[str] | None = None) -> list[list[str]]:
    """Put hosts into batches, as ``serial`` would: each takes the next entry, and the last entry is used again.

    Args:
        hosts: those that have something to do, in order.
        rollout: numbers and shares of all of them.
        canary: the group that takes the place of the first entry, or None for no such group.

    Raises:
        Refused: the option cannot be read.
    """
    entries = _parse_entries(rollout)
    first = [host for host in hosts if canary and host in canary]
    rest = [host for host in hosts if host not in first]
    found = [first] if first else []
    counts = [_count(entry, len(hosts)) for entry in entries]
    if canary is not None:
        counts = counts[1:] or counts
    while rest:
        size = counts.pop(0) if len(counts) > 1 else counts[0]
        found.append(rest[:size])
        rest = rest[size:]
    return found


def _parse_entries(rollout: Any) -> list[Any]:
    entries = list(rollout) if isinstance(rollout, (list, tuple)) else [rollout]
    wrong = [entry for entry in entries if not _is_amount(entry) or _count(entry, 100) < 1]
    if not entries or wrong:
        raise Refused(
            "migrate_rollout cannot be read",
            f"{wrong[0] if wrong else entries!r} is not a number of hosts or a percentage",
            'Write it as serial is written, for example [1, "25%", "100%"]',
            code="rollout-invalid",
        )
    return entries


def _is_amount(entry: Any) -> bool:
    if isinstance(entry, str):
        return entry.strip().isdigit() or bool(_SHARE.fullmatch(entry.strip()))
    return isinstance(entry, int) and not isinstance(entry, bool) and entry >= 0


def _count(entry: Any, total: int) -> int:
    """Return how many an entry means; a share of a few hosts is at least one."""
    return max(count_allowed(entry, total), 0 if str(entry).strip() in ("0", "0%") else 1)


def count_allowed(entry: Any, total: int) -> int:
    """Return how many a number or a share is of a total, never more than it says."""
    share = _SHARE.fullmatch(str(entry).strip())
    return int(float(share[1]) * total / 100) if share else int(entry)


@dataclass(frozen=True)
class Limits:
    """The limits of failures beyond which no further batch begins, each a number or a share."""

    hosts: Any = 0
    databases: Any = 0

    def list_exceeded(self, failed: dict[str, int], totals: dict[str, int]) -> list[str]:
        """Return in words what is beyond the limits."""
        return [
            f"{failed[kind]} of {totals[kind]} {kind} failed, and migrate_max_failures allows {getattr(self, kind)}"
            for kind in _LIMITS
            if failed[kind] > count_allowed(getattr(self, kind), totals[kind])
        ]


def parse_limits(option: Any) -> Limits:
    """Return the limits that ``migrate_max_failures`` says: one for both, or one for each.

    Raises:
        Refused: it cannot be read.
    """
    wanted = option if isinstance(option, dict) else dict.fromkeys(_LIMITS, option)
    wrong = list(_list_limit_problems(wanted))
    if wrong:
        raise Refused(
            "migrate_max_failures cannot be read",
            wrong[0],
            'Write a number or a share for both, or {hosts: 1, databases: "5%"}',
            code="rollout-invalid",
        )
    return Limits(**wanted)


def _list_limit_problems(wanted: dict[str, Any]) -> Iterator[str]:
    for key, value in wanted.items():
        if key not in _LIMITS:
            yield f"{key!r} is none of {', '.join(_LIMITS)}"
        elif not _is_amount(value):
            yield f"{value!r} is not a number or a percentage"
