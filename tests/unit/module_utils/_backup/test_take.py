from __future__ import annotations

import hashlib
import json
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.finish import seal
from ansible_collections.hosting.alembic.plugins.module_utils._backup.manifest import (
    MANIFEST,
    Manifest,
    check,
    list_proven,
    read_manifest,
)
from ansible_collections.hosting.alembic.plugins.module_utils._backup.retention import remove_old_backups
from ansible_collections.hosting.alembic.plugins.module_utils._backup.take import take
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import hash_file
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import failed
from tests.unit.stage import Host, database, names, script, sql


def back_up(host: Host, file: Path, run: str = "r1", days_ago: float = 0, **options: object) -> Manifest:
    job = host.job("backup", run=run, **options)
    engine = build_engine(database(file), job)
    manifest = take(engine, {"main.alembic_version": ["0001"]}, job, lambda _: None)
    engine.close()
    # A later backup than the one before, as runs are in life; or one that was taken long ago.
    taken = datetime.now(timezone.utc) - timedelta(days=days_ago)
    path = Path(manifest.path) / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "taken": taken.isoformat(timespec="microseconds")}))
    return manifest


def runs(host: Host) -> list[str]:
    return [manifest.run for manifest in list_proven(host.layout.locate_backups("app"))]


@pytest.fixture
def filled(file: Path) -> Path:
    return script(file, "create table t (a); insert into t values (1), (2); create table alembic_version (v)")


def test_a_manifest_says_all_that_is_needed_to_trust_it(host: Host, filled: Path) -> None:
    manifest = back_up(host, filled)

    (found,) = list_proven(host.layout.locate_backups("app"))
    dump = Path(found.path) / found.dump
    assert (found.database, found.run, found.engine, found.path) == ("app", "r1", "sqlite", manifest.path)
    assert found.identity == f"{filled} on this host"
    assert found.server.startswith("SQLite 3")
    assert found.tool.startswith("sqlite3 3")
    assert found.heads == {"main.alembic_version": ["0001"]}
    assert found.size == dump.stat().st_size > 0
    assert found.files == {found.dump: hashlib.sha256(dump.read_bytes()).hexdigest()}
    assert found.row_counts == {"t": 2, "alembic_version": 0}
    assert found.fingerprint == ["column t.a  notnull 0 default None key 0 hidden 0", "table t"]
    assert sql(dump, "select count(*) from t") == [(2,)]
    assert not {"files", "fingerprint", "row_counts"} & set(found.as_facts())


def test_it_is_readable_by_its_owner_only(host: Host, filled: Path) -> None:
    folder = Path(back_up(host, filled).path)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_rows_above_the_limit_are_not_counted(host: Host, filled: Path) -> None:
    back_up(host, filled, row_counts_limit=1)

    assert list_proven(host.layout.locate_backups("app"))[0].row_counts is None


def test_a_database_that_is_not_there_has_an_empty_backup(host: Host, file: Path) -> None:
    manifest = back_up(host, file)

    assert (manifest.files, manifest.fingerprint, manifest.row_counts) == ({}, [], {})
    assert not file.exists()
    check(manifest)


def test_a_backup_that_fails_leaves_nothing_and_what_was_there_counts_still(host: Host, filled: Path) -> None:
    back_up(host, filled, "good")
    with filled.open("r+b") as handle:
        handle.seek(4096)
        handle.write(b"\xff" * 4096)

    with failed("backup-damaged"):
        back_up(host, filled, "bad")

    assert runs(host) == ["good"]
    assert names(host.layout.locate_backups("app")) == ["good"]


def test_what_was_cut_off_while_it_was_written_does_not_count(host: Host, filled: Path) -> None:
    back_up(host, filled, "good")
    partial = host.layout.locate_backups("app") / ".cut.partial"
    partial.mkdir()
    (partial / "database.sqlite3").write_bytes(filled.read_bytes())

    assert runs(host) == ["good"]
    # The same run again clears it away.
    back_up(host, filled, "cut")
    assert names(host.layout.locate_backups("app")) == ["cut", "good"]


def test_no_space_is_a_failure_with_what_to_do(host: Host, filled: Path) -> None:
    (host.root / "backups").write_text("")
    (host.root / "backups").unlink()
    folder = host.layout.locate_backups("app")
    folder.mkdir(parents=True)
    # A folder of the run that cannot be replaced replaces a disk that cannot be written.
    (folder / "r1").write_text("a file in the way")

    with failed("backup-failed"):
        back_up(host, filled)


# Proof


def damage(manifest: Manifest, how: str) -> None:
    path = Path(manifest.path) / manifest.dump
    content = path.read_bytes()
    if how == "deleted":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[:-1])
    elif how == "emptied":
        path.write_bytes(b"")
    else:
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


def test_an_untouched_backup_is_proven(host: Host, filled: Path) -> None:
    back_up(host, filled)

    (found,) = list_proven(host.layout.locate_backups("app"))
    check(found)
    assert {name: hash_file(Path(found.path) / name) for name in found.files} == found.files
    assert sql(Path(found.path) / found.dump, "select * from t") == sql(filled, "select * from t")


@pytest.mark.parametrize("how", ["deleted", "truncated", "emptied", "one bit flipped"])
def test_a_damaged_backup_is_found_out(host: Host, filled: Path, how: str) -> None:
    back_up(host, filled)
    (found,) = list_proven(host.layout.locate_backups("app"))

    damage(found, how)

    with failed("backup-damaged", "database.sqlite3"):
        seal(found, "age1anybody")


# Retention


def test_the_newest_comes_first(host: Host, filled: Path) -> None:
    for days, run in ((2, "b"), (3, "a"), (1, "c")):
        back_up(host, filled, run, days)

    assert runs(host) == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("keep", "keep_days", "left"),
    [
        (10, 100, ["r0", "r1", "r2", "r3"]),
        (2, 100, ["r0", "r1"]),
        (10, 20, ["r0", "r1"]),
        (1, 100, ["r0"]),
        (0, 0, ["r0"]),
    ],
)
def test_retention_is_by_number_and_by_age_and_never_takes_the_newest(
    host: Host, filled: Path, keep: int, keep_days: int, left: list[str]
) -> None:
    for number in range(4):
        back_up(host, filled, f"r{number}", days_ago=number * 10 + 5)

    removed = remove_old_backups(host.layout.locate_backups("app"), keep, keep_days)

    assert runs(host) == left
    assert len(removed) == 4 - len(left)


def test_retention_keeps_what_a_revert_needs(host: Host, filled: Path) -> None:
    for number in range(3):
        back_up(host, filled, f"r{number}", days_ago=number)

    remove_old_backups(host.layout.locate_backups("app"), 1, 100, frozenset({"r2"}))

    assert runs(host) == ["r0", "r2"]


def test_retention_of_nothing_removes_nothing(host: Host) -> None:
    assert remove_old_backups(host.layout.locate_backups("app"), 0, 0) == []


def test_a_manifest_of_a_newer_version_is_read_without_what_that_has_added(host: Host, filled: Path) -> None:
    path = Path(back_up(host, filled).path) / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "moon": "full"}))

    assert runs(host) == ["r1"]


@pytest.mark.parametrize("text", ['["a list"]', "{}", "", '{"run": "r1"}'])
def test_what_lacks_what_a_manifest_needs_is_none(host: Host, filled: Path, text: str) -> None:
    (Path(back_up(host, filled).path) / MANIFEST).write_text(text)

    assert runs(host) == []


def test_rows_that_an_early_manifest_counts_and_that_are_not_counted_now_are_left_out() -> None:
    facts = dict.fromkeys(
        (
            "database",
            "run",
            "taken",
            "engine",
            "server",
            "identity",
            "tool",
            "dump",
            "heads",
            "size",
            "seconds",
            "files",
        )
    )
    fingerprint = [
        'partitioned table public."Part" owner me acl',
        "table public.part_1 owner me acl",
        "foreign table a.f owner me",
    ]
    counts = {"public.Part": 2, "public.part_1": 2, "a.f": 7, "sqlite_sequence": 1, "sqlite_x.t": 3}

    manifest = read_manifest({**facts, "fingerprint": fingerprint, "row_counts": counts, "of_tomorrow": 1})

    assert manifest.row_counts == {"public.part_1": 2, "sqlite_x.t": 3}
