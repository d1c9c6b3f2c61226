"""Health checks and hooks: what fails there after an upgrade that was verified is a failed upgrade."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.codes import assert_code
from tests.integration.site import Site, assert_says
from tests.integration.targets import PostgresTarget, SQLiteTarget, Target
from tests.lab.web import Application, answering


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Application]:
    application = Application(tmp_path / "shop")
    application.start()
    yield application
    application.stop()


def settings_for(site: Site, shop: Application, *targets: Target) -> dict[str, Any]:
    settings: dict[str, Any] = {"migrate_databases": [target.entry for target in targets]}
    site.run("migrate", migrate_source=site.source("broken", "first").keep("0001"), **settings)
    for target in targets:
        target.fill()
    settings["migrate_source"] = site.source("broken").keep("0001", "0002")
    settings.update(migrate_services=[shop.entry], migrate_health_delay=0.2, migrate_health_retries=2)
    return settings


def test_a_statement_that_fails_is_reverted_before_the_application_runs(
    site: Site, sqlite: SQLiteTarget, postgres: PostgresTarget, shop: Application
) -> None:
    targets: list[Target] = [sqlite, postgres]
    settings = settings_for(site, shop, *targets)
    before = [target.rows("SELECT * FROM item") for target in targets]
    checks = [
        {"sql": "SELECT count(*) FROM item", "expect": 3},
        {"sql": "SELECT count(*) FROM item", "expect": 4, "database": postgres.name},
    ]
    outcome = site.run("migrate", code=2, migrate_health_checks=checks, **settings)
    assert_code(outcome, "health-check-failed", postgres.name, "3 tries", "3, expected 4")
    assert [target.rows("SELECT * FROM item") for target in targets] == before
    assert [target.revisions for target in targets] == [["0001"], ["0001"]]
    assert shop.calls() == ["start shop", "stop shop", "start shop"]
    assert_code(site.run("plan", code=2, **settings), "database-failed-before", "3, expected 4")

    checks[1]["expect"] = 3
    retry: dict[str, Any] = {"migrate_health_checks": checks, "migrate_retry_failed": True}
    site.run("migrate", **retry, **settings)
    assert [target.revisions for target in targets] == [["0002"], ["0002"]]


def test_an_application_that_is_not_well_is_stopped_again_and_reverted(
    site: Site, postgres: PostgresTarget, shop: Application
) -> None:
    settings = settings_for(site, shop, postgres)
    before = postgres.dump()
    checks = [{"url": shop.url, "text": "well"}, {"url": f"{shop.url}?token=abracadabra", "text": "never"}]
    outcome = site.run("migrate", code=2, migrate_health_checks=checks, **settings)
    assert_code(outcome, "health-check-failed", f"{shop.url}: ", "'never'")
    assert_says(outcome.output, "FAILED downgraded 0001")
    assert "abracadabra" not in outcome.output
    assert postgres.dump() == before
    assert shop.calls() == ["start shop", *["stop shop", "start shop"] * 2]
    assert not (site.root / "maintenance.json").exists()


def test_requests_are_let_in_once_the_application_is_well(
    site: Site, sqlite: SQLiteTarget, shop: Application, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    settings = {**settings_for(site, shop, sqlite), "migrate_maintenance_file": flag, "migrate_health_retries": 0}
    requested: list[tuple[str, bool]] = []

    def answer(path: str) -> int:
        requested.append((path, flag.exists()))
        return 500 if path == "/unwell" else 200

    with answering(answer) as url:
        unwell = [{"url": f"{url}/unwell"}, {"url": f"{url}/public", "public": True}]
        outcome = site.run("migrate", code=2, migrate_health_checks=unwell, **settings)
        assert requested == [("/unwell", True)]
        assert_code(outcome, "health-check-failed", "500", "200")
        assert_says(outcome.output, "FAILED downgraded 0001")
        assert shop.calls() == ["start shop", *["stop shop", "start shop"] * 2]
        assert not flag.exists()

        requested.clear()
        well = [{"url": f"{url}/inside"}, {"url": f"{url}/public", "public": True}, {"url": shop.url}]
        outcome = site.run("migrate", migrate_health_checks=well, migrate_retry_failed=True, **settings)
        assert re.search(rf"\b\d+\.\d s .*: shop, {flag}", outcome.output)
        assert requested == [("/inside", True), ("/public", False)]
    assert sqlite.revisions == ["0002"]
    assert (shop.runs, flag.exists(), (site.root / "maintenance.json").exists()) == (True, False, False)


def test_hooks_run_in_their_order_and_one_that_fails_is_a_failed_upgrade(
    site: Site, sqlite: SQLiteTarget, shop: Application, tmp_path: Path
) -> None:
    settings = settings_for(site, shop, sqlite)
    before = sqlite.rows("SELECT * FROM item")
    log = shop.folder / "calls"
    hooks: dict[str, Any] = {}
    for name in ("before_backup", "before_upgrade", "after_upgrade", "after_failure", "after_backup", "before_ship"):
        path = tmp_path / f"{name}.yml"
        path.write_text(
            f"- name: Note it\n  ansible.builtin.lineinfile: {{path: {log}, line: 'start of {name}', create: true}}\n"
        )
        hooks[f"migrate_{name}"] = path
    failing = tmp_path / "failing.yml"
    failing.write_text(
        "- name: Deploy\n  ansible.builtin.fail:\n"
        "    msg: no {{ migrate_result.upgrade.databases[0].outcome }} deploy\n"
    )
    output = site.run("migrate", code=2, **settings, **{**hooks, "migrate_after_upgrade": failing}).output
    assert_says(output, "no upgraded deploy", "app FAILED downgraded")
    assert sqlite.rows("SELECT * FROM item") == before
    assert shop.calls() == [
        "start shop",
        "start of before_ship",
        "start of before_backup",
        "stop shop",
        "start of before_upgrade",
        "start shop",
        "start of after_failure",
    ]
    log.unlink()
    site.run("migrate", migrate_retry_failed=True, **settings, **hooks)
    assert sqlite.revisions == ["0002"]
    done = ["start of before_backup", "stop shop", "start of before_upgrade", "start of after_upgrade", "start shop"]
    assert shop.calls() == done
    log.unlink()
    site.run("backup", **settings, **hooks)
    assert shop.calls() == ["start of before_backup", "start of after_backup"]
