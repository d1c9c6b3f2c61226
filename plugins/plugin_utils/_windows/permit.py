# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The time on the controller, and whether a run may start then."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused

from .options import read_windows
from .window import find_next_after, format_moment, open_at

#: Tests set it, with an offset, and the clock stops there. It moves windows only, no time that is recorded.
VARIABLE = "HOSTING_ALEMBIC_NOW"


@dataclass(frozen=True)
class Permit:
    """The permit to start a run now: when it must have ended (UTC, ISO 8601, or empty), and why no window applies."""

    deadline: str = ""
    override: str = ""


def read_now() -> datetime:
    """Return this moment in UTC.

    Raises:
        Refused: a test has set the clock to what is not a time.
    """
    pinned = os.environ.get(VARIABLE)
    if not pinned:
        return datetime.now(timezone.utc)
    try:
        moment = datetime.fromisoformat(pinned)
    except ValueError as error:
        raise Refused(
            f"{VARIABLE} is not a time", str(error), "Unset it; only tests have a use for it", code="time-invalid"
        ) from error
    return moment.astimezone(timezone.utc)


def permit(options: Any, required: bool, override: Any) -> Permit:
    """Return what the windows allow now.

    Args:
        options: the windows, as they are written.
        required: whether there must be any.
        override: why a person lets this run start and last at any time, empty if there is not a reason.

    Raises:
        Refused: no window is open.
    """
    if not isinstance(override, str) or override != override.strip():
        raise Refused(
            "migrate_window_override must be the reason, in words",
            f"it is {override!r}",
            "Write who lets this run start now, and why; the journals record it",
            code="window-override-invalid",
        )
    windows = read_windows(options)
    if not windows and not required:
        return Permit()
    if override:
        return Permit(override=override)
    if not windows:
        raise Refused(
            "No window is defined, and migrate_window_required is true",
            "migrate_windows is empty",
            _OVERRIDE.format(otherwise="Define one"),
            code="window-missing",
        )
    moment = read_now()
    opening = open_at(windows, moment)
    if opening:
        return Permit(deadline=opening.closes.isoformat())
    following = find_next_after(windows, moment)
    zone = windows[0].zone
    raise Refused(
        "No maintenance window is open",
        f"it is {format_moment(moment, following.zone if following else zone)}, and the next one opens "
        + (
            f"{format_moment(following.opens, following.zone)} "
            f"and closes {format_moment(following.closes, following.zone)}"
            if following
            else "at no time within the next year"
        ),
        _OVERRIDE.format(otherwise="Run it then"),
        code="window-closed",
    )


def count_seconds_until(deadline: str) -> float:
    """Return how much time is left until a deadline, less than nothing if it is over."""
    return (datetime.fromisoformat(deadline) - read_now()).total_seconds()


_OVERRIDE = "{otherwise}, or set migrate_window_override to the reason why it cannot wait"
