"""``migrate_only`` over several hosts: what some host has is worked on, what none has is refused before all else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.codes import assert_code
from tests.integration.fleet import Fleet
from tests.integration.site import Site, Source
from tests.integration.targets import SQLiteTarget
from tests.integration.test_discover import files_in, make_files


@pytest.fixture
def source(site: Site) -> Source:
    return site.source("generic")


@pytest.fixture
def fleet(tmp_path: Path, newest_virtualenv: Path) -> Fleet:
    """Two hosts: web1 with shop and forum, web2 with blog."""
    fleet = Fleet(tmp_path, newest_virtualenv, 2)
    for host, names in (("web1", ("shop", "forum")), ("web2", ("blog",))):
        fleet.own[host] = {"migrate_databases": [target_of(fleet, host, name).entry for name in names]}
    return fleet


def target_of(fleet: Fleet, host: str, name: str) -> SQLiteTarget:
    return SQLiteTarget(fleet.folder / host / f"{name}.db", name)


def upgraded(fleet: Fleet) -> list[str]:
    """The names of the listed databases that are at a revision."""
    every = [(host, entry["name"]) for host, own in fleet.own.items() for entry in own["migrate_databases"]]
    return [name for host, name in every if target_of(fleet, host, name).revisions]


def test_a_name_that_one_host_has_is_right_and_one_that_none_has_is_refused(fleet: Fleet, source: Source) -> None:
    outcome = fleet.run("migrate", "-e", "migrate_only=shpo,blog", migrate_source=source, code=2)
    assert_code(outcome, "selection-unmatched", "shpo")
    assert "the nearest: shop" in outcome.output
    assert (upgraded(fleet), list(fleet.folder.glob("web*/root/releases"))) == ([], [])

    fleet.run("migrate", "-e", "migrate_only=shop,b*", migrate_source=source)
    assert upgraded(fleet) == ["shop", "blog"]

    for verb in ("backup", "restore", "recover", "rehearse", "backups", "plan"):
        outcome = fleet.run(verb, "-e", "migrate_only=shpo,blog", migrate_source=source, code=2)
        assert_code(outcome, "selection-unmatched", "shpo")
        fleet.run(verb, "-e", "migrate_only=blog", migrate_source=source) if verb == "backups" else None
    assert not [*fleet.folder.glob("web*/root/backups/*/*-backup")]


def test_names_that_sources_of_several_hosts_have(fleet: Fleet, source: Source) -> None:
    targets: dict[str, SQLiteTarget] = {}
    for host, name in (("web1", "t1"), ("web2", "t2")):
        targets |= make_files(fleet.folder / host / "sites", name)
        fleet.own[host]["migrate_discover"] = [files_in(fleet.folder / host / "sites")]
    revisions: Callable[[], Any] = lambda: {name: target.revisions for name, target in targets.items()}  # noqa: E731

    outcome = fleet.run("migrate", "-e", "migrate_only=t1,t3", migrate_source=source, code=2)
    assert_code(outcome, "selection-unmatched", "t3")
    assert revisions() == {"t1": [], "t2": []}

    fleet.run("migrate", "-e", "migrate_only=t1", migrate_source=source)
    assert revisions() == {"t1": ["0002"], "t2": []}
    outcome = fleet.run("migrate", "-e", "migrate_only=t1,t3", migrate_source=source, code=2)
    assert_code(outcome, "selection-unmatched", "t3")
    outcome = fleet.run("backup", "-e", "migrate_only=t1,t3", migrate_source=source, code=2)
    assert_code(outcome, "selection-unmatched", "t3")
