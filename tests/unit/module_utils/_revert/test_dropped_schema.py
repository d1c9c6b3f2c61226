"""A schema of PostgreSQL that was dropped, and one that was made anew under its name."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._journal.worker_lock import is_worker_alive
from ansible_collections.hosting.alembic.plugins.module_utils._plan.at_head import read_known_plans
from tests.codes import assert_error
from tests.lab.fixtures import Database as Postgres
from tests.lab.waiting import wait_until
from tests.unit.stage import Host

TENANT = 'nor"th.1'
SCHEMA = '"nor""th.1"'
#: As the revisions make it, by another hand.
AGAIN = f"""
create schema {SCHEMA};
create table {SCHEMA}.orders (id serial primary key, country text references public.country, note text);
create index orders_note on {SCHEMA}.orders using gin (note gin_trgm_ops);
create type {SCHEMA}.state as enum ('open', 'paid');
create view {SCHEMA}.open_orders as select id from {SCHEMA}.orders;
comment on table {SCHEMA}.orders is 'what was ordered';
create table {SCHEMA}.alembic_version (version_num varchar(32) not null constraint alembic_version_pkc primary key);
insert into {SCHEMA}.alembic_version values ('0001');
insert into {SCHEMA}.orders values (1, null, 'of the new one');
"""


@pytest.fixture
def entry(host: Host, postgres_database: Postgres) -> Database:
    """A schema of a tenant with a row and a backup, in run r1."""
    postgres_database.execute("create extension pg_trgm")
    postgres_database.execute(f'grant create on database "{postgres_database.name}" to "{postgres_database.user}"')
    by_owner(postgres_database, f"create table country (code text primary key); create schema {SCHEMA}")
    entry = Database("app", postgres_database.url, schema=TENANT, x_arguments=(f"tenant={TENANT}",))
    host.ship("tenants")
    host.result("upgrade", entry, run="r0", target="0001")
    by_owner(postgres_database, f"insert into {SCHEMA}.orders values (1, null, 'of the old one')")
    host.result("backup", entry, run="r1")
    return entry


def by_owner(database: Postgres, script: str) -> None:
    database.execute(f'set role "{database.user}"; {script}')


def notes(database: Postgres) -> list[list[str]]:
    return database.execute(f"select note from {SCHEMA}.orders order by id")


def test_one_that_was_made_anew_is_reported_and_one_that_was_restored_is_not(
    host: Host, postgres_database: Postgres, entry: Database
) -> None:
    assert host.plan(entry, target="0001", remember=True)["changed_history"] == []
    by_owner(postgres_database, f"drop schema {SCHEMA} cascade; {AGAIN}")

    for run in ("plan", "again"):
        (found,) = host.plan(entry, target="0001", remember=True, run=run)["changed_history"]
        assert_error(found, "database-made-anew", "'app'", "r1")
    refused = host.result("restore", entry, run="r2")
    assert refused["outcome"] == "refused", refused
    assert refused["error"]["code"] == "others-wrote"
    assert notes(postgres_database) == [["of the new one"]]

    done = host.result("restore", entry, run="r3", restore_loses_writes=True)
    assert done["outcome"] == "restored", done
    assert notes(postgres_database) == [["of the old one"]]
    assert host.plan(entry, target="0001", remember=True)["changed_history"] == []


def test_one_that_was_dropped_is_reported_and_comes_back(
    host: Host, postgres_database: Postgres, entry: Database
) -> None:
    assert host.plan(entry, target="0001", remember=True)["changed_history"] == []
    by_owner(postgres_database, f"drop schema {SCHEMA} cascade")

    (found,) = host.plan(entry, target="0001")["changed_history"]
    assert_error(found, "database-made-anew", "is gone", "r1")

    done = host.result("restore", entry, run="r2")
    assert done["outcome"] == "restored", done
    assert notes(postgres_database) == [["of the old one"]]
    assert host.plan(entry, target="0001")["changed_history"] == []


def test_one_at_head_is_known_by_a_probe_until_it_is_made_anew(
    host: Host, postgres_database: Postgres, entry: Database
) -> None:
    plan = host.plan(entry, remember=True, target="0001")

    assert read_known_plans(host.job("plan", entry, target="0001")) == {"app": plan}
    by_owner(postgres_database, f"drop schema {SCHEMA} cascade; {AGAIN}")
    assert read_known_plans(host.job("plan", entry, target="0001")) == {}


def test_one_that_was_restored_by_hand_is_not_reported(
    host: Host, postgres_database: Postgres, entry: Database
) -> None:
    server = postgres_database.server
    commits = f"with op.get_context().autocommit_block(): op.execute('update {SCHEMA}.orders set note = 1')"
    host.revise("tenants", "0003", "0002", f"{commits}\n    op.execute('select 1 / 0')")
    by_owner(postgres_database, f"create view all_orders as select id from {SCHEMA}.orders")
    held = host.result("upgrade", entry, run="r2")
    held = held if held["outcome"] == "held" else host.result("downgrade", entry, run="r2")
    assert held["outcome"] == "held", held

    owner = {**os.environ, **server.as_typed(postgres_database.user, postgres_database.password)}
    command = held["ways_out"]["back"]
    assert "pg_restore" in command, command
    subprocess.run(["bash", "-c", command], check=True, env=owner)

    assert notes(postgres_database) == [["of the old one"]]
    assert host.result("recover", entry, run="r3")["outcome"] == "cleared"
    assert host.plan(entry)["changed_history"] == []


def test_one_whose_restore_was_killed_at_its_end_is_not_reported(
    host: Host, postgres_database: Postgres, entry: Database
) -> None:
    host.result("upgrade", entry, run="r2")
    assert host.result("restore", entry, run="r3", of_run="r1", restore_loses_writes=True)["outcome"] == "restored"
    # It writes an end into a journal that has none.
    wait_until(lambda: not is_worker_alive(host.layout, "r3", "restore"), "its worker to end")
    journal = host.layout.locate_journal("app", "r3")
    lines = journal.read_text().splitlines(keepends=True)
    last = next(number for number, line in enumerate(lines) if json.loads(line)["event"] == "restored")
    journal.write_text("".join(lines[:last]))

    assert host.result("recover", entry, run="r4")["outcome"] == "restored"

    assert notes(postgres_database) == [["of the old one"]]
    plan = host.plan(entry)
    assert (plan["current"], plan["changed_history"], plan["obstacles"]) == (["0001"], [], [])
