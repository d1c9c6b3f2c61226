"""What a rollout over several hosts leaves, and that its exit code and its last lines say so."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.codes import assert_code
from tests.integration.fleet import FAILS, UNREACHABLE, Fleet
from tests.integration.site import Site, Source, assert_says, printed
from tests.integration.targets import PostgresTarget
from tests.lab import ansible
from tests.lab.web import Application

FAILING_HOST = {"environment": {"FAILS": "1"}}


@pytest.fixture
def fleet_of(tmp_path: Path, newest_virtualenv: Path) -> Callable[[int], Fleet]:
    return lambda count: Fleet(tmp_path, newest_virtualenv, count)


@pytest.fixture
def source(site: Site) -> Source:
    return site.source("generic", "release").add("0003", "0002", FAILS, 'op.drop_column("item", "late")')


def waiting(*names: str) -> dict[str, str]:
    """The states of hosts that were not begun."""
    return dict.fromkeys(names, "waiting")


def last_lines(outcome: ansible.Outcome) -> str:
    """What is printed of the whole run, before Ansible's own recap."""
    (result,) = outcome.results("Summarise the run")
    printed = "\n".join(result["lines"])
    assert printed in outcome.output
    return printed


def batches(outcome: ansible.Outcome) -> list[list[str]]:
    """Who goes when."""
    (result,) = outcome.results("Summarise the run")
    return list(result["batches"])


@pytest.mark.both_cores
def test_hosts_go_in_batches_and_at_head_they_are_in_none(fleet_of: Callable[[int], Fleet], source: Source) -> None:
    fleet = fleet_of(5)
    first = fleet.run("migrate", migrate_source=source)
    assert batches(first) == [["web1"], ["web2"], ["web3", "web4", "web5"]]
    assert fleet.revisions() == fleet.at(web1=3, web2=3, web3=3, web4=3, web5=3)
    assert set(fleet.states().values()) == {"migrated"}
    assert fleet.manifest()["state"] == "done"

    second = fleet.run("migrate", migrate_source=source)
    assert second.changed == 0
    assert batches(second) == []
    assert_says(last_lines(second), *(f"web{n} app at head" for n in range(1, 6)))
    requested = second.results("Plan every database", "web1")
    assert len(requested) == 1
    assert set(fleet.states().values()) == {"unchanged"}


@pytest.mark.both_cores
def test_a_failure_stops_the_rollout_and_what_is_verified_stays(
    fleet_of: Callable[[int], Fleet], source: Source
) -> None:
    fleet = fleet_of(5)
    fleet.own["web3"] = FAILING_HOST
    outcome = fleet.run("migrate", code=2, migrate_source=source, migrate_rollout=[1])
    assert fleet.revisions() == fleet.at(web1=3, web2=3)
    assert fleet.states() == {
        **dict.fromkeys(("web1", "web2"), "migrated"),
        "web3": "failed",
        **waiting("web4", "web5"),
    }
    assert_says(last_lines(outcome), f"-e migrate_run={fleet.manifest()['run']}", "told to fail")
    failed = {name: counts["failures"] for name, counts in outcome.stats.items()}
    assert failed == {"web1": 0, "web2": 0, "web3": 1, "web4": 0, "web5": 0}
    assert not any((fleet.folder / name / "root" / "journals").exists() for name in ("web4", "web5"))
    manifest = fleet.manifest()
    assert manifest["state"] == "stopped"
    assert manifest["hosts"]["web1"]["databases"]["app"]["now"] == ["0003"]
    assert manifest["hosts"]["web3"]["databases"]["app"]["expected"] == ["0003"]
    assert manifest["hosts"]["web3"]["databases"]["app"]["now"] == []


def test_the_canary_may_not_fail_whatever_is_allowed_later(fleet_of: Callable[[int], Fleet], source: Source) -> None:
    fleet = fleet_of(3)
    fleet.own["web1"] = FAILING_HOST
    fleet.run("migrate", code=2, migrate_source=source, migrate_max_failures="100%")
    assert fleet.revisions() == fleet.at()
    assert fleet.manifest()["state"] == "stopped"
    assert fleet.states() == {"web1": "failed", **waiting("web2", "web3")}


def test_what_is_allowed_to_fail_does_not_stop_the_rollout_and_is_not_a_success(
    fleet_of: Callable[[int], Fleet], source: Source
) -> None:
    fleet = fleet_of(5)
    fleet.own["web3"] = FAILING_HOST
    fleet.run(
        "migrate",
        code=2,
        migrate_source=source,
        migrate_rollout=[1, 2],
        migrate_max_failures={"hosts": 1, "databases": "20%"},
    )
    assert fleet.revisions() == fleet.at(web1=3, web2=3, web4=3, web5=3)
    assert fleet.manifest()["state"] == "done"
    assert fleet.states() == {**dict.fromkeys(fleet.names, "migrated"), "web3": "failed"}


@pytest.mark.both_cores
def test_with_rollback_every_host_of_the_run_is_reverted_the_last_one_first(
    fleet_of: Callable[[int], Fleet], source: Source
) -> None:
    fleet = fleet_of(4)
    source.add("0004", "0003", downgrade="time.sleep(8)")  # so that its host is called again for the result
    fleet.run("migrate", migrate_source=source, migrate_target="0001", migrate_rollout="100%")
    for name in fleet.names:
        fleet.database(name).fill()
    fleet.own["web3"] = FAILING_HOST
    outcome = fleet.run(
        "migrate", code=2, migrate_source=source, migrate_rollout=[1], migrate_rollout_on_failure="rollback"
    )
    assert fleet.revisions() == fleet.at(web1=1, web2=1, web3=1, web4=1)
    for name in fleet.names:
        assert fleet.database(name).columns("item") == ["id", "name"]
        assert fleet.database(name).rows("SELECT id, name FROM item") == [(n, f"item {n}") for n in (1, 2, 3)]
    order = [
        event["host"] for event in outcome.events if "Roll back this host" in event.get("task", "") and "host" in event
    ]
    assert order == ["web2", "web1"]
    assert fleet.states() == {"web1": "rolled_back", "web2": "rolled_back", "web3": "failed", "web4": "waiting"}
    assert fleet.manifest()["state"] == "rolled_back"
    for name in ("web1", "web2"):
        of_web = fleet.manifest()["hosts"][name]["databases"]["app"]
        assert (of_web["outcome"], of_web["now"]) == ("downgraded", ["0001"])


def test_the_application_is_stopped_while_its_database_is_reverted(
    fleet_of: Callable[[int], Fleet], source: Source, tmp_path: Path
) -> None:
    fleet = fleet_of(2)
    shop = Application(tmp_path / "shop")
    shop.start()
    try:
        fleet.own = {"web1": {"migrate_services": [shop.entry]}, "web2": FAILING_HOST}
        fleet.run("migrate", code=2, migrate_source=source, migrate_rollout_on_failure="rollback")
        assert fleet.states() == {"web1": "rolled_back", "web2": "failed"}
        assert shop.calls() == ["start shop", *["stop shop", "start shop"] * 2]
        assert shop.runs
    finally:
        shop.stop()
    assert fleet.revisions() == fleet.at()


@pytest.mark.parametrize("on_failure", ["stop", "rollback"])
def test_a_canary_that_cannot_be_reached_ends_it_before_anything_begins(
    fleet_of: Callable[[int], Fleet], source: Source, on_failure: str
) -> None:
    fleet = fleet_of(3)
    fleet.own["web1"] = UNREACHABLE
    outcome = fleet.run("migrate", code=2, migrate_source=source, migrate_rollout_on_failure=on_failure)
    assert fleet.revisions() == fleet.at()
    assert fleet.manifest()["state"] == "stopped"
    assert fleet.states() == {"web1": "lost", **waiting("web2", "web3")}
    assert outcome.stats["web1"]["failures"] == 1


def test_a_whole_batch_that_cannot_be_reached_stops_it_and_what_was_migrated_is_reverted(
    fleet_of: Callable[[int], Fleet], source: Source
) -> None:
    """It was not known before: the link goes down while the canary is migrated."""
    fleet = fleet_of(4)
    gate = fleet.folder / "down"
    unreachable = "{{ 'ssh' if lookup('ansible.builtin.fileglob', down) else 'local' }}"
    for name in ("web2", "web3"):
        fleet.own[name] = {**UNREACHABLE, "ansible_connection": unreachable, "down": str(gate)}
    source.add("0004", "0003", f"open({str(gate)!r}, 'w').close()")
    fleet.run(
        "migrate", code=2, migrate_source=source, migrate_rollout=[1, 2, 1], migrate_rollout_on_failure="rollback"
    )
    assert fleet.revisions() == fleet.at()
    assert fleet.states() == {"web1": "rolled_back", **dict.fromkeys(("web2", "web3"), "lost"), "web4": "waiting"}


@pytest.mark.parametrize(
    ("hook_name", "rollout", "code", "expected_heads", "expected_states"),
    [
        ("before_backup", [1, 2], 4, {"web1": 3, "web3": 3}, ["migrated", "lost", "migrated"]),
        # Whether it is well was not seen.
        ("after_upgrade", [1, 2], 4, {"web1": 3, "web2": 3, "web3": 3}, ["migrated", "lost", "migrated"]),
        # All of a batch: Ansible ends it there, and no host is left to report anything.
        ("before_backup", [1], 4, {"web1": 3}, []),
    ],
)
def test_a_hook_that_loses_its_host_is_not_a_success(
    fleet_of: Callable[[int], Fleet], source: Source, tmp_path: Path, hook_name: str, rollout: list[int], code: int,
    expected_heads: dict[str, int], expected_states: list[str],
) -> None:  # fmt: skip
    hook = tmp_path / "hook.yml"
    hook.write_text(yaml.safe_dump([{"name": "Look", "ansible.builtin.ping": {}, "vars": UNREACHABLE}]))
    fleet = fleet_of(4 if len(rollout) == 1 else 3)
    fleet.own["web2"] = {f"migrate_{hook_name}": str(hook)}
    outcome = fleet.run("migrate", code=code, migrate_source=source, migrate_rollout=rollout)
    assert fleet.revisions() == fleet.at(**expected_heads)
    assert outcome.stats["web2"]["unreachable"] == 1
    assert not expected_states or list(fleet.states().values()) == expected_states
    # The next run, once it can be reached, does what is left.
    del fleet.own["web2"]
    fleet.run("migrate", migrate_source=source)
    assert fleet.revisions() == fleet.at(**dict.fromkeys(fleet.names, 3))


def test_no_host_can_be_reached(fleet_of: Callable[[int], Fleet], source: Source) -> None:
    fleet = fleet_of(2)
    fleet.own = {"web1": UNREACHABLE, "web2": UNREACHABLE}
    fleet.run("migrate", code=2, migrate_source=source)
    assert fleet.manifest()["state"] == "stopped"
    assert fleet.states() == {"web1": "lost", "web2": "lost"}


@pytest.mark.parametrize("broken", [["web1"], ["web1", "web2"]])
def test_a_variable_without_a_value_is_not_a_success(
    fleet_of: Callable[[int], Fleet], source: Source, broken: list[str]
) -> None:
    """Preflight does not even run for such a host, and the first one is the one that begins a rollout."""
    fleet = fleet_of(2)
    fleet.own = {name: {"migrate_packages": ["{{ not_there }}"]} for name in broken}
    outcome = fleet.run("migrate", code=2, migrate_source=source)
    assert fleet.revisions() == fleet.at()
    assert_says(last_lines(outcome), f"{len(broken)} rejected", "not_there")


def test_a_wrong_variable_of_one_host_begins_nothing(fleet_of: Callable[[int], Fleet], source: Source) -> None:
    fleet = fleet_of(3)
    fleet.own["web2"] = {"migrate_source": "/nowhere"}
    outcome = fleet.run("migrate", code=2, migrate_source=source)
    assert fleet.revisions() == fleet.at()
    assert_says(last_lines(outcome), "1 rejected", "/nowhere")


def test_a_host_that_fails_while_planned_is_not_planned_again(
    fleet_of: Callable[[int], Fleet], source: Source, tmp_path: Path
) -> None:
    hook = tmp_path / "hook.yml"
    hook.write_text("- name: Refuse to ship\n  ansible.builtin.fail:\n    msg: nothing is shipped today\n")
    fleet = fleet_of(3)
    fleet.own["web2"] = {"migrate_before_ship": str(hook)}
    outcome = fleet.run("migrate", code=2, migrate_source=source, migrate_rollout=[1])
    assert fleet.revisions() == fleet.at(web1=3)
    assert len(outcome.results("Refuse to ship", "web2")) == 1
    assert len(outcome.results("Plan every database", "web2")) == 1
    assert fleet.states() == {"web1": "migrated", "web2": "failed", "web3": "waiting"}
    assert_says(last_lines(outcome), "nothing is shipped today")


def test_a_stopped_rollout_goes_on_under_its_own_name(fleet_of: Callable[[int], Fleet], source: Source) -> None:
    fleet = fleet_of(4)
    fleet.own["web2"] = FAILING_HOST
    fleet.run("migrate", code=2, migrate_source=source, migrate_run="upgrade-7")
    assert fleet.states() == {"web1": "migrated", "web2": "failed", "web3": "waiting", "web4": "waiting"}
    del fleet.own["web2"]
    outcome = fleet.run("migrate", migrate_source=source, migrate_run="upgrade-7", migrate_retry_failed=True)
    assert fleet.revisions() == fleet.at(web1=3, web2=3, web3=3, web4=3)
    assert batches(outcome) == [["web2"], ["web3"], ["web4"]]
    assert len(outcome.results("Plan every database", "web1")) == 1
    assert not outcome.results("Upgrade each database", "web1")
    manifest = fleet.manifest()
    assert manifest["run"] == "upgrade-7"
    assert [path.name for path in fleet.manifests.iterdir()] == ["upgrade-7.json"]
    assert manifest["state"] == "done"
    runs = {name: host["run"] for name, host in manifest["hosts"].items()}
    # What had begun has a journal already, and a run writes one only once.
    assert runs == {"web1": "upgrade-7-2", "web2": "upgrade-7-2", "web3": "upgrade-7", "web4": "upgrade-7"}


def test_a_group_can_be_the_canary(fleet_of: Callable[[int], Fleet], source: Source) -> None:
    fleet = fleet_of(5)
    fleet.groups["first"] = ["web4", "web2"]
    outcome = fleet.run("migrate", migrate_source=source, migrate_rollout_canary="first")
    assert batches(outcome) == [["web2", "web4"], ["web1"], ["web3", "web5"]]
    wrong = fleet.run("migrate", code=2, migrate_source=source, migrate_rollout_canary="frist")
    assert_code(wrong, "group-unknown", "'frist'")


@pytest.mark.parametrize("words", [["migrate_hosts=nowhere"], ["migrate_hosts=web2", "--limit", "web1"]])
def test_a_pattern_that_matches_no_host_is_not_a_success(fleet_of: Callable[[int], Fleet], words: list[str]) -> None:
    fleet = fleet_of(2)
    outcome = fleet.run("migrate", "-e", *words, code=4)
    assert_says(outcome.output, words[0].replace("=", " '"), "matches no host")
    assert not outcome.stats


def test_the_question_stops_where_it_cannot_be_answered(fleet_of: Callable[[int], Fleet], source: Source) -> None:
    fleet = fleet_of(2)
    outcome = fleet.run("migrate", code=2, migrate_source=source, migrate_rollout_confirm=True)
    assert fleet.revisions() == fleet.at(web1=3)
    assert fleet.states() == {"web1": "migrated", "web2": "waiting"}
    assert outcome.stats["web2"]["failures"] == 1


def test_check_mode_predicts_every_batch_and_writes_no_manifest(
    fleet_of: Callable[[int], Fleet], source: Source
) -> None:
    fleet = fleet_of(3)
    outcome = fleet.run("migrate", "--check", migrate_source=source, migrate_rollout_soak=600)
    assert_says(last_lines(outcome), *(f"web{n} app to upgrade base 0003 3" for n in (1, 2, 3)))
    assert fleet.revisions() == fleet.at()
    assert not fleet.manifests.exists()


def test_the_manifest_is_its_owners_alone(fleet_of: Callable[[int], Fleet], source: Source) -> None:
    fleet = fleet_of(1)
    fleet.run("migrate", migrate_source=source)
    (path,) = fleet.manifests.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(fleet.manifests.stat().st_mode) == 0o700
    host = json.loads(path.read_text())["hosts"]["web1"]
    assert host["state"] == "migrated"
    app: dict[str, Any] = host["databases"]["app"]
    assert (app["was"], app["expected"], app["now"], app["outcome"]) == ([], ["0003"], ["0003"], "upgraded")
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", printed(host["run"]))


def test_nothing_is_contracted_until_every_host_of_the_fleet_is_expanded(
    fleet_of: Callable[[int], Fleet], site: Site
) -> None:
    fleet = fleet_of(2)
    source = site.source("multi_heads")
    fleet.run("migrate", "--limit", "web1", migrate_source=source, migrate_target="expand@head")
    for limit, why in (("web1", "web2: no manifest here says"), ("all", "web2: app not expanded")):
        outcome = fleet.run("migrate", "--limit", limit, code=2, migrate_source=source, migrate_target="contract@head")
        assert_says(last_lines(outcome), "contract@head", why)
    assert fleet.revisions() == {"web1": ["e002"], "web2": []}


def test_a_shared_database_is_reverted_by_the_host_that_migrated_it(
    fleet_of: Callable[[int], Fleet], source: Source, more_postgres: Callable[[], PostgresTarget]
) -> None:
    fleet = fleet_of(3)
    shared = more_postgres()
    for name in ("web1", "web2"):
        fleet.own[name] = {"migrate_databases": [shared.entry, fleet.database(name).entry]}
    fleet.own["web3"] = FAILING_HOST
    outcome = fleet.run(
        "migrate", code=2, migrate_source=source, migrate_rollout=[2, 1], migrate_rollout_on_failure="rollback"
    )
    assert (shared.revisions, shared.tables()) == ([], [])
    assert fleet.revisions() == fleet.at()
    assert_says(last_lines(outcome), "2 rolled back: web1, web2", "1 failed: web3")
    undone = {
        name: [event["verb"] for event in fleet.events(name, shared.name) if event["event"] == "downgraded"]
        for name in ("web1", "web2")
    }
    assert undone == {"web1": ["rollback"], "web2": []}
