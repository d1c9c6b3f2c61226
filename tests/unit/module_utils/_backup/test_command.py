"""Backups by commands of one's own; the commands here are shell scripts over real files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.manifest import list_proven
from ansible_collections.hosting.alembic.plugins.module_utils._journal.run_state import read_last_run_state
from tests.codes import assert_error
from tests.lab.waiting import wait_until
from tests.unit.stage import Host, database, names, script, sql, tables


@pytest.fixture
def filled(host: Host, file: Path) -> Path:
    host.ship("generic")
    return script(file, "create table mine (a); insert into mine values ('old')")


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """Where the commands keep what they back up."""
    folder = tmp_path / "vault"
    folder.mkdir()
    return folder


@pytest.fixture
def commands(vault: Path) -> dict[str, Any]:
    def shell(text: str) -> list[str]:
        return ["sh", "-ec", text, "sh", "{name}", "{path}"]

    back_up = f'cp "$HOSTING_ALEMBIC_DATABASE" {vault}/"$1"; echo "$HOSTING_ALEMBIC_RUN" > "$2"/label'
    check = f'test -s {vault}/"$1"; grep -qx "$HOSTING_ALEMBIC_RUN" "$2"/label'
    restore = f'cp {vault}/"$1" "$HOSTING_ALEMBIC_DATABASE"; rm -f "$HOSTING_ALEMBIC_DATABASE"-wal'
    return {
        "backup_command": shell(back_up),
        "backup_check_command": shell(check),
        "restore_command": shell(restore),
    }


def test_a_backup_by_a_command_counts_and_says_so(
    host: Host, filled: Path, vault: Path, commands: dict[str, Any]
) -> None:
    result = host.result("upgrade", database(filled), **commands)

    assert result["outcome"] == "upgraded"
    (manifest,) = list_proven(host.layout.locate_backups("app"))
    assert (manifest.tool, list(manifest.files)) == ("command", ["label"])
    assert manifest.fingerprint == ["column mine.a  notnull 0 default None key 0 hidden 0", "table mine"]
    assert names(vault) == ["app-r1"]
    assert sql(vault / "app-r1", "select a from mine") == [("old",)]


@pytest.mark.parametrize("broken", ["backup_command", "backup_check_command"])
def test_what_does_not_prove_itself_is_not_a_backup(
    host: Host, filled: Path, commands: dict[str, Any], broken: str
) -> None:
    result = host.result("upgrade", database(filled), **{**commands, broken: ["sh", "-c", "echo broken; exit 9"]})

    assert result["outcome"] == "failed"
    assert_error(result["error"], "command-failed", 9, "broken")
    assert names(host.layout.locate_backups("app")) == []
    assert tables(filled) == {"mine"}


def test_what_only_the_application_can_read_is_backed_up_by_a_command(
    host: Host, filled: Path, commands: dict[str, Any]
) -> None:
    """An index on a function that the application adds to SQLite: no other user can check the file."""
    with closing(sqlite3.connect(filled)) as connection, connection:
        connection.create_function("own", 1, str, deterministic=True)
        connection.execute("create index by_own on mine (own(a))")

    failed = host.result("upgrade", database(filled))
    assert "own()" in failed["error"]["why"]
    assert "migrate_backup_command" in failed["error"]["remedy"]
    assert tables(filled) == {"mine"}

    result = host.result("upgrade", database(filled), run="r2", retry_failed=["app"], **commands)

    assert result["outcome"] == "upgraded"


def test_a_backup_command_without_a_check_is_refused(host: Host, filled: Path, commands: dict[str, Any]) -> None:
    (obstacle,) = host.plan(database(filled), backup_command=commands["backup_command"])["obstacles"]

    assert_error(obstacle, "backup-command-without-check", "migrate_backup_check_command")


def test_a_restore_uses_the_command_keeps_what_it_replaces_and_is_verified(
    host: Host, filled: Path, vault: Path, commands: dict[str, Any]
) -> None:
    host.result("upgrade", database(filled), **commands)
    sql(filled, "insert into mine values ('new')")

    refused = host.result("restore", database(filled), run="r2", of_run="r1", **commands)
    assert refused["outcome"] == "refused"
    assert_error(refused["error"], "others-wrote")
    assert sql(filled, "select a from mine") == [("old",), ("new",)]

    result = host.result("restore", database(filled), run="r3", of_run="r1", restore_loses_writes=True, **commands)

    assert (result["outcome"], result["method"]) == ("restored", "command")
    assert tables(filled) == {"mine"}
    assert sql(filled, "select a from mine") == [("old",)]
    kept = json.loads((Path(result["retained"]) / "manifest.json").read_text())
    assert (kept["tool"], kept["run"]) == ("command", "r3-replaced")
    assert sql(vault / "app-r3-replaced", "select a from mine") == [("old",), ("new",)]


def test_a_restore_that_brings_something_else_is_found_out(
    host: Host, filled: Path, vault: Path, commands: dict[str, Any]
) -> None:
    host.result("upgrade", database(filled), **commands)
    sql(vault / "app-r1", "create table another (a)")

    result = host.result("restore", database(filled), run="r2", of_run="r1", restore_loses_writes=True, **commands)

    assert result["outcome"] == "held"
    assert "another" in result["error"]["why"]


def test_a_failed_upgrade_is_held_unless_losing_writes_is_allowed(
    host: Host, filled: Path, commands: dict[str, Any]
) -> None:
    host.ship("broken")
    host.result("upgrade", database(filled), **commands)

    held = host.result("downgrade", database(filled), **commands)

    assert held["outcome"] == "held"
    assert_error(held["error"], "others-wrote")
    assert "playbooks/restore.yml" in held["ways_out"]["back"]


def test_a_failed_upgrade_is_restored_by_the_command_where_that_is_allowed(
    host: Host, filled: Path, commands: dict[str, Any]
) -> None:
    host.ship("broken")
    options = {**commands, "restore_loses_writes": True}
    host.result("upgrade", database(filled), **options)

    back = host.result("downgrade", database(filled), **options)

    assert (back["outcome"], back["method"]) == ("restored", "command")
    assert tables(filled) == {"mine"}
    assert sql(filled, "select a from mine") == [("old",)]


def test_without_a_restore_command_it_is_refused_with_what_to_set(
    host: Host, filled: Path, commands: dict[str, Any]
) -> None:
    host.result("upgrade", database(filled), **commands)
    options = {**commands, "restore_command": [], "restore_loses_writes": True}

    result = host.result("restore", database(filled), run="r2", of_run="r1", **options)

    assert result["outcome"] == "refused"
    assert_error(result["error"], "backup-command-without-restore", "migrate_restore_command")


@pytest.mark.parametrize("hanging", ["backup_command", "backup_check_command"])
def test_a_command_that_hangs_fails_the_backup_and_the_next_run_goes_on(
    host: Host, filled: Path, commands: dict[str, Any], hanging: str
) -> None:
    stuck = {**commands, hanging: ["sleep", "600"], "command_timeout": 0.5}

    result = host.result("upgrade", database(filled), **stuck)

    assert result["outcome"] == "failed"
    assert_error(result["error"], "command-timeout", f"migrate_{hanging}", "sleep", "0.5 s", "migrate_command_timeout")
    assert names(host.layout.locate_backups("app")) == []
    assert tables(filled) == {"mine"}
    assert host.result("upgrade", database(filled), run="r2", **commands)["outcome"] == "upgraded"


def test_a_restore_command_that_hangs_is_reported_and_what_it_was_to_replace_is_kept(
    host: Host, filled: Path, vault: Path, commands: dict[str, Any]
) -> None:
    host.result("upgrade", database(filled), **commands)
    stuck = {**commands, "restore_command": ["sleep", "600"], "command_timeout": 2, "restore_loses_writes": True}

    result = host.result("restore", database(filled), run="r2", of_run="r1", **stuck)

    assert result["outcome"] == "held", "nobody knows how far it came"
    assert_error(result["error"], "restore-half-way", "sleep", "2 s")
    assert (vault / "app-r2-replaced").read_bytes() == filled.read_bytes()


def half(commands: dict[str, Any], then: str) -> dict[str, Any]:
    """The commands with a restore that empties the database and then goes wrong."""
    text = 'python3 -c \'import sqlite3, os; c = sqlite3.connect(os.environ["HOSTING_ALEMBIC_DATABASE"])'
    text += f'; c.execute("delete from mine"); c.commit()\'; {then}'
    return {**commands, "restore_command": ["sh", "-ec", text], "restore_loses_writes": True}


@pytest.mark.parametrize("killed", [False, True])
def test_a_restore_command_that_stops_half_way_leaves_the_database_held(
    host: Host, filled: Path, commands: dict[str, Any], killed: bool
) -> None:
    host.result("upgrade", database(filled), **commands)
    # The shell's parent is the process that works on the database.
    stops = half(commands, "kill -9 $PPID" if killed else "exit 1")

    result = host.result("restore", database(filled), run="r2", of_run="r1", **stops)
    if killed:
        # As a host that went down: it is not recorded how it ended.
        path = host.layout.locate_journal("app", "r2")
        path.write_text("".join(line for line in path.read_text().splitlines(True) if '"event": "done"' not in line))
        wait_until(
            lambda: read_last_run_state(host.layout, "app").state == "cut_short",
            "the shell of the restore does not end",
        )
        result = host.result("recover", database(filled), run="r3", **stops)

    assert result["outcome"] == "held"
    assert read_last_run_state(host.layout, "app").state == "held"
    assert sql(filled, "select count(*) from mine") == [(0,)]
    (obstacle,) = host.plan(database(filled), run="r4", **stops)["obstacles"]
    assert_error(obstacle, "database-held", "r2")
    (back,) = [manifest for manifest in list_proven(host.layout.locate_backups("app")) if manifest.run == "r2-replaced"]
    assert back.path in result["ways_out"]["back"]
    # The printed way brings back what the first restore was to replace, and the database is free again.
    options = {**commands, "restore_loses_writes": True, "backup": back.path}
    again = host.result("restore", database(filled), run="r5", **options)
    assert (again["outcome"], sql(filled, "select a from mine")) == ("restored", [("old",)])
    assert read_last_run_state(host.layout, "app").state == ""


def test_the_end_of_the_window_ends_the_command_of_a_backup(
    host: Host, filled: Path, commands: dict[str, Any], tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    stuck = {**commands, "backup_command": ["sh", "-c", f"echo $$ > {pid}; exec sleep 600"]}
    closes = {"deadline": "2026-11-22T04:00:00+00:00", "time_left": 2, "window_margin": 0}

    result = host.result("upgrade", database(filled), **stuck, **closes)

    assert result["outcome"] == "deferred"
    assert tables(filled) == {"mine"}
    assert not Path(f"/proc/{pid.read_text().strip()}/cwd").exists()


def test_what_nothing_compares_after_a_downgrade_is_held(host: Host, filled: Path, commands: dict[str, Any]) -> None:
    host.revise("generic", "0003", "0002", "raise RuntimeError('no')")
    options = {**commands, "restore_loses_writes": True}
    assert host.result("upgrade", database(filled), **options)["outcome"] == "failed"

    back = host.result("downgrade", database(filled), **options)

    assert back["outcome"] == "held", back
    assert_error(back["error"], "downgrade-not-compared", "migrate_backup_command")
    assert back["after"] == []
    assert "playbooks/restore.yml" in back["ways_out"]["back"]
    assert sql(filled, "select a from mine") == [("old",)]


def test_where_nothing_was_committed_nothing_has_to_be_compared(
    host: Host, filled: Path, commands: dict[str, Any]
) -> None:
    assert host.result("upgrade", database(filled), **commands)["outcome"] == "upgraded"
    host.revise("generic", "0003", "0002", "raise RuntimeError('no')")
    before = filled.read_bytes()
    assert host.result("upgrade", database(filled), run="r2", **commands)["outcome"] == "failed"

    back = host.result("downgrade", database(filled), run="r2", **commands)

    assert back["outcome"] == "untouched", back
    assert filled.read_bytes() == before
