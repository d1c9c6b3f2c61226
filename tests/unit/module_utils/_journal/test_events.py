from __future__ import annotations

import json
import os
import re
import shutil
import stat
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._journal import events as events_module
from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import (
    Event,
    Journal,
    find_ending,
    find_net_outcome,
    list_newest_first,
    read_events,
)
from tests.unit.stage import Host, database


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journals" / "app" / "r1.jsonl", "upgrade")


def words(events: list[Event]) -> list[str]:
    """Return the events, without those that a killed process leaves and that are flushed with the next one."""
    return [event["event"] for event in events if event["event"] != "defined"]


def done(outcome: str, verb: str = "upgrade", **facts: Any) -> Event:
    return {"verb": verb, "event": "done", "result": {"outcome": outcome}, **facts}


def test_events_come_back_in_order_with_their_facts(journal: Journal) -> None:
    journal.write("planned", release="abc")
    Journal(journal.path, "downgrade").write("downgrade_begun", revision="0002")

    first, second = journal.read_events_of_run()
    assert (first["verb"], first["event"], first["release"]) == ("upgrade", "planned", "abc")
    assert (second["verb"], second["event"], second["revision"]) == ("downgrade", "downgrade_begun", "0002")
    assert first["at"] <= second["at"]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a power cut would leave of a journal: its file as it was when it was last flushed."""
    fsync, left = os.fsync, tmp_path / "disk"

    def kept(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        if path.suffix == ".jsonl":
            shutil.copy(path, left)

    monkeypatch.setattr(os, "fsync", kept)
    return left


def test_an_event_is_on_the_disk_when_writing_it_returns(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        flushed.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", watched)
    journal.write("planned")
    assert flushed == [journal.path.stat().st_ino, journal.path.parent.stat().st_ino]
    for number, event in enumerate(("locked", "begun", "ran", "downgrade_ran", "verified"), 3):
        journal.write(event)
        assert flushed[2:] == [journal.path.stat().st_ino] * (number - 2)


def test_what_announces_no_step_is_on_the_disk_with_the_event_that_follows(journal: Journal, disk: Path) -> None:
    journal.write("ran")
    journal.write("committed")
    assert words(read_events(disk)) == ["ran"]

    journal.write("begun")
    assert words(read_events(disk)) == ["ran", "committed", "begun"]


def test_it_is_readable_by_its_owner_only(journal: Journal) -> None:
    journal.write("planned")

    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700


def test_a_new_line_in_a_fact_stays_inside_its_event(journal: Journal) -> None:
    journal.write("failed", error={"why": "one\ntwo"})

    assert journal.path.read_bytes().count(b"\n") == 1
    assert journal.read_events_of_run()[0]["error"]["why"] == "one\ntwo"


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_line_cut_short_by_a_crash_is_left_out(journal: Journal, cut: int) -> None:
    journal.write("planned")
    journal.write("locked")
    os.truncate(journal.path, journal.path.stat().st_size - cut)

    assert words(journal.read_events_of_run()) == ["planned"]


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_what_is_written_after_a_line_cut_short_is_not_lost(journal: Journal, cut: int) -> None:
    journal.write("planned")
    journal.write("locked")
    os.truncate(journal.path, journal.path.stat().st_size - cut)

    journal.write("done", result={"outcome": "failed"})

    found = words(journal.read_events_of_run())
    assert found[0] == "planned"
    assert found[-1] == "done"


def test_zeros_that_a_power_cut_left_are_left_out(journal: Journal) -> None:
    journal.write("planned")
    with journal.path.open("ab") as handle:
        handle.write(b"\0" * 512)

    journal.write("done", result={})

    assert words(journal.read_events_of_run()) == ["planned", "done"]


def test_a_planted_link_is_not_followed(journal: Journal, tmp_path: Path) -> None:
    journal.path.parent.mkdir(parents=True)
    journal.path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic links"):
        journal.write("planned")
    assert not (tmp_path / "elsewhere").exists()


def test_events_can_be_skipped_and_no_file_has_none(journal: Journal) -> None:
    assert read_events(journal.path) == []
    journal.write("planned")
    journal.write("locked")

    assert words(read_events(journal.path, skip=1)) == ["locked"]


def test_a_verb_ends_by_its_own_ending() -> None:
    events = [done("failed"), done("downgraded", "downgrade")]

    assert find_ending(events, "upgrade") == events[0]
    assert find_ending(events, "downgrade") == events[1]
    assert find_ending(events, "rollback") is None


def test_the_run_that_began_last_comes_first_whatever_its_name(tmp_path: Path) -> None:
    for run, at in (("b", "2026-01-01"), ("a", "2026-01-03"), ("c", "2026-01-02")):
        event = {"at": at, "verb": "upgrade", "event": "planned"}
        (tmp_path / f"{run}.jsonl").write_text(json.dumps(event) + "\n")
    (tmp_path / "empty.jsonl").touch()

    assert [run for run, _events in list_newest_first(tmp_path)] == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("outcomes", "how"),
    [
        (["upgraded"], "upgraded"),
        (["unchanged"], ""),
        (["refused"], ""),
        (["failed"], "failed"),
        (["failed", "downgraded"], ""),
        (["failed", "restored"], ""),
        (["failed", "untouched"], ""),
        (["failed", "held"], "held"),
        (["downgraded"], "downgraded"),
    ],
)
def test_how_a_run_moved_its_database(outcomes: list[str], how: str) -> None:
    assert find_net_outcome([done(outcome) for outcome in outcomes]) == how


def test_a_run_without_an_end_may_have_moved_what_it_had_backed_up() -> None:
    assert find_net_outcome([{"verb": "upgrade", "event": "begun"}]) == "unfinished"
    assert find_net_outcome([{"verb": "upgrade", "event": "backed_up"}]) == "unfinished"
    assert find_net_outcome([{"verb": "upgrade", "event": "locked"}]) == ""
    assert find_net_outcome([{"verb": "backup", "event": "backed_up"}]) == ""


COMMITS = """
import shutil
from sqlalchemy import event
from sqlalchemy.engine import Engine

commits = []


@event.listens_for(Engine, "commit")
def seen(connection):
    commits.append(connection)
    shutil.copy({disk!r}, {folder!r} + str(len(commits)))
"""


def test_each_step_is_on_the_disk_before_it_is_done(host: Host, file: Path, disk: Path, tmp_path: Path) -> None:
    """The revision reads what a power cut would leave while it runs, and env.py does before each of its commits."""
    release = host.ship("generic")
    seen, committing = tmp_path / "seen", tmp_path / "before commit "
    host.revise(release, "0003", "0002", f"import shutil; shutil.copy({str(disk)!r}, {str(seen)!r})")
    env = host.layout.release(release) / "source" / "migrations" / "env.py"
    each = env.read_text().replace("connection=connection,", "connection=connection, transaction_per_migration=True,")
    env.write_text(COMMITS.format(disk=str(disk), folder=str(committing)) + each)

    host.result("upgrade", database(file))

    begun = ["planned", "locked", "backed_up", "begun"]
    step = ["ran", "committed", "begun"]
    assert words(read_events(seen)) == [*begun, *step, *step]
    earlier = [words(read_events(path)) for path in sorted(tmp_path.glob(f"{committing.name}*"))]
    # The last event before a revision's commit says that it ran, and no commit of another one came between.
    assert [before for before in earlier if before[-1] == "ran"] == [
        [*begun, "ran"],
        [*begun, *step, "ran"],
        [*begun, *step, *step, "ran"],
    ]
    assert words(host.events())[-4:] == ["ran", "committed", "verified", "done"]


def test_a_clock_that_was_put_back_changes_nothing_about_which_run_was_the_last(journal: Journal) -> None:
    journal.write("planned")
    text = journal.path.read_text()
    ahead = time.time() + 86400
    journal.path.write_text(re.sub(r'"at": "[^"]+"', f'"at": "{datetime.fromtimestamp(ahead, timezone.utc)}"', text))
    os.utime(journal.path, (ahead, ahead))

    later = Journal(journal.path.with_name("r2.jsonl"), "upgrade")
    later.write("planned")
    later.write("begun")

    assert [run for run, _events in list_newest_first(journal.path.parent)] == ["r2", "r1"]
    assert later.path.stat().st_mtime_ns > journal.path.stat().st_mtime_ns
    first, second = later.read_events_of_run()
    assert first["at"] < second["at"]


def test_a_journal_that_has_not_changed_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def reading(path: Path) -> list[Event]:
        read.append(path.stem)
        return read_events(path)

    monkeypatch.setattr(events_module, "read_events", reading)
    for run in ("r1", "r2"):
        Journal(tmp_path / f"{run}.jsonl", "upgrade").write("planned")
    assert [run for run, _events in list_newest_first(tmp_path)] == ["r2", "r1"]
    assert sorted(read) == ["r1", "r2"]

    Journal(tmp_path / "r1.jsonl", "upgrade").write("locked")

    assert [len(events) for _run, events in list_newest_first(tmp_path)] == [1, 2]
    assert sorted(read) == ["r1", "r1", "r2"]
