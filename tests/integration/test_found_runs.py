"""Runs of found databases whose list changes before they are recovered or rolled back, by real playbooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.codes import assert_code
from tests.integration.site import Site
from tests.integration.targets import SQLiteTarget
from tests.integration.test_discover import files_in, make_files, panel
from tests.integration.test_recover import kill_all
from tests.integration.typed import printed, typed, types
from tests.lab.waiting import wait_until

NAMES = [f"n{number:02}" for number in range(3)]
LOST = "n01"


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    return tmp_path / "sites"


def rows_of(targets: dict[str, SQLiteTarget]) -> list[dict[str, Any]]:
    return [{"id": name, "path": str(target.path)} for name, target in targets.items()]


@pytest.fixture
def killed(site: Site, sites: Path) -> tuple[dict[str, SQLiteTarget], Callable[[list[dict[str, Any]]], object]]:
    """A run that was killed in the third revision of one database, and what sets the rows that its source returns."""
    targets, gate = make_files(sites, *NAMES), site.folder / "gate"
    waits = f"while '/{LOST}/' in str(op.get_bind().engine.url) and not os.path.exists({str(gate)!r}):\n"
    source = site.source("generic", "slow").add(
        "0003",
        "0002",
        f"op.create_table('half', sa.Column('id', sa.Integer))\n{waits}    time.sleep(0.05)",
        "op.drop_table('half')",
    )
    discover = [panel(site, rows_of(targets))]
    site.variables.update(migrate_source=str(source.folder), migrate_discover=discover)
    with site.start("migrate", migrate_run="killed") as running:
        wait_until(
            lambda: [event for event in site.events(LOST) if event.get("number") == 3], "the revision did not begin"
        )
        kill_all(site, running)
    gate.touch()
    assert "half" in targets[LOST].tables()
    return targets, lambda rows: panel(site, rows)


def test_a_run_that_was_killed_is_recovered_with_its_own_list(
    site: Site, killed: tuple[dict[str, SQLiteTarget], Callable[[list[dict[str, Any]]], object]]
) -> None:
    targets, answer = killed
    answer([row for row in rows_of(targets) if row["id"] != LOST])

    outcome = site.run("migrate")

    assert [row["outcome"] for row in outcome.results("Recover interrupted runs")[-1]["databases"]] == ["restored"]
    assert (targets[LOST].revisions, targets[LOST].tables()) == ([], ["kept"])
    assert targets[NAMES[-1]].revisions == ["0003"]
    assert "no source finds it" not in site.run("migrate").output


def test_one_that_moved_is_recovered_where_its_run_was_after_a_backup(
    site: Site, sites: Path, killed: tuple[dict[str, SQLiteTarget], Callable[[list[dict[str, Any]]], object]]
) -> None:
    targets, answer = killed
    elsewhere = make_files(sites.with_name("elsewhere"), LOST)[LOST]
    before = elsewhere.dump()
    answer([{**row, "path": str(elsewhere.path)} if row["id"] == LOST else row for row in rows_of(targets)])
    site.run("backup", "-e", f"migrate_only={NAMES[0]}")

    site.run("recover")

    assert (targets[LOST].revisions, targets[LOST].tables()) == ([], ["kept"])
    assert elsewhere.dump() == before


@types("module_utils/_engines/registry._refuse_if_unusable migrate")
def test_a_run_that_was_killed_and_whose_list_is_gone_is_named_and_fails(
    site: Site, killed: tuple[dict[str, SQLiteTarget], Callable[[list[dict[str, Any]]], object]]
) -> None:
    targets, answer = killed
    answer([row for row in rows_of(targets) if row["id"] != LOST])
    site.run("backup")
    (site.root / "discovered" / "runs" / "killed.json").unlink()

    for verb in ("recover", "migrate"):
        refused = site.run(verb, code=2)
        assert_code(refused, "discovery-row-lost", LOST)
    assert targets[NAMES[-1]].revisions == ["0003"]
    answer(rows_of(targets))
    typed(printed(refused.output, "When that is done: ")).ended()
    assert targets[LOST].revisions == ["0003"]


def test_a_run_whose_list_is_gone_is_rolled_back_for_what_is_known_only_where_that_is_meant(
    site: Site, sites: Path
) -> None:
    targets = make_files(sites, *NAMES)
    site.variables["migrate_source"] = str(site.source("generic").folder)
    site.variables["migrate_discover"] = [panel(site, rows_of(targets))]
    site.run("migrate", migrate_run="first")
    panel(site, [row for row in rows_of(targets) if row["id"] != LOST])
    site.run("backup")
    (site.root / "discovered" / "runs" / "first.json").unlink()

    for outcome in (
        site.run("rollback", code=2, migrate_rollback_run="first"),
        site.run("restore", code=2, migrate_restore_run="first"),
    ):
        assert_code(outcome, "discovery-list-missing", LOST)
    assert {tuple(target.revisions) for target in targets.values()} == {("0002",)}
    site.run("rollback", "-e", f"migrate_only={NAMES[0]}", migrate_rollback_run="first")
    assert [target.revisions for target in targets.values()] == [[], ["0002"], ["0002"]]


@types("module_utils/_discovery/found_list._describe_damage migrate migrate_discover_accept")
def test_a_damaged_list_is_not_one_without_databases(site: Site, sites: Path) -> None:
    targets = make_files(sites, *NAMES)
    site.variables["migrate_source"] = str(site.source("generic").folder)
    site.variables["migrate_discover"] = [panel(site, rows_of(targets), maximum_change=10)]
    site.run("migrate", migrate_run="first")
    tree = site.root / "discovered"
    whole = {path: path.read_text() for path in tree.rglob("*.json")}
    panel(site, rows_of(targets)[:1])
    for path, text in whole.items():
        path.write_text(text[:40])
        run = "first" if path.parent.name == "runs" else "second"
        assert_code(site.run("migrate", code=2, migrate_run=run), "discovery-list-damaged", path.name)
        path.write_text(text)
    assert {path: path.read_text() for path in tree.rglob("*.json")} == whole
    (last,) = (tree / "last").glob("*.json")
    last.write_text("")
    refused = site.run("migrate", code=2)
    last.unlink()
    typed(printed(refused.output, "remove it and: ")).ended()
    assert last.exists()


def test_a_name_of_two_sources_stops_no_other_database(site: Site, sites: Path) -> None:
    here, there = make_files(sites / "x", "shop", "a"), make_files(sites / "y", "shop", "b", "listed")
    listed = SQLiteTarget(site.folder / "listed.db", "listed")
    site.variables.update(
        migrate_source=str(site.source("generic").folder),
        migrate_databases=[listed.entry],
        migrate_discover=[files_in(sites / "x"), {**files_in(sites / "y"), "name": "other"}],
    )

    outcome = site.run("migrate", code=2)

    for name in ("sites-shop", "other-shop", "other-listed"):
        assert_code(outcome, "database-name-twice", name)
    found = {name: bool(target.revisions) for each in (here, there) for name, target in each.items()}
    assert (found, listed.revisions) == ({"shop": False, "a": True, "b": True, "listed": False}, ["0002"])
    site.run("migrate", migrate_discover=[files_in(sites / "x")])
    assert here["shop"].revisions == ["0002"]


def test_a_rollback_of_a_run_names_what_that_run_left_held(site: Site, sites: Path) -> None:
    targets = make_files(sites, *NAMES)
    source = site.source("generic", "broken").add(
        "0003", "0002", f"if '/{LOST}/' in str(op.get_bind().engine.url):\n    raise RuntimeError('no')"
    )
    site.variables.update(migrate_source=str(source.folder), migrate_on_failure="hold", migrate_backup_jobs=1)
    site.variables["migrate_discover"] = [panel(site, rows_of(targets))]
    site.run("migrate", code=2, migrate_run="first")
    held = targets[LOST].dump()

    for words in (("--check",), ()):
        outcome = site.run("rollback", *words, code=2, migrate_rollback_run="first")
        assert_code(outcome, "database-held", LOST)
        assert "migrate_restore_run=first" in outcome.output
    assert (targets[NAMES[0]].revisions, targets[LOST].dump()) == ([], held)


def test_a_schedule_of_a_name_that_no_host_has_is_refused(site: Site, tmp_path: Path) -> None:
    target = SQLiteTarget(site.folder / "listed.db", "listed")
    windows = [{"start": "22:00", "duration": "2h"}]
    site.variables.update(
        migrate_source=str(site.source("generic").folder),
        migrate_databases=[target.entry],
        migrate_schedule_folder=str(tmp_path / "s"),
        migrate_windows=windows,
    )
    assert_code(site.run("schedule", "-e", "migrate_only=listed,nope", code=2), "selection-unmatched", "nope")
    assert not list((tmp_path / "s").rglob("*"))
    site.run("schedule", "-e", "migrate_only=list*")
