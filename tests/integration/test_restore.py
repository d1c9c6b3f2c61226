"""Restoring on purpose, and whether others wrote since the backup, seen in the database."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive, Writes, WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.interface import Engine
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_write_tracker
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import assert_code
from tests.integration.site import Site, assert_says
from tests.integration.targets import PostgresTarget, SQLiteTarget
from tests.lab import PROJECT, ansible
from tests.lab.postgres import PostgresServer
from tests.lab.waiting import wait_until


@pytest.fixture
def migrated(site: Site, sqlite: SQLiteTarget) -> dict[str, Any]:
    """A file that a run has brought from the first revision to the second."""
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}
    site.run("migrate", migrate_target="0001", migrate_run="first", **settings)
    sqlite.fill()
    site.run("migrate", migrate_run="second", **settings)
    assert sqlite.revisions == ["0002"]
    return settings


@pytest.mark.parametrize("what", ["run", "path", "name"])
def test_a_backup_is_brought_back_and_what_it_replaces_is_kept(
    site: Site, sqlite: SQLiteTarget, migrated: dict[str, Any], what: str
) -> None:
    sqlite.rows("INSERT INTO item (id, name) VALUES (4, 'late')")
    backup = site.root / "backups" / "app" / "second"
    ways: dict[str, dict[str, Any]] = {
        "run": {"migrate_restore_run": "second"},
        "path": {"migrate_restore_backup": str(backup)},
        "name": {"migrate_restore_databases": ["app"]},
    }
    requested = ways[what]

    refused = site.run("restore", code=2, **migrated, **requested)
    assert_code(refused, "others-wrote", "in item", database="app")
    assert sqlite.revisions == ["0002"]

    foreseen = site.run("restore", "--check", migrate_restore_loses_writes=True, **migrated, **requested)
    assert_says(foreseen.output, "app would be restored")
    assert sqlite.revisions == ["0002"]

    outcome = site.run("restore", migrate_restore_loses_writes=True, **migrated, **requested)

    assert outcome.changed == 1
    assert sqlite.revisions == ["0001"]
    assert sqlite.rows("SELECT count(*) FROM item") == [(3,)]
    (retained,) = sqlite.path.parent.glob("app.db.aside-*")
    assert SQLiteTarget(retained).rows("SELECT count(*) FROM item") == [(4,)]
    assert_says(outcome.output, "app restored 0002 0001", str(backup), str(retained))

    site.run("migrate", **migrated)
    assert sqlite.revisions == ["0002"]


@pytest.mark.parametrize(
    ("requested", "words"),
    [
        ({}, "No backup to restore was named"),
        ({"migrate_restore_databases": ["typo"]}, "Database 'typo' is not in the inventory of this host"),
        (
            {"migrate_restore_databases": ["app"], "migrate_restore_run": "third"},
            "There is no such backup of database 'app' on this host [backup-not-found]: none of run third",
        ),
        ({"migrate_restore_run": "third"}, "No host of this play has such a backup"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    site: Site, sqlite: SQLiteTarget, migrated: dict[str, Any], requested: dict[str, Any], words: str
) -> None:
    before = sqlite.dump()

    outcome = site.run("restore", code=2, **migrated, **requested)

    assert_says(outcome.output, words)
    assert sqlite.dump() == before


def test_backups_that_are_gone_once_the_application_is_stopped_are_a_failure(
    site: Site, sqlite: SQLiteTarget, migrated: dict[str, Any]
) -> None:
    flag = f"{site.root}/stopped"
    shop = {
        "name": "shop",
        "stop": ["sh", "-c", f"rm -r {site.root}/backups/app/second; touch {flag}"],
        "start": ["rm", "-f", flag],
        "status": ["sh", "-c", f"! test -e {flag}"],
    }
    before = sqlite.dump()

    outcome = site.run("restore", code=2, migrate_restore_run="second", migrate_services=[shop], **migrated)

    assert_says(outcome.output, "[backup-not-found]")
    assert sqlite.dump() == before
    assert not Path(flag).exists()


def test_a_file_that_was_deleted_and_a_database_that_was_dropped_come_back(
    site: Site, sqlite: SQLiteTarget, creator: PostgresTarget
) -> None:
    settings: dict[str, Any] = {
        "migrate_source": site.source("generic"),
        "migrate_databases": [sqlite.entry, creator.entry],
    }
    site.run("migrate", migrate_target="0001", **settings)
    sqlite.fill()
    creator.fill()
    before = sqlite.dump(), creator.dump()
    site.run("migrate", migrate_run="second", **settings)
    sqlite.path.unlink()
    creator.database.server.drop_database(creator.name)

    site.run("restore", migrate_restore_run="second", **settings)

    assert (sqlite.dump(), creator.dump()) == before


def test_a_damaged_backup_is_never_restored(site: Site, sqlite: SQLiteTarget, migrated: dict[str, Any]) -> None:
    (dump,) = (site.root / "backups" / "app" / "second").glob("*.sqlite3")
    data = bytearray(dump.read_bytes())
    data[len(data) // 2] ^= 1
    dump.write_bytes(data)
    before = sqlite.dump()

    outcome = site.run("restore", code=2, migrate_restore_run="second", migrate_restore_loses_writes=True, **migrated)

    assert_code(outcome, "restore-replaced-nothing", "database.sqlite3", database="app")
    assert sqlite.dump() == before


def test_the_printed_restore_command_of_a_held_database_is_a_command(site: Site, sqlite: SQLiteTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("broken"), "migrate_databases": [sqlite.entry]}
    site.run("migrate", migrate_target="0001", **settings)
    sqlite.fill()
    before = sqlite.dump()
    held = site.run("migrate", code=2, migrate_on_failure="hold", **settings)
    assert_says(held.output, "HELD at 0002", "migrate_on_failure")
    assert sqlite.revisions == ["0002"]
    (back,) = [event["ways_out"]["back"] for event in site.events("app") if event["event"] == "held"]

    words = shlex.split(back)
    assert words[:2] == ["ansible-playbook", "playbooks/restore.yml"]
    (printed,) = re.findall(r"^  To restore the old state: (.*)$", held.output, re.MULTILINE)
    assert printed.endswith(f" --limit here {shlex.join(words[1:])}")
    env = {**os.environ, "PATH": f"{ansible.BIN}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", printed], cwd=PROJECT, env=env, check=True, timeout=300)

    assert sqlite.dump() == before


# Whether others wrote, on PostgreSQL


@contextmanager
def reading(target: PostgresTarget, root: Path) -> Iterator[tuple[Engine, Archive]]:
    """Yield the engine of a database, and the archive of a backup that was taken now."""
    engine = build_engine(Database.from_options(target.entry), Job("restore", str(root), run="r1"))
    folder = root / "backup"
    folder.mkdir(parents=True)
    try:
        dump = engine.dump(folder, True, lambda _words: None)
        own = engine.open_own_connection()
        fingerprint = own.run(engine.read_fingerprint, frozenset())
        yield engine, Archive(dump.path, fingerprint, dump.row_counts, frozenset(), dump.activity)
    finally:
        engine.close()


_SESSIONS = """
select count(*) from pg_stat_activity
 where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
"""


def written(engine: Engine, archive: Archive, ours: dict[str, int] | None = None) -> Writes:
    """What the guard reads once all other sessions have ended, which takes them a moment."""
    wait_until(lambda: engine.open_own_connection().query_rows(_SESSIONS) == [(0,)], "other sessions do not end")
    return find_write_tracker(engine).find_writes_since(archive, ours or {}, None)


@pytest.fixture
def filled(postgres: PostgresTarget) -> PostgresTarget:
    postgres.rows("CREATE TABLE item (id integer PRIMARY KEY, name text); CREATE TABLE other (id integer)")
    postgres.fill()
    return postgres


def test_no_session_wrote(filled: PostgresTarget, tmp_path: Path) -> None:
    with reading(filled, tmp_path) as (engine, archive):
        filled.rows("SELECT count(*) FROM item")

        assert not written(engine, archive)


def test_what_others_wrote_is_reported_table_by_table(filled: PostgresTarget, tmp_path: Path) -> None:
    with reading(filled, tmp_path) as (engine, archive):
        filled.rows("INSERT INTO item (id, name) VALUES (4, 'late'), (5, 'later')")
        filled.rows("UPDATE item SET name = 'changed' WHERE id = 1")
        filled.rows("INSERT INTO other VALUES (1)")

        writes = written(engine, archive)

    assert writes.tables == {"public.item": 3, "public.other": 1}
    assert "3 in public.item, 1 in public.other" in str(writes)


def test_the_rows_of_the_run_itself_are_not_writes_of_others(filled: PostgresTarget, tmp_path: Path) -> None:
    with reading(filled, tmp_path) as (engine, archive):
        with closing(engine.connect()) as own:
            own.query_rows("begin")
            own.query_rows("update item set name = 'ours'")
            ours = own.run(find_write_tracker(engine).count_transaction).rows
            own.query_rows("commit")
        assert ours == {"public.item": 3}
        assert not written(engine, archive, ours)

        filled.rows("INSERT INTO item (id, name) VALUES (4, 'late')")

        assert written(engine, archive, ours).tables == {"public.item": 1}


def test_an_open_session_of_others_may_be_writing(filled: PostgresTarget, tmp_path: Path) -> None:
    with reading(filled, tmp_path) as (engine, archive):
        filled.rows("INSERT INTO other VALUES (1)")
        with closing(filled.connect()) as session:
            session.cursor().execute("SELECT 1")

            assert (
                str(session.info.backend_pid) in find_write_tracker(engine).find_writes_since(archive, {}, None).unknown
            )


def test_a_table_that_is_gone_is_a_difference(filled: PostgresTarget, tmp_path: Path) -> None:
    with reading(filled, tmp_path) as (engine, archive):
        filled.rows("DROP TABLE other")

        # Nothing counts it any more; the comparison with the backup says that it is gone.
        found = find_write_tracker(engine).compare(
            archive, WrittenRows(archive.fingerprint), 1 << 30, lambda _words: None
        )
        assert any("public.other" in line or "TABLE other" in line for line in found.differences), found.differences


def test_counters_that_were_lost_in_a_crash_show_nothing(tmp_path: Path) -> None:
    with PostgresServer() as server:
        server.create_database("crashed")
        url = server.url("crashed", driver="psycopg2")
        server.execute("CREATE TABLE item (id integer); INSERT INTO item VALUES (1)", "crashed")
        engine = build_engine(Database("crashed", url), Job("restore", str(tmp_path), run="r1"))
        dump = engine.dump(tmp_path, False, lambda _words: None)
        engine.close()
        server.execute("INSERT INTO item VALUES (2)", "crashed")
        server.stop("immediate")
        server.start()
        archive = Archive(dump.path, [], None, frozenset(), dump.activity)

        unknown = find_write_tracker(engine).find_writes_since(archive, {}, None).unknown
        engine.close()

    assert "has lost its counters" in unknown


def test_the_activity_survives_the_manifest(filled: PostgresTarget, site: Site) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [filled.entry]}
    filled.rows("DROP TABLE item")
    site.run("migrate", migrate_run="r1", **settings)

    manifest = json.loads((site.backups(filled.name)[0] / "manifest.json").read_text())

    assert "public.other" in manifest["activity"]["tables"]
    ran = [event for event in site.events(filled.name) if event["event"] == "ran"]
    assert ran
    assert all(isinstance(event["wrote"], dict) for event in ran)
