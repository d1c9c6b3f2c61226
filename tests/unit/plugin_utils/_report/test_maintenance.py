from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._report.grouping import View
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.report import report

GOES_ON = {
    "since": "2026-11-22T03:00:01.123+00:00",
    "seconds": 12.34,
    "run": "r1",
    "databases": ["shop"],
    "services": ["shop.service"],
    "file": "/srv/flag",
    "pools": ["shop"],
    "kept_by": [],
}
PLAN = {"shipped": True, "databases": []}


def lines(**results: Any) -> str:
    return "\n".join(report(results, View()).lines)


def test_the_downtime_is_reported() -> None:
    printed = lines(plan=PLAN, upgrade={"databases": []}, maintenance={"maintenance": {**GOES_ON, "ended": True}})
    assert "In maintenance for 12.3 s since 2026-11-22 03:00:01 UTC: shop.service, pool shop, /srv/flag" in printed


@pytest.mark.parametrize(("state", "words"), [("held", "is held"), ("cut_short", "half-way"), ("running", "worked on")])
def test_what_keeps_it_is_named_with_how_to_end_it(state: str, words: str) -> None:
    kept = {**GOES_ON, "kept_by": [{"name": "shop", "state": state, "run": "r1"}]}
    for results in ({"plan": {**PLAN, "maintenance": kept}}, {"status": {"databases": [], "maintenance": kept}}):
        printed = lines(**results)
        assert "WARNING: in maintenance since 2026-11-22 03:00:01 UTC, run r1" in printed
        assert words in printed
        assert "playbooks/recover.yml" in printed
        assert "migrate_end_maintenance=true" in printed


def test_what_a_dead_run_has_left_is_ended_by_recover() -> None:
    printed = lines(status={"databases": [], "maintenance": GOES_ON})
    assert "A run that is dead has left it" in printed
    assert "migrate_end_maintenance" not in printed


def test_one_that_does_not_end_is_a_failure() -> None:
    found = report({"plan": PLAN, "upgrade": {}, "maintenance": {"failed": True, "msg": "shop does not run."}}, View())
    assert found.failure == ["shop does not run."]


def test_a_rejected_upgrade_is_reported_with_why() -> None:
    upgraded = {"name": "shop", "outcome": "upgraded", "after": ["2"], "error": None}
    error = {"what": "The upgrade was verified and then rejected", "why": "it answered 500", "remedy": ""}
    back = {
        "name": "shop",
        "outcome": "downgraded",
        "after": ["1"],
        "undone": [{"revision": "2"}],
        "upgrade_error": error,
    }
    results = {"rejected": "it answered 500", "upgrade": {"databases": [upgraded]}, "downgrade": {"databases": [back]}}
    found = report(results, View())
    assert found.lines[1].split() == ["shop", "rejected", "downgraded", "1"]
    assert found.failure[0] == "it answered 500"
    assert "shop: The upgrade was verified and then rejected: it answered 500." in found.failure
