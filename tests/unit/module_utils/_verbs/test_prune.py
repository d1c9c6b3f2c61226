from __future__ import annotations

import fcntl
import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import Journal, read_events
from ansible_collections.hosting.alembic.plugins.module_utils._journal.run_state import read_last_run_state
from ansible_collections.hosting.alembic.plugins.module_utils._verbs.prune import count_days_since
from tests.codes import assert_error
from tests.unit.stage import Answer, Host, database, names, sql, tables


@pytest.fixture
def restored(host: Host, file: Path) -> Path:
    """A database that was restored after a revision had failed in it; what it replaced is retained."""
    host.ship("generic")
    host.result("upgrade", database(file), run="good")
    host.ship("broken")
    host.result("upgrade", database(file), run="bad")
    assert host.result("downgrade", database(file), run="bad")["outcome"] == "restored"
    host.ship("generic", "again")
    return file.with_name("app.db.aside-bad")


def prune(host: Host, file: Path, **options: object) -> Answer:
    (answer,) = host.do("prune", database(file), **options)["results"]
    return dict(answer)


def leftovers(answer: Answer) -> dict[str, tuple[str, str]]:
    return {Path(each["name"]).name: (each["outcome"], each["reason"]) for each in answer["leftovers"]}


def old(path: Path, days: float = 40) -> None:
    when = time.time() - days * 86400
    for each in [*path.rglob("*"), path]:
        os.utime(each, (when, when))


def partial(host: Host, file: Path, name: str = ".cut.partial") -> Path:
    folder = host.layout.locate_backups("app") / name
    folder.mkdir(parents=True)
    (folder / "database.sqlite3").write_bytes(file.read_bytes()[:100])
    return folder


def test_what_is_retained_is_listed_and_stays_unless_requested(host: Host, file: Path, restored: Path) -> None:
    answer = prune(host, file, prune_days=0)

    (leftover,) = answer["leftovers"]
    assert (leftover["kind"], leftover["name"], leftover["run"]) == ("retained", str(restored), "bad")
    assert leftover["size"] == restored.stat().st_size > 0
    assert 0 <= leftover["days"] < 1
    assert (answer["changed"], leftover["outcome"], leftover["reason"]) == (False, "kept", "migrate_prune is false")
    assert tables(restored) - tables(file), "it holds what the failed revision made"


def test_requested_it_is_dropped_and_the_journal_of_its_run_stays_as_it_was(
    host: Host, file: Path, restored: Path
) -> None:
    before = sql(file, "select version_num from alembic_version")

    answer = prune(host, file, prune=True, prune_days=0)

    assert (answer["outcome"], answer["changed"]) == ("pruned", True)
    assert leftovers(answer) == {restored.name: ("dropped", "")}
    assert names(file.parent) == ["app.db"]
    assert sql(file, "select version_num from alembic_version") == before
    (noted,) = read_events(host.layout.prune_journal("app"))
    assert (noted["event"], noted["of_run"], noted["name"]) == ("pruned", "bad", str(restored))
    assert "pruned" not in [event["event"] for event in host.events("bad")]
    assert read_last_run_state(host.layout, "app").state == "failed"


def test_check_mode_lists_what_would_go(host: Host, file: Path, restored: Path) -> None:
    answer = prune(host, file, prune=True, prune_days=0, check=True)

    assert answer["changed"]
    assert leftovers(answer) == {restored.name: ("would be dropped", "")}
    assert restored.exists()


def test_what_is_young_stays(host: Host, file: Path, restored: Path) -> None:
    answer = prune(host, file, prune=True)

    assert leftovers(answer) == {restored.name: ("kept", "it is younger than 30 days")}
    assert restored.exists()


@pytest.mark.parametrize("outcome", ["held", "failed"])
def test_what_a_held_or_unrecovered_database_may_need_stays(
    host: Host, file: Path, restored: Path, outcome: str
) -> None:
    journal = Journal(host.layout.locate_journal("app", "later"), "upgrade")
    journal.write("begun", revision="0003", table="main.alembic_version")
    journal.write("done", result={"name": "app", "outcome": outcome})
    folder = partial(host, file)
    old(folder)

    answer = prune(host, file, prune=True, prune_days=0)

    reason = "run later has not been recovered, and its revert may need it"
    assert leftovers(answer) == {restored.name: ("kept", reason), folder.name: ("kept", reason)}
    assert restored.exists()
    assert folder.exists()


def test_a_run_that_went_well_since_ends_it(host: Host, file: Path, restored: Path) -> None:
    journal = Journal(host.layout.locate_journal("app", "held"), "upgrade")
    journal.write("begun", revision="0003", table="main.alembic_version")
    journal.write("done", result={"name": "app", "outcome": "held"})
    release = host.ship("generic", "corrected")
    host.revise(release, "0003", "0002", "pass")
    assert host.result("upgrade", database(file), run="well", retry_failed=True)["outcome"] == "upgraded"

    assert leftovers(prune(host, file, prune=True, prune_days=0)) == {restored.name: ("dropped", "")}


def test_nothing_of_a_database_that_is_not_there_is_dropped(host: Host, file: Path, restored: Path) -> None:
    file.unlink()

    answer = prune(host, file, prune=True, prune_days=0)

    reason = "the database is not there, so this may be the only copy"
    assert leftovers(answer) == {restored.name: ("kept", reason)}
    assert names(file.parent) == [restored.name]


def test_backups_that_did_not_finish_go_and_those_that_count_stay(host: Host, file: Path, restored: Path) -> None:
    proven = names(host.layout.locate_backups("app"))
    cut, empty = partial(host, file), partial(host, file, "unproven")
    unreadable = partial(host, file, "unreadable")
    (unreadable / "manifest.json").write_text('{"from": "the future"}')
    young = partial(host, file, ".young.partial")
    for path in (cut, empty, unreadable):
        old(path)

    answer = prune(host, file, prune=True)

    assert leftovers(answer) == {
        restored.name: ("kept", "it is younger than 30 days"),
        cut.name: ("dropped", ""),
        empty.name: ("dropped", ""),
        unreadable.name: ("kept", "its manifest cannot be read; another version may have written it"),
        young.name: ("kept", "it is younger than 30 days"),
    }
    assert names(host.layout.locate_backups("app")) == sorted([*proven, unreadable.name, young.name])


def test_the_copy_of_a_dead_rehearsal_goes_at_once_and_that_of_a_live_one_stays(host: Host, file: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(file))
    folder = host.layout.locate_scratches("app")
    for name in ("dead", "living"):
        (folder / name).mkdir(parents=True)
        (folder / name / "app.db").write_bytes(file.read_bytes())
    descriptor = os.open(folder / "living", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    listed = prune(host, file)
    requested = prune(host, file, prune=True)
    os.close(descriptor)

    assert leftovers(listed) == {"dead": ("kept", "migrate_prune is false")}
    assert leftovers(requested) == {"dead": ("dropped", "")}
    assert names(folder) == ["living"]


def test_a_database_that_a_session_works_on_is_left_alone(host: Host, file: Path, restored: Path) -> None:
    from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine  # noqa: PLC0415

    with build_engine(database(file), host.job("upgrade", run="other")).lock(0, lambda _: None):
        answer = prune(host, file, prune=True, prune_days=0)

    assert answer["outcome"] == "refused"
    assert_error(answer["error"], "database-locked")
    assert restored.exists()


@pytest.mark.parametrize(("days", "is_old"), [(14, False), (0, True)])
def test_the_status_knows_what_is_retained_and_whether_it_is_old(
    host: Host, file: Path, restored: Path, days: float, *, is_old: bool
) -> None:
    (state,) = host.do("status", database(file), retained_days=days)["databases"]

    (leftover,) = state["retained"]
    assert (leftover["name"], leftover["run"], leftover["old"]) == (str(restored), "bad", is_old)


def test_an_age_is_in_days() -> None:
    made = datetime.now(timezone.utc) - timedelta(days=3, hours=12)

    assert count_days_since(made.isoformat()) == 3.5
    assert count_days_since("") is None
    assert count_days_since("yesterday") is None


def test_what_cannot_be_dropped_keeps_nothing_else(host: Host, file: Path, restored: Path) -> None:
    stuck = file.with_name("app.db.aside-stuck")
    stuck.touch()
    log = file.with_name("app.db.aside-stuck-wal")
    log.mkdir()

    answer = prune(host, file, prune=True, prune_days=0)

    assert (answer["outcome"], answer["changed"]) == ("failed", True)
    assert_error(answer["error"], "prune-failed")
    assert leftovers(answer)[stuck.name][0] == "kept"
    assert leftovers(answer)[restored.name] == ("dropped", "")
    assert names(file.parent) == ["app.db", log.name]
