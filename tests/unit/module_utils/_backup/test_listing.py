"""What is listed is compared with what lies on the disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup import listing
from ansible_collections.hosting.alembic.plugins.module_utils._backup.fetch import list_waiting, read_part, remember
from ansible_collections.hosting.alembic.plugins.module_utils._backup.listing import list_backups
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.fetch_backups import fetch
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.reducing import reduce_answer
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.grouping import View
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.report import report
from tests.codes import assert_error, assert_names
from tests.unit.keys import Person
from tests.unit.stage import Host, as_unprivileged, database, heads, in_process, names, script

Facts = dict[str, Any]


def listed(host: Host) -> list[Facts]:
    """Return the backups of the database, as the controller gets them."""
    answer = {"changed": False, "databases": list_backups(str(host.root), ["app"])}
    json.dumps(answer, allow_nan=False)
    kept = reduce_answer("backups_info", answer, {"databases": ["app"]})
    assert kept == answer, "the host's answer is passed on as it is"
    (entry,) = kept["databases"]
    return list(entry["backups"])


def printed(host: Host) -> str:
    answer = {"databases": list_backups(str(host.root), ["app"])}
    return "\n".join(report({"backups": answer}, View()).lines)


def everything(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Return each file and folder with its content, its mode, and when it was last changed."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        facts = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
        found[str(path)] = (content, facts.st_mode, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
    return found


def bytes_in(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if path.name not in ("manifest.json", "copies.json"))


@pytest.fixture
def filled(host: Host, file: Path) -> Path:
    host.ship("generic")
    return script(file, "create table mine (a); insert into mine values ('m4rked')")


def fetched(host: Host, to: Path) -> None:
    """Fetch what waits, as the controller does."""
    options = {"root": str(host.root), "databases": ["app"], "backup_copy_to": f"controller:{to}"}

    def query(requested: Facts) -> Facts:
        known = {
            "backup_encrypt_to": "",
            "database": "",
            "run": "",
            "offset": 0,
            "length": 0,
            "fetched": [],
            **requested,
        }
        if known["run"]:
            return {"data": read_part(known)}
        remember(known)
        return {"waiting": list_waiting(known)}

    assert fetch("web1", {**options, "backup_encrypt_to": ""}, query)["problems"] == []


def test_each_backup_is_listed_as_it_lies_on_the_disk(host: Host, filled: Path, age: Person, tmp_path: Path) -> None:
    before = datetime.now(timezone.utc)
    host.result("upgrade", database(filled), run="first")
    host.result("backup", database(filled), run="second")
    fetched(host, tmp_path / "controller")
    host.result("backup", database(filled), run="third", backup_encrypt_to=age.to)
    host.result("backup", database(filled), run="fourth")
    folder = host.layout.locate_backups("app")
    (folder / "fourth" / "manifest.json").write_text('{"database": "app", "run": "fou')
    was = everything(host.root)

    found = listed(host)

    assert everything(host.root) == was
    assert [backup["run"] for backup in found] == ["fourth", "third", "second", "first"]
    assert {backup["run"] for backup in found} == set(names(folder))
    by_run = {backup["run"]: backup for backup in found}
    for run, backup in by_run.items():
        assert backup["path"] == str(folder / run)
        assert backup["size"] == bytes_in(folder / run) > 0
        if run == "fourth":
            continue
        assert before <= datetime.fromisoformat(backup["taken"]) <= datetime.now(timezone.utc)
        assert 0 <= backup["age"] <= 600
        assert (backup["proven"], backup["problem"], backup["engine"]) == (True, None, "sqlite")
    # The first was taken before the upgrade, the others after it.
    assert [by_run[run]["revision"] for run in ("first", "second", "third")] == [[], heads(filled), heads(filled)]
    # All were encrypted by the run that encrypted: what lies there is no plain database any more.
    for run in ("first", "second", "third"):
        plain = list((folder / run).glob("*.sqlite3"))
        assert by_run[run]["sealed"] is (not plain)
        assert by_run[run]["sealed"] is bool(list((folder / run).glob("*.age")))
    assert names(tmp_path / "controller" / "web1" / "app") == ["first", "second"]
    for run in ("first", "second", "third"):
        (to, *others) = by_run[run]["copies"] or [None]
        assert not others
        assert to == (None if run == "third" else f"controller:{tmp_path}/controller")
    unknown = by_run["fourth"]
    assert {key for key, value in unknown.items() if value is None} == {
        *("taken", "age", "revision", "engine", "proven", "sealed", "copies")
    }
    assert_error(unknown["problem"], "backup-not-readable", "manifest.json")

    lines = printed(host).splitlines()
    assert lines[1].split()[:4] == ["app", "unknown", "unknown", lines[1].split()[3]]
    assert lines[1].split()[-5:] == ["unknown", "fourth", "unknown", "unknown", "unknown"]
    assert "0002 third yes yes none" in " ".join(lines[2].split())
    assert_names(lines[-1], "app", f"{folder}/fourth", "[backup-not-readable]")


def gone(backup: Path) -> None:
    (backup / "database.sqlite3").unlink()


def short(backup: Path) -> None:
    os.truncate(backup / "database.sqlite3", 100)


def of_another(backup: Path) -> None:
    manifest = json.loads((backup / "manifest.json").read_text())
    (backup / "manifest.json").write_text(json.dumps({**manifest, "database": "other"}))


@pytest.mark.parametrize("spoil", [gone, short, of_another])
def test_a_backup_whose_files_are_not_there_as_its_manifest_says_is_not_proven(
    host: Host, filled: Path, spoil: Callable[[Path], None]
) -> None:
    host.result("backup", database(filled))
    backup = host.layout.locate_backups("app") / "r1"
    spoil(backup)

    (found,) = listed(host)

    assert (found["proven"], found["problem"]["code"]) == (False, "backup-damaged")
    assert found["size"] == bytes_in(backup)
    assert " no " in printed(host)


def no_manifest(backup: Path) -> None:
    (backup / "manifest.json").unlink()


def a_link(backup: Path) -> None:
    backup.rename(backup.with_name(".elsewhere"))
    backup.symlink_to(".elsewhere")


def a_pipe(backup: Path) -> None:
    (backup / "manifest.json").unlink()
    os.mkfifo(backup / "manifest.json")


def other_types(backup: Path) -> None:
    manifest = json.loads((backup / "manifest.json").read_text())
    (backup / "manifest.json").write_text(json.dumps({**manifest, "taken": 5, "heads": ["x"]}))


def nested(backup: Path) -> None:
    (backup / "manifest.json").write_text("[" * 100_000)


def damaged_record(backup: Path) -> None:
    (backup / "copies.json").write_text("[")


@pytest.mark.parametrize("spoil", [no_manifest, a_link, a_pipe, other_types, nested, damaged_record])
def test_what_cannot_be_read_is_unknown_with_the_reason(
    host: Host, filled: Path, spoil: Callable[[Path], None]
) -> None:
    host.result("backup", database(filled))
    spoil(host.layout.locate_backups("app") / "r1")
    was = everything(host.layout.journals)

    (found,) = listed(host)

    assert (found["proven"], found["problem"]["code"]) == (None, "backup-not-readable")
    assert found["problem"]["why"]
    assert everything(host.layout.journals) == was


def test_a_folder_that_cannot_be_traversed_is_unknown_and_the_others_are_listed(host: Host, filled: Path) -> None:
    host.result("backup", database(filled))
    host.layout.locate_backups("app").chmod(0)

    found: Any = in_process(
        lambda: as_unprivileged(host.layout.backups, lambda: list_backups(str(host.root), ["app", "other"]))
    )

    host.layout.locate_backups("app").chmod(0o700)
    assert (found[0]["backups"], found[0]["problem"]["code"]) == (None, "backup-not-readable")
    assert (found[1]["backups"], found[1]["problem"]) == ([], None)
    words = "\n".join(report({"backups": {"databases": found}}, View()).lines)
    assert words.splitlines()[1:3] == ["app       unknown", "other     none"]


def test_backups_in_a_folder_that_can_be_read_and_not_traversed_are_unknown(host: Host, filled: Path) -> None:
    host.result("backup", database(filled))
    host.layout.locate_backups("app").chmod(0o444)

    answer: Any = in_process(
        lambda: as_unprivileged(host.layout.backups, lambda: list_backups(str(host.root), ["app"]))
    )
    (found,) = answer

    host.layout.locate_backups("app").chmod(0o700)
    (backup,) = found["backups"]
    assert (backup["run"], backup["problem"]["code"]) == ("r1", "backup-not-readable")


def test_a_manifest_of_an_older_format_is_read_as_well_as_one_with_more_fields(host: Host, filled: Path) -> None:
    host.result("backup", database(filled), run="older")
    host.result("backup", database(filled), run="newer")
    for run, change in (("older", ("activity", "sealed", "path")), ("newer", ())):
        path = host.layout.locate_backups("app") / run / "manifest.json"
        manifest = {key: value for key, value in json.loads(path.read_text()).items() if key not in change}
        path.write_text(json.dumps({**manifest, **({} if change else {"more": [1]})}))

    newer, older = listed(host)

    assert (newer["run"], newer["proven"], newer["sealed"]) == ("newer", True, False)
    assert (older["run"], older["proven"], older["sealed"], older["copies"]) == ("older", True, False, {})


@pytest.mark.parametrize("by_name", [True, False])
def test_many_backups_are_listed_up_to_a_number_and_the_others_are_not_opened(
    host: Host, filled: Path, monkeypatch: pytest.MonkeyPatch, by_name: bool
) -> None:
    host.result("backup", database(filled), run="b00")
    folder = host.layout.locate_backups("app")
    manifest = json.loads((folder / "b00" / "manifest.json").read_text())
    runs = ["b00"]
    for number in range(1, 30):
        taken = datetime(2020, 1, number, 3, tzinfo=timezone.utc)
        run = f"{taken:%Y%m%dT%H%M%SZ}-{30 - number:06x}" if by_name else f"b{30 - number:02}"
        runs.insert(1, run)
        path = folder / run / "manifest.json"
        path.parent.mkdir()
        path.write_text(json.dumps({**manifest, "taken": taken.isoformat(timespec="milliseconds")}))
        # One that was encrypted later, or copied off the host, has been written to since.
        written = (30 - number if by_name else number) * 86400
        os.utime(path, (written, written))
        os.utime(path.parent, (90 * 86400 - written, 90 * 86400 - written))
    monkeypatch.setattr(listing, "MOST", 25)
    opened: list[str] = []
    read = listing._read

    def watched(path: Path) -> Any:
        opened.append(path.parent.name)
        return read(path)

    monkeypatch.setattr(listing, "_read", watched)

    answer: Any = list_backups(str(host.root), ["app"])
    (entry,) = answer

    assert [backup["run"] for backup in entry["backups"]] == runs[:25]
    assert entry["more"] == 5
    assert set(opened) == set(runs[:25])
    lines = printed(host).splitlines()
    assert lines[21].split() == ["and", "10", "more"]
    assert len(lines) == 22 + 20 + 1  # the table, the first problems, and how many more there are
    assert lines[-1].split()[:2] == ["and", "4"]


@pytest.mark.parametrize("run", ["removed", "20209999T030000Z-abcdef"])
def test_a_backup_that_is_removed_meanwhile_is_not_listed(
    host: Host, filled: Path, monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    host.result("backup", database(filled), run="kept")
    removed = host.layout.locate_backups("app") / run
    removed.mkdir()
    assert {backup["run"] for backup in listed(host)} == {"kept", run}
    sizes_in = listing._list_sizes

    def remove(place: Path) -> Any:
        if place == removed and place.exists():
            removed.rmdir()
        return sizes_in(place)

    monkeypatch.setattr(listing, "_list_sizes", remove)

    assert [backup["run"] for backup in listed(host)] == ["kept"]


def test_a_folder_that_is_removed_while_it_is_listed_has_no_time(tmp_path: Path) -> None:
    assert listing._estimate_taken(tmp_path / "removed") == 0
