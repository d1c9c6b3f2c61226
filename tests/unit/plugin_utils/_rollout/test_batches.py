from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.batches import (
    Limits,
    build_batches,
    count_allowed,
    parse_limits,
)
from tests.codes import refused


def hosts(count: int) -> list[str]:
    return [f"web{number}" for number in range(1, count + 1)]


def sizes(count: int, rollout: Any, canary: list[str] | None = None) -> list[int]:
    return [len(batch) for batch in build_batches(hosts(count), rollout, canary)]


@pytest.mark.parametrize(
    ("count", "rollout", "expected"),
    [
        (0, [1, "25%", "100%"], []),
        (1, [1, "25%", "100%"], [1]),
        (5, [1, "25%", "100%"], [1, 1, 3]),
        (10, [1, "25%", "100%"], [1, 2, 7]),
        (50, [1, "25%", "100%"], [1, 12, 37]),
        (5, [2], [2, 2, 1]),
        (5, 2, [2, 2, 1]),
        (5, "100%", [5]),
        (3, ["10%"], [1, 1, 1]),
        (5, ["2", "2"], [2, 2, 1]),
    ],
)
def test_batches_are_as_serial_makes_them(count: int, rollout: Any, expected: list[int]) -> None:
    assert sizes(count, rollout) == expected
    assert [name for batch in build_batches(hosts(count), rollout) for name in batch] == hosts(count)


def test_a_group_takes_the_place_of_the_first_entry() -> None:
    made = build_batches(hosts(6), [1, 2, "100%"], ["web5", "web3", "elsewhere"])
    assert made == [["web3", "web5"], ["web1", "web2"], ["web4", "web6"]]


def test_a_group_that_is_done_needs_no_other_canary() -> None:
    assert sizes(4, [1, 2, "100%"], ["elsewhere"]) == [2, 2]


def test_with_one_entry_the_rest_goes_by_it() -> None:
    assert sizes(4, ["100%"], ["web2"]) == [1, 3]


@pytest.mark.parametrize("wrong", [[], [0], ["0%"], [1, "many"], [-1], [True], [1.5], {"hosts": 1}, None])
def test_what_cannot_be_read_is_refused(wrong: Any) -> None:
    with refused("rollout-invalid", "migrate_rollout"):
        build_batches(hosts(3), wrong)


@pytest.mark.parametrize(("amount", "total", "expected"), [(0, 9, 0), (2, 9, 2), ("10%", 19, 1), ("10%", 9, 0)])
def test_a_share_is_never_more_than_it_says(amount: Any, total: int, expected: int) -> None:
    assert count_allowed(amount, total) == expected


def test_one_limit_is_for_hosts_and_databases() -> None:
    assert parse_limits("5%") == Limits("5%", "5%")
    assert parse_limits({"databases": 3}) == Limits(0, 3)


def test_what_is_beyond_a_limit_is_reported() -> None:
    totals = {"hosts": 10, "databases": 100}
    assert parse_limits("10%").list_exceeded({"hosts": 1, "databases": 10}, totals) == []
    assert parse_limits({"hosts": 1, "databases": 0}).list_exceeded({"hosts": 1, "databases": 2}, totals) == [
        "2 of 100 databases failed, and migrate_max_failures allows 0"
    ]


@pytest.mark.parametrize("wrong", ["some", {"servers": 1}, {"hosts": "x"}, [1], True, None, -1])
def test_limits_that_cannot_be_read_are_refused(wrong: Any) -> None:
    with refused("rollout-invalid", "migrate_max_failures"):
        parse_limits(wrong)
