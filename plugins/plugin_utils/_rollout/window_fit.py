# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check that the next batch of a rollout fits into what is left of the window. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .manifest import Host, Manifest


@dataclass(frozen=True)
class Pace:
    """The assumed durations where they are unknown, and how many databases and hosts are worked on at once."""

    margin: float = 0
    #: Databases of one host.
    workers: int = 1
    #: Hosts.
    forks: int = 1
    #: Whether a database may be left for the next window: then a batch begins for those that fit.
    leaves_some: bool = False


def explain_misfit(manifest: Manifest, seconds: float, pace: Pace) -> str:
    """Return why the next batch does not fit into so many seconds, or nothing."""
    needed = _estimate_seconds(manifest, pace)
    if seconds > 0 and needed <= seconds:
        return ""
    number = manifest.ended + 1
    return f"batch {number} is expected to take {needed:.0f} s, and {max(seconds, 0):.0f} s will be left"


def _estimate_seconds(manifest: Manifest, pace: Pace) -> float:
    names = manifest.batches[manifest.ended]
    each = [_of_each(manifest.hosts[name], pace.margin) for name in names]
    if pace.leaves_some:
        return min(seconds for found in each for seconds in found)
    waves = math.ceil(len(names) / max(pace.forks, 1))
    return waves * max(max(*found, sum(found) / max(pace.workers, 1)) for found in each)


def _of_each(host: Host, margin: float) -> list[float]:
    """Return what each database of a host is expected to take; of a host that did not answer nothing is known."""
    todo = [entry.expected_seconds for entry in host.databases.values() if entry.pending]
    return [margin if known is None else known for known in todo] or [margin]
