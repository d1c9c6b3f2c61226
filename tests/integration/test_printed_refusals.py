"""What a refusal, a status or a plan prints is typed as it was printed, and leads where it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._verbs.restore import choose_backup
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.command_line import Invocation
from tests.codes import assert_code
from tests.integration.site import Site
from tests.integration.targets import SQLiteTarget
from tests.integration.typed import printed, typed, types


def releases(site: Site) -> int:
    """How many releases are on the host."""
    return len({path.resolve() for path in (site.root / "releases").glob("*/release.json")})


@types(
    "plugin_utils/_report/report._plan ship",
    "module_utils/_journal/history.make_unshipped_status ship",
    "module_utils/_release/lookup.build_missing_release_refusal ship",
)
@pytest.mark.parametrize(
    ("verb", "code", "before"),
    [("plan", 0, "touches no database: "), ("status", 0, "Ship it: "), ("backup", 2, "Ship it: ")],
)
def test_what_is_not_shipped_is_shipped(site: Site, sqlite: SQLiteTarget, verb: str, code: int, before: str) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}
    outcome = site.run(verb, code=code, **settings)
    assert not (site.root / "releases").exists()

    typed(printed(outcome.output, before)).ended()

    assert releases(site) == 1
    assert not sqlite.path.exists()


@pytest.fixture
def first(site: Site, sqlite: SQLiteTarget) -> dict[str, Any]:
    """The settings of a database at its first revision, with rows, after a run named one."""
    settings: dict[str, Any] = {"migrate_source": site.source("broken"), "migrate_databases": [sqlite.entry]}
    site.run("migrate", "-e", "migrate_target=0001 migrate_run=one", **settings)
    sqlite.fill()
    return settings


@types(
    "action/rollback.ActionModule.perform status",
    "action/restore._make_failure status",
    "module_utils/_backup/choose.list_backed_up backups",
)
def test_what_there_is_instead_is_listed(site: Site, sqlite: SQLiteTarget, first: dict[str, Any]) -> None:
    before = sqlite.dump()
    of_one: dict[str, Any] = {"migrate_restore_databases": ["app"], "migrate_restore_run": "no"}
    rollback = site.run("rollback", code=2, migrate_rollback_run="no", **first)
    restore = site.run("restore", code=2, migrate_restore_run="no", **first)
    named = site.run("restore", code=2, **of_one, **first)
    for outcome, words in ((rollback, "last runs: "), (restore, "last ones: "), (named, "what there is: ")):
        listed = typed(printed(outcome.output, words)).ended()
        (line,) = [line for line in listed.output.splitlines() if line.split()[:1] == ["app"]]
        assert " one " in line, listed.output
    assert sqlite.dump() == before


@types("module_utils/_verbs/restore.choose_backup status")
def test_a_backup_that_is_gone_once_it_was_chosen(site: Site, sqlite: SQLiteTarget, first: dict[str, Any]) -> None:
    before = sqlite.dump()
    with pytest.raises(Refused) as gone:
        choose_backup(Database.from_options(sqlite.entry), Job("restore", str(site.root), run="two", of_run="no"))
    # It is too short a moment for a playbook to meet it: what prints it completes it thus.
    here = Invocation(options=("-i", str(site.inventory(**first))))

    shown = typed(printed(here.complete_commands(str(gone.value)), "shows the last one: ")).ended()

    assert " one " in shown.output
    assert sqlite.dump() == before


@types("module_utils/_journal/history.find_later_move rollback migrate_rollback_run")
def test_the_later_run_is_rolled_back_first(site: Site, sqlite: SQLiteTarget, first: dict[str, Any]) -> None:
    site.run("migrate", "-e", "migrate_target=0002 migrate_run=two", **first)
    outcome = site.run("rollback", code=2, migrate_rollback_run="one", **first)
    assert sqlite.revisions == ["0002"]

    typed(printed(outcome.output, "that one back first: ")).ended()

    assert (sqlite.revisions, sqlite.columns("item")) == (["0001"], ["id", "name"])
    assert sqlite.rows("SELECT id FROM item") == [(1,), (2,), (3,)]


@types("module_utils/_plan/changed_history._restore_of restore migrate_restore_databases")
def test_a_file_that_is_gone_is_brought_back(site: Site, sqlite: SQLiteTarget, first: dict[str, Any]) -> None:
    site.run("backup", **first)
    before = sqlite.dump()
    sqlite.path.unlink()
    outcome = site.run("plan", **first)
    assert_code(outcome, "database-made-anew", database="app")

    typed(printed(outcome.output, "from its newest backup: ")).ended()

    assert sqlite.dump() == before


@types("module_utils/_backup/choose._refuse_one_twice restore migrate_restore_backup migrate_restore_databases")
def test_one_database_with_two_entries_is_restored_once(
    site: Site, sqlite: SQLiteTarget, first: dict[str, Any]
) -> None:
    twin = {**sqlite.entry, "name": "twin"}
    both = {**first, "migrate_databases": [sqlite.entry, twin]}
    before = sqlite.dump()
    site.run("backup", migrate_run="twice", **first)
    sqlite.rows("INSERT INTO item (id, name) VALUES (4, 'between')")
    site.run("backup", migrate_run="twice", **{**first, "migrate_databases": [twin]})
    outcome = site.run("restore", code=2, migrate_restore_run="twice", migrate_restore_loses_writes=True, **both)
    assert len(sqlite.rows("SELECT * FROM item")) == 4

    typed(printed(outcome.output, "is restored by: ")).ended()

    assert sqlite.dump() == before


@types("module_utils/_verbs/status._list_not_copied backup")
def test_a_copy_that_was_not_made_is_made(site: Site, first: dict[str, Any], tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.write_text("a file")
    first["migrate_backup_copy_to"] = f"controller:{copies}"
    site.run("backup", **first)
    status = site.run("status", **first)
    copies.unlink()

    typed(printed(status.output, "Try again: ")).ended()

    assert list((copies / "here" / "app").iterdir())
    assert "[backup-not-copied]" not in site.run("status", **first).output


@types("plugin_utils/_report/report._prune_command prune migrate_prune_days")
def test_what_has_been_retained_for_long_is_listed_and_dropped(
    site: Site, sqlite: SQLiteTarget, first: dict[str, Any]
) -> None:
    site.run("migrate", code=2, **first)
    (retained,) = sqlite.path.parent.glob("app.db.aside-*")
    before = sqlite.dump()
    status = site.run("status", migrate_retained_days=0, **first)

    listed = typed(printed(status.output, "this lists it: ")).ended()
    assert str(retained) in listed.output
    assert retained.exists()
    typed(printed(status.output, "this drops what is as old: ")).ended()

    assert not retained.exists()
    assert sqlite.dump() == before


@types("module_utils/_plan/rehearsal_record._REMEDY rehearse")
def test_what_has_no_rehearsal_is_rehearsed(site: Site, sqlite: SQLiteTarget, first: dict[str, Any]) -> None:
    settings = {**first, "migrate_require_rehearsal": True, "migrate_target": "0002"}
    before = sqlite.dump()
    outcome = site.run("migrate", code=2, **settings)

    typed(printed(outcome.output, "or rehearse it: ")).ended()

    assert sqlite.dump() == before
    site.run("migrate", **settings)
    assert sqlite.revisions == ["0002"]


@types("module_utils/_verbs/upgrade.Upgrade._refuse_if_gone migrate")
def test_a_database_that_is_gone_once_it_was_planned(
    site: Site, sqlite: SQLiteTarget, first: dict[str, Any], tmp_path: Path
) -> None:
    before, kept, hook = sqlite.dump(), tmp_path / "kept.db", site.folder / "hook.yml"
    hook.write_text(
        f"- name: Move it\n  ansible.builtin.command: mv {sqlite.path} {kept}\n  args: {{removes: {sqlite.path}}}\n"
    )
    settings = {**first, "migrate_target": "0002", "migrate_before_backup": hook}
    outcome = site.run("migrate", code=2, **settings)
    assert_code(outcome, "database-gone", database="app")
    assert not sqlite.path.exists()
    kept.rename(sqlite.path)
    assert sqlite.dump() == before
    hook.write_text("[]\n")

    typed(printed(outcome.output, "remove its entry, then: ")).ended()

    assert sqlite.revisions == ["0002"]
    assert sqlite.rows("SELECT id FROM item") == [(1,), (2,), (3,)]
