from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.copy_place import CONTROLLER
from ansible_collections.hosting.alembic.plugins.module_utils._backup.fetch import list_waiting, read_part, remember
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import build_key
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow import fetch_backups
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.fetch_backups import fetch
from tests.codes import assert_error, refused
from tests.unit.keys import Person
from tests.unit.stage import Host, database, names, script, sql, tables


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the controller fetch a small backup in several parts too."""
    monkeypatch.setattr(fetch_backups, "PART", 1000)


@pytest.fixture
def filled(host: Host, file: Path) -> Path:
    host.ship("generic")
    return script(file, "create table mine (a); insert into mine values ('m4rked')")


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    folder = tmp_path / "mount"
    folder.mkdir()
    return folder


def copied(mount: Path, run: str = "r1") -> Path:
    return mount / build_key(socket.gethostname()) / "app" / run


# A directory on the host


def test_a_copy_is_the_backup_and_is_there_before_the_upgrade_begins(host: Host, filled: Path, mount: Path) -> None:
    result = host.result("upgrade", database(filled), backup_copy_to=str(mount))

    assert result["outcome"] == "upgraded"
    copy = copied(mount)
    assert names(copy) == ["database.sqlite3", "manifest.json"]
    manifest = json.loads((copy / "manifest.json").read_text())
    assert manifest["files"] == {
        "database.sqlite3": hashlib.sha256((copy / "database.sqlite3").read_bytes()).hexdigest()
    }
    assert sql(copy / "database.sqlite3", "select a from mine") == [("m4rked",)]
    assert {path.stat().st_mode & 0o777 for path in copy.iterdir()} == {0o600}
    assert copy.stat().st_mode & 0o777 == 0o700
    events = [event["event"] for event in host.events()]
    assert events.index("backed_up") < events.index("begun")
    assert copy.stat().st_mtime_ns / 1e9 < filled.stat().st_mtime


@pytest.mark.parametrize("below", ["", "app"])
def test_a_link_that_was_planted_where_copies_go_is_not_followed(
    host: Host, filled: Path, mount: Path, tmp_path: Path, below: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    planted = mount / build_key(socket.gethostname()) / below
    planted.parent.mkdir(exist_ok=True)
    planted.symlink_to(elsewhere)

    result = host.result("upgrade", database(filled), backup_copy_to=str(mount))

    assert list(elsewhere.rglob("*")) == []
    assert result["outcome"] != "upgraded"
    assert tables(filled) == {"mine"}


@pytest.mark.parametrize("how", ["gone", "a file", "full of something else"])
def test_without_its_copy_no_upgrade_begins(host: Host, filled: Path, mount: Path, how: str) -> None:
    if how == "gone":
        mount.rmdir()
    elif how == "a file":
        mount.rmdir()
        mount.write_text("")
    else:
        (mount / build_key(socket.gethostname())).write_text("a file in the way")

    result = host.result("upgrade", database(filled), backup_copy_to=str(mount))

    assert result["outcome"] == "refused"
    assert str(mount) in str(result["error"])
    assert tables(filled) == {"mine"}
    assert "begun" not in [event["event"] for event in host.events()]


def test_a_copy_that_is_missing_is_made_by_the_next_run_and_the_status_says_it(
    host: Host, filled: Path, mount: Path
) -> None:
    host.result("backup", database(filled), run="before")
    options = {"backup_copy_to": str(mount)}
    (state,) = host.do("status", database(filled), **options)["databases"]
    assert_error(state["backup_problems"][0], "backup-not-copied", mount)

    host.result("upgrade", database(filled), **options)

    assert names(copied(mount).parent) == ["before", "r1"]
    (state,) = host.do("status", database(filled), **options)["databases"]
    assert (state["backup_problems"], list(state["last_backup"]["copies"])) == ([], [str(mount)])


def test_only_what_is_sealed_leaves_the_host(
    host: Host, filled: Path, mount: Path, age: Person, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"backup_copy_to": str(mount), "backup_encrypt_to": age.to}
    options["backup_copy_command"] = ["cp", "-r", "{path}", f"{tmp_path}/by-command-{{name}}"]
    host.ship("broken")
    host.result("upgrade", database(filled), **options)
    assert (host.layout.locate_backups("app") / "r1" / "database.sqlite3").exists(), "the way back needs it"

    for copy in (copied(mount), tmp_path / "by-command-app-r1"):
        assert names(copy) == ["backup.tar.age", "manifest.json"]
        age.open(copy / "backup.tar.age", tmp_path / "opened")
        assert sql(tmp_path / "opened" / "database.sqlite3", "select a from mine") == [("m4rked",)]
    assert names(host.layout.locate_backups("app")) == ["r1"]


# A command


def test_a_command_gets_a_folder_and_a_name_and_no_shell(host: Host, filled: Path, tmp_path: Path) -> None:
    command = ["cp", "-r", "{path}", str(tmp_path / "{database} {run} $(touch evil) {other}")]

    assert host.result("upgrade", database(filled), backup_copy_command=command)["outcome"] == "upgraded"

    copy = tmp_path / "app r1 $(touch evil) {other}"
    assert names(copy) == ["database.sqlite3", "manifest.json"]
    assert sql(copy / "database.sqlite3", "select a from mine") == [("m4rked",)]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["sh", "-c", "echo no such bucket; exit 3"], "exit code 3: no such bucket"),
        (["/nowhere/rclone", "copyto"], "migrate_backup_copy_command names it"),
    ],
)
def test_a_command_that_fails_stops_the_upgrade(host: Host, filled: Path, command: list[str], words: str) -> None:
    result = host.result("upgrade", database(filled), backup_copy_command=command)

    assert result["outcome"] in ("failed", "refused")
    assert words in result["error"]["why"]
    assert tables(filled) == {"mine"}


# The controller


def given(host: Host, to: Path, **more: Any) -> dict[str, Any]:
    options = {"root": str(host.root), "databases": ["app"], "backup_copy_to": f"{CONTROLLER}{to}"}
    return {**options, "backup_encrypt_to": "", "offset": 0, "length": 8 << 20, "fetched": [], "run": "", **more}


def requesting(host: Host, to: Path, spoil: bool = False, **more: Any) -> Any:
    def execute(requested: dict[str, Any]) -> dict[str, Any]:
        options = given(host, to, **{**more, **requested})
        if options["run"]:
            data = read_part(options)
            return {"data": base64.b64encode(b"x" + base64.b64decode(data)[1:]).decode() if spoil else data}
        remember(options)
        return {"waiting": list_waiting(options)}

    return execute


def test_the_controller_puts_the_parts_together_and_the_host_remembers(
    host: Host, filled: Path, tmp_path: Path
) -> None:
    host.result("upgrade", database(filled))
    to = tmp_path / "there"

    done = fetch("web1 .example", given(host, to), requesting(host, to))

    assert done == {"fetched": [{"database": "app", "run": "r1"}], "problems": []}
    copy = to / build_key("web1 .example") / "app" / "r1"
    assert names(copy) == ["database.sqlite3", "manifest.json"]
    assert sql(copy / "database.sqlite3", "select a from mine") == [("m4rked",)]
    assert {path.stat().st_mode & 0o777 for path in copy.iterdir()} == {0o600}
    again = fetch("web1 .example", given(host, to), requesting(host, to))
    assert again == {"fetched": [], "problems": []}


def test_what_arrives_damaged_is_not_kept_and_waits_for_the_next_run(host: Host, filled: Path, tmp_path: Path) -> None:
    host.result("upgrade", database(filled))
    to = tmp_path / "there"

    done = fetch("web1", given(host, to), requesting(host, to, spoil=True))

    assert done["fetched"] == []
    assert "[fetch-damaged]" in done["problems"][0]
    assert names(to / "web1" / "app") == []
    assert len(list_waiting(given(host, to))) == 1


def test_a_plain_backup_is_not_handed_over_where_backups_are_encrypted(
    host: Host, filled: Path, tmp_path: Path, age: Person
) -> None:
    host.result("backup", database(filled), run="plain")
    options = given(host, tmp_path, backup_encrypt_to=age.to)

    assert list_waiting(options) == []
    with refused("backup-not-encrypted"):
        read_part({**options, "database": "app", "run": "plain"})


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", ""])
def test_a_host_cannot_name_a_file_outside_of_its_folder(tmp_path: Path, name: str) -> None:
    file = {"name": name, "size": 0, "sha256": hashlib.sha256().hexdigest()}
    backup = {"database": "app", "run": "r1", "files": [file]}

    def execute(_requested: dict[str, Any]) -> dict[str, Any]:
        return {"waiting": [backup]}

    done = fetch("web1", {"backup_copy_to": f"{CONTROLLER}{tmp_path}/there"}, execute)

    assert done["fetched"] == []
    assert "[fetch-refused]" in done["problems"][0]
    assert not list(tmp_path.rglob("evil*"))


def test_a_hosts_name_and_a_databases_name_make_no_path(host: Host, filled: Path, tmp_path: Path) -> None:
    host.result("backup", database(filled, name="../../app"))
    to = tmp_path / "there"
    options = given(host, to, databases=["../../app"])

    done = fetch("../../web1", options, requesting(host, to, databases=["../../app"]))

    assert done["problems"] == []
    (copy,) = to.rglob("database.sqlite3")
    assert os.path.relpath(copy, to).count(os.sep) == 3


def test_a_copy_command_that_hangs_stops_the_upgrade_and_is_tried_once_more_by_the_run_and_not_for_each_backup(
    host: Host, filled: Path, tmp_path: Path
) -> None:
    for run in ("a", "b", "c"):
        host.result("backup", database(filled), run=run)
    calls = tmp_path / "calls"
    hangs = ["sh", "-c", f"echo $1 >> {calls}; exec sleep 600", "sh", "{run}"]

    result = host.result("upgrade", database(filled), backup_copy_command=hangs, command_timeout=0.5)

    assert result["outcome"] == "failed"
    assert_error(result["error"], "command-timeout", "sh", "0.5 s", "migrate_backup_copy_command")
    assert tables(filled) == {"mine"}
    assert len(result["backup_problems"]) == 1
    assert len(calls.read_text().split()) == 2


def test_the_end_of_the_window_in_the_copy_of_an_older_backup_leaves_a_verified_upgrade_verified(
    host: Host, filled: Path
) -> None:
    host.result("backup", database(filled), run="older")
    hangs = ["sh", "-c", 'test "$1" = r1 || exec sleep 600', "sh", "{run}"]
    closes = {"deadline": "2026-11-22T04:00:00+00:00", "time_left": 3, "window_margin": 0}

    result = host.result("upgrade", database(filled), backup_copy_command=hangs, **closes)

    assert "verified" in [event["event"] for event in host.events()]
    assert (result["outcome"], result["after"]) == ("upgraded", ["0002"])


@pytest.mark.parametrize("length", [1, 5, 30])
def test_a_host_that_hands_over_more_or_less_than_it_announced_is_not_called_again(tmp_path: Path, length: int) -> None:
    """A byte at a time, it would have the controller call for ever."""
    calls = []
    file = {"name": "dump", "size": 20, "sha256": hashlib.sha256(b"x" * 20).hexdigest()}

    def execute(requested: dict[str, Any]) -> dict[str, Any]:
        if "offset" not in requested:
            return {"waiting": [{"database": "app", "run": "r1", "files": [file]}]}
        calls.append(requested["offset"])
        return {"data": base64.b64encode(b"x" * length).decode()}

    done = fetch("web1", {"backup_copy_to": f"{CONTROLLER}{tmp_path}/there"}, execute)

    assert (done["fetched"], calls) == ([], [0])
    assert "[fetch-refused]" in done["problems"][0]
    assert names(tmp_path / "there" / "web1" / "app") == []


@pytest.mark.parametrize("runs", [1, 3])
def test_a_host_fetches_no_more_than_is_permitted(tmp_path: Path, runs: int) -> None:
    """Neither in one backup nor in several: of three backups of 40 bytes, two are fetched."""
    content = b"x" * (120 if runs == 1 else 40)
    file = {"name": "dump", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    backups = [{"database": "app", "run": f"r{number}", "files": [file]} for number in range(runs)]

    def execute(requested: dict[str, Any]) -> dict[str, Any]:
        if "offset" in requested:
            return {"data": base64.b64encode(content).decode()}
        return {"waiting": backups}

    done = fetch("web1", {"backup_copy_to": f"{CONTROLLER}{tmp_path}/there", "backup_fetch_limit": 100}, execute)

    kept = [path for path in (tmp_path / "there").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in kept if path.name == "dump") <= 100
    assert len(done["fetched"]) == runs - 1
    assert len(done["problems"]) == 1
    assert "migrate_backup_fetch_limit" in done["problems"][0]


def test_a_host_cannot_use_up_the_files_of_the_controllers_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = os.statvfs(tmp_path)
    facts = {name: getattr(there, name) for name in dir(there) if name.startswith("f_")}
    files = [{"name": f"f{number}", "size": 0, "sha256": hashlib.sha256().hexdigest()} for number in range(60)]

    def execute(_requested: dict[str, Any]) -> dict[str, Any]:
        return {"waiting": [{"database": "app", "run": "r1", "files": files}]}

    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(**{**facts, "f_files": 1000, "f_favail": 100}))
    done = fetch("web1", {"backup_copy_to": f"{CONTROLLER}{tmp_path}/there"}, execute)

    assert done["fetched"] == []
    assert "[controller-disk-too-small]" in done["problems"][0]
