# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Progress of many databases: few lines, the first of each cause, and an estimate of what is left."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible import constants

from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.progress import Progress, format_duration


@pytest.fixture(autouse=True)
def _invocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ended(count: int, **last: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": f"t{number}", "outcome": "upgraded", "seconds": 2.1} for number in range(1, count + 1)
    ]
    return [*found[:-1], {**found[-1], **last}] if found else []


def failing(why: str) -> dict[str, Any]:
    return {"outcome": "failed", "error": {"what": "Revision 0002 failed", "why": why, "code": "revision-failed"}}


def of_host(clock: Clock, host: str = "web1", **options: Any) -> Progress:
    return Progress("upgrade", host, clock=clock, **options)


def test_a_line_says_how_many_have_ended_which_was_the_last_and_how_long_the_rest_takes(clock: Clock) -> None:
    progress = of_host(clock)
    progress.list_lines(ended(7), 200, [])
    clock.now += 60

    assert progress.list_lines(ended(57), 200, ["t58: backed up"]) == [
        "[57/200] t57 upgraded in 2.1 s, about 3 min left"
    ]
    assert progress.printed == ["[7/200] t7 upgraded in 2.1 s", "[57/200] t57 upgraded in 2.1 s, about 3 min left"]


def test_the_first_line_estimates_by_the_time_since_the_call(clock: Clock) -> None:
    progress = of_host(clock)
    clock.now += 4

    assert progress.list_lines(ended(100), 400, []) == ["[100/400] t100 upgraded in 2.1 s, about 12 s left"]


def test_few_databases_print_what_happens_in_each(clock: Clock) -> None:
    assert of_host(clock).list_lines(ended(1), 12, ["t2: backed up"]) == ["web1 | t2: backed up"]
    assert of_host(clock, shows_all=True).list_lines(ended(1), 200, ["t2: backed up"]) == ["web1 | t2: backed up"]


def test_a_run_of_any_length_prints_few_lines(clock: Clock) -> None:
    for seconds in (0.001, 0.25, 4):
        progress = Progress(f"upgrade {seconds}", "web1", clock=clock)
        for count in range(1, 1000):
            clock.now += seconds
            progress.list_lines(ended(count), 1000, [])
        assert 1 <= len(progress.printed) <= 12, seconds


def test_all_hosts_together_print_a_line_a_second_at_most_and_count_together(clock: Clock) -> None:
    hosts = [of_host(clock, f"web{number}", hosts=4, expected=400) for number in range(4)]
    lines: list[tuple[float, str]] = []
    for count in range(1, 101):
        for host in hosts:
            clock.now += 0.05
            lines += [(clock.now, line) for line in host.list_lines(ended(count), 100, [])]

    assert 3 <= len(lines) <= 6
    assert all(later - earlier >= 1 for (earlier, _one), (later, _other) in zip(lines, lines[1:]))
    counts = [int(found[1]) for _at, line in lines if (found := re.match(r"\[(\d+)/400\] web\d \| ", line))]
    assert len(counts) == len(lines)
    assert counts == sorted(counts)
    assert counts[-1] > 200


def test_the_first_failure_of_each_cause_is_printed_at_once(clock: Clock) -> None:
    progress = of_host(clock)
    progress.list_lines(ended(3), 1000, [])
    clock.now += 2
    (first,) = progress.list_lines(ended(4, **failing("no such table: itme")), 1000, [])
    clock.now += 2
    again = progress.list_lines(
        [*ended(4, **failing("no such table: itme")), {**failing("no such table: itme"), "name": "x"}], 1000, []
    )
    clock.now += 2
    (other,) = progress.list_lines(
        [*ended(4, **failing("no such table: itme")), {**failing("disk full"), "name": "y"}], 1000, []
    )

    assert first.startswith("[4/1000] t4 failed: no such table: itme [revision-failed], 1 needs a person")
    assert again == []
    assert "y failed: disk full" in other


def test_a_failure_that_came_too_soon_after_a_line_is_printed_later(clock: Clock) -> None:
    progress = of_host(clock)
    clock.now += 2
    assert progress.list_lines(ended(300), 1000, [])
    clock.now += 0.1
    assert progress.list_lines(ended(301, **failing("disk full")), 1000, []) == []
    clock.now += 1
    (line,) = progress.list_lines(ended(301, **failing("disk full")), 1000, [])
    assert "t301 failed: disk full" in line


def test_where_nothing_ends_it_says_what_is_waited_for(clock: Clock) -> None:
    progress = of_host(clock)
    progress.list_lines([], 100, [])
    clock.now += 30

    (line,) = progress.list_lines([], 100, ["t1: waits, waits for session 7 (30 s)", "t2: backs up (1 s)"])

    assert line == "[0/100] t1: waits, waits for session 7 (30 s)"


@pytest.mark.parametrize(("value", "words"), [(3, "3 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (9000, "2 h")])
def test_a_duration_is_in_the_unit_that_people_say(value: float, words: str) -> None:
    assert format_duration(value) == words
