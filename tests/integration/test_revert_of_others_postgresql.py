# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others own or have bound in a database: a revert brings it back to the letter, or holds and prints what does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.integration.test_revert_postgresql import Stage, dump, executed
from tests.lab.fixtures import Database
from tests.unit.stage import Host


@pytest.fixture
def stage(tmp_path: Path, postgres_database: Database) -> Stage:
    return Stage(Host(tmp_path / "root"), postgres_database)


#: What a superuser binds to a table, and what a restore would not bring back by a swap, or by no method at all.
BOUND = {
    "a publication": "create publication theirs for table other",
    "a subscription": "create subscription s connection 'host=none' publication p with (connect = false, slot_name ="
    " none); insert into pg_subscription_rel (srsubid, srrelid, srsubstate) select oid, 'other'::regclass, 'r'"
    " from pg_subscription",
    "an event trigger": "create function audit() returns event_trigger language plpgsql as 'begin end'; create event"
    " trigger watch on sql_drop execute function audit(); alter function audit() owner to :name",
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("powers", ["nocreatedb", "createdb"])
@pytest.mark.parametrize("bound", BOUND.values(), ids=BOUND)
def test_what_others_have_bound_to_a_table_is_never_left_with_the_replaced_one(
    stage: Stage, powers: str, bound: str
) -> None:
    stage.database.execute(f'alter role "{stage.database.user}" {powers}')
    stage.database.execute(bound.replace(":name", f'"{stage.database.user}"'))
    before = dump(stage.database)

    result = stage.fail_after(executed("create table half (id integer)"))

    assert result["outcome"] == "held", result
    assert result["error"]["code"] == "restore-loses"
    stage.run_as_owner("drop table half")
    after = dump(stage.database)
    if bound == BOUND["a subscription"]:  # with which no database can be dropped
        stage.database.execute("drop subscription s")
    assert after == before


@pytest.mark.exhaustive
def test_what_a_swap_would_lose_and_a_restore_in_place_would_not_is_restored_in_place(stage: Stage) -> None:
    stage.database.execute(f'alter role "{stage.database.user}" createdb')
    stage.database.execute(f"alter role postgres in database \"{stage.database.name}\" set work_mem = '7MB'")
    stage.database.execute(f'alter database "{stage.database.name}" set log_min_duration_statement = 250')
    before = dump(stage.database)

    result = stage.fail_after(executed("create table half (id integer)"))

    assert (result["outcome"], result["method"]) == ("restored", "in_place"), result
    assert dump(stage.database) == before
    settings = "select setconfig[1] from pg_db_role_setting order by 1"
    assert stage.database.execute(settings) == [["log_min_duration_statement=250"], ["work_mem=7MB"]]


@pytest.mark.exhaustive
def test_what_the_server_does_not_permit_is_restored_by_the_printed_command(stage: Stage) -> None:
    stage.database.execute("create cast (text as date) with inout as assignment")
    stage.database.execute("create extension postgres_fdw; create server far foreign data wrapper postgres_fdw")
    name = stage.database.user
    stage.database.execute(f'create foreign table f (id integer) server far; alter foreign table f owner to "{name}"')
    before = dump(stage.database)

    result = stage.fail_after(executed("create table half (id integer)"))

    assert result["outcome"] == "held", result
    assert "cast (text as date)" in result["error"]["why"]
    command = result["ways_out"]["back"]
    environment = stage.database.server.as_typed(stage.database.user, stage.database.password)
    subprocess.run(["sh", "-c", command], check=True, env=environment, stdin=subprocess.DEVNULL, timeout=60)
    assert dump(stage.database) == before
