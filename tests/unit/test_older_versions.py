# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Journals, manifests, a held database and a sealed backup as older versions left them, read by this one.

tests/fixtures/older has a host of each version, made by make.py there. One of them also gets keys that no version has.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.encryption import build_opening_command
from ansible_collections.hosting.alembic.plugins.module_utils._backup.listing import list_backups
from ansible_collections.hosting.alembic.plugins.module_utils._backup.manifest import check, list_proven, read_manifest
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._core.records import FORMAT
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.birth import read_birth
from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import read_events
from ansible_collections.hosting.alembic.plugins.module_utils._plan import at_head
from tests.unit.stage import FIXTURES, Host, database, heads, names, sql, tables, unpack

ADDED = {"of a later version": {"a": [1, None]}}
NAMES = ("rolled", "restored", "sealed", "held", "cut", "failed", "rehearsed", "replaced")
RELEASES = {"held": "broken", "failed": "broken", "cut": "killing"}
KEPT = [("one",), ("two",)]


@dataclass(frozen=True)
class Older:
    """A host that an older version has worked on."""

    host: Host
    folder: Path

    def file(self, name: str) -> Path:
        return self.folder / "databases" / f"{name}.db"

    def one(self, name: str) -> Database:
        return database(self.file(name), name)

    def result(self, verb: str, name: str, **options: Any) -> dict[str, Any]:
        """Have a verb done to one database by the release that its last run had."""
        return self.host.result(verb, self.one(name), **{"release": RELEASES.get(name, "generic"), **options})

    def status(self, name: str) -> dict[str, Any]:
        (found,) = self.host.do("status", self.one(name), release=RELEASES.get(name, "generic"))["databases"]
        return dict(found)

    def plan(self, name: str, **options: Any) -> dict[str, Any]:
        return self.host.plan(self.one(name), **{"release": RELEASES.get(name, "generic"), **options})


@pytest.fixture(params=["2026-11-23", "2026-11-28", "2026-11-28 and more keys"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Older:
    version, _and, more = request.param.partition(" and ")
    folder = tmp_path / "older"
    unpack(FIXTURES / "older" / f"{version}.tar.gz", folder)
    for path in folder.rglob("*"):
        if path.suffix in (".json", ".jsonl", ".output") and path.is_file():
            path.write_text(path.read_text().replace("@FOLDER@", str(folder)))
    for release in ("generic", "broken", "killing"):
        (folder / "root" / "releases" / release / "virtualenv").symlink_to(sys.prefix)
    if more:
        for path in [*folder.rglob("*.json"), *folder.rglob("*.jsonl")]:
            lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
            path.write_text("".join(json.dumps({**json.loads(line), **ADDED}) + "\n" for line in lines))
    found = Older(Host(folder / "root"), folder)
    for name in NAMES:
        _move(found, name)
    return found


def _move(older: Older, name: str) -> None:
    """Have the records know the file of a database where it was unpacked: one that was made anew is another one."""
    born = json.dumps(read_birth(older.file(name)))
    for path in older.host.layout.locate_journals(name).rglob("*.json*"):
        text = re.sub(r'"(born|inode) [0-9.]+"', born, path.read_text())
        if path.suffix == ".json":  # of its entry, whose URL has the path, there is a digest
            record = json.loads(text)
            job = older.host.job("plan", release=RELEASES.get(name, "generic"))
            text = json.dumps({**record, "entry": at_head.hash_entry(older.one(name), job, record["salt"])})
        path.write_text(text)


def test_the_status_is_what_the_older_version_left(older: Older) -> None:
    found = {name: older.status(name) for name in NAMES}

    outcomes = {name: status["last_run"]["outcome"] for name, status in found.items() if status["last_run"]}
    assert outcomes == {
        "rolled": "upgraded",
        "restored": "backed_up",
        "sealed": "backed_up",
        "held": "held",
        "cut": "interrupted",
        "failed": "failed",
        "replaced": "restored",
    }
    for name, status in found.items():
        there = heads(older.file(name)) if "alembic_version" in tables(older.file(name)) else []
        assert (status["current"], status["changed_history"]) == (there, []), name
    assert found["rolled"]["last_change"]["run"] == "rolled-1"
    assert [each["name"] for each in found["replaced"]["retained"]] == [f"{older.file('replaced')}.aside-replaced-2"]


def test_every_backup_is_listed_and_proven(older: Older) -> None:
    listed: Any = list_backups(str(older.host.root), NAMES)
    for entry in listed:
        folder = older.host.layout.locate_backups(entry["name"])
        there = names(folder) if folder.is_dir() else []
        assert sorted(backup["run"] for backup in entry["backups"]) == there
        assert [run for run in there if run.startswith(entry["name"])] == there
        for backup in entry["backups"]:
            assert (backup["proven"], backup["problem"]) == (True, None)
            assert backup["sealed"] is (entry["name"] == "sealed")
        for manifest in list_proven(folder):
            if not manifest.sealed:
                check(manifest)


def test_the_plan_knows_what_the_older_version_left(older: Older) -> None:
    codes = {name: {each["code"] for each in older.plan(name)["obstacles"]} for name in NAMES}

    assert codes["held"] == {"database-held"}
    assert codes["failed"] == {"database-failed-before"}
    assert codes["cut"] == {"run-interrupted"}
    assert {name for name, found in codes.items() if not found} == {
        *("rolled", "restored", "sealed", "rehearsed", "replaced")
    }


def test_what_the_older_version_rehearsed_is_rehearsed(older: Older) -> None:
    week = {"require_rehearsal": True, "rehearsal_max_age": 1e9}
    assert older.plan("rehearsed", **week)["obstacles"] == []
    (missing,) = older.plan("replaced", **week)["obstacles"]
    assert missing["code"] == "rehearsal-missing"


def test_a_database_at_head_is_answered_for_by_the_older_record(older: Older) -> None:
    job = older.host.job("plan", older.one("rolled"), release="generic")
    record = json.loads((older.host.layout.locate_journals("rolled") / "verified.json").read_text())
    # The first versions did not record which file and which virtualenv it was: a full plan finds that out.
    assert list(at_head.read_known_plans(job)) == (["rolled"] if "packages" in record else [])


def test_a_run_of_the_older_version_is_rolled_back(older: Older) -> None:
    done = older.result("rollback", "rolled", run="now", of_run="rolled-1")

    assert (done["outcome"], done["before"], done["after"]) == ("downgraded", ["0002"], [])
    assert tables(older.file("rolled")) == {"kept", "alembic_version"}
    assert sql(older.file("rolled"), "select a from kept") == KEPT


def test_a_backup_of_the_older_version_is_restored(older: Older) -> None:
    refused = older.result("restore", "restored", run="first", of_run="restored-2")
    assert refused["outcome"] == "refused"
    assert (8, "after") in sql(older.file("restored"), "select id, name from item")

    done = older.result("restore", "restored", run="now", of_run="restored-2", restore_loses_writes=True)

    assert (done["outcome"], done["after"]) == ("restored", ["0002"])
    assert sql(older.file("restored"), "select id, name from item") == [(7, "before")]
    assert (8, "after") in sql(Path(done["retained"]), "select id, name from item")


def test_a_sealed_backup_of_the_older_version_is_opened_and_restored(older: Older) -> None:
    older.file("sealed").unlink()
    refused = older.result("restore", "sealed", run="first", of_run="sealed-2")
    assert (refused["outcome"], refused["error"]["code"]) == ("refused", "backup-encrypted")
    archive = older.host.layout.locate_backups("sealed") / "sealed-2" / "backup.tar.age"
    command = build_opening_command("age", archive)
    assert command in refused["error"]["remedy"]
    typed = command.replace("KEYFILE", str(older.folder / "key" / "key"))
    subprocess.run(typed, shell=True, check=True)  # noqa: S602 - as a person would type it

    done = older.result("restore", "sealed", run="now", of_run="sealed-2")

    assert (done["outcome"], done["after"]) == ("restored", ["0002"])
    assert sql(older.file("sealed"), "select id, name from item") == [(7, "sealed")]


def test_a_database_that_the_older_version_held_is_held_until_a_person_restores_it(older: Older) -> None:
    assert older.result("upgrade", "held", run="first")["outcome"] == "refused"
    assert older.status("held")["last_run"]["outcome"] == "held"

    done = older.result("restore", "held", run="now", of_run="held-1", restore_loses_writes=True)

    assert (done["outcome"], done["after"]) == ("restored", [])
    assert tables(older.file("held")) == {"kept"}
    assert older.result("upgrade", "held", run="then", release="generic")["outcome"] == "upgraded"
    assert sql(older.file("held"), "select a from kept") == KEPT


def test_a_run_that_the_older_version_could_not_end_is_recovered(older: Older) -> None:
    assert heads(older.file("cut")) == ["0003"]

    done = older.result("recover", "cut", run="now")

    assert (done["outcome"], done["after"], done["of_run"]) == ("downgraded", [], "cut-1")
    assert tables(older.file("cut")) == {"kept", "alembic_version"}
    assert sql(older.file("cut"), "select a from kept") == KEPT


def test_what_failed_for_the_older_version_is_tried_again_by_another_release(older: Older) -> None:
    assert older.result("upgrade", "failed", run="first")["error"]["code"] == "database-failed-before"
    assert older.result("upgrade", "failed", run="now", release="generic")["outcome"] == "upgraded"
    assert heads(older.file("failed")) == ["0002"]


def test_what_the_older_version_retained_is_pruned_and_nothing_else(older: Older) -> None:
    retained = Path(f"{older.file('replaced')}.aside-replaced-2")
    before = names(older.host.layout.locate_backups("replaced"))
    assert ("three",) in sql(retained, "select a from kept")

    (listed,) = older.host.do("prune", older.one("replaced"), release="generic")["results"]
    assert [(each["name"], each["outcome"]) for each in listed["leftovers"]] == [(str(retained), "kept")]
    older.host.do("prune", older.one("replaced"), release="generic", prune=True, prune_days=0)

    assert not retained.exists()
    assert sql(older.file("replaced"), "select a from kept") == KEPT
    assert names(older.host.layout.locate_backups("replaced")) == before


def test_the_sequences_of_an_older_manifest_are_known_by_their_name_of_now(older: Older) -> None:
    path = older.host.layout.locate_backups("rolled") / "rolled-1" / "manifest.json"
    facts = {**json.loads(path.read_text()), "activity": {"sequences": {"16384": ["public.item_id_seq", 3]}}}

    assert read_manifest(facts).activity == {"sequence_uses": {"16384": ["public.item_id_seq", 3]}}


def test_what_is_written_now_has_a_format_and_stays_where_older_parts_of_it_are(older: Older) -> None:
    older.result("backup", "rolled", run="now")

    journal = older.host.layout.locate_journal("rolled", "now").read_text().splitlines()
    manifest = json.loads((older.host.layout.locate_backups("rolled") / "now" / "manifest.json").read_text())
    assert (manifest["format"], manifest["database"]) == (FORMAT, "rolled")
    assert ["format" in json.loads(line) for line in journal] == [True, *[False] * (len(journal) - 1)]
    assert json.loads(journal[0])["format"] == FORMAT
    assert "format" not in json.loads(
        older.host.layout.locate_journal("rolled", "rolled-1").read_text().splitlines()[0]
    )


def test_the_keys_of_an_older_journal_are_known_by_their_names_of_now(older: Older) -> None:
    layout, retained = older.host.layout, f"{older.file('replaced')}.aside-replaced-2"
    path = layout.locate_journal("replaced", "replaced-2")
    assert (b'"aside"' in path.read_bytes(), b'"retained"' in path.read_bytes()) == (True, False)

    replaced = {event["event"]: event for event in read_events(path)}
    (upgraded,) = [
        each for each in read_events(layout.locate_journal("rolled", "rolled-1")) if each["event"] == "verified"
    ]
    (rehearsal,) = (layout.locate_journals("rehearsed") / "rehearsals").glob("*.jsonl")
    rehearsed = read_events(rehearsal)[-1]["result"]

    assert (replaced["restored"]["retained"], replaced["done"]["result"]["retained"]) == (retained, retained)
    assert set(upgraded["content_digest"]) == {"tables", "columns", "alone"}
    assert [revision["data_loss"] for revision in rehearsed["revisions"]] == [[], []]


def test_a_table_that_is_called_as_an_older_key_stays(tmp_path: Path) -> None:
    counted = {"event": "ran", "wrote": {"aside": 1, "imprint": 2, "losses": 3}}
    (tmp_path / "run.jsonl").write_text(json.dumps(counted) + "\n")

    assert read_events(tmp_path / "run.jsonl") == [counted]
