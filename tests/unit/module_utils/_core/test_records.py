"""What a later version has written, and what an early one has: each record that lies on a host or on the controller."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible import constants

from ansible_collections.hosting.alembic.plugins.module_utils._application.maintenance_record import (
    Maintenance,
    read_maintenance,
    write_record,
)
from ansible_collections.hosting.alembic.plugins.module_utils._backup.listing import list_backups
from ansible_collections.hosting.alembic.plugins.module_utils._backup.manifest import list_proven
from ansible_collections.hosting.alembic.plugins.module_utils._backup.offsite import note_copy, read_copies
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import Layout
from ansible_collections.hosting.alembic.plugins.module_utils._core.records import FORMAT, OF_LATER_VERSION
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.found_list import (
    FoundList,
    keep_lists,
    read_last_list,
    read_lists_of_run,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.made_schemas import MadeSchemas
from ansible_collections.hosting.alembic.plugins.module_utils._plan import at_head
from ansible_collections.hosting.alembic.plugins.module_utils._release.install import prune
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout import manifest
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.details import keep_details
from tests.codes import refused
from tests.lab import PROJECT
from tests.layers import PLUGINS
from tests.unit.stage import Host, database, names, sql, tables

PAGE = PROJECT / "docs" / "reference" / "journals_and_manifests.md"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path / "root")
    made.ship("generic")
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    sql(path, "create table kept (a)")
    return path


def facts_of(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text().splitlines()[0] if path.suffix == ".jsonl" else path.read_text()))


def change(path: Path, change_facts: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the facts of a record, or those of the first event of a journal."""
    first, end, rest = path.read_text().partition("\n") if path.suffix == ".jsonl" else (path.read_text(), "", "")
    path.write_text(json.dumps(change_facts(json.loads(first))) + end + rest)


def make_later(path: Path) -> None:
    change(path, lambda facts: {**facts, "format": FORMAT + 1})


def make_early(path: Path) -> None:
    change(path, lambda facts: {key: value for key, value in facts.items() if key != "format"})


def backups_of(host: Host) -> list[Any]:
    (found,) = list_backups(str(host.root), ["app"])
    return list(found["backups"] or [])


def test_each_record_is_written_by_one_function() -> None:
    """What is written as JSON by another way lives no longer than the run that reads it."""
    found = {
        str(path.relative_to(PLUGINS))
        for path in PLUGINS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in ("write_durably", "write_text", "write_bytes_durably", "dump")
        and "json." in ast.unparse(node)
    }
    assert found == {
        "module_utils/_core/progress.py",
        "module_utils/_core/records.py",
        "module_utils/_core/serve.py",
        "plugin_utils/_run/invocation.py",
    }


def test_the_database_of_a_later_journal_is_left_as_it_is(host: Host, file: Path) -> None:
    host.result("upgrade", database(file))
    journal = host.layout.locate_journal("app", "r1")
    assert facts_of(journal)["format"] == FORMAT
    make_later(journal)
    was = sql(file, "select * from sqlite_master"), journal.read_bytes()

    with refused(OF_LATER_VERSION, str(journal)):
        host.do("rollback", database(file), run="r2", of_run="r1")
    plan = host.plan(database(file), run="r3")
    assert [each["code"] for each in plan["obstacles"]] == [OF_LATER_VERSION]
    assert host.result("upgrade", database(file), run="r4")["error"]["code"] == OF_LATER_VERSION
    assert (sql(file, "select * from sqlite_master"), journal.read_bytes()) == was
    make_early(journal)
    assert host.result("rollback", database(file), run="r2", of_run="r1")["outcome"] == "downgraded"
    assert tables(file) == {"kept", "alembic_version"}


def test_a_later_manifest_does_not_count_as_a_backup_and_stays(host: Host, file: Path) -> None:
    host.result("backup", database(file))
    (backup,) = host.layout.locate_backups("app").iterdir()
    assert facts_of(backup / "manifest.json")["format"] == FORMAT
    make_later(backup / "manifest.json")

    assert list_proven(backup.parent) == []
    assert host.result("restore", database(file), run="r2", of_run="r1")["outcome"] == "refused"
    assert host.result("backup", database(file), run="r3", backup_keep=1)["outcome"] == "backed_up"
    assert names(backup.parent) == ["r1", "r3"]
    make_early(backup / "manifest.json")
    assert [each.run for each in list_proven(backup.parent)] == ["r3", "r1"]


def test_the_record_of_copies_is_read_of_each_version(host: Host, file: Path) -> None:
    host.result("backup", database(file))
    (backup,) = list_proven(host.layout.locate_backups("app"))
    path = Path(backup.path) / "copies.json"
    path.write_text(json.dumps({"/mnt/format": "2026-11-23T00:00:00.000+00:00"}))  # as it was before there were formats
    assert list(read_copies(backup)) == ["/mnt/format"]

    note_copy(backup, "/mnt/other")
    assert (facts_of(path)["format"], list(read_copies(backup))) == (FORMAT, ["/mnt/format", "/mnt/other"])
    (listed,) = backups_of(host)
    assert sorted(listed["copies"]) == ["/mnt/format", "/mnt/other"]

    make_later(path)
    was = path.read_bytes()
    with refused(OF_LATER_VERSION, str(path)):
        note_copy(backup, "/mnt/third")
    assert path.read_bytes() == was
    (listed,) = backups_of(host)
    assert listed["problem"]["code"] == OF_LATER_VERSION


def test_what_a_later_record_at_head_says_is_found_out_anew(host: Host, file: Path) -> None:
    host.result("upgrade", database(file))
    record = host.layout.locate_journals("app") / "verified.json"
    job = host.job("plan", database(file))
    assert facts_of(record)["format"] == FORMAT
    make_early(record)
    assert list(at_head.read_known_plans(job)) == ["app"]
    make_later(record)
    assert list(at_head.read_known_plans(job)) == []
    assert host.plan(database(file), run="r2")["obstacles"] == []


def test_a_later_rehearsal_is_none(host: Host, file: Path) -> None:
    host.result("rehearse", database(file))
    record = host.layout.locate_journals("app") / "rehearsed.json"
    week = {"run": "r2", "require_rehearsal": True, "rehearsal_max_age": 1e9}
    assert facts_of(record)["format"] == FORMAT
    make_early(record)
    assert host.plan(database(file), **week)["obstacles"] == []
    make_later(record)
    assert [each["code"] for each in host.plan(database(file), **week)["obstacles"]] == ["rehearsal-missing"]


def test_a_maintenance_that_a_later_version_began_is_not_ended(host: Host) -> None:
    write_record(Maintenance("2026-11-23T00:00:00+00:00", ["r1"]), host.layout)
    path = host.root / "maintenance.json"
    assert facts_of(path)["format"] == FORMAT
    make_later(path)
    with refused(OF_LATER_VERSION, str(path)):
        read_maintenance(str(host.root))
    make_early(path)
    assert read_maintenance(str(host.root))


def test_later_lists_of_databases_are_refused(tmp_path: Path) -> None:
    keep_lists(str(tmp_path), "r1", {"s": FoundList("", "", ())}, ["s"])
    written = sorted((tmp_path / "discovered").rglob("*.json"))
    assert [facts_of(path)["format"] for path in written] == [FORMAT, FORMAT]
    for path in written:
        make_early(path)
    last = read_last_list(str(tmp_path), "s")
    assert (last and last.run, [*read_lists_of_run(str(tmp_path), ["r1"])]) == ("r1", ["s"])
    for path in written:
        make_later(path)
    for read in (lambda: read_lists_of_run(str(tmp_path), ["r1"]), lambda: read_last_list(str(tmp_path), "s")):
        with refused(OF_LATER_VERSION, "discovered"):
            read()


def test_nothing_is_pruned_beside_a_release_of_a_later_version(host: Host) -> None:
    for name in ("r1", "r2", "r3"):
        host.ship("generic", name)  # without a number, as early versions wrote it
    make_later(host.layout.release("r1") / "release.json")
    assert prune(host.layout, 1) == []
    make_early(host.layout.release("r1") / "release.json")
    assert sorted(prune(host.layout, 1)) == ["generic", "r1", "r2"]


def test_what_a_later_version_made_on_a_server_is_not_taken_for_ours(tmp_path: Path) -> None:
    made = MadeSchemas(Layout(tmp_path).schemas, "server")
    made.note("s", b"content")
    (path,) = Layout(tmp_path).schemas.iterdir()
    assert facts_of(path)["format"] == FORMAT
    make_early(path)
    assert made.is_ours("s", b"content")
    made.end("s")
    assert made.has_ended("s")
    make_later(path)
    for read in (made.is_noted, made.has_ended, made.end):
        with refused(OF_LATER_VERSION, str(path)):
            read("s")


def test_a_later_manifest_of_a_run_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(manifest, "KEPT", 1)
    manifest.keep(manifest.Manifest("r1", batches=[["web1"]]), str(tmp_path / "runs"))
    path = tmp_path / "runs" / "r1.json"
    assert facts_of(path)["format"] == FORMAT
    make_early(path)
    assert manifest.read(path)
    make_later(path)
    with refused(OF_LATER_VERSION, str(path)):
        manifest.count_earlier_parts(str(tmp_path / "runs"), "r1", "web1")
    manifest.keep(manifest.Manifest("r2"), str(tmp_path / "runs"))
    manifest.keep(manifest.Manifest("r3"), str(tmp_path / "runs"))
    assert path.is_file()


def test_what_is_known_of_each_database_has_a_format(tmp_path: Path) -> None:
    path = Path(keep_details(str(tmp_path / "runs"), "r1", "databases", {"hosts": {}}))
    assert facts_of(path) == {"format": FORMAT, "hosts": {}}


def test_the_page_names_each_record() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in (
        *("manifest.json", "copies.json", "verified.json", "rehearsed.json", "maintenance.json", "release.json"),
        *("complete.json", "discovered/runs/<run>.json", "discovered/last/<source>.json", "schemas/<digest>.json"),
        *("schemas/<digest>.defaults", "<run>.json", "databases.json"),
    ):
        assert f"`{name}`" in page or f"{name}`" in page, name
