from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._windows.options import read_windows
from ansible_collections.hosting.alembic.plugins.plugin_utils._windows.window import (
    Opening,
    Window,
    convert_to_utc,
    find_next_after,
    find_opening,
    format_moment,
    list_openings,
    open_at,
)

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
SEOUL = "Asia/Seoul"
LORD_HOWE = "Australia/Lord_Howe"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}:00+00:00" if len(text) == 16 else f"{text}+00:00")


def window(start: str, end: str, zone: str, **more: object) -> Window:
    return read_windows([{"start": start, "end": end, "timezone": zone, **more}])[0]


def span(found: Opening | None) -> tuple[str, str]:
    assert found
    return f"{found.opens:%Y-%m-%d %H:%M}", f"{found.closes:%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        (BERLIN, date(2026, 1, 14), ("2026-01-14 01:00", "2026-01-14 03:00")),
        (BERLIN, date(2026, 7, 14), ("2026-07-14 00:00", "2026-07-14 02:00")),
        (NEW_YORK, date(2026, 1, 14), ("2026-01-14 07:00", "2026-01-14 09:00")),
        (SEOUL, date(2026, 7, 14), ("2026-07-13 17:00", "2026-07-13 19:00")),
        (LORD_HOWE, date(2026, 1, 14), ("2026-01-13 15:00", "2026-01-13 17:00")),
        (LORD_HOWE, date(2026, 7, 14), ("2026-07-13 15:30", "2026-07-13 17:30")),
    ],
)
def test_a_window_on_a_plain_day(zone: str, day: date, expected: tuple[str, str]) -> None:
    assert span(find_opening(window("02:00", "04:00", zone), day)) == expected


# Berlin jumps from 02:00 to 03:00 on 2026-03-29 at 01:00 UTC, New York on 2026-03-08 at 07:00 UTC,
# Lord Howe from 02:00 to 02:30 on 2026-10-04 at 15:30 UTC of the day before. Seoul never does.
@pytest.mark.parametrize(
    ("zone", "day", "start", "end", "expected"),
    [
        (BERLIN, date(2026, 3, 29), "02:30", "04:00", ("2026-03-29 01:00", "2026-03-29 02:00")),
        (BERLIN, date(2026, 3, 29), "01:00", "02:30", ("2026-03-29 00:00", "2026-03-29 01:00")),
        (BERLIN, date(2026, 3, 29), "01:00", "04:00", ("2026-03-29 00:00", "2026-03-29 02:00")),
        (NEW_YORK, date(2026, 3, 8), "02:15", "03:15", ("2026-03-08 07:00", "2026-03-08 07:15")),
        (SEOUL, date(2026, 3, 29), "02:30", "04:00", ("2026-03-28 17:30", "2026-03-28 19:00")),
        (LORD_HOWE, date(2026, 10, 4), "02:15", "03:00", ("2026-10-03 15:30", "2026-10-03 16:00")),
        (LORD_HOWE, date(2026, 10, 4), "01:00", "03:00", ("2026-10-03 14:30", "2026-10-03 16:00")),
    ],
)
def test_what_a_gap_swallows_begins_or_ends_at_its_jump(
    zone: str, day: date, start: str, end: str, expected: tuple[str, str]
) -> None:
    assert span(find_opening(window(start, end, zone), day)) == expected


def test_a_window_inside_of_a_gap_does_not_open_that_day() -> None:
    inside = window("02:10", "02:50", BERLIN)

    assert find_opening(inside, date(2026, 3, 29)) is None
    assert span(find_opening(inside, date(2026, 3, 30))) == ("2026-03-30 00:10", "2026-03-30 00:50")
    assert span(find_next_after([inside], utc("2026-03-28T12:00"))) == ("2026-03-30 00:10", "2026-03-30 00:50")


# Berlin shows 02:00 to 03:00 twice on 2026-10-25 (00:00 and 01:00 UTC), New York 01:00 to 02:00 on 2026-11-01 (05:00
# and 06:00 UTC), Lord Howe 01:30 to 02:00 on 2026-04-05 (14:30 and 15:00 UTC of the day before).
@pytest.mark.parametrize(
    ("zone", "day", "start", "end", "expected"),
    [
        (BERLIN, date(2026, 10, 25), "01:00", "04:00", ("2026-10-24 23:00", "2026-10-25 03:00")),
        (BERLIN, date(2026, 10, 25), "02:00", "02:45", ("2026-10-25 00:00", "2026-10-25 00:45")),
        (BERLIN, date(2026, 10, 25), "02:30", "04:00", ("2026-10-25 00:30", "2026-10-25 03:00")),
        (BERLIN, date(2026, 10, 25), "01:00", "02:30", ("2026-10-24 23:00", "2026-10-25 00:30")),
        (NEW_YORK, date(2026, 11, 1), "00:30", "02:30", ("2026-11-01 04:30", "2026-11-01 07:30")),
        (LORD_HOWE, date(2026, 4, 5), "01:00", "02:30", ("2026-04-04 14:00", "2026-04-04 16:00")),
        (LORD_HOWE, date(2026, 4, 5), "01:45", "02:30", ("2026-04-04 14:45", "2026-04-04 16:00")),
    ],
)
def test_a_repeated_hour_lengthens_what_contains_it_and_else_the_first_counts(
    zone: str, day: date, start: str, end: str, expected: tuple[str, str]
) -> None:
    assert span(find_opening(window(start, end, zone), day)) == expected


@pytest.mark.parametrize(("day", "month"), [(29, 3), (25, 10), (14, 7)])
def test_a_duration_is_elapsed_time(day: int, month: int) -> None:
    (lasting,) = read_windows([{"start": "01:30", "duration": "2h30m", "timezone": BERLIN}])

    found = find_opening(lasting, date(2026, month, day))

    assert found
    assert found.closes - found.opens == timedelta(hours=2, minutes=30)


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_starts() -> None:
    night = window("22:00", "04:00", BERLIN, days=["sat"])

    assert open_at([night], utc("2026-03-28T22:00"))  # 23:00 on Saturday
    found = open_at([night], utc("2026-03-29T01:30"))  # 03:30 on Sunday, after the jump
    assert span(found) == ("2026-03-28 21:00", "2026-03-29 02:00")
    assert open_at([night], utc("2026-03-29T02:00")) is None
    assert open_at([night], utc("2026-03-29T21:30")) is None


def test_a_window_is_open_from_its_first_moment_until_right_before_its_last() -> None:
    one = [window("02:00", "04:00", SEOUL)]

    assert open_at(one, utc("2026-05-01T16:59:59")) is None
    assert open_at(one, utc("2026-05-01T17:00:00"))
    assert open_at(one, utc("2026-05-01T18:59:59"))
    assert open_at(one, utc("2026-05-01T19:00:00")) is None


def test_windows_that_touch_or_overlap_are_one() -> None:
    late, early = window("22:00", "00:00", BERLIN), window("00:00", "03:00", BERLIN)
    overlapping = window("20:00", "21:30", "UTC")

    found = open_at([early, overlapping, late], utc("2026-01-14T20:30"))

    assert span(found) == ("2026-01-14 20:00", "2026-01-15 02:00")
    assert len(list_openings([late, early], utc("2026-01-14T12:00"), utc("2026-01-15T12:00"))) == 1


def test_no_window_starts_on_an_excluded_date_and_none_reaches_into_it() -> None:
    night = window("22:00", "04:00", BERLIN, exclude=["2026-12-24", "2026-12-31/2027-01-01"])

    assert span(find_opening(night, date(2026, 12, 23))) == ("2026-12-23 21:00", "2026-12-23 23:00")
    assert find_opening(night, date(2026, 12, 24)) is None
    assert open_at([night], utc("2026-12-25T01:00")) is None
    assert find_opening(night, date(2027, 1, 1)) is None
    assert span(find_next_after([night], utc("2026-12-31T00:00"))) == ("2027-01-02 21:00", "2027-01-03 03:00")


def test_the_next_window_is_found_over_weeks_and_over_a_change_of_the_clock() -> None:
    night = window("03:00", "05:00", NEW_YORK, days=["sun"], exclude=["2026-03-01", "2026-03-08"])

    found = find_next_after([night], utc("2026-02-22T12:00"))

    assert span(found) == ("2026-03-15 07:00", "2026-03-15 09:00")
    assert found
    assert format_moment(found.opens, found.zone) == "Sun 2026-03-15 03:00 America/New_York (2026-03-15 07:00 UTC)"


def test_while_one_is_open_the_next_is_another() -> None:
    night = window("02:00", "04:00", SEOUL)

    assert span(find_next_after([night], utc("2026-05-01T17:30"))) == ("2026-05-02 17:00", "2026-05-02 19:00")


def test_windows_that_never_open_have_no_next() -> None:
    never = window("02:00", "04:00", SEOUL, exclude=["2026-01-01/2028-01-01"])

    assert find_next_after([never], utc("2026-05-01T17:30")) is None
    assert find_next_after([], utc("2026-05-01T17:30")) is None


def test_an_end_that_is_the_start_means_a_whole_day() -> None:
    assert span(find_opening(window("06:00", "06:00", "UTC"), date(2026, 5, 1))) == (
        "2026-05-01 06:00",
        "2026-05-02 06:00",
    )


def test_a_whole_year_of_minutes_agrees_with_the_wall_clock() -> None:
    """Between start and end, by what clocks on the wall show, a window that contains no repeated time is open."""
    for name in (BERLIN, NEW_YORK, SEOUL, LORD_HOWE):
        zone = ZoneInfo(name)
        one = [Window(time(0, 30), zone, end=time(5))]
        moment, year = utc("2026-01-01T00:00"), list_openings(one, utc("2026-01-01T00:00"), utc("2027-01-02T00:00"))
        while moment < utc("2027-01-01T00:00"):
            shown = moment.astimezone(zone).time()
            held = bool(year) and any(entry.holds(moment) for entry in year[:2])
            assert held == (time(0, 30) <= shown < time(5)), (name, moment)
            while year and year[0].closes <= moment:
                year.pop(0)
            moment += timedelta(minutes=7)


def test_an_instant_that_exists_is_itself() -> None:
    zone, day = ZoneInfo(BERLIN), date(2026, 3, 29)

    assert convert_to_utc(datetime.combine(day, time(1, 59, 59)), zone) == utc("2026-03-29T00:59:59")
    assert convert_to_utc(datetime.combine(day, time(2, 0)), zone) == utc("2026-03-29T01:00")
    assert convert_to_utc(datetime.combine(day, time(2, 59, 59)), zone) == utc("2026-03-29T01:00")
    assert convert_to_utc(datetime.combine(day, time(3, 0)), zone) == utc("2026-03-29T01:00")
