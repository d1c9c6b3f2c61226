# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Windows as people write them in YAML, read into windows; and all that is wrong with what they wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused

from .window import DAYS, LONGEST, Window

KEYS = ("days", "start", "end", "duration", "timezone", "exclude")

_LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DURATION = re.compile(r"(?:(\d+)\s*h)?\s*(?:(\d+)\s*m)?\s*(?:(\d+)\s*s)?")
_MINUTES_OF_A_DAY = 1440


def read_windows(options: Any) -> list[Window]:
    """Return the windows of the option.

    Raises:
        Refused: something is wrong with it; ``list_window_problems`` says all of it.
    """
    wrong = list_window_problems(options)
    if wrong:
        raise Refused(" ".join(wrong), code="window-invalid")
    return [_parse_window(entry) for entry in options]


def list_window_problems(options: Any) -> list[str]:
    """Return all that is wrong with the option, each as a sentence."""
    if not isinstance(options, list):
        return ["migrate_windows must be a list of windows, each with a start and an end or a duration."]
    return [problem for number, entry in enumerate(options, 1) for problem in _list_problems(number, entry)]


def _list_problems(number: int, entry: Any) -> Iterator[str]:
    place = f"Entry {number} of migrate_windows"
    if not isinstance(entry, dict):
        yield f"{place} must be a dictionary with {', '.join(KEYS)}."
        return
    for key in entry.keys() - set(KEYS):
        yield f"{place} has an unknown key {key!r}. Known are {', '.join(KEYS)}."
    if entry.get("start") is None:
        yield f"{place} has no start. Write it as '22:00'."
    if (entry.get("end") is None) == (entry.get("duration") is None):
        yield f"{place} needs either an end or a duration."
    for key, read in _READERS.items():
        if entry.get(key) is not None:
            try:
                read(entry[key])
            except ValueError as error:
                yield f"{place}: {key} {entry[key]!r} cannot be read: {error}."


def _parse_window(entry: dict[str, Any]) -> Window:
    known = {key: read(entry[key]) for key, read in _READERS.items() if entry.get(key) is not None}
    known["zone"] = known.pop("timezone", ZoneInfo("UTC"))
    return Window(**known)


def _parse_time(value: Any) -> time:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MINUTES_OF_A_DAY:
        # YAML reads an unquoted 22:00 as a number to the base of sixty.
        return time(value // 60, value % 60)
    if isinstance(value, str) and re.fullmatch(r"\d\d?:\d\d(:\d\d)?", value):
        return time.fromisoformat(value.zfill(len(value) + (value.index(":") == 1)))
    raise ValueError("write it as '22:00'")


def _parse_duration(value: Any) -> timedelta:
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found and any(found.groups()):
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        length = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        length = timedelta(seconds=value)
    else:
        raise ValueError("write it as 2h, 90m, 2h30m, or as a number of seconds")
    if not timedelta(0) < length <= LONGEST:
        raise ValueError(f"it must be more than nothing and at the most {LONGEST.days} days")
    return length


def _parse_days(value: Any) -> frozenset[int]:
    names = [str(name).lower() for name in _as_list(value)]
    if not names:
        raise ValueError(f"name some of {', '.join(DAYS)}, or leave it out for every day")
    unknown = [name for name in names if name not in DAYS + _LONG_DAYS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a day; they are {', '.join(DAYS)}")
    return frozenset((DAYS + _LONG_DAYS).index(name) % 7 for name in names)


def _exclude(value: Any) -> frozenset[date]:
    return frozenset(day for entry in _as_list(value) for day in _parse_dates(entry))


def _parse_dates(value: Any) -> Iterator[date]:
    """Yield one date, or each of ``first/last``."""
    first, slash, last = str(value.date() if isinstance(value, datetime) else value).partition("/")
    day = date.fromisoformat(first)
    end = date.fromisoformat(last) if slash else day
    if end < day:
        raise ValueError(f"{last} comes before {first}")
    while day <= end:
        yield day
        day += timedelta(days=1)


def _parse_zone(value: Any) -> ZoneInfo:
    if not available_timezones():
        raise ValueError("this controller knows no time zones; install tzdata")
    if str(value) not in available_timezones():
        raise ValueError("it is not an IANA time zone such as Europe/Berlin")
    return ZoneInfo(str(value))


def _as_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("it must be a list")  # noqa: TRY004 - one kind of error for all that cannot be read
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "days": _parse_days,
    "start": _parse_time,
    "end": _parse_time,
    "duration": _parse_duration,
    "timezone": _parse_zone,
    "exclude": _exclude,
}
