"""What is between two batches: the soak, the end of the window, a prompt; and a canary of one database."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.codes import assert_code
from tests.integration.fleet import FAILS, Fleet
from tests.integration.site import PLAYBOOKS, Site, Source, assert_says
from tests.integration.targets import SQLiteTarget
from tests.integration.terminal import Terminal
from tests.lab import PROJECT, ansible
from tests.lab.web import answering

WINDOW = [{"start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"}]
MIDNIGHT = {"HOSTING_ALEMBIC_NOW": "2026-07-15T00:00:00+02:00"}
LAST_50_SECONDS = {"HOSTING_ALEMBIC_NOW": "2026-07-15T03:59:10+02:00"}


@pytest.fixture
def fleet_of(tmp_path: Path, newest_virtualenv: Path) -> Callable[[int], Fleet]:
    return lambda count: Fleet(tmp_path, newest_virtualenv, count)


@pytest.fixture
def source(site: Site) -> Source:
    return site.source("generic", "release").add("0003", "0002", FAILS, 'op.drop_column("item", "late")')


@contextmanager
def site_with(*statuses: int) -> Iterator[tuple[str, list[str]]]:
    """A site that gives these answers one after the other, the last one for ever; its URL, and who has requested it."""
    requested: list[str] = []

    def answer(path: str) -> int:
        requested.append(path)
        return statuses[min(len(requested), len(statuses)) - 1]

    with answering(answer) as url:
        yield url, requested


def checked(url: str, fleet: Fleet) -> None:
    """Let each host request the site under its own name."""
    for name in fleet.names:
        fleet.own[name] = {"migrate_health_checks": [{"url": f"{url}/{name}"}]}


SOAKS: dict[str, Any] = {"migrate_rollout_soak": 0.5, "migrate_rollout": [1], "migrate_health_retries": 0}


def test_after_a_soak_the_batch_is_checked_again(fleet_of: Callable[[int], Fleet], source: Source) -> None:
    fleet = fleet_of(2)
    with site_with(200) as (url, requested):
        checked(url, fleet)
        fleet.run("migrate", migrate_source=source, **SOAKS)
    assert requested == ["/web1", "/web1", "/web2"]  # nothing is prompted after the last batch
    assert fleet.revisions() == fleet.at(web1=3, web2=3)
    assert fleet.states() == {"web1": "migrated", "web2": "migrated"}


@pytest.mark.parametrize(("on_failure", "expected_heads"), [("stop", {"web1": 3}), ("rollback", {})])
def test_a_site_that_dies_during_the_soak_stops_the_rollout(
    fleet_of: Callable[[int], Fleet], source: Source, on_failure: str, expected_heads: dict[str, int]
) -> None:
    fleet = fleet_of(2)
    with site_with(200, 503) as (url, requested):
        checked(url, fleet)
        outcome = fleet.run("migrate", code=2, migrate_source=source, migrate_rollout_on_failure=on_failure, **SOAKS)
    assert requested == ["/web1", "/web1"]
    assert fleet.revisions() == fleet.at(**expected_heads)
    assert_code(outcome, "health-check-failed", "503", host="web1")
    assert fleet.states() == {"web1": "failed", "web2": "waiting"}
    assert outcome.stats["web1"]["failures"] == 1


def in_the_last_seconds(fleet: Fleet, source: Source, **variables: Any) -> ansible.Outcome:
    """Both hosts are behind; of the first one it is known that it is quick."""
    settings: dict[str, Any] = {"migrate_source": source, "migrate_windows": WINDOW}
    fleet.run("migrate", "--limit", "web1", env=MIDNIGHT, **settings)
    source.add("0004", "0003")
    return fleet.run("migrate", code=2, env=LAST_50_SECONDS, migrate_rollout=[1], **settings, **variables)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"migrate_rollout_on_failure": "rollback"}, "300 s, and 50 s"),
        ({"migrate_window_margin": 5, "migrate_rollout_soak": 48}, "5 s, and 2 s"),
    ],
)
def test_no_batch_begins_that_does_not_fit_into_what_is_left_of_the_window(
    fleet_of: Callable[[int], Fleet], source: Source, variables: dict[str, Any], why: str
) -> None:
    fleet = fleet_of(2)
    outcome = in_the_last_seconds(fleet, source, **variables)
    assert fleet.revisions() == fleet.at(web1=4)  # a window that closes undoes nothing
    assert fleet.states() == {"web1": "migrated", "web2": "waiting"}
    assert_says(outcome.output, "2026-07-15T02:00:00+00:00", why)
    assert outcome.stats["web2"]["failures"] == 1
    assert fleet.events("web2") == []


def test_a_batch_that_fits_begins(fleet_of: Callable[[int], Fleet], source: Source) -> None:
    fleet = fleet_of(2)
    settings: dict[str, Any] = {"migrate_source": source, "migrate_windows": WINDOW, "migrate_window_margin": 40}
    fleet.run("migrate", env=LAST_50_SECONDS, migrate_rollout=[1], **settings)
    assert fleet.revisions() == fleet.at(web1=3, web2=3)


def test_a_database_that_fails_as_the_canary_keeps_the_other_databases_from_being_begun(
    site: Site, source: Source, tmp_path: Path
) -> None:
    canary, others = SQLiteTarget(tmp_path / "c.db", "c"), [SQLiteTarget(tmp_path / f"{n}.db", n) for n in "ab"]
    reported = {**canary.entry, "environment": {"FAILS": "1"}}
    databases = [*[target.entry for target in others], reported]
    settings: dict[str, Any] = {"migrate_source": source, "migrate_rollout_canary_database": canary.name}
    outcome = site.run("migrate", code=2, migrate_databases=databases, **settings)
    assert_says(outcome.output, "told to fail")
    assert canary.revisions == []
    for other in others:
        assert other.revisions == []
        assert site.backups(other.name) == []
    databases[-1] = canary.entry
    site.run("migrate", migrate_databases=databases, migrate_retry_failed=True, **settings)
    canary_done = site.events(canary.name)[-1]["at"]
    for other in others:
        assert other.revisions == ["0003"]
        (begun,) = [event["at"] for event in site.events(other.name) if event["event"] == "backed_up"]
        assert begun >= canary_done


def question(fleet: Fleet, source: Source) -> Terminal:
    inventory = fleet.inventory(migrate_source=source, migrate_rollout=[1], migrate_rollout_confirm=True)
    return Terminal(PLAYBOOKS / "migrate.yml", inventory=inventory)


CONFIRMED = r"Batch 2 of 2: web2: app base -> 0003 .*0003 revision 0003.* Type yes to go on, anything else to stop:"


@pytest.mark.both_cores
def test_a_person_who_says_yes_lets_the_next_batch_begin(fleet_of: Callable[[int], Fleet], source: Source) -> None:
    fleet = fleet_of(2)
    with question(fleet, source) as terminal:
        terminal.wait_for(CONFIRMED)
        assert fleet.revisions() == fleet.at(web1=3)
        terminal.answer("yes")
        terminal.end(0)
    assert fleet.revisions() == fleet.at(web1=3, web2=3)


@pytest.mark.both_cores
@pytest.mark.parametrize(("answer", "why"), [("no", "'no'"), ("", "''"), ("^c", "interrupted")])
def test_a_person_who_says_anything_else_stops_it(
    fleet_of: Callable[[int], Fleet], source: Source, answer: str, why: str
) -> None:
    fleet = fleet_of(2)
    with question(fleet, source) as terminal:
        terminal.wait_for(CONFIRMED)
        terminal.interrupt() if answer == "^c" else terminal.answer(answer)
        screen = terminal.end(2)
    assert fleet.revisions() == fleet.at(web1=3)
    assert fleet.states() == {"web1": "migrated", "web2": "waiting"}
    assert_says(screen, why)


def test_without_a_terminal_no_answer_is_waited_for(fleet_of: Callable[[int], Fleet], source: Source) -> None:
    """As under cron or in a pipeline: standard input is open, and nothing will ever come."""
    fleet = fleet_of(2)
    inventory = fleet.inventory(migrate_source=source, migrate_rollout=[1], migrate_rollout_confirm=True)
    words: list[str | Path] = [ansible.BIN / "ansible-playbook", PLAYBOOKS / "migrate.yml", "--inventory", inventory]
    with subprocess.Popen(
        words, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        output = process.stdout.read()  # to its end, with standard input still open
        assert process.wait(timeout=60) == 2, output
    assert fleet.states() == {"web1": "migrated", "web2": "waiting"}
    assert fleet.revisions() == fleet.at(web1=3)
