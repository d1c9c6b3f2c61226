"""Whether a batch fits into what is left of the window."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.manifest import Database, Host, Manifest
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.window_fit import Pace, explain_misfit

STEP = [{"revision": "0002", "message": "notes"}]


def host(*seconds: float | None) -> Host:
    databases = {f"db{n}": Database("head", pending=STEP, expected_seconds=each) for n, each in enumerate(seconds)}
    # What has nothing to do takes no time.
    return Host(databases={**databases, "done": Database("head", expected_seconds=9999)})


def run_of(*hosts: Host) -> Manifest:
    made = Manifest("r1", hosts={f"web{number}": each for number, each in enumerate((Host(), *hosts))}, ended=1)
    made.batches = [["web0"], [f"web{number + 1}" for number in range(len(hosts))]]
    return made


@pytest.mark.parametrize(
    ("hosts", "pace", "needed"),
    [
        ([host(20)], Pace(margin=300), 20),
        ([host(None)], Pace(margin=300), 300),
        ([Host()], Pace(margin=300), 300),
        ([host(20, 30)], Pace(), 50),
        ([host(20, 30)], Pace(workers=2), 30),
        ([host(10, 10, 10, 10)], Pace(workers=2), 20),
        ([host(20), host(30)], Pace(forks=2), 30),
        ([host(20), host(30), host(5)], Pace(forks=2), 60),
        ([host(20, None), host(400)], Pace(margin=300, leaves_some=True), 20),
    ],
)
def test_a_batch_needs_what_its_journals_and_the_margin_say(hosts: list[Host], pace: Pace, needed: float) -> None:
    made = run_of(*hosts)
    assert explain_misfit(made, needed, pace) == ""
    why = explain_misfit(made, needed - 1, pace)
    assert why == f"batch 2 is expected to take {needed} s, and {needed - 1} s will be left"


def test_a_window_that_has_closed_is_too_short_for_anything() -> None:
    assert explain_misfit(run_of(host(0)), -5, Pace()) == "batch 2 is expected to take 0 s, and 0 s will be left"
