"""How much a person has to read of a run that fails: the answer in five seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet import Fleet
from tests.integration.site import PLAYBOOKS, Site, Source
from tests.integration.targets import PostgresTarget, SQLiteTarget
from tests.lab import ansible

MISSPELT = "op.add_column('item', sa.Column('total', sa.Integer()))\nop.execute('UPDATE itme SET total = 0')"
CAUSE = 'relation "itme" does not exist, versions/b2_total.py'


def broken(source: Source) -> Source:
    return source.keep("0001").add("b2_total", "0001", MISSPELT)


@pytest.fixture
def fleet(tmp_path: Path, newest_virtualenv: Path) -> Fleet:
    return Fleet(tmp_path, newest_virtualenv, 4)


def migrated(fleet: Fleet, site: Site, make: Callable[[], PostgresTarget], count: int) -> Source:
    """Bring so many databases of each host to the first revision; return the release that fails."""
    for name in fleet.names:
        fleet.own[name] = {"migrate_databases": [make().entry for _ in range(count)]}
    fleet.run("migrate", migrate_source=site.source("broken", "good").keep("0001"))
    return broken(site.source("broken"))


def assert_is_the_end(outcome: ansible.Outcome, last: str) -> list[str]:
    """What is printed of the whole run comes last, and says the cause once; before it each host says it once."""
    (result,) = outcome.results("Summarise the run")
    lines: list[str] = result["lines"]
    assert lines[-1] == last
    before, printed, rest = outcome.output.split("PLAY RECAP")[0].partition("\n".join(lines))
    # Behind it is the result of its own task, and nothing else.
    assert printed, before
    assert len(rest.split("\n\n", 1)[1].splitlines()) <= 3, rest
    assert "\n".join(lines).count(CAUSE) == 1
    failed = outcome.results("Upgrade each database", kind="failed")
    assert [each["msg"].count("\n") for each in failed] == [0] * len(failed)
    assert outcome.output.count(CAUSE) == 1 + len(failed)
    assert "[ERROR]" not in outcome.output
    return lines


def test_a_revision_that_fails_on_the_first_of_four_hosts(
    fleet: Fleet, site: Site, more_postgres: Callable[[], PostgresTarget]
) -> None:
    source = migrated(fleet, site, more_postgres, 4)
    outcome = fleet.run("migrate", code=2, migrate_source=source)
    lines = assert_is_the_end(outcome, "16 databases: 12 not begun, 4 failed")
    assert len(outcome.output.splitlines()) < 100
    (cause,) = [line for line in lines if CAUSE in line]
    assert cause.startswith("4 databases (")
    assert "UPDATE itme" in cause


@pytest.mark.exhaustive
def test_a_revision_that_fails_on_four_hosts_at_once(
    fleet: Fleet, site: Site, more_postgres: Callable[[], PostgresTarget]
) -> None:
    source = migrated(fleet, site, more_postgres, 1)
    outcome = fleet.run("migrate", code=2, migrate_source=source, migrate_rollout=["100%"])
    lines = assert_is_the_end(outcome, "4 databases: 4 failed")
    # Most are Ansible's own: a line a host for each task, and four for each that has failed.
    assert len(outcome.output.splitlines()) < 120
    assert {name: host["failures"] for name, host in outcome.stats.items()} == dict.fromkeys(fleet.names, 1)
    assert len([line for line in lines if CAUSE in line]) == 1


@pytest.fixture
def json_of(site: Site, sqlite: SQLiteTarget) -> Callable[..., tuple[int, list[tuple[str, dict[str, Any]]]]]:
    """Run a playbook with the callback json; its exit code, and the name and the result of each task."""

    def run(verb: str, **settings: Any) -> tuple[int, list[tuple[str, dict[str, Any]]]]:
        inventory = site.inventory(migrate_databases=[sqlite.entry], **settings)
        env = {"ANSIBLE_STDOUT_CALLBACK": "json"}
        outcome = ansible.playbook(PLAYBOOKS / f"{verb}.yml", inventory=inventory, env=env)
        printed = json.loads(outcome.output[outcome.output.index("{") :])
        tasks = [task for play in printed["plays"] for task in play["tasks"]]
        return outcome.code, [(task["task"]["name"], result) for task in tasks for result in task["hosts"].values()]

    return run


def test_with_the_callback_json_standard_output_is_json_and_the_verb_has_failed(
    site: Site, json_of: Callable[..., tuple[int, list[tuple[str, dict[str, Any]]]]]
) -> None:
    source = site.source("broken").keep("0001").add("0002", "0001", downgrade="raise RuntimeError('stays')")
    code, results = json_of("migrate", migrate_source=source)
    assert code == 0
    assert not [name for name, result in results if result.get("failed")]
    assert [result["lines"][-1] for name, result in results if "Summarise" in name] == ["1 database: 1 upgraded"]

    code, results = json_of("rollback", migrate_source=source)
    assert code == 2
    first, report = [(name, result["msg"]) for name, result in results if result.get("failed")]
    assert "Roll back the databases" in first[0]
    assert "stays" in first[1]
    assert "playbooks/rollback.yml -e" in report[1]  # what to type, of the whole result

    source.add("0003", "0002", "raise RuntimeError('fails on purpose')")
    code, results = json_of("migrate", migrate_source=source)
    assert code == 2
    first, *_rest = [(name, result["msg"]) for name, result in results if result.get("failed")]
    assert "Upgrade each database" in first[0]
    assert "fails on purpose" in first[1]
