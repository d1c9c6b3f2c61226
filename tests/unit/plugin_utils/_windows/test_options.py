from __future__ import annotations

from datetime import date, time, timedelta
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.plugin_utils._windows.options import list_window_problems, read_windows

GOOD: dict[str, Any] = {"start": "22:00", "end": "04:00"}


def test_all_of_a_window_is_read() -> None:
    (window,) = read_windows(
        [
            {
                "days": ["mon", "Friday"],
                "start": "22:00",
                "duration": "90m",
                "timezone": "Asia/Seoul",
                "exclude": [date(2026, 12, 24), "2026-12-30/2027-01-01"],
            }
        ]
    )

    assert (window.days, window.start, window.end) == (frozenset({0, 4}), time(22), None)
    assert (window.duration, window.zone.key) == (timedelta(minutes=90), "Asia/Seoul")
    assert sorted(window.exclude) == [
        date(2026, 12, 24), date(2026, 12, 30), date(2026, 12, 31), date(2027, 1, 1),
    ]  # fmt: skip


def test_every_day_and_utc_need_not_be_given() -> None:
    (window,) = read_windows([GOOD])

    assert (len(window.days), window.zone.key, window.exclude) == (7, "UTC", frozenset())


@pytest.mark.parametrize(
    ("written", "expected"),
    [("03:00", time(3)), ("3:00", time(3)), (1320, time(22)), ("22:15:30", time(22, 15, 30)), (0, time(0))],
)
def test_a_time_is_read_also_where_yaml_took_it_for_a_number(written: Any, expected: time) -> None:
    assert read_windows([{**GOOD, "start": written}])[0].start == expected


@pytest.mark.parametrize(("written", "seconds"), [("2h", 7200), ("2h30m", 9000), ("45 m", 2700), ("20s", 20), (60, 60)])
def test_a_duration_is_read(written: Any, seconds: int) -> None:
    (window,) = read_windows([{"start": "22:00", "duration": written}])

    assert window.duration == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("22:00-04:00", ["must be a list"]),
        (["22:00"], ["Entry 1", "must be a dictionary"]),
        ([GOOD, {"end": "04:00"}], ["Entry 2", "has no start", "Write it as '22:00'"]),
        ([{"start": "22:00"}], ["either an end or a duration"]),
        ([{**GOOD, "duration": "2h"}], ["either an end or a duration"]),
        ([{**GOOD, "start": "25:00"}], ["start '25:00'", "hour must be in 0..23"]),
        ([{**GOOD, "start": "noon"}], ["start 'noon'", "write it as '22:00'"]),
        ([{**GOOD, "end": 1440}], ["end 1440", "write it as '22:00'"]),
        ([{"start": "22:00", "duration": "long"}], ["write it as 2h"]),
        ([{"start": "22:00", "duration": 0}], ["more than nothing"]),
        ([{"start": "22:00", "duration": "200h"}], ["at the most 7 days"]),
        ([{**GOOD, "days": ["someday"]}], ["'someday' is not a day"]),
        ([{**GOOD, "days": "mon"}], ["must be a list"]),
        ([{**GOOD, "days": []}], ["name some of"]),
        ([{**GOOD, "timezone": "Berlin"}], ["timezone 'Berlin'", "not an IANA time zone"]),
        ([{**GOOD, "timezone": "../Berlin"}], ["not an IANA time zone"]),
        ([{**GOOD, "exclude": ["24.12.2026"]}], ["exclude", "24.12.2026"]),
        ([{**GOOD, "exclude": ["2026-12-24/2026-12-01"]}], ["comes before"]),
        ([{**GOOD, "zone": "UTC"}], ["unknown key 'zone'", "timezone"]),
    ],
)
def test_what_is_wrong_is_reported(options: Any, words: list[str]) -> None:
    problems = list_window_problems(options)

    assert len(problems) == 1
    assert not [word for word in words if word not in problems[0]], problems
    with pytest.raises(Refused):
        read_windows(options)


def test_all_that_is_wrong_is_reported_at_once() -> None:
    assert len(list_window_problems([{"start": "x", "end": "y", "timezone": "z"}, {}])) == 5
