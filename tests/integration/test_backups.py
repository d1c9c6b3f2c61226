"""Backups that leave the host, encrypted or not, and backups by commands; each is opened and compared."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.codes import assert_code, values
from tests.integration.site import Site, assert_says
from tests.integration.targets import PostgresTarget, SQLiteTarget, Target, program
from tests.unit.keys import Person, age_person, end_agent, gpg_person


@pytest.fixture
def age(tmp_path: Path) -> Person:
    return age_person(tmp_path / "age")


@pytest.fixture
def gpg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    person = gpg_person(tmp_path_factory.mktemp("g") / "p")
    yield person
    end_agent(person)


def contents(target: Target, backup: Path, scratch: Path) -> list[Any]:
    """The rows of the fixtures' table in a plain backup, read without our code."""
    if isinstance(target, SQLiteTarget):
        return SQLiteTarget(backup / "database.sqlite3").rows("SELECT id, name FROM item ORDER BY id")
    assert isinstance(target, PostgresTarget)
    done = program(
        target.database.server.bin / "pg_restore", "--data-only", "--table=item", "-f", scratch, backup / "dump"
    )
    assert done.returncode == 0, done.stderr
    copied = scratch.read_text().split("FROM stdin;\n", 1)[1].split("\\.\n", 1)[0]
    return [(int(line.split("\t")[0]), line.split("\t")[1]) for line in copied.splitlines()]


ROWS = [(number, f"item {number}") for number in (1, 2, 3)]


@pytest.fixture
def settings(site: Site, targets: list[Target]) -> dict[str, Any]:
    """Both databases are at their first revision and have rows; a second revision waits."""
    entries: dict[str, Any] = {"migrate_databases": [target.entry for target in targets]}
    site.run("migrate", migrate_source=site.source("generic", "older").keep("0001"), migrate_run="first", **entries)
    for target in targets:
        target.fill()
    return {"migrate_source": site.source("generic"), **entries}


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("tool", ["age", "gpg"])
def test_an_encrypted_backup_is_copied_and_fetched_encrypted_and_opens_elsewhere(
    site: Site,
    targets: list[Target],
    settings: dict[str, Any],
    tool: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    person: Person = request.getfixturevalue(tool)
    by_command = tmp_path / "by command"
    by_command.mkdir()
    options: dict[str, Any] = {
        "migrate_backup_encrypt_to": person.to,
        "migrate_backup_copy_to": f"controller:{tmp_path}/controller",
        "migrate_backup_copy_command": ["cp", "-r", "{path}", f"{by_command}/{{name}}"],
    }

    outcome = site.run("migrate", migrate_run="second", **settings, **options)

    assert "WARNING" not in outcome.output
    for number, target in enumerate(targets):
        assert target.revisions == ["0002"]
        here = site.root / "backups" / target.name / "second"
        fetched = tmp_path / "controller" / "here" / target.name / "second"
        sent = by_command / f"{target.name}-second"
        assert files(here) - {"copies.json"} == files(fetched) == files(sent) == {f"backup.tar.{tool}", "manifest.json"}
        for copy in (here, fetched, sent):
            opened = tmp_path / f"opened-{number}-{copy.parent.name.replace(' ', '-')}"
            person.open(copy / f"backup.tar.{tool}", opened)
            assert contents(target, opened, tmp_path / "table.sql") == ROWS
        assert not [path for path in here.parent.rglob("*") if path.name in ("toc.dat", "database.sqlite3")]


def test_a_failed_run_is_reverted_although_its_backups_are_encrypted_and_they_are_sealed_then(
    site: Site, sqlite: SQLiteTarget, settings: dict[str, Any], age: Person, tmp_path: Path
) -> None:
    settings = {**settings, "migrate_databases": [sqlite.entry], "migrate_source": site.source("broken")}
    before = sqlite.dump()
    to = f"controller:{tmp_path}/controller"
    options: dict[str, Any] = {"migrate_backup_encrypt_to": age.to, "migrate_backup_copy_to": to}

    outcome = site.run("migrate", code=2, migrate_run="second", **settings, **options)

    assert_says(outcome.output, "app FAILED restored 0001")
    assert sqlite.dump() == before
    here = site.root / "backups" / "app" / "second"
    assert files(here) - {"copies.json"} == {"backup.tar.age", "manifest.json"}
    age.open(tmp_path / "controller" / "here" / "app" / "second" / "backup.tar.age", tmp_path / "opened")
    assert contents(sqlite, tmp_path / "opened", tmp_path) == ROWS

    refused = site.run(
        "restore", code=2, migrate_restore_run="second", migrate_restore_loses_writes=True, **settings, **options
    )
    assert_code(refused, "backup-encrypted", f"age --decrypt --identity KEYFILE {here}/backup.tar.age | tar")
    assert sqlite.dump() == before


def test_what_a_killed_worker_leaves_plain_is_sealed_by_the_next_run(
    site: Site, sqlite: SQLiteTarget, settings: dict[str, Any], age: Person, tmp_path: Path
) -> None:
    note = tmp_path / "pids"
    source = site.source("generic", "slow")
    body = f"open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{os.getppid()}} ')\ntime.sleep(600)"
    source.add("0003", "0002", body)
    settings = {**settings, "migrate_databases": [sqlite.entry], "migrate_source": source}
    settings["migrate_backup_encrypt_to"] = age.to
    with site.start("migrate", migrate_run="killed", **settings) as run:
        deadline = time.monotonic() + 300
        while not (note.exists() and note.read_text().endswith(" ")):
            assert time.monotonic() < deadline, run.output
            time.sleep(0.1)
        run.kill()
        # The process of the database and its worker, by their own numbers alone.
        for pid in map(int, note.read_text().split()):
            os.kill(pid, signal.SIGKILL)
    folder = site.root / "backups" / "app"
    assert files(folder / "killed") == {"backup.tar.age", "database.sqlite3", "manifest.json"}

    source.add("0003", "0002")
    site.run("migrate", migrate_run="next", **settings)

    assert sqlite.revisions == ["0003"]
    assert not [path for path in folder.rglob("*") if path.name == "database.sqlite3"]
    age.open(folder / "killed" / "backup.tar.age", tmp_path / "opened")
    assert contents(sqlite, tmp_path / "opened", tmp_path) == ROWS


def test_a_copy_in_a_directory_of_the_host_is_there_or_nothing_begins(
    site: Site, targets: list[Target], settings: dict[str, Any], tmp_path: Path
) -> None:
    mount = tmp_path / "mount"
    options: dict[str, Any] = {"migrate_backup_copy_to": mount}

    refused = site.run("migrate", code=2, **settings, **options)
    assert_code(refused, "backup-copy-not-possible", mount)
    assert [target.revisions for target in targets] == [["0001"], ["0001"]]

    mount.mkdir()
    site.run("migrate", migrate_run="second", **settings, **options)
    (host,) = mount.iterdir()
    assert host.name.startswith(socket.gethostname().lower()[:10])
    for number, target in enumerate(targets):
        assert target.revisions == ["0002"]
        assert contents(target, host / target.name / "second", tmp_path / f"table-{number}.sql") == ROWS
        # The backup from before there was a place to copy to is there as well.
        assert (host / target.name / "first" / "manifest.json").is_file()


def test_a_controller_that_cannot_keep_a_copy_is_reported_and_fails_nothing_else(
    site: Site, sqlite: SQLiteTarget, settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    only = {**settings, "migrate_databases": [sqlite.entry]}

    outcome = site.run("migrate", migrate_backup_copy_to=f"controller:{tmp_path}/taken", **only)

    assert sqlite.revisions == ["0002"]
    assert [copies["problems"] for copies in values(outcome, "copies") if "problems" in copies]
    status = site.run("status", migrate_backup_copy_to=f"controller:{tmp_path}/taken", **only)
    assert_code(status, "backup-not-copied", "controller:", database="app")
    (tmp_path / "taken").unlink()
    site.run("backup", migrate_backup_copy_to=f"controller:{tmp_path}/taken", **only)
    assert len(list((tmp_path / "taken" / "here" / "app").iterdir())) == 3


def test_commands_back_up_prove_and_restore_a_real_server(site: Site, postgres: PostgresTarget, tmp_path: Path) -> None:
    entries: dict[str, Any] = {"migrate_databases": [postgres.entry]}
    site.run("migrate", migrate_source=site.source("generic", "older").keep("0001"), **entries)
    postgres.fill()
    before = postgres.dump()
    vault = tmp_path / "vault"
    vault.mkdir()
    tools = postgres.database.server.bin
    drop = "drop table if exists item, alembic_version, extra cascade"
    commands: dict[str, Any] = {
        "migrate_backup_command": ["sh", "-ec", f'{tools}/pg_dump -Fc -f {vault}/"$1"', "sh", "{name}"],
        "migrate_backup_check_command": ["sh", "-ec", f'{tools}/pg_restore -l {vault}/"$1"', "sh", "{name}"],
        "migrate_restore_command": [
            *("sh", "-ec"),
            f'{tools}/psql -qc "{drop}"; {tools}/pg_restore -d "$PGDATABASE" --exit-on-error {vault}/"$1"',
            *("sh", "{name}"),
        ],
    }
    source = site.source("generic")
    source.add("0003", "0002", "op.create_table('extra', sa.Column('id', sa.Integer))")
    site.run("migrate", migrate_run="second", migrate_source=source, **entries, **commands)
    assert postgres.tables() == ["extra", "item"]
    manifest = json.loads((site.root / "backups" / postgres.name / "second" / "manifest.json").read_text())
    assert (manifest["tool"], manifest["files"]) == ("command", {})
    requested = {"migrate_source": source, "migrate_restore_run": "second", **entries, **commands}

    refused = site.run("restore", code=2, **requested)
    assert_code(refused, "others-wrote")
    assert postgres.tables() == ["extra", "item"]

    site.run("restore", migrate_run="third", migrate_restore_loses_writes=True, **requested)
    assert postgres.dump() == before
    replaced = program(tools / "pg_restore", "-l", vault / f"{postgres.name}-third-replaced")
    assert "TABLE public extra" in replaced.stdout
    for path in (*site.root.rglob("*.json*"), *site.root.rglob("*.output")):
        assert postgres.database.password not in path.read_text(errors="replace"), path
