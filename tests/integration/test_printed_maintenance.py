"""What is printed while an application is stopped is typed as it was printed, and starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.codes import assert_code
from tests.integration.site import Site
from tests.integration.targets import SQLiteTarget
from tests.integration.test_maintenance import flag, settings_for, shop, state_of
from tests.integration.typed import printed, typed, types
from tests.lab.web import Application

__all__ = ["flag", "shop"]


@types(
    "plugin_utils/_report/maintenance._list_lines recover",
    "plugin_utils/_report/maintenance._list_lines recover migrate_end_maintenance",
    "module_utils/_revert/ways_out.restore_command restore migrate_restore_run",
)
@pytest.mark.parametrize("decision", ["restored", "all the same"])
def test_the_application_of_a_held_database_is_started(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path, decision: str
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    sqlite.fill()
    before = sqlite.dump()
    settings["migrate_source"].add("0003", "0002", "raise RuntimeError('no')")
    held = site.run("migrate", code=2, migrate_on_failure="hold", **settings)
    status = site.run("status", **settings)
    half = sqlite.dump()
    assert (sqlite.revisions, shop.runs) == (["0002"], False)

    recover = printed(status.output, "by the next run or by: ")
    typed(recover).ended()
    assert (sqlite.dump(), shop.runs, flag.exists()) == (half, False, True)
    if decision == "restored":
        typed(printed(held.output, "To restore the old state: ")).ended()
        typed(recover).ended()
        assert sqlite.dump() == before
    else:
        typed(printed(status.output, "the application all the same: ")).ended()
        assert sqlite.dump() == half
    assert (shop.runs, flag.exists(), state_of(site)) == (True, False, None)


@types("plugin_utils/_report/maintenance._list_lines recover")
def test_what_a_dead_run_has_stopped_is_started(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path, tmp_path: Path
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    sqlite.fill()
    hook = tmp_path / "hook.yml"
    hook.write_text("- name: Deploy\n  ansible.builtin.command: sleep 60\n")
    with site.start("migrate", migrate_after_upgrade=hook, **settings) as running:
        running.wait_for("hook.yml")
        running.kill()
    assert (sqlite.revisions, shop.runs) == (["0002"], False)
    status = site.run("status", **settings)

    typed(printed(status.output, "this ends it: ")).ended()

    assert (shop.runs, flag.exists(), state_of(site)) == (True, False, None)
    assert (sqlite.revisions, sqlite.rows("SELECT id FROM item")) == (["0002"], [(1,), (2,), (3,)])


@types("module_utils/_application/maintenance._undo recover")
def test_a_service_that_did_not_start_is_started_once_it_can(
    site: Site, sqlite: SQLiteTarget, shop: Application, flag: Path, tmp_path: Path
) -> None:
    settings = settings_for(site, shop, flag, sqlite)
    broken = tmp_path / "not-installed"
    start = [*("sh", "-c"), f'! test -e {broken} && exec "$@"', "sh", str(shop.script), "start"]
    settings["migrate_services"] = [{**shop.entry, "start": start}]
    broken.touch()
    failed = site.run("migrate", code=2, **settings)
    assert_code(failed, "maintenance-not-ended")
    assert (sqlite.revisions, shop.runs, flag.exists()) == (["0001"], False, True)
    before = sqlite.dump()
    broken.unlink()

    typed(printed(failed.output, "Correct that, then: ")).ended()

    assert (shop.runs, flag.exists(), state_of(site)) == (True, False, None)
    assert sqlite.dump() == before
