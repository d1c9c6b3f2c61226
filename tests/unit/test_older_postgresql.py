# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL databases with journals, manifests and backups as an older version left them, read by this one.

tests/fixtures/older/make_postgresql.py has made them; test_older_versions.py shows the same of SQLite, and more of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.encryption import build_opening_command
from ansible_collections.hosting.alembic.plugins.module_utils._backup.listing import list_backups
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from tests.lab.fixtures import skip_before
from tests.lab.postgres import PostgresServer
from tests.unit.stage import FIXTURES, Host, names, unpack

NAMES = ("rolled", "restored", "sealed", "held", "cut", "failed", "replaced")
RELEASES = {"held": "broken", "failed": "broken", "cut": "killing"}
USER = "older"
KEPT = [["one"], ["two"]]


@dataclass(frozen=True)
class Older:
    """A host that an older version has worked on, and its server."""

    host: Host
    server: PostgresServer
    password: str

    def one(self, name: str) -> Database:
        return Database.from_options({"name": name, "url": self.server.url(name, user=USER), "password": self.password})

    def result(self, verb: str, name: str, **options: Any) -> dict[str, Any]:
        """Have a verb done to one database by the release that its last run had."""
        return self.host.result(verb, self.one(name), **{"release": RELEASES.get(name, "generic"), **options})

    def status(self, name: str) -> dict[str, Any]:
        (found,) = self.host.do("status", self.one(name), release=RELEASES.get(name, "generic"))["databases"]
        return dict(found)

    def heads(self, name: str) -> list[str]:
        return [row[0] for row in self.server.execute("SELECT version_num FROM alembic_version", name)]

    def tables(self, name: str) -> set[str]:
        rows = self.server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name)
        return {row[0] for row in rows}

    def items(self, name: str) -> list[list[str]]:
        return self.server.execute("SELECT id, name FROM item ORDER BY id", name)

    def kept(self, name: str) -> list[list[str]]:
        return self.server.execute("SELECT a FROM kept", name)


@pytest.fixture
def older(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Older]:
    skip_before(postgres_server, 15, "role pg_database_owner")
    folder = tmp_path / "older"
    unpack(FIXTURES / "older" / "2026-11-28-postgresql.tar.gz", folder)
    ((identity,),) = postgres_server.execute("SELECT system_identifier FROM pg_control_system()")
    address = f"127.0.0.1:{postgres_server.port}"
    for path in folder.rglob("*"):
        if path.suffix in (".json", ".jsonl", ".output") and path.is_file():
            text = path.read_text().replace("@FOLDER@", str(folder))
            path.write_text(text.replace("@SERVER@", identity).replace("@ADDRESS@", address))
    for release in ("generic", "broken", "killing"):
        (folder / "root" / "releases" / release / "virtualenv").symlink_to(sys.prefix)
    password = postgres_server.create_role(USER)
    for name in NAMES:
        postgres_server.create_database(name, owner=USER)
        postgres_server.execute(f"SET ROLE {USER};\n{(folder / 'databases' / f'{name}.sql').read_text()}", name)
    yield Older(Host(folder / "root"), postgres_server, password)
    query = f"SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = '{USER}'"
    for (name,) in postgres_server.execute(query):
        postgres_server.drop_database(name)
    postgres_server.execute(f"DROP ROLE {USER}")


def test_the_status_the_plan_and_the_backups_are_what_the_older_version_left(older: Older) -> None:
    found = {name: older.status(name) for name in NAMES}
    codes = {name: {problem["code"] for problem in status["problems"]} for name, status in found.items()}
    listed: Any = list_backups(str(older.host.root), NAMES)

    assert {name: status["last_run"]["outcome"] for name, status in found.items()} == {
        "rolled": "upgraded",
        "restored": "backed_up",
        "sealed": "backed_up",
        "held": "held",
        "cut": "interrupted",
        "failed": "failed",
        "replaced": "restored",
    }
    assert (codes["held"], codes["cut"]) == ({"database-held"}, {"run-interrupted"})
    assert codes["failed"] == {"database-failed-before"}
    assert not codes["rolled"] | codes["restored"] | codes["sealed"] | codes["replaced"]
    for entry in listed:
        assert [(each["proven"], each["problem"]) for each in entry["backups"]] == [(True, None)] * len(
            entry["backups"]
        )
        assert sorted(each["run"] for each in entry["backups"]) == names(
            older.host.layout.locate_backups(entry["name"])
        )


def test_a_run_of_the_older_version_is_rolled_back(older: Older) -> None:
    done = older.result("rollback", "rolled", run="now", of_run="rolled-1")

    assert (done["outcome"], done["before"], done["after"]) == ("downgraded", ["0002"], [])
    assert older.tables("rolled") == {"kept", "alembic_version"}
    assert older.kept("rolled") == KEPT


def test_a_backup_of_the_older_version_is_restored(older: Older) -> None:
    refused = older.result("restore", "restored", run="first", of_run="restored-2")
    assert refused["outcome"] in ("refused", "held")
    assert ["8", "after"] in older.items("restored")

    done = older.result("restore", "restored", run="now", of_run="restored-2", restore_loses_writes=True)

    assert (done["outcome"], done["after"]) == ("restored", ["0002"])
    assert older.items("restored") == [["7", "before"]]


def test_a_sealed_backup_of_the_older_version_is_opened_and_restored(older: Older) -> None:
    options = {"of_run": "sealed-2", "restore_loses_writes": True}
    refused = older.result("restore", "sealed", run="first", **options)
    assert (refused["outcome"], refused["error"]["code"]) == ("refused", "backup-encrypted")
    command = build_opening_command("age", older.host.layout.locate_backups("sealed") / "sealed-2" / "backup.tar.age")
    assert command in refused["error"]["remedy"]
    key = older.host.root.parent / "key" / "key"
    subprocess.run(command.replace("KEYFILE", str(key)), shell=True, check=True)  # noqa: S602 - as a person types it

    done = older.result("restore", "sealed", run="now", **options)

    assert (done["outcome"], done["after"]) == ("restored", ["0002"])
    assert older.items("sealed") == [["7", "before"]]


def test_a_database_that_the_older_version_held_is_held_until_a_person_restores_it(older: Older) -> None:
    assert older.result("upgrade", "held", run="first")["outcome"] == "refused"
    assert older.heads("held") == ["0002"]

    done = older.result("restore", "held", run="now", of_run="held-1", restore_loses_writes=True)

    assert (done["outcome"], done["after"]) == ("restored", [])
    assert older.tables("held") == {"kept"}
    assert older.result("upgrade", "held", run="then", release="generic")["outcome"] == "upgraded"
    assert older.kept("held") == KEPT


def test_a_run_that_the_older_version_could_not_end_is_recovered(older: Older) -> None:
    assert older.heads("cut") == ["0003"]

    done = older.result("recover", "cut", run="now")

    assert (done["outcome"], done["of_run"]) == ("downgraded", "cut-1")
    assert (done["after"], older.tables("cut")) == ([], {"kept", "alembic_version"})
    assert older.kept("cut") == KEPT


def test_what_failed_for_the_older_version_is_tried_again_by_another_release(older: Older) -> None:
    assert older.result("upgrade", "failed", run="first")["error"]["code"] == "database-failed-before"
    assert older.result("upgrade", "failed", run="now", release="generic")["outcome"] == "upgraded"
    assert older.heads("failed") == ["0002"]


def test_what_the_older_version_retained_is_pruned_and_nothing_else(older: Older) -> None:
    (listed,) = older.host.do("prune", older.one("replaced"), release="generic")["results"]
    assert [each["outcome"] for each in listed["leftovers"]] == ["kept"]
    retained = 'SELECT a FROM "alembic_aside_replaced-2".kept'
    assert ["three"] in older.server.execute(retained, "replaced")

    older.host.do("prune", older.one("replaced"), release="generic", prune=True, prune_days=0)

    assert older.server.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'alembic%'", "replaced") == []
    assert older.kept("replaced") == KEPT


def test_what_is_written_now_has_a_format(older: Older) -> None:
    older.result("backup", "rolled", run="now")

    manifest = json.loads((older.host.layout.locate_backups("rolled") / "now" / "manifest.json").read_text())
    before = json.loads((older.host.layout.locate_backups("rolled") / "rolled-1" / "manifest.json").read_text())
    assert ("format" in before, manifest["format"]) == (False, 1)
