"""What happens when others hold a table, when two runs meet, and when the controller dies."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.codes import assert_code
from tests.integration.site import Site, Source, assert_says
from tests.integration.targets import PostgresTarget, Target
from tests.lab.processes import holding

#: Work that takes this many seconds in the server, on PostgreSQL alone.
SLOW = "op.execute('SELECT pg_sleep({})')"


def gated(source: Source, revision: str, builds_on: str, gate: Path) -> Source:
    """Add a revision that takes until the test makes a file."""
    return source.add(revision, builds_on, f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.05)")


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "gate"
    yield path
    path.touch()  # a revision that a failed test leaves waiting ends too


def first_revision(site: Site, target: Target) -> dict[str, Any]:
    settings: dict[str, Any] = {"migrate_databases": [target.entry]}
    site.run("migrate", migrate_source=site.source("generic", "first").keep("0001"), **settings)
    target.fill()
    return settings


@pytest.mark.parametrize("mode", ["ACCESS SHARE", "ACCESS EXCLUSIVE"])
def test_a_migration_waits_for_an_idle_transaction_names_it_and_gets_through(
    site: Site, postgres: PostgresTarget, mode: str
) -> None:
    # A reader keeps only the ALTER TABLE waiting; a writer of the whole table keeps the backup waiting too.
    settings = first_revision(site, postgres)
    settings.update(migrate_source=site.source("generic"), migrate_lock_timeout=1)
    with closing(postgres.connect()) as idle, closing(idle.cursor()) as cursor:
        cursor.execute(f"LOCK TABLE item IN {mode} MODE")
        with site.start("migrate", **settings) as running:
            line = running.wait_for(rf"pid {idle.info.backend_pid}\b")
            assert "somebody else" in line
            assert "idle in transaction" in line
            assert postgres.revisions == ["0001"]
            idle.rollback()
            running.end()
    assert postgres.revisions == ["0002"]
    assert postgres.rows("SELECT count(*) FROM item") == [(3,)]


def test_a_lock_that_is_never_released_ends_the_run_with_the_database_as_it_was(
    site: Site, postgres: PostgresTarget
) -> None:
    settings = first_revision(site, postgres)
    dump = postgres.dump()
    settings.update(migrate_source=site.source("generic"), migrate_lock_timeout=0.2, migrate_lock_wait=2)
    with closing(postgres.connect()) as idle, closing(idle.cursor()) as cursor:
        cursor.execute("LOCK TABLE item IN ACCESS SHARE MODE")
        outcome = site.run("migrate", code=2, **settings)
    assert_code(outcome, "revision-failed", "0002", "notes on items", "lock timeout")
    assert postgres.dump() == dump


def test_others_do_not_queue_behind_a_migration_for_longer_than_the_lock_timeout(
    site: Site, postgres: PostgresTarget
) -> None:
    settings = first_revision(site, postgres)
    settings.update(migrate_source=site.source("generic"), migrate_lock_timeout=0.5)
    with closing(postgres.connect()) as idle, closing(idle.cursor()) as cursor:
        cursor.execute("LOCK TABLE item IN ACCESS SHARE MODE")
        with site.start("migrate", **settings) as running:
            running.wait_for(r"did not get a lock|tries again|pid \d+")
            with closing(postgres.connect()) as reader, closing(reader.cursor()) as reading:
                # It would be behind the waiting ALTER TABLE; that times out twice a second.
                reading.execute("SET statement_timeout = '2s'")
                for _ in range(5):
                    reading.execute("SELECT count(*) FROM item")
                    reader.commit()
                    reading.execute("SET statement_timeout = '2s'")
            idle.rollback()
            running.end()
    assert postgres.revisions == ["0002"]


def test_a_line_at_least_every_five_seconds_says_what_a_slow_revision_does(
    site: Site, postgres: PostgresTarget
) -> None:
    settings = first_revision(site, postgres)
    settings["migrate_source"] = site.source("generic").add("0003", "0002", SLOW.format(12))
    with site.start("migrate", **settings) as running:
        output = running.end()
    reported = [(at, line) for at, line in running.lines if re.match(r"\s*here \| ", line)]
    during = [(at, line) for at, line in reported if "revision 2 of 2, 0003" in line]
    assert len(during) >= 2, output
    gaps = [later - earlier for (earlier, _), (later, _) in zip(reported, reported[1:])]
    assert max(gaps) <= 5, (gaps, output)
    seconds = [int(re.search(r"\((\d+) s\)", line)[1]) for _at, line in during]  # type: ignore[index]
    assert seconds == sorted(seconds)
    assert seconds[-1] > seconds[0]
    assert_says(output, f"{postgres.name}: backed up to", "0002 notes on items", "0003 revision 0003 12.")


def test_of_two_runs_at_once_one_migrates_and_the_other_waits_and_finds_nothing_to_do(
    site: Site, postgres: PostgresTarget, tmp_path: Path, gate: Path
) -> None:
    source = gated(site.source("generic"), "0003", "0002", gate)
    settings: dict[str, Any] = {"migrate_source": source, "migrate_databases": [postgres.entry]}
    # Two hosts, which know nothing of each other.
    with site.start("migrate", migrate_root=tmp_path / "root1", migrate_run="the-holder", **settings) as one:
        one.wait_for("revision 3 of 3")
        with site.start("migrate", migrate_root=tmp_path / "root2", **settings) as two:
            two.wait_for("waits for hosting.alembic the-holder")
            gate.touch()
            migrated, waited = one.end(), two.end()
    assert_says(migrated, f"{postgres.name} upgraded base 0003 3")
    assert re.search(rf"{postgres.name} +at head", waited), waited
    assert postgres.revisions == ["0003"]
    # One of them backed it up, and the other had no reason to.
    assert len(list(tmp_path.glob("root*/backups/*/*/manifest.json"))) == 1


def test_a_run_that_waits_too_long_for_another_one_is_refused_and_names_it(
    site: Site, postgres: PostgresTarget, tmp_path: Path, gate: Path
) -> None:
    source = gated(site.source("generic"), "0003", "0002", gate)
    settings: dict[str, Any] = {"migrate_source": source, "migrate_databases": [postgres.entry]}
    with site.start("migrate", migrate_run="the-holder", **settings) as running:
        running.wait_for("revision 3 of 3")
        outcome = site.run("migrate", code=2, migrate_root=tmp_path / "other", migrate_database_wait=0.5, **settings)
        gate.touch()
        running.end()
    assert_code(outcome, "database-locked", "the-holder", "migrate_database_wait")
    assert postgres.revisions == ["0003"]


def test_killing_the_controller_in_mid_upgrade_stops_nothing_and_the_next_run_finds_it_done(
    site: Site, postgres: PostgresTarget, gate: Path
) -> None:
    source = gated(site.source("generic"), "0003", "0002", gate)
    settings: dict[str, Any] = {"migrate_source": source, "migrate_databases": [postgres.entry]}
    with site.start("migrate", migrate_run="killed", **settings) as running:
        running.wait_for("revision 3 of 3")
        running.kill()
    assert postgres.revisions == []
    with site.start("migrate", **settings) as running:
        running.wait_for("run killed still works")
        gate.touch()
        output = running.end()
    assert re.search(rf"{postgres.name} +killed +upgraded +0003", output), output
    assert_says(output, f"{postgres.name} at head 0003")
    assert postgres.revisions == ["0003"]
    endings = [event["result"]["outcome"] for event in site.events(postgres.name) if event["event"] == "done"]
    assert endings == ["upgraded"]
    assert_says(site.run("status", **settings).output, f"{postgres.name} 0003")
    # What the dead controller's run did can be rolled back like any other.
    site.run("rollback", migrate_rollback_run="killed", **settings)
    assert postgres.tables() == []


def test_the_same_run_attaches_to_its_work_after_the_controller_died(
    site: Site, postgres: PostgresTarget, gate: Path
) -> None:
    source = gated(site.source("generic"), "0003", "0002", gate)
    settings: dict[str, Any] = {"migrate_source": source, "migrate_databases": [postgres.entry], "migrate_run": "one"}
    with site.start("migrate", **settings) as running:
        running.wait_for("revision 3 of 3")
        running.kill()
    with site.start("migrate", **settings) as running:
        running.wait_for("revision 3 of 3")
        gate.touch()
        output = running.end()
    assert postgres.revisions == ["0003"]
    assert_says(output, f"{postgres.name} one upgraded 0003")
    assert len([event for event in site.events(postgres.name) if event["event"] == "backed_up"]) == 1


def test_a_lock_that_is_lost_ends_the_upgrade_before_its_next_revision(
    site: Site, postgres: PostgresTarget, gate: Path
) -> None:
    settings: dict[str, Any] = {"migrate_databases": [postgres.entry]}
    site.run("migrate", migrate_source=site.source("broken", "first").keep("0001"), **settings)
    dump = postgres.dump()
    source = gated(site.source("broken").keep("0001", "0002"), "0003", "0002", gate).add("0004", "0003")
    with site.start("migrate", migrate_source=source, **settings) as running:
        running.wait_for("revision 2 of 3")
        # The connection that holds the lock on the database; the one that migrates holds a lock of its own.
        holder = (
            "SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
            f" WHERE l.locktype = 'advisory' AND l.objid = {0x656D6201} AND a.datname = '{postgres.name}'"
        )
        assert postgres.database.server.execute(holder) == [["t"]]
        gate.touch()
        output = running.end(code=2)
    assert_says(output, "[lock-lost]")
    assert postgres.dump() == dump


def test_an_advisory_lock_of_a_dead_runs_backend_is_waited_for(site: Site, postgres: PostgresTarget) -> None:
    """The worker is killed too, and its backend still works: no run may touch the database meanwhile."""
    source = site.source("generic").add("0003", "0002", SLOW.format(6))
    settings: dict[str, Any] = {"migrate_source": source, "migrate_databases": [postgres.entry]}
    with site.start("migrate", migrate_run="killed", **settings) as running:
        running.wait_for("revision 3 of 3")
        running.kill()
    workers = holding(site.root / "workers")
    assert workers
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    outcome = site.run("migrate", **settings)
    assert postgres.revisions == ["0003"]
    assert postgres.columns("item") == ["id", "name", "note"]
    assert_says(outcome.output, postgres.name)
