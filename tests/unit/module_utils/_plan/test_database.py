from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.results import PlanFacts
from ansible_collections.hosting.alembic.plugins.module_utils._plan.database import plan_database
from tests.codes import assert_error
from tests.unit.stage import Host, as_unprivileged, database, in_process, names, script, tables


def test_a_plan_says_where_it_is_and_where_it_would_go(host: Host, file: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(file, target="0001"))

    plan = host.plan(database(file))

    assert plan["name"] == "app"
    assert plan["engine"] == "sqlite"
    assert plan["server"].startswith("SQLite 3")
    assert plan["identity"] == f"{file} on this host"
    assert plan["target"] == "head"
    assert plan["current"] == ["0001"]
    assert plan["heads"] == ["0002"]
    assert plan["pending"] == [{"revision": "0002", "message": "notes on items"}]
    assert plan["obstacles"] == []


def test_at_head_nothing_is_pending(host: Host, file: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(file))

    plan = host.plan(database(file))

    assert (plan["current"], plan["heads"], plan["pending"]) == (["0002"], ["0002"], [])


def test_a_file_that_is_not_there_is_planned_from_base_and_not_made(host: Host, file: Path) -> None:
    host.ship("generic")

    plan = host.plan(database(file))

    assert plan["server"] == "not there yet"
    assert (plan["current"], plan["heads"]) == ([], ["0002"])
    assert [each["revision"] for each in plan["pending"]] == ["0001", "0002"]
    assert plan["obstacles"] == []
    assert names(file.parent) == []


def test_a_file_whose_folder_is_not_there_is_an_obstacle(host: Host, tmp_path: Path) -> None:
    host.ship("generic")

    (obstacle,) = host.plan(database(tmp_path / "nowhere" / "app.db"))["obstacles"]

    assert_error(obstacle, "database-not-creatable", "'app'", tmp_path / "nowhere")


@pytest.mark.parametrize("read_only", ["file", "folder"])
def test_what_cannot_be_written_is_an_obstacle(host: Host, file: Path, read_only: str) -> None:
    release = host.ship("generic")
    script(file, "create table t (a)")
    file.chmod(0o444 if read_only == "file" else 0o666)
    file.parent.chmod(0o555 if read_only == "folder" else 0o777)
    job = host.job("plan")

    def plan() -> PlanFacts:
        return plan_database(database(file), job).as_facts()

    (obstacle,) = in_process(
        lambda: as_unprivileged(host.layout.release(release) / "source" / "migrations" / "versions", plan)
    )["obstacles"]

    assert obstacle["code"] == "database-not-writable"
    assert str(file) in obstacle["why"]
    assert obstacle["remedy"]


def test_a_revision_that_only_another_release_knows_names_that_release(host: Host, file: Path) -> None:
    newer = host.ship("generic", "newer")
    host.revise(newer, "0003", "0002", "pass")
    host.result("upgrade", database(file))
    host.ship("generic", "older")

    (obstacle,) = host.plan(database(file))["obstacles"]

    assert_error(obstacle, "revision-unknown", "'app'", "'0003'", "newer")


def test_a_revision_that_no_release_knows_says_so(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table alembic_version (version_num); insert into alembic_version values ('ffff')")

    (obstacle,) = host.plan(database(file))["obstacles"]

    assert_error(obstacle, "revision-unknown", "'ffff'")


def test_a_target_that_no_release_knows_is_not_blamed_on_the_database(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table t (a)")

    (obstacle,) = host.plan(database(file, target="ffff"))["obstacles"]

    assert_error(obstacle, "target-unreachable", "'ffff'", "'app'")


def test_what_is_wrong_with_one_database_does_not_hide_the_others(host: Host, file: Path) -> None:
    host.ship("generic")
    entries = [
        database(file, "good"),
        database(file, "bad url", url="mysql://u@server/x"),
        database(file, "relative", url="sqlite:///app.db"),
        database(file, "several", target="ffff"),
    ]

    plans = host.do("plan", *entries)["databases"]

    assert [plan["name"] for plan in plans] == ["good", "bad url", "relative", "several"]
    assert [len(plan["obstacles"]) for plan in plans] == [0, 1, 1, 1]
    assert all(obstacle["what"] and obstacle["remedy"] + obstacle["why"] for p in plans for obstacle in p["obstacles"])


def test_an_env_py_that_hangs_is_given_up(host: Host, file: Path) -> None:
    release = host.ship("generic")
    env = host.layout.release(release) / "source" / "migrations" / "env.py"
    env.write_text("import time\ntime.sleep(300)\n")
    script(file, "create table t (a)")

    (obstacle,) = host.plan(database(file), plan_timeout=1)["obstacles"]

    # A process that waits for env.py says so, or the process that waits for him.
    assert obstacle["code"] in ("env-py-timeout", "plan-timeout")
    assert "migrate_plan_timeout" in obstacle["remedy"]


def test_an_env_py_that_leaves_a_thread_blocks_nothing(host: Host, file: Path) -> None:
    release = host.ship("generic")
    env = host.layout.release(release) / "source" / "migrations" / "env.py"
    env.write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(300,)).start()\n" + env.read_text()
    )
    script(file, "create table t (a)")

    plan = host.plan(database(file), plan_timeout=30)

    assert (plan["obstacles"], [revision["revision"] for revision in plan["pending"]]) == ([], ["0001", "0002"])


def test_an_env_py_that_kills_its_process_is_reported(host: Host, file: Path) -> None:
    release = host.ship("generic")
    env = host.layout.release(release) / "source" / "migrations" / "env.py"
    env.write_text("import os\nos.kill(os.getpid(), 15)\n")
    script(file, "create table t (a)")

    (obstacle,) = host.plan(database(file))["obstacles"]

    assert "signal 15" in obstacle["why"]


def test_a_password_is_in_no_plan(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table t (a)")

    plan = host.plan(database(file, url="postgresql://u:hunter2@127.0.0.1:1/shop"))

    assert "hunter2" not in str(plan)
    assert_error(plan["obstacles"][0], "database-unreachable")


def test_a_plan_changes_nothing_in_the_database(host: Host, file: Path) -> None:
    host.ship("several_contexts")
    script(file, "create table t (a)")

    assert len(host.plan(database(file))["pending"]) == 4
    assert tables(file) == {"t"}


def test_what_is_not_expanded_cannot_be_contracted(host: Host, file: Path) -> None:
    host.ship("multi_heads")
    host.result("upgrade", database(file, target="e001"))

    plan = host.plan(database(file, target="contract@head"))

    assert plan["unexpanded"] == ["e002"]
    (obstacle,) = plan["obstacles"]
    assert_error(obstacle, "contract-before-expand", "'app'", "e002")
    assert host.result("upgrade", database(file, target="contract@head"), run="r2")["outcome"] == "refused"


def test_what_is_expanded_can_be_contracted(host: Host, file: Path) -> None:
    host.ship("multi_heads")
    host.result("upgrade", database(file, target="expand@head"))

    plan = host.plan(database(file, target="contract@head"))

    assert (plan["unexpanded"], plan["obstacles"]) == ([], [])
    assert [each["revision"] for each in plan["pending"]] == ["c001", "c002"]


def test_a_database_that_is_not_there_is_not_expanded_either(host: Host, file: Path) -> None:
    host.ship("multi_heads")

    assert host.plan(database(file, target="contract@head"))["unexpanded"] == ["0001", "e001", "e002"]
    assert host.plan(database(file, target="expand@head"))["unexpanded"] == []
