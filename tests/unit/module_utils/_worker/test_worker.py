from __future__ import annotations

import fcntl
import os
import select
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed, Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._core.progress import Progress
from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import Journal
from ansible_collections.hosting.alembic.plugins.module_utils._worker.follow import is_alive
from ansible_collections.hosting.alembic.plugins.module_utils._worker.worker import attend
from tests.codes import assert_error, refused
from tests.lab.waiting import wait_until
from tests.unit.modules.test_modules import call as call_module
from tests.unit.stage import Answer, Host, database, heads, plain_streams, script, tables

Work = Callable[[Path], None]


def entries(*names: str) -> list[Database]:
    return [database(Path("/srv") / name, name) for name in names]


def task_of(work: Callable[[Database, Journal, Progress], None]) -> Any:
    def task(one: Database, _job: Job, journal: Journal, progress: Progress) -> Answer:
        work(one, journal, progress)
        return {"name": one.name, "outcome": "upgraded", "changed": True, "pid": os.getpid()}

    return task


def call(
    host: Host, databases: list[Database], work: Callable[[Database, Journal, Progress], None], **more: Any
) -> Answer:
    with plain_streams():
        return attend(host.job("upgrade", *databases, **more), databases, task_of(work))


def until(condition: Callable[[], object]) -> None:
    wait_until(condition, "it did not come about", 10)


def wait_for(path: Path) -> None:
    until(path.exists)


def dead(host: Host) -> bool:
    return not is_alive(host.job("upgrade"), "upgrade")


def test_short_work_is_done_in_one_call(host: Host) -> None:
    answer = call(host, entries("a", "b"), lambda *_: None)

    assert answer["finished"]
    assert [result["name"] for result in answer["results"]] == ["a", "b"]
    assert len({result["pid"] for result in answer["results"]} | {os.getpid()}) == 3


def test_a_second_call_finds_the_work_of_the_first(host: Host, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def work(_one: Database, journal: Journal, _progress: Progress) -> None:
        assert not begun.exists(), "it was begun twice"
        begun.touch()
        wait_for(tmp_path / "go")
        journal.write("verified")

    first = call(host, entries("a"), work, follow=0.2)
    assert (first["finished"], first["results"]) == (False, [])
    assert is_alive(host.job("upgrade"), "upgrade")
    assert not is_alive(host.job("upgrade"), "downgrade")
    (tmp_path / "go").touch()
    second = call(host, entries("a"), work, attach=True)

    assert second["finished"]
    assert second["results"][0]["outcome"] == "upgraded"


def test_the_work_goes_on_when_its_caller_is_gone(host: Host, tmp_path: Path) -> None:
    """A lost connection ends the whole session of the module."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        call(host, entries("a"), lambda *_: wait_for(tmp_path / "go"), follow=60)
        os._exit(0)
    until(lambda: is_alive(host.job("upgrade"), "upgrade"))
    until(lambda: host.layout.locate_journals("a").is_dir())
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    (tmp_path / "go").touch()

    assert call(host, entries("a"), lambda *_: None, attach=True)["results"][0]["outcome"] == "upgraded"


def test_nothing_is_reported_twice(host: Host, tmp_path: Path) -> None:
    def work(_one: Database, journal: Journal, progress: Progress) -> None:
        journal.write("backed_up", path="/b", size=1234)
        progress.begin_phase("works")
        wait_for(tmp_path / "go")
        journal.write("verified")

    first = call(host, entries("a"), work, follow=3)
    (tmp_path / "go").touch()
    second = call(host, entries("a"), work, attach=True, cursor=first["cursor"])

    assert first["lines"][0] == "a: backed up to /b, 1,234 bytes"
    assert first["lines"][1].startswith("a: works (")
    assert second["lines"] == ["a: verified"]


def test_a_run_id_names_one_run(host: Host) -> None:
    call(host, entries("a"), lambda *_: None)
    until(partial(dead, host))

    with refused("run-ended", "r1"):
        call(host, entries("a"), lambda *_: None)


def test_a_process_that_is_killed_is_recovered_and_the_other_databases_go_on(host: Host) -> None:
    def work(one: Database, journal: Journal, _progress: Progress) -> None:
        journal.write("begun", revision="0001", table="main.v")
        if one.name == "a":
            os.kill(os.getpid(), signal.SIGKILL)

    answer = call(host, entries("a", "b"), work, workers=1)

    killed, other = answer["results"]
    assert answer["finished"]
    assert killed["outcome"] == "failed"
    assert_error(killed["error"], "worker-died", "'a'", "signal 9")
    assert killed["error"]["remedy"].endswith("a/r1.output")
    assert other["outcome"] == "upgraded"


def test_a_worker_that_was_ended_is_buried(host: Host, tmp_path: Path) -> None:
    def work(_one: Database, _journal: Journal, _progress: Progress) -> None:
        (tmp_path / "pids").write_text(f"{os.getppid()} {os.getpid()}")
        time.sleep(60)

    call(host, entries("a", "b"), work, follow=0.1, workers=1)
    wait_for(tmp_path / "pids")
    until((tmp_path / "pids").read_text)
    for pid in (tmp_path / "pids").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    until(partial(dead, host))
    answer = call(host, entries("a", "b"), work, attach=True, follow=0.1)

    assert answer["finished"]
    assert [result["outcome"] for result in answer["results"]] == ["failed", "failed"]
    assert {result["error"]["code"] for result in answer["results"]} == {"worker-died"}


def test_while_the_process_of_one_database_lives_its_worker_is_not_buried(host: Host, tmp_path: Path) -> None:
    def work(_one: Database, _journal: Journal, _progress: Progress) -> None:
        (tmp_path / "pid").write_text(str(os.getppid()))
        wait_for(tmp_path / "go")

    call(host, entries("a"), work, follow=0.1)
    wait_for(tmp_path / "pid")
    until((tmp_path / "pid").read_text)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    assert not call(host, entries("a"), work, attach=True, follow=0.5)["finished"]
    (tmp_path / "go").touch()
    assert call(host, entries("a"), work, attach=True)["results"][0]["outcome"] == "upgraded"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Refused("no", "because", code="lock-lost"), "refused"),
        (Failed("no", "because", code="lock-lost"), "failed"),
        (KeyError("because"), "failed"),
    ],
)
def test_whatever_goes_wrong_is_a_result(host: Host, error: Exception, outcome: str) -> None:
    def work(*_: object) -> None:
        raise error

    (result,) = call(host, entries("a"), work)["results"]

    assert (result["outcome"], result["changed"]) == (outcome, False)
    assert "because" in result["error"]["why"]


def test_nothing_to_do_is_done(host: Host) -> None:
    assert call(host, [], lambda *_: None) == {"finished": True, "results": [], "lines": [], "cursor": {}}


def test_a_worker_keeps_nothing_open_that_would_keep_a_connection_waiting(host: Host, tmp_path: Path) -> None:
    reader, sender = os.pipe()
    # One below the descriptor of the worker's lock and one above it.
    high = fcntl.fcntl(sender, fcntl.F_DUPFD, 500)

    call(host, entries("a"), lambda *_: wait_for(tmp_path / "go"), follow=0.5)
    os.close(sender)
    os.close(high)

    assert select.select([reader], [], [], 2)[0] == [reader]
    assert os.read(reader, 1) == b""
    os.close(reader)
    (tmp_path / "go").touch()
    until(partial(dead, host))


def test_a_killed_upgrade_is_reverted_from_what_the_database_says(host: Host, file: Path) -> None:
    """The process dies in its third revision; its journal ends there, and the database knows the rest."""
    release = host.ship("broken")
    versions = host.layout.release(release) / "source" / "migrations" / "versions"
    third = versions / "0003_fails_in_its_middle.py"
    third.write_text(
        third.read_text().replace("raise RuntimeError", "import os, signal; os.kill(os.getpid(), 9); print")
    )
    script(file, "create table mine (a); insert into mine values (1)")

    upgrade = host.result("upgrade", database(file))
    assert (upgrade["outcome"], heads(file)) == ("failed", ["0002"])
    result = host.result("downgrade", database(file))

    assert result["outcome"] == "restored"
    assert tables(file) == {"mine"}
    assert {"half", "mine"} <= tables(Path(result["retained"]))


def test_a_killed_upgrade_that_left_nothing_half_done_is_downgraded(host: Host, file: Path) -> None:
    release = host.ship("several_contexts")
    host.revise(release, "0003", "0002", "import os; os.kill(os.getpid(), 9)")

    upgrade = host.result("upgrade", database(file))
    assert (upgrade["outcome"], heads(file, "alembic_version_red")) == ("failed", ["0002"])
    result = host.result("downgrade", database(file))

    assert result["outcome"] in ("downgraded", "restored")
    assert not file.exists() or not {"red_item", "red_order"} & tables(file)


def test_a_canary_goes_before_the_others(host: Host, tmp_path: Path) -> None:
    def work(one: Database, _journal: Journal, _progress: Progress) -> None:
        assert one.name == "b" or (tmp_path / "b").exists()
        (tmp_path / one.name).touch()

    answer = call(host, entries("a", "b", "c"), work, canary="b")

    assert [result["outcome"] for result in answer["results"]] == ["upgraded"] * 3


@pytest.mark.parametrize("how", ["fails", "dies"])
def test_where_the_canary_fails_the_others_are_not_begun(host: Host, tmp_path: Path, how: str) -> None:
    def work(one: Database, _journal: Journal, _progress: Progress) -> None:
        (tmp_path / one.name).touch()
        if how == "dies":
            os._exit(3)
        raise Failed("It did not sing", "no air", code="revision-failed")

    answer = call(host, entries("a", "b", "c"), work, canary="b")

    results = {result["name"]: result for result in answer["results"]}
    assert [results[name]["outcome"] for name in ("a", "b", "c")] == ["refused", "failed", "refused"]
    assert [path.name for path in tmp_path.iterdir() if path.name in "abc"] == ["b"]
    assert_error(results["a"]["error"], "canary-failed", "'b'")
    assert answer["finished"]


def test_a_canary_of_another_host_stops_no_other_host(host: Host) -> None:
    answer = call(host, entries("a"), lambda *_: None, canary="elsewhere")

    assert [result["outcome"] for result in answer["results"]] == ["upgraded"]


def test_what_env_py_prints_is_kept_without_its_secrets(host: Host, file: Path) -> None:
    env = host.layout.release(host.ship("generic")) / "source" / "migrations" / "env.py"
    env.write_text(
        'import os, sys\nprint("said", os.environ["KEY"], flush=True)\nos.write(2, b"raw")\n' + env.read_text()
    )
    entry = {"name": "app", "url": f"sqlite:///{file}", "environment": {"KEY": "MARK-0123456789"}}

    answer = call_module("upgrade", root=str(host.root), databases=[entry], run="r1", follow=60)

    assert not answer.get("failed"), answer
    output = host.layout.locate_journal("app", "r1").with_suffix(".output")
    wait_until(lambda: "raw" in output.read_text(), "its output was not written")
    assert "said ********" in output.read_text()
    assert "0123456789" not in output.read_text()
    assert output.stat().st_mode & 0o777 == 0o600


def test_another_application_of_the_same_run_begins_when_the_first_has_ended(host: Host, tmp_path: Path) -> None:
    def first(_one: Database, _journal: Journal, _progress: Progress) -> None:
        wait_for(tmp_path / "go")

    assert not call(host, entries("a"), first, follow=0.2)["finished"]
    waiting = call(host, entries("b"), lambda *_: None, follow=0.2)
    assert (waiting["finished"], waiting["results"]) == (False, [])
    assert not host.events(name="b"), "it was begun beside the other, or taken for dead"
    (tmp_path / "go").touch()

    done = call(host, entries("b"), lambda *_: None)

    assert (done["finished"], [result["name"] for result in done["results"]]) == (True, ["b"])
    again = call(host, entries("a"), first, attach=True)
    assert [result["name"] for result in again["results"]] == ["a"]
    until(lambda: dead(host))
    with refused("run-ended"):
        call(host, entries("a", "c"), lambda *_: None)
