"""Encrypted backups through whole runs: when they are plain, when they are sealed, and what opens them again."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.manifest import list_proven
from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import Journal
from tests.codes import assert_error
from tests.unit.keys import Person
from tests.unit.stage import Answer, Host, database, names, script, sql, tables


@pytest.fixture
def filled(host: Host, file: Path) -> Path:
    host.ship("generic")
    return script(file, "create table mine (a); insert into mine values ('m4rked')")


def folder(host: Host, run: str = "r1") -> Path:
    return host.layout.locate_backups("app") / run


def is_plain(host: Host, run: str = "r1") -> bool:
    return (folder(host, run) / "database.sqlite3").exists()


def is_sealed(host: Host, run: str = "r1") -> bool:
    return (folder(host, run) / "backup.tar.age").exists()


def opened(host: Host, person: Person, tmp_path: Path, run: str = "r1") -> Path:
    """Open a sealed backup as a person would, and return the database in it."""
    person.open(folder(host, run) / "backup.tar.age", tmp_path / "opened")
    return tmp_path / "opened" / "database.sqlite3"


def test_after_an_upgrade_there_is_only_what_the_private_key_opens(
    host: Host, filled: Path, age: Person, tmp_path: Path
) -> None:
    result = host.result("upgrade", database(filled), backup_encrypt_to=age.to)

    assert (result["outcome"], result.get("backup_problems")) == ("upgraded", None)
    assert names(folder(host)) == ["backup.tar.age", "manifest.json"]
    copy = opened(host, age, tmp_path)
    assert tables(copy) == {"mine"}
    assert sql(copy, "select a from mine") == [("m4rked",)]
    text = (folder(host) / "manifest.json").read_text()
    assert json.loads(text)["sealed"]["tool"] == "age"
    assert not [path for path in host.root.rglob("*") if path.is_file() and b"m4rked" in path.read_bytes()]


def test_a_run_that_failed_is_reverted_from_the_plain_backup_and_sealed_then(
    host: Host, filled: Path, age: Person, tmp_path: Path
) -> None:
    host.ship("broken")
    host.result("upgrade", database(filled), backup_encrypt_to=age.to)
    assert (is_plain(host), is_sealed(host)) == (True, True)

    back = host.result("downgrade", database(filled), backup_encrypt_to=age.to)

    assert back["outcome"] == "restored"
    assert sql(filled, "select a from mine") == [("m4rked",)]
    assert (is_plain(host), is_sealed(host)) == (False, True)
    assert sql(opened(host, age, tmp_path), "select a from mine") == [("m4rked",)]


def test_what_a_crash_leaves_plain_is_sealed_by_the_next_run_that_ends_well(
    host: Host, filled: Path, age: Person
) -> None:
    host.ship("broken")
    host.result("upgrade", database(filled), backup_encrypt_to=age.to)  # and it was not reverted
    partial = folder(host, ".cut.partial")
    partial.mkdir()
    (partial / "database.sqlite3").write_bytes(filled.read_bytes())
    host.result("backup", database(filled), run="r2", backup_encrypt_to=age.to)
    assert (is_plain(host), is_plain(host, "r2"), is_sealed(host, "r2")) == (True, False, True)
    assert not partial.exists()

    host.result("downgrade", database(filled), run="r1", backup_encrypt_to=age.to)

    assert not is_plain(host)
    assert names(host.layout.locate_backups("app")) == ["r1", "r2"]


def test_backups_from_before_there_was_a_key_are_sealed_too(
    host: Host, filled: Path, age: Person, tmp_path: Path
) -> None:
    host.result("backup", database(filled), run="old")
    assert (is_plain(host, "old"), is_sealed(host, "old")) == (True, False)

    host.result("upgrade", database(filled), backup_encrypt_to=age.to)

    assert (is_plain(host, "old"), is_sealed(host, "old")) == (False, True)
    assert tables(opened(host, age, tmp_path, "old")) == {"mine"}


def test_a_held_database_keeps_its_plain_backup_until_a_run_recovers_it(host: Host, filled: Path, age: Person) -> None:
    host.result("backup", database(filled), run="held", backup_encrypt_to="")
    journal = Journal(host.layout.locate_journal("app", "held"), "upgrade")
    journal.write("begun", revision="0001", table="main.alembic_version")
    journal.write("done", result={"name": "app", "outcome": "held"})

    host.result("backup", database(filled), run="r1", backup_encrypt_to=age.to)
    assert (is_plain(host, "held"), is_plain(host, "r1")) == (True, False)
    host.result("upgrade", database(filled), run="r2", backup_encrypt_to=age.to)
    assert (is_plain(host, "held"), is_plain(host, "r2")) == (False, False)


def test_a_restore_of_a_sealed_backup_is_refused_with_the_command_that_opens_it(
    host: Host, filled: Path, age: Person
) -> None:
    host.result("upgrade", database(filled), backup_encrypt_to=age.to)

    refused = host.result("restore", database(filled), run="r2", of_run="r1", restore_loses_writes=True)

    assert refused["outcome"] == "refused"
    assert_error(
        refused["error"], "backup-encrypted", f"age --decrypt --identity KEYFILE {folder(host)}/backup.tar.age"
    )
    assert tables(filled) == {"mine", "item", "alembic_version"}

    age.open(folder(host) / "backup.tar.age", folder(host))
    options = {"restore_loses_writes": True, "backup_encrypt_to": age.to}
    assert host.result("restore", database(filled), run="r3", of_run="r1", **options)["outcome"] == "restored"
    assert tables(filled) == {"mine"}
    assert not is_plain(host)


def test_a_sealed_archive_that_is_damaged_never_takes_the_plain_files_with_it(
    host: Host, filled: Path, age: Person
) -> None:
    host.ship("broken")
    host.result("upgrade", database(filled), backup_encrypt_to=age.to)
    archive = folder(host) / "backup.tar.age"
    archive.write_bytes(archive.read_bytes()[:-1])

    back: Answer = host.result("downgrade", database(filled), backup_encrypt_to=age.to)

    assert back["outcome"] == "restored"
    assert is_plain(host)
    assert_error(back["backup_problems"][0], "backup-damaged", "backup.tar.age")


def test_a_key_that_cannot_be_used_is_an_obstacle_of_the_plan_and_stops_a_backup(host: Host, filled: Path) -> None:
    options = {"backup_encrypt_to": "/nowhere/key"}

    (obstacle,) = host.plan(database(filled), **options)["obstacles"]
    assert_error(obstacle, "encryption-not-possible", "/nowhere/key")
    assert host.result("upgrade", database(filled), run="r1", **options)["outcome"] == "refused"
    assert host.result("backup", database(filled), run="r2", **options)["outcome"] == "refused"
    assert list_proven(host.layout.locate_backups("app")) == []
    assert tables(filled) == {"mine"}


def test_a_database_that_was_not_there_has_nothing_to_seal(host: Host, file: Path, age: Person) -> None:
    host.ship("generic")

    result = host.result("upgrade", database(file), backup_encrypt_to=age.to)

    assert (result["outcome"], result.get("backup_problems")) == ("upgraded", None)
    assert names(folder(host)) == ["manifest.json"]


def test_the_backup_of_a_run_that_is_at_work_stays_plain(host: Host, filled: Path, age: Person) -> None:
    host.result("backup", database(filled), run="busy")
    worker = host.layout.locate_worker("busy", "upgrade")
    with worker.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        host.result("backup", database(filled), run="nightly", backup_encrypt_to=age.to)
        assert (is_plain(host, "busy"), is_plain(host, "nightly")) == (True, False)

    host.result("backup", database(filled), run="later", backup_encrypt_to=age.to)
    assert not is_plain(host, "busy")
