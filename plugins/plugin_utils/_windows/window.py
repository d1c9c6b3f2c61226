# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Maintenance windows: when a run may start, and when it must have ended. Pure functions; the caller reads the clock.

A window is given in local time, and local time is not regular. Where a start or an end does not exist on a day, because
the clock was put forward, the moment of that jump takes its place. Where one exists twice, the first counts: a window
is then never longer than it says. Only one that contains a whole repeated hour is longer by it. A duration is elapsed
time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

LONGEST = timedelta(days=7)
_FORESEEN = timedelta(days=400)  # a window that opens less often than once a year is none
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Window:
    """One entry of the windows: on these days from its start to its end, or for its duration."""

    start: time
    zone: ZoneInfo
    end: time | None = None
    duration: timedelta | None = None
    days: frozenset[int] = frozenset(range(7))  # of the local day on which it starts
    #: No window starts on these local dates, and one from the day before ends at their midnight.
    exclude: frozenset[date] = frozenset()


@dataclass(frozen=True)
class Opening:
    """A window on one day, in UTC. It is open from its first moment until right before its last."""

    opens: datetime
    closes: datetime
    zone: ZoneInfo

    def holds(self, moment: datetime) -> bool:
        """Return whether the window is open then."""
        return self.opens <= moment < self.closes


def convert_to_utc(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment in UTC at which clocks first show a local time, or jump over it."""
    moment = local.replace(tzinfo=zone, fold=0).astimezone(timezone.utc)
    if moment.astimezone(zone).replace(tzinfo=None) == local:
        return moment
    # In a gap fold=1 reads the local time by the offset after it, which lies before the jump, and fold=0 after it.
    before = local.replace(tzinfo=zone, fold=1).astimezone(timezone.utc)
    after = moment
    old = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        if middle.astimezone(zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after


def find_opening(window: Window, day: date) -> Opening | None:
    """Return the window that starts on a local day, or None if there is none on it."""
    if day.weekday() not in window.days or day in window.exclude:
        return None
    opens = convert_to_utc(datetime.combine(day, window.start), window.zone)
    if window.duration is not None:
        closes = opens + window.duration
    else:
        end = window.end or time(0)
        last = day if end > window.start else day + _DAY
        closes = convert_to_utc(datetime.combine(last, end), window.zone)
    for excluded in window.exclude:
        midnight = convert_to_utc(datetime.combine(excluded, time(0)), window.zone)
        if opens < midnight < closes:
            closes = midnight
    return Opening(opens, closes, window.zone) if opens < closes else None


def list_openings(windows: list[Window], since: datetime, until: datetime) -> list[Opening]:
    """Return all that are open between two moments, in order; those that overlap or touch are one."""
    found: list[Opening] = []
    every = [entry for window in windows for entry in _of(window, since, until)]
    for entry in sorted(every, key=lambda one: (one.opens, one.closes)):
        if found and entry.opens <= found[-1].closes:
            found[-1] = Opening(found[-1].opens, max(found[-1].closes, entry.closes), found[-1].zone)
        else:
            found.append(entry)
    return found


def _of(window: Window, since: datetime, until: datetime) -> Iterator[Opening]:
    day = (since - LONGEST).astimezone(window.zone).date()
    last = until.astimezone(window.zone).date()
    while day <= last:
        found = find_opening(window, day)
        if found and found.closes > since and found.opens <= until:
            yield found
        day += _DAY


def open_at(windows: list[Window], moment: datetime) -> Opening | None:
    """Return the window that is open at a moment, until its very end: windows that follow each other are one."""
    around = list_openings(windows, moment - _DAY, moment + LONGEST + _DAY)
    return next((entry for entry in around if entry.holds(moment)), None)


def is_started_since(windows: list[Window], since: datetime, moment: datetime) -> bool:
    """Return whether a window has opened since a moment, also one that follows another without a gap."""
    every = [entry for window in windows for entry in _of(window, since, moment)]
    return any(since < entry.opens <= moment for entry in every)


def find_next_after(windows: list[Window], moment: datetime) -> Opening | None:
    """Return the first window that opens after a moment, or None if none does within the next year.

    One that follows another without a gap opens too: a schedule begins a run then.
    """
    horizon = moment
    while horizon < moment + _FORESEEN:
        every = [entry for window in windows for entry in _of(window, horizon, horizon + LONGEST)]
        later = [entry for entry in every if entry.opens > moment]
        if later:
            return min(later, key=lambda entry: entry.opens)
        horizon += LONGEST
    return None


def format_moment(moment: datetime, zone: ZoneInfo) -> str:
    """Return a moment in the words of its zone and in UTC."""
    local = moment.astimezone(zone)
    utc = moment.astimezone(timezone.utc)
    return f"{DAYS[local.weekday()].capitalize()} {local:%Y-%m-%d %H:%M} {zone.key} ({utc:%Y-%m-%d %H:%M} UTC)"
