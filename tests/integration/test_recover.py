"""What an earlier run left is recovered before anything new is planned."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.codes import assert_code
from tests.integration.site import Site, Source, assert_says
from tests.integration.targets import PostgresTarget, SQLiteTarget, Target
from tests.lab.processes import holding
from tests.lab.waiting import wait_until

SLOW = "op.execute('SELECT pg_sleep({})')"


def at_first(site: Site, *targets: Target) -> dict[str, Any]:
    settings: dict[str, Any] = {"migrate_databases": [target.entry for target in targets]}
    site.run("migrate", migrate_source=site.source("broken", "first").keep("0001"), **settings)
    for target in targets:
        target.fill()
    return settings


def kill_all(site: Site, running: Any) -> None:
    """As a power cut would: the controller, the worker and the processes of its databases."""
    running.kill()
    pids = holding(site.root / "workers")
    assert pids
    # One that was begun meanwhile is killed too, and each is gone before anything else is done.
    while pids:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
        pids = holding(site.root / "workers")


def backends(target: PostgresTarget) -> int:
    statement = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{target.name}' AND query ~ 'pg_sleep'"
    return int(target.database.server.execute(statement)[0][0])


def stuck(source: Source, gate: Path) -> Source:
    """The second revision is committed on PostgreSQL; the third leaves a table on SQLite and waits."""
    source.keep("0001", "0002")
    waits = f"op.create_table('half', sa.Column('id', sa.Integer()))\nwhile not os.path.exists({str(gate)!r}):\n"
    return source.add("0003", "0002", waits + "    time.sleep(0.05)", downgrade="op.drop_table('half')")


def test_a_worker_killed_in_mid_upgrade_is_reverted_and_the_same_migrate_ends_at_head(
    site: Site, sqlite: SQLiteTarget, postgres: PostgresTarget, tmp_path: Path
) -> None:
    settings = at_first(site, sqlite, postgres)
    gate = tmp_path / "gate"
    settings["migrate_source"] = stuck(site.source("broken"), gate)
    with site.start("migrate", migrate_run="killed", **settings) as running:
        running.wait_for(f"{postgres.name}: .*0003|{sqlite.name}: .*0003")
        deadline = time.monotonic() + 30
        while len([e for t in (sqlite, postgres) for e in site.events(t.name) if e.get("number") == 2]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        kill_all(site, running)
    assert "half" in sqlite.tables()
    gate.touch()
    output = site.run("migrate", **settings).output
    assert re.search(rf"{sqlite.name} +killed +(restored|downgraded|untouched)", output), output
    assert re.search(rf"{postgres.name} +killed +(restored|downgraded|untouched)", output), output
    for target in (sqlite, postgres):
        assert target.revisions == ["0003"]
        assert target.rows("SELECT id FROM item ORDER BY id") == [(1,), (2,), (3,)]
        assert "half" in target.tables()


def kill_in_a_long_query(
    site: Site, postgres: PostgresTarget, settings: dict[str, Any], seconds: int = 300, **only: Any
) -> None:
    """Kill a run whose second revision has a query that takes some seconds, while the server executes it."""
    settings["migrate_source"] = site.source("broken").keep("0001", "0002").add("0003", "0002", SLOW.format(seconds))
    with site.start("migrate", migrate_run="killed", **{**settings, **only}) as running:
        running.wait_for("revision 2 of 2")
        wait_until(lambda: bool(backends(postgres)), "the query does not begin")
        kill_all(site, running)


def test_a_long_query_whose_worker_was_killed_ends_by_itself(site: Site, postgres: PostgresTarget) -> None:
    settings = at_first(site, postgres)
    kill_in_a_long_query(site, postgres, settings)
    wait_until(lambda: not backends(postgres), "its backend works on", 60)
    assert postgres.revisions == ["0002"]


@pytest.mark.parametrize("patience", [60, 1])
def test_a_backend_that_outlives_its_client_is_waited_for_or_ended(
    site: Site, postgres: PostgresTarget, more_postgres: Callable[[], PostgresTarget], patience: int
) -> None:
    other_database = more_postgres()
    settings = at_first(site, postgres, other_database)
    seconds = 8 if patience == 60 else 300
    dump = postgres.dump()
    kill_in_a_long_query(site, postgres, settings, seconds, migrate_databases=[postgres.entry])
    assert backends(postgres) == 1
    untouched = other_database.dump()

    outcome = site.run("recover", migrate_lock_wait=patience, **settings)

    assert backends(postgres) == 0
    assert_says(outcome.output, f"{postgres.name} killed")
    assert postgres.dump() == dump
    assert other_database.dump() == untouched
    assert not any(event["verb"].startswith("recover") for event in site.events(other_database.name))
    assert site.run("recover", **settings).changed == 0


def test_a_failed_upgrade_whose_controller_died_before_the_handler_is_reverted_and_waits_for_a_person(
    site: Site, sqlite: SQLiteTarget, postgres: PostgresTarget, tmp_path: Path
) -> None:
    settings = at_first(site, sqlite, postgres)
    gate = tmp_path / "gate"
    waits = f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.05)\nraise RuntimeError('on purpose')"
    source = site.source("broken").keep("0001", "0002").add("0003", "0002", waits)
    dump = postgres.dump()
    with site.start("migrate", migrate_run="dead", migrate_source=source, **settings) as running:
        running.wait_for("revision 2 of 2")
        running.kill()
    gate.touch()

    outcome = site.run("migrate", code=2, migrate_source=source, **settings)

    for target in (sqlite, postgres):
        assert target.revisions == ["0001"]
        assert target.rows("SELECT * FROM item ORDER BY id") == [(number, f"item {number}") for number in (1, 2, 3)]
        assert_code(outcome, "database-failed-before", "dead", database=target.name)
        assert_says(outcome.output, f'migrate_retry_failed": ["{target.name}"]')
    assert postgres.dump() == dump
    plan = site.run("plan", code=2, migrate_source=source, **settings)
    assert_code(plan, "database-failed-before", "dead")
    assert_says(plan.output, "REFUSED")
    site.run("migrate", code=2, migrate_source=source, migrate_retry_failed=[sqlite.name], **settings)
    assert (sqlite.revisions, postgres.revisions) == (["0001"], ["0001"])
    assert_code(site.run("status", **settings), "database-failed-before", "dead", database=postgres.name)
    # Another release may be tried without naming what failed with this one.
    settings["migrate_source"] = site.source("broken", "corrected").keep("0001", "0002")
    site.run("migrate", **settings)
    assert (sqlite.revisions, postgres.revisions) == (["0002"], ["0002"])
    # It is cleared for good.
    site.run("migrate", **settings)


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
def test_what_a_run_did_is_not_undone_in_another_database(
    engine: str, site: Site, sqlite: SQLiteTarget, more_postgres: Callable[[], PostgresTarget], tmp_path: Path
) -> None:
    ours: Target = sqlite if engine == "sqlite" else more_postgres()
    other: Target = SQLiteTarget(tmp_path / "other.db") if engine == "sqlite" else more_postgres()
    source = site.source("generic")
    site.run("migrate", migrate_source=source, migrate_databases=[{**other.entry, "name": "other"}])
    other.fill()
    gate = tmp_path / "gate"
    source.add("0003", "0002", f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.05)")
    entry = {"name": "shop", "url": ours.url}
    with site.start("migrate", migrate_source=source, migrate_databases=[entry], migrate_run="killed") as running:
        running.wait_for("shop: .*0003")
        deadline = time.monotonic() + 30
        while not [event for event in site.events("shop") if event.get("number") == 3]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        kill_all(site, running)
    gate.touch()
    before = other.dump()

    leads_there: dict[str, Any] = {"migrate_source": source, "migrate_databases": [{"name": "shop", "url": other.url}]}
    for verb in ("recover", "migrate"):
        assert "[database-elsewhere]" in site.run(verb, code=2, **leads_there).output
        assert other.dump() == before

    site.run("migrate", migrate_source=source, migrate_databases=[entry], migrate_run="done")
    assert ours.revisions == ["0003"]
    assert "[database-elsewhere]" in site.run("rollback", code=2, migrate_rollback_run="done", **leads_there).output
    assert (ours.revisions, other.dump()) == (["0003"], before)
