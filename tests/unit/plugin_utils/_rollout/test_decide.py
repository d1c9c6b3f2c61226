"""What a rollout decides, from what its hosts left."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout import decide
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.batches import parse_limits
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.manifest import Host, Manifest

FAILED = {"what": "Revision 0003 failed", "why": "no such table", "remedy": "Correct it"}


def planned(name: str = "app", pending: bool = True, **more: Any) -> dict[str, Any]:
    steps = [{"revision": "0002", "message": "notes"}] if pending else []
    entry = {"name": name, "target": "head", "current": ["0001"], "heads": ["0002"], "pending": steps, "obstacles": []}
    return {**entry, **more}


def plan(*entries: dict[str, Any]) -> dict[str, Any]:
    databases = list(entries) or [planned()]
    return {"databases": databases, "pending": any(entry["pending"] or entry["obstacles"] for entry in databases)}


def planned_host(**results: Any) -> Host:
    return decide.read_planned({"packed": {"run": "r1"}, "plan": plan(), **results})


def ended(outcome: str = "upgraded", after: str = "0002", failure: str = "", **results: Any) -> Host:
    host = planned_host()
    error = FAILED if outcome == "failed" else None
    entry = {"name": "app", "outcome": outcome, "target": "head", "after": [after], "error": error}
    decide.has_ended(host, {"upgrade": {"databases": [entry]}, "failure": failure, **results})
    return host


def run_of(*hosts: Host, batches: list[int], gone: int) -> Manifest:
    names = [f"web{number}" for number in range(1, len(hosts) + 1)]
    made = Manifest("r1", hosts=dict(zip(names, hosts)), ended=gone)
    for number, size in enumerate(batches, 1):
        made.batches.append(names[:size])
        for name in names[:size]:
            made.hosts[name].batch = number
        names = names[size:]
    return made


def migrated() -> Host:
    return ended()


def failed() -> Host:
    back = {"databases": [{"name": "app", "outcome": "downgraded", "after": ["0001"]}]}
    return ended("failed", failure="shop failed", downgrade=back)


def waiting() -> Host:
    return planned_host()


def lost() -> Host:
    return ended(failure="gone", upgrade={"lost": True})


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ({}, "waiting"),
        ({"plan": plan(planned(pending=False))}, "unchanged"),
        ({"plan": plan(planned(pending=False, obstacles=[FAILED]))}, "waiting"),
        ({"packed": {}, "failure": "migrate_source is not a directory"}, "refused"),
        ({"plan": {"lost": True}, "failure": "cannot be reached"}, "lost"),
        ({"plan": {}, "failure": "no virtualenv"}, "failed"),
    ],
)
def test_what_a_plan_finds(results: dict[str, Any], state: str) -> None:
    assert planned_host(**results).state == state


def test_what_was_reverted_by_the_handler_is_where_it_was() -> None:
    host = failed()
    assert host.state == "failed"
    assert (host.databases["app"].outcome, host.databases["app"].now) == ("downgraded", ["0001"])
    assert host.failures == ["app"]
    assert not host.has_migrated
    made = run_of(host, batches=[1], gone=1)
    # The cause is printed once, by the summary.
    assert "no such table" not in decide.describe_failure(host, made)


def test_a_host_that_was_lost_says_so() -> None:
    assert lost().state == "lost"
    assert lost().why == "gone"


@pytest.mark.parametrize(
    ("results", "failure"),
    [
        ({"plan": {"ok": True, "pending": True}, "upgrade": {"ok": True}}, ""),
        ({"plan": {"ok": True, "pending": False}}, ""),
        ({"plan": {"ok": True, "pending": True}, "upgrade": {"ok": True}, "failure": "a hook failed"}, "a hook failed"),
        # A host that Ansible has given up has left no failure.
        ({"plan": {"ok": True, "pending": True}}, decide.LOST_ON_THE_WAY),
        ({"plan": {"ok": True, "pending": True}, "upgrade": {"ok": False}}, decide.LOST_ON_THE_WAY),
        ({"plan": {"ok": False, "lost": True}}, decide.LOST_ON_THE_WAY),
        # It was reverted, and then lost.
        ({"plan": {"ok": True, "pending": True}, "upgrade": {"ok": True}, "downgrade": {}}, ""),
        (
            {"plan": {"ok": True, "pending": True}, "upgrade": {"ok": True}, "downgrade": {"databases": []}},
            decide.LOST_ON_THE_WAY,
        ),
        ({}, decide.LOST_ON_THE_WAY),
    ],
)
def test_success_is_what_was_seen(results: dict[str, Any], failure: str) -> None:
    assert decide.find_failure(results, "accept") == failure


def test_a_host_that_was_lost_behind_its_upgrade_is_not_a_success() -> None:
    results = {"plan": {"ok": True, "pending": True}, "upgrade": {"ok": True}}
    assert decide.find_failure(results, "accept", is_lost=True) == decide.LOST_ON_THE_WAY


def test_a_database_that_was_not_begun_is_a_failure_where_that_is_wanted() -> None:
    upgrade = {"ok": True, "databases": [{"name": "app", "outcome": "deferred"}]}
    results = {"plan": {"ok": True, "pending": True}, "upgrade": upgrade}
    assert decide.find_failure(results, "fail").startswith("app not begun")
    assert decide.find_failure(results, "accept") == ""


def test_what_a_host_does_in_its_batch() -> None:
    gone, broken = planned_host(plan={"lost": True}, failure="gone"), planned_host(plan={}, failure="no virtualenv")
    made = run_of(planned_host(), gone, broken, batches=[3], gone=0)
    assert [decide.turn(made, name) for name in made.hosts] == ["planned", "again", ""]
    made.why = "too many"
    assert decide.turn(made, "web1") == "stop"


NO_LIMITS = parse_limits("100%")


@pytest.mark.parametrize(
    ("hosts", "gone", "allowed", "why"),
    [
        ([migrated(), waiting(), waiting()], 1, 0, ""),
        ([failed(), waiting(), waiting()], 1, "100%", "web1 failed in the first batch"),
        ([lost(), waiting(), waiting()], 1, "100%", "web1 failed in the first batch"),
        ([migrated(), failed(), waiting()], 2, 0, "1 of 3 hosts failed"),
        ([migrated(), failed(), migrated()], 2, 1, ""),
        ([migrated(), failed(), failed()], 2, "100%", "all of batch 2 failed: web2, web3"),
        ([migrated(), failed(), migrated()], 2, {"hosts": 1}, "1 of 3 databases failed"),
        # What the plan has found of a host counts when its turn has come.
        ([migrated(), planned_host(failure="pip", plan={}), waiting()], 1, 0, ""),
    ],
)
def test_the_gate(hosts: list[Host], gone: int, allowed: Any, why: str) -> None:
    made = run_of(*hosts, batches=[1, 2], gone=gone)
    printed = decide.explain_stop(made, parse_limits(allowed))
    assert printed.startswith(why)
    assert bool(printed) == bool(why)


def test_where_a_failure_undoes_everything_a_known_one_is_a_reason_not_to_begin() -> None:
    refused = planned_host(plan=plan(planned(pending=False, obstacles=[FAILED])))
    made = run_of(waiting(), refused, batches=[1, 1], gone=0)
    assert decide.explain_not_begun(made, parse_limits(0), "stop") == ""
    assert "1 of 2 hosts failed" in decide.explain_not_begun(made, parse_limits(0), "rollback")
    assert decide.explain_not_begun(made, parse_limits("50%"), "rollback") == ""


def test_a_wrong_variable_is_a_reason_not_to_begin() -> None:
    made = run_of(waiting(), Host(state="refused"), batches=[1], gone=0)
    assert "1 of 2 hosts failed" in decide.explain_not_begun(made, parse_limits(0), "stop")
    assert decide.explain_not_begun(made, parse_limits(1), "stop") == ""


def steered(made: Manifest) -> dict[str, list[Any]]:
    return {term: steer(made) for term, steer in decide.PLAY_TARGETS.items()}


def test_plays_are_steered_by_the_manifest() -> None:
    made = run_of(migrated(), migrated(), failed(), waiting(), batches=[1, 2, 1], gone=2)
    made.why = "it failed"
    found = steered(made)
    assert (found["hosts"], found["batches"]) == (["web1", "web2", "web3", "web4"], [1, 2, 1])
    assert (found["to_roll_back"], found["failing"]) == ([], ["web3", "web1"])
    made.rolls_back = True
    assert steered(made)["to_roll_back"] == ["web1", "web2"]
    assert steered(made)["to_roll_back_batches"] == [1, 1]
    assert steered(made)["failing"] == ["web1", "web2", "web3", "web4"]


def test_nothing_is_directed_where_nothing_may_begin() -> None:
    made = run_of(waiting(), waiting(), batches=[1, 1], gone=0)
    made.why = "it would be wrong"
    found = steered(made)
    assert (found["hosts"], found["batches"], found["to_roll_back"]) == ([], [], [])
    assert found["failing"] == ["web1", "web2"]


def test_a_success_over_several_hosts_is_printed_once() -> None:
    for made in (run_of(migrated(), migrated(), batches=[2], gone=1), run_of(migrated(), batches=[1], gone=1)):
        assert (steered(made)["failing"], steered(made)["summarised"]) == ([], ["web1"])


def test_a_host_is_not_charged_with_what_another_failed_with() -> None:
    made = run_of(failed(), waiting(), migrated(), batches=[1, 1, 1], gone=1)
    assert decide.describe_failure(made.hosts["web1"], made).startswith("failed; app downgraded, at 0001")
    assert decide.describe_failure(made.hosts["web2"], made) == ""
    assert decide.describe_failure(made.hosts["web3"], made) == ""


def test_where_no_host_failed_those_that_were_not_begun_are_not_a_success() -> None:
    made = run_of(migrated(), waiting(), batches=[1, 1], gone=1)
    assert decide.describe_failure(made.hosts["web2"], made) == "not begun"


@pytest.mark.parametrize(
    ("outcome", "failure", "state"),
    [("downgraded", "", "rolled_back"), ("restored", "", "rolled_back"), ("held", "app is held", "not_rolled_back")],
)
def test_reverting(outcome: str, failure: str, state: str) -> None:
    host = migrated()
    empty = dict.fromkeys(("code", "what", "why", "remedy"), "")
    entry = {"name": "app", "outcome": outcome, "after": ["0001"], "upgrade_error": empty}
    decide.note_rolled_back(host, {"rollback": {"databases": [entry]}, "failure": failure})
    assert host.state == state
    assert (host.databases["app"].now, host.databases["app"].why) == (["0001"], "")
    assert not host.has_migrated


def test_the_good_databases_of_a_host_that_failed_are_reverted_and_it_has_failed_all_the_same() -> None:
    host = failed()
    host.databases["shop"] = ended().databases["app"]
    assert host.has_migrated
    decide.note_rolled_back(host, {"rollback": {"databases": [{"name": "shop", "outcome": "downgraded", "after": []}]}})
    assert host.state == "failed"
    assert not host.has_migrated


def test_the_plan_of_the_next_batch_is_shown() -> None:
    made = run_of(migrated(), waiting(), batches=[1, 1], gone=1)
    assert decide.describe_next_batch(made) == ["Batch 2 of 2:", "  web2: app  0001 -> 0002", "      0002  notes"]
    made.ended = 2
    assert decide.describe_next_batch(made) == []


@pytest.mark.parametrize("program", ["ansible-playbook", "ANSIBLE_COLLECTIONS_PATH=/srv/c .venv/bin/ansible-playbook"])
def test_what_is_cut_is_not_a_command(program: str) -> None:
    words = "Revision 0003 failed. " * 8 + "Correct it, then: "

    line = decide.join_lines(f"{words}{program} -i {'a' * 200} migrate.yml")

    assert line == f"{words}…"
    assert decide.join_lines(f"Type: {program} migrate.yml") == f"Type: {program} migrate.yml"
