"""What is printed where a lock is in the way is typed as it was printed."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pymysql
import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.locks import MIGRATING, lock_name
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.engine import PostgreSQL
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.command_line import Invocation
from tests.codes import assert_code
from tests.integration.site import Site
from tests.integration.targets import MariaDBTarget, PostgresTarget
from tests.integration.test_recover import at_first, backends, kill_all, kill_in_a_long_query
from tests.integration.typed import printed, typed, types
from tests.integration.virtualenvs import virtualenv
from tests.lab.proxy import Cut
from tests.lab.waiting import wait_until

#: The lock of the backend that migrates: the two halves of its number, and who has it.
_HELD = """
SELECT l.classid, l.objid, l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND a.datname = '{}' AND a.query ~ 'pg_sleep'
"""


@types("module_utils/_engines/postgresql/locks._build_orphan_refusal recover")
def test_a_backend_that_we_may_not_end_is_ended_and_the_run_recovered(site: Site, postgres: PostgresTarget) -> None:
    settings = at_first(site, postgres)
    before, server = postgres.dump(), postgres.database.server
    kill_in_a_long_query(site, postgres, settings)
    ((high, low, pid),) = server.execute(_HELD.format(postgres.name))
    with closing(psycopg2.connect(server.url(postgres.name))) as admin, admin.cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend({pid})")
        while backends(postgres):
            time.sleep(0.1)
        # A role's backend, which the owner of the database may not end, has the lock.
        cursor.execute(f"SELECT pg_advisory_lock(({high}::bigint << 32) | {low}::bigint)")
        refused = site.run("recover", code=2, migrate_lock_wait=1, **settings)
        assert_code(refused, "backend-still-works", database=postgres.name)
        assert postgres.revisions == ["0002"]

    typed(printed(refused.output, "then recover: ")).ended()

    assert postgres.dump() == before


@types("module_utils/_engines/mariadb/locks._build_orphan_refusal recover")
def test_a_session_of_mariadb_that_we_may_not_end_is_ended_and_the_run_recovered(
    site: Site, mariadb: MariaDBTarget
) -> None:
    site.variables["migrate_virtualenv"] = str(virtualenv("pymysql"))
    settings = at_first(site, mariadb)
    before, server = mariadb.dump(), mariadb.database.server
    sleeps = 'op.execute("SELECT SLEEP(300)")'
    settings["migrate_source"] = site.source("broken").keep("0001", "0002").add("0003", "0002", sleeps)
    found = f"SELECT id FROM information_schema.processlist WHERE db = '{mariadb.name}' AND info LIKE 'SELECT SLEEP%'"
    with site.start("migrate", migrate_run="killed", **settings) as running:
        wait_until(lambda: bool(server.execute(found)), "the revision does not begin", seconds=120)
        kill_all(site, running)
    for (session,) in server.execute(found):
        server.execute(f"KILL {session}")
    root = pymysql.connect(host=server.host, port=server.port, user=server.user, password=server.password)
    with closing(root), root.cursor() as cursor:
        cursor.execute(f"SELECT GET_LOCK('{lock_name(MIGRATING, mariadb.name)}', 30)")
        assert cursor.fetchall() == ((1,),)
        refused = site.run("recover", code=2, migrate_lock_wait=1, **settings)
        assert_code(refused, "backend-still-works", database=mariadb.name)
        assert mariadb.revisions == ["0002"]

    typed(printed(refused.output, "then recover: ")).ended()

    assert mariadb.dump() == before


@types("module_utils/_engines/postgresql/locks.AdvisoryLock.take status")
def test_a_lock_that_another_run_took_meanwhile_is_explained_by_the_status(
    site: Site, postgres: PostgresTarget, tmp_path: Path
) -> None:
    settings = at_first(site, postgres)
    before = postgres.dump()
    entry, job = Database.from_options(postgres.entry), Job("restore", str(tmp_path), run="r1")
    with closing(build_engine(entry, job)) as ours, closing(build_engine(entry, job)) as theirs:
        assert isinstance(ours, PostgreSQL)
        with ours.lock(1, print):
            ours.suspend_lock()
            with theirs.lock(1, print), pytest.raises(Failed) as lost:
                ours.take_lock_again()
    # It is too short a moment for a playbook to meet it: what prints it completes it thus.
    here = Invocation(options=("-i", str(site.inventory(**settings))))

    shown = typed(printed(here.complete_commands(str(lost.value)), "its last run: ")).ended()

    assert " 0001 " in shown.output
    assert postgres.dump() == before


def test_a_restore_of_mariadb_that_lost_its_server_is_ended_by_the_printed_command(
    site: Site, mariadb: MariaDBTarget
) -> None:
    site.variables["migrate_virtualenv"] = str(virtualenv("pymysql"))
    mariadb.allow_reverts()
    server = mariadb.database.server
    with closing(Cut(server)) as cut:
        mariadb.url = mariadb.url.replace(f":{server.port}/", f":{cut.port}/")
        settings = at_first(site, mariadb)
        site.run("backup", migrate_run="taken", **settings)
        before = mariadb.dump()
        mariadb.rows("UPDATE item SET name = 'since'")
        cut.words = f"to `{mariadb.name}`.".encode()
        requested: dict[str, Any] = {"migrate_restore_run": "taken", "migrate_restore_loses_writes": True}
        failed = site.run("restore", code=2, **settings, **requested)
        assert cut.is_lost
        assert_code(failed, "restore-half-way", database=mariadb.name)
        assert mariadb.tables() == []
        cut.repair()

        typed(printed(failed.output, "to continue: ")).ended()

        assert mariadb.dump() == before
