"""The role in a play of the user's own, with the keywords that plays have."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.fleet import Fleet
from tests.integration.site import Site, Source
from tests.integration.targets import SQLiteTarget, Target
from tests.lab import ansible

ROLE = "hosting.alembic.migrate"
#: What a revision commits on SQLite before it fails, and PostgreSQL takes back by itself.
FAILS = 'op.execute("CREATE TABLE left_over (id integer)")\nraise RuntimeError("no")'


def run_play(inventory: Path, folder: Path, *tasks: dict[str, Any], **keywords: Any) -> ansible.Outcome:
    """Run a play with some tasks, as its author would write it."""
    path = folder / "own.yml"
    play = {"name": "Own", "hosts": "all", "gather_facts": False, **keywords, "tasks": list(tasks)}
    path.write_text(yaml.safe_dump([play], sort_keys=False))
    return ansible.playbook(path, inventory=inventory)


@pytest.fixture
def broken(site: Site) -> Source:
    return site.source("generic").add("0003", "0002", FAILS)


@pytest.mark.parametrize(
    ("keywords", "task"),
    [
        ({"ignore_errors": True}, {"include_role": {"name": ROLE}}),
        ({"strategy": "free"}, {"import_role": {"name": ROLE}, "ignore_errors": True}),
        ({}, {"block": [{"import_role": {"name": ROLE}}], "ignore_errors": True}),
        ({}, {"include_role": {"name": ROLE, "apply": {"ignore_errors": True}}}),
    ],
    ids=["play", "import", "block", "apply"],
)
def test_a_failure_that_the_play_ignores_is_reverted_and_fails(
    site: Site, broken: Source, sqlite: SQLiteTarget, keywords: dict[str, Any], task: dict[str, Any]
) -> None:
    with closing(sqlite3.connect(sqlite.path)) as connection, connection:
        connection.execute("CREATE TABLE kept (id integer)")
    before = sqlite.dump()
    site.variables.update(migrate_source=str(broken.folder), migrate_databases=[sqlite.entry])
    after = {"name": "Go on", "debug": {"msg": "after"}}

    outcome = run_play(site.inventory(), site.folder, {"name": "Migrate", **task}, after, **keywords)

    assert (outcome.code, sqlite.dump()) == (2, before)
    assert len(outcome.handlers()) == 1
    assert not outcome.results("Go on")


def test_a_wrong_type_is_one_line_in_the_other_entry_points(site: Site, sqlite: SQLiteTarget) -> None:
    """Ansible itself compares the variables of ``main`` alone, and prints the description of the whole role."""
    site.variables.update(migrate_source=str(site.source("generic").folder), migrate_databases=[sqlite.entry])
    # Of those that validate alike, one.
    wrong: dict[str, dict[str, Any]] = {entry: {"workers": "many"} for entry in ("plan", "backup", "status")}
    wrong |= {"prune": {"prune_days": "few"}, "schedule": {"schedule_kind": "at"}}
    tasks: list[dict[str, Any]] = []
    for entry, given in wrong.items():
        role = {"name": entry, "include_role": {"name": ROLE, "tasks_from": entry}}
        variables = {f"migrate_{name}": value for name, value in given.items()}
        rescue = {"name": f"Note {entry}", "debug": {"msg": "{{ ansible_failed_result.msg }}"}}
        tasks.append({"block": [role], "rescue": [rescue], "vars": variables})

    outcome = run_play(site.inventory(), site.folder, *tasks)

    for entry, given in wrong.items():
        (noted,) = outcome.results(f"Note {entry}")
        (name,) = given
        (line,) = (line for line in noted["msg"].splitlines() if name in line)
        assert len(noted["msg"]) < len(line) + 50, entry


def test_a_rescue_around_the_role_goes_on(site: Site, broken: Source, targets: list[Target]) -> None:
    site.variables.update(migrate_source=str(broken.folder), migrate_databases=[target.entry for target in targets])
    role = {"name": "Migrate", "include_role": {"name": ROLE}}
    rescue = {"name": "Note it", "debug": {"msg": "{{ ansible_failed_result.msg }}"}}

    outcome = run_play(site.inventory(), site.folder, {"block": [role], "rescue": [rescue]}, ignore_errors=True)

    assert outcome.code == 0
    assert [target.revisions for target in targets] == [[], []]
    (noted,) = outcome.results("Note it")
    assert all(target.name in noted["msg"] for target in targets)


def test_any_errors_fatal_reverts_every_host_and_says_why(
    tmp_path: Path, newest_virtualenv: Path, broken: Source
) -> None:
    fleet = Fleet(tmp_path, newest_virtualenv, 2, own={"web1": {"migrate_target": "0002"}})

    outcome = run_play(
        fleet.inventory(migrate_source=broken),
        tmp_path,
        {"name": "Migrate", "include_role": {"name": ROLE}},
        any_errors_fatal=True,
    )

    assert outcome.code == 2
    assert fleet.revisions() == fleet.at()
    (reported,) = outcome.results("Report the failure", host="web1")
    assert "any_errors_fatal" in reported["msg"]
