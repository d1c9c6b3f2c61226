from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.plugin_utils._windows.permit import (
    VARIABLE,
    Permit,
    count_seconds_until,
    permit,
    read_now,
)
from tests.codes import refused

NIGHT = [{"start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"}]


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "2026-07-14T12:00:00+02:00")


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "2026-07-14T23:30:00+02:00")


def test_the_clock_is_the_controllers_unless_a_test_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert abs(read_now() - datetime.now(timezone.utc)) < timedelta(seconds=5)
    monkeypatch.setenv(VARIABLE, "2026-07-14T12:00:00+02:00")
    assert read_now().isoformat() == "2026-07-14T10:00:00+00:00"
    monkeypatch.setenv(VARIABLE, "soon")
    with refused("time-invalid"):
        read_now()


def test_without_windows_a_run_may_start_at_any_time() -> None:
    assert permit([], required=False, override="") == Permit()


def test_a_window_that_is_required_has_to_be_there() -> None:
    with refused("window-missing") as caught:
        permit([], required=True, override="")
    assert "migrate_window_override" in str(caught.value)
    assert permit([], required=True, override="ticket 7").override == "ticket 7"


@pytest.mark.usefixtures("noon")
def test_outside_of_a_window_the_next_one_is_reported() -> None:
    with pytest.raises(Refused) as caught:
        permit(NIGHT, required=False, override="")
    printed = str(caught.value)
    assert "it is Tue 2026-07-14 12:00 Europe/Berlin (2026-07-14 10:00 UTC)" in printed
    assert "opens Tue 2026-07-14 22:00 Europe/Berlin (2026-07-14 20:00 UTC)" in printed
    assert "closes Wed 2026-07-15 04:00 Europe/Berlin (2026-07-15 02:00 UTC)" in printed


@pytest.mark.usefixtures("noon")
def test_windows_that_are_all_excluded_are_reported_as_such() -> None:
    never = [{**NIGHT[0], "exclude": ["2026-01-01/2028-01-01"]}]
    with refused("window-closed"):
        permit(never, required=False, override="")


@pytest.mark.usefixtures("night")
def test_inside_of_a_window_its_end_is_the_deadline() -> None:
    found = permit(NIGHT, required=True, override="")

    assert found == Permit(deadline="2026-07-15T02:00:00+00:00")
    assert count_seconds_until(found.deadline) == 4.5 * 3600


@pytest.mark.usefixtures("noon")
def test_a_reason_lifts_the_window_and_its_end() -> None:
    assert permit(NIGHT, required=True, override="the shop is down") == Permit(override="the shop is down")


@pytest.mark.parametrize("override", [" ", "\n", True, None, ["why"]])
def test_an_override_without_a_reason_is_refused(override: Any) -> None:
    with refused("window-override-invalid"):
        permit(NIGHT, required=False, override=override)
