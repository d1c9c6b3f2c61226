from __future__ import annotations

import fcntl
import time
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.manifest import list_proven
from tests.codes import assert_error
from tests.unit.stage import Host, database, heads, names, script, tables

WAITS = 'op.execute("create table first (a)"); import time; time.sleep(60)'
CLOSES = {"deadline": "2026-11-22T04:00:00+00:00"}


def prepared(host: Host, file: Path) -> Path:
    """Bring a file with a row of its own to the head of a release."""
    host.ship("generic")
    script(file, "create table mine (a); insert into mine values (1)")
    host.result("upgrade", database(file), run="earlier")
    return file


def test_without_a_deadline_nothing_is_deferred(host: Host, file: Path) -> None:
    host.ship("generic")

    assert host.result("upgrade", database(file), window_margin=9999)["outcome"] == "upgraded"


def test_a_database_is_begun_where_the_margin_fits(host: Host, file: Path) -> None:
    host.ship("generic")

    result = host.result("upgrade", database(file), time_left=60, window_margin=50, **CLOSES)

    assert result["outcome"] == "upgraded"


def test_a_database_is_not_begun_where_the_margin_does_not_fit(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table mine (a)")
    before = file.read_bytes()

    result = host.result("upgrade", database(file), time_left=60, window_margin=70, **CLOSES)

    assert (result["outcome"], result["changed"], result["backup"]) == ("deferred", False, None)
    assert_error(result["error"], "window-too-short", "2026-11-22T04:00:00+00:00", "migrate_window_margin", "70 s")
    assert file.read_bytes() == before
    assert list_proven(host.layout.locate_backups("app")) == []
    assert not any(event["event"] == "begun" for event in host.events())


def test_the_time_of_the_last_upgrade_counts_more_than_the_margin(host: Host, file: Path) -> None:
    prepared(host, file)
    host.revise("generic", "0003", "0002", "import time; time.sleep(3)")
    assert host.result("upgrade", database(file), run="slow")["seconds"] >= 3
    host.revise("generic", "0004", "0003", "pass")

    late = host.result("upgrade", database(file), run="r2", time_left=2.5, window_margin=0, **CLOSES)
    in_time = host.result("upgrade", database(file), run="r3", time_left=60, window_margin=9999, **CLOSES)

    assert late["outcome"] == "deferred"
    assert_error(late["error"], "window-too-short", "3 s")
    assert in_time["outcome"] == "upgraded"


def test_a_rehearsal_says_how_long_it_takes(host: Host, file: Path) -> None:
    prepared(host, file)
    host.revise("generic", "0003", "0002", "import time; time.sleep(3)")
    assert host.result("rehearse", database(file), run="rehearsal")["outcome"] == "rehearsed"

    late = host.result("upgrade", database(file), run="r2", time_left=2.5, window_margin=0, **CLOSES)

    assert late["outcome"] == "deferred"
    assert_error(late["error"], "window-too-short", "3 s")


def test_a_database_at_head_is_unchanged_however_little_is_left(host: Host, file: Path) -> None:
    prepared(host, file)

    result = host.result("upgrade", database(file), run="r2", time_left=5, window_margin=9999, **CLOSES)

    assert result["outcome"] == "unchanged"


@pytest.mark.parametrize("downgrade", ["op.drop_table('first')", "pass"])
def test_what_runs_at_the_deadline_is_cancelled_and_can_be_reverted(host: Host, file: Path, downgrade: str) -> None:
    prepared(host, file)
    host.revise(
        "generic", "0003", "0002", "op.create_table('good', sa.Column('a', sa.Integer()))", "op.drop_table('good')"
    )
    host.revise("generic", "0004", "0003", WAITS, downgrade)
    begun = time.monotonic()

    cancelled = host.result("upgrade", database(file), time_left=2, window_margin=0, **CLOSES)
    took = time.monotonic() - begun
    back = host.result("downgrade", database(file))

    assert cancelled["outcome"] == "failed"
    assert_error(cancelled["error"], "window-cancelled", "2026-11-22T04:00:00+00:00")
    assert took < 30
    assert back["outcome"] in ("downgraded", "restored")
    assert heads(file) == ["0002"]
    assert tables(file) == {"alembic_version", "item", "mine"}


def test_what_waits_behind_it_is_deferred_untouched(host: Host, file: Path, tmp_path: Path) -> None:
    host.ship("generic")
    host.revise("generic", "0003", "0002", WAITS)
    second = tmp_path / "second.db"

    answer = host.do(
        "upgrade", database(file), database(second, "second"), time_left=2, window_margin=0, workers=1, **CLOSES
    )

    assert [result["outcome"] for result in answer["results"]] == ["failed", "deferred"]
    assert_error(answer["results"][1]["error"], "window-ended")
    assert not second.exists()


def test_one_that_has_only_waited_for_its_lock_is_deferred(host: Host, file: Path) -> None:
    prepared(host, file)
    host.revise("generic", "0003", "0002", "pass")
    holder = file.with_name(f"{file.name}-migrating")

    with holder.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        result = host.result("upgrade", database(file), time_left=1, window_margin=0, **CLOSES)

    assert result["outcome"] == "deferred"
    assert heads(file) == ["0002"]
    assert names(host.layout.locate_backups("app")) == [list_proven(host.layout.locate_backups("app"))[0].run]


def test_an_override_is_in_the_journal(host: Host, file: Path) -> None:
    host.ship("generic")

    host.result("upgrade", database(file), window_override="the shop is down")

    assert [event["reason"] for event in host.events() if event["event"] == "overridden"] == ["the shop is down"]
