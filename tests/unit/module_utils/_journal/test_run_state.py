from __future__ import annotations

import fcntl
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import CORRECT_IT
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite import restore
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.held_folder import HeldFolder
from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import Journal
from ansible_collections.hosting.alembic.plugins.module_utils._journal.run_state import (
    RunState,
    find_unrecovered,
    is_retried,
    read_last_run_state,
)
from ansible_collections.hosting.alembic.plugins.module_utils._journal.worker_lock import is_worker_alive
from ansible_collections.hosting.alembic.plugins.module_utils._module.recover import list_strangers, recover
from tests.codes import assert_error
from tests.lab.waiting import wait_until
from tests.unit.stage import Answer, Host, database, heads, names, plain_streams, script, sql, tables

#: A revision that leaves a table behind and takes its worker along.
KILLS = (
    "import os; op.create_table('half', sa.Column('id', sa.Integer()))"
    "; os.kill(os.getppid(), 9); os.kill(os.getpid(), 9)"
)
EVENTS = [
    ("planned", 1),
    ("locked", 1),
    ("backed_up", 1),
    ("begun", 1),
    ("ran", 1),
    ("committed", 1),
    ("begun", 2),
    ("ran", 2),
    ("committed", 2),
    ("verified", 1),
]


@pytest.fixture
def mine(host: Host, file: Path) -> Path:
    """A database with something in it, and a release that adds two revisions."""
    host.ship("generic")
    return script(file, "create table mine (a); insert into mine values (1), (2)")


def options(host: Host, *files: Path, run: str = "rec", **more: Any) -> Answer:
    entries = [{"name": path.stem, "url": f"sqlite:///{path}"} for path in files]
    plain = {"root": str(host.root), "databases": entries, "run": run, "cursor": {}, "attach": False, "follow": 30}
    return {**plain, "retry_failed": False, "lock_wait": 5, "database_wait": 10, **more}


def recovered(host: Host, *files: Path, **more: Any) -> dict[str, Answer]:
    requested = options(host, *files, **more)
    while True:
        answer = recover(requested)
        if answer["finished"]:
            return {result["name"]: result for result in answer["results"]}
        requested.update(cursor=answer["cursor"], attach=True)


def until(condition: Any) -> None:
    wait_until(condition, "it did not come about", 20)


def killed_at(
    monkeypatch: pytest.MonkeyPatch,
    host: Host,
    file: Path,
    event: str,
    number: int,
    before: bool = False,
    verb: str = "upgrade",
    run: str = "dead",
    **more: Any,
) -> None:
    """Have a worker and all its processes killed when the journal gets an event; no process is there to notice."""
    write, seen = Journal.write, []

    def killing(self: Journal, what: str, **facts: Any) -> None:
        if what == event:
            seen.append(what)
        now = len(seen) == number and what == event
        if not (now and before):
            write(self, what, **facts)
        if now:
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "write", killing)
        host.do(verb, database(file, file.stem), run=run, follow=0, **more)
        until(lambda: not is_worker_alive(host.layout, run, verb))


@pytest.mark.parametrize(
    ("event", "number", "before"), [(*event, False) for event in EVENTS] + [("planned", 1, True), ("begun", 2, True)]
)
def test_a_worker_killed_at_any_step_leaves_the_old_or_the_new_and_the_next_run_ends_at_head(
    host: Host, mine: Path, monkeypatch: pytest.MonkeyPatch, event: str, number: int, before: bool
) -> None:
    killed_at(monkeypatch, host, mine, event, number, before)

    result = recovered(host, mine).get("app", {"outcome": "nothing"})

    if (event, before) == ("verified", False):
        assert (result["outcome"], heads(mine)) == ("upgraded", ["0002"])
        assert tables(mine) == {"mine", "item", "alembic_version"}
    else:
        nothing = (event, before) == ("planned", True)
        assert result["outcome"] in (("nothing",) if nothing else ("untouched", "downgraded", "restored"))
        assert tables(mine) - {"alembic_version"} == {"mine"}
        assert "alembic_version" not in tables(mine) or heads(mine) == []
    assert sql(mine, "select a from mine") == [(1,), (2,)]
    assert not find_unrecovered(options(host, mine))
    assert not list(host.layout.backups.glob("*/.*.partial"))
    assert host.result("upgrade", database(mine), run="next")["outcome"] in ("upgraded", "unchanged")
    assert heads(mine) == ["0002"]


def test_a_revision_killed_in_its_middle_is_reverted_with_its_half_done_work(host: Host, mine: Path) -> None:
    path = host.revise("generic", "0003", "0002", KILLS)
    host.do("upgrade", database(mine), run="dead", follow=0)
    until(lambda: not is_worker_alive(host.layout, "dead", "upgrade"))
    assert "half" in tables(mine)

    result = recovered(host, mine)["app"]

    assert (result["outcome"], result["of_run"], result["changed"]) == ("restored", "dead", True)
    assert tables(mine) == {"mine"}
    assert sql(mine, "select a from mine") == [(1,), (2,)]
    assert "half" in tables(Path(result["retained"]))

    # Once may be a power cut; twice running it is the revision.
    host.do("upgrade", database(mine), run="again", follow=0)
    until(lambda: not is_worker_alive(host.layout, "again", "upgrade"))
    recovered(host, mine, run="rec2")
    refused = host.result("upgrade", database(mine), run="third")
    assert refused["outcome"] == "refused"
    assert_error(refused["error"], "database-failed-before", "run again")
    path.unlink()
    assert host.result("upgrade", database(mine), run="cleared", retry_failed=["app"])["outcome"] == "upgraded"
    assert read_last_run_state(host.layout, "app").state == ""


@pytest.mark.parametrize("way", ["op.get_bind().commit()", "op.execute('COMMIT')", "block.__exit__(None, None, None)"])
def test_where_a_killed_revision_had_committed_rows_already_nothing_is_downgraded_over_them(
    host: Host, mine: Path, way: str
) -> None:
    block = "block = op.get_context().autocommit_block(); block.__enter__(); " if way.startswith("block") else ""
    change = f"{block}op.execute('update mine set a = 7'); {way}; "
    host.revise("generic", "0003", "0002", f"import os; {change}os.kill(os.getppid(), 9); os.kill(os.getpid(), 9)")
    host.do("upgrade", database(mine), run="dead", follow=0)
    until(lambda: not is_worker_alive(host.layout, "dead", "upgrade"))
    assert sql(mine, "select a from mine") == [(7,), (7,)]

    result = recovered(host, mine)["app"]

    # It is unknown by now whether all of these rows are its own.
    assert (result["outcome"], sql(mine, "select a from mine")) == ("held", [(7,), (7,)])
    assert result["ways_out"]["back"].startswith("ansible-playbook playbooks/restore.yml")


def test_where_others_wrote_meanwhile_what_cannot_be_downgraded_is_held_and_stays_so(host: Host, mine: Path) -> None:
    host.revise("generic", "0003", "0002", KILLS)
    host.do("upgrade", database(mine), run="dead", follow=0)
    until(lambda: not is_worker_alive(host.layout, "dead", "upgrade"))
    sql(mine, "insert into mine values (3)")

    result = recovered(host, mine)["app"]

    assert result["outcome"] == "held"
    assert {"forward", "back"} <= set(result["ways_out"])
    assert sql(mine, "select a from mine") == [(1,), (2,), (3,)]
    assert recovered(host, mine, run="rec2") == {}
    (obstacle,) = host.plan(database(mine), run="")["obstacles"]
    assert_error(obstacle, "database-held", "dead", "playbooks/restore.yml")

    # It is between: that a person says so does not make it whole.
    assert recovered(host, mine, run="rec3", retry_failed=True)["app"]["outcome"] == "refused"

    # By hand to where it was.
    for table in ("half", "item", "alembic_version"):
        sql(mine, f"drop table if exists {table}")
    refused = recovered(host, mine, run="rec4", retry_failed=True)["app"]
    assert_error(refused["error"], "database-held", "mine", "migrate_accept_rows")
    accepted = recovered(host, mine, run="rec5", retry_failed=True, accept_rows=["app"])["app"]
    assert accepted["outcome"] == "cleared"
    (host.layout.release("generic") / "source" / "migrations" / "versions" / "0003.py").unlink()
    assert host.result("upgrade", database(mine), run="next")["outcome"] == "upgraded"
    assert sql(mine, "select a from mine") == [(1,), (2,), (3,)]


def test_a_held_database_with_rows_that_the_run_has_changed_is_not_changed_once_more(host: Host, mine: Path) -> None:
    host.result("upgrade", database(mine), run="r0")
    multiply = "with op.get_context().autocommit_block():\n        op.execute('update mine set a = a * 10')\n    "
    path = host.revise("generic", "0003", "0002", f"{multiply}raise RuntimeError('on purpose')")
    failed = host.result("upgrade", database(mine))
    assert failed["outcome"] == "failed", failed
    sql(mine, "insert into mine values (7)")
    assert host.result("downgrade", database(mine))["outcome"] == "held"
    path.write_text(path.read_text().replace("raise RuntimeError('on purpose')", "pass"))
    rows = [(10,), (20,), (7,)]

    refused = recovered(host, mine, run="rec1", retry_failed=["app"])["app"]

    assert_error(refused["error"], "database-held", "mine", '"migrate_accept_rows": ["app"]', "playbooks/restore.yml")
    assert host.result("upgrade", database(mine), run="r2", retry_failed=["app"])["outcome"] == "refused"
    assert sql(mine, "select a from mine") == rows
    # Brought back by hand; whose the seven is, only a person knows.
    sql(mine, "update mine set a = a / 10 where a >= 10")
    accepted = recovered(host, mine, run="rec2", retry_failed=["app"], accept_rows=["app"])["app"]
    assert accepted["outcome"] == "cleared"


def failed(host: Host, mine: Path, run: str = "r1") -> None:
    host.revise("generic", "0003", "0002", "raise RuntimeError('on purpose')")
    assert host.result("upgrade", database(mine), run=run)["outcome"] == "failed"


def test_a_failed_upgrade_whose_revert_never_ran_is_reverted_and_not_tried_again(host: Host, mine: Path) -> None:
    failed(host, mine)
    assert heads(mine) == ["0002"]

    result = recovered(host, mine)["app"]

    assert (result["outcome"], result["of_run"]) == ("downgraded", "r1")
    assert tables(mine) == {"mine", "alembic_version"}
    plan = host.plan(database(mine), run="")
    assert_error(
        plan["obstacles"][0], "database-failed-before", "r1", "on purpose", """-e '{"migrate_retry_failed": ["app"]}'"""
    )
    assert host.result("upgrade", database(mine), run="r2")["outcome"] == "refused"
    assert host.plan(database(mine), run="", retry_failed=["other"])["obstacles"]
    assert not host.plan(database(mine), run="", retry_failed="app")["obstacles"]


@pytest.mark.parametrize("event", ["downgrade_begun", "downgrade_ran", "downgraded", "done"])
def test_a_revert_that_died_is_finished(host: Host, mine: Path, monkeypatch: pytest.MonkeyPatch, event: str) -> None:
    failed(host, mine, "dead")
    killed_at(monkeypatch, host, mine, event, 1, before=event == "done", verb="downgrade")

    result = recovered(host, mine)["app"]

    assert result["outcome"] in ("downgraded", "untouched")
    assert tables(mine) == {"mine", "alembic_version"}
    assert heads(mine) == []
    assert read_last_run_state(host.layout, "app").state == "failed"


@pytest.mark.parametrize(("event", "before"), [("restore_begun", False), ("restored", True), ("restored", False)])
def test_a_revert_that_died_in_its_restore_is_restored_once(
    host: Host, mine: Path, monkeypatch: pytest.MonkeyPatch, event: str, before: bool
) -> None:
    host.revise(
        "generic", "0003", "0002", "op.create_table('half', sa.Column('id', sa.Integer())); raise RuntimeError()"
    )
    assert host.result("upgrade", database(mine), run="dead")["outcome"] == "failed"
    killed_at(monkeypatch, host, mine, event, 1, before=before, verb="downgrade")

    result = recovered(host, mine)["app"]

    assert (result["outcome"], tables(mine), sql(mine, "select a from mine")) == ("restored", {"mine"}, [(1,), (2,)])
    # What it has replaced is retained, and it was not replaced a second time.
    assert [path.name for path in mine.parent.glob("*.aside-*")] == ["app.db.aside-dead"]
    assert "half" in tables(Path(result["retained"]))
    assert [each["event"] for each in host.events("dead")].count("restored") == 1
    assert read_last_run_state(host.layout, "app").state == "failed"


@pytest.mark.parametrize("event", ["planned", "backed_up", "downgrade_begun", "downgrade_ran", "downgraded"])
def test_a_rollback_that_died_comes_to_its_end(
    host: Host, mine: Path, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    host.result("upgrade", database(mine), run="r0")
    killed_at(monkeypatch, host, mine, event, 1, verb="rollback", of_run="r0")

    result = recovered(host, mine)["app"]

    if event == "downgrade_ran":  # SQLite keeps the half of it, which the backup of the rollback itself does not have
        assert (result["outcome"], result["backup"]["run"]) == ("failed", "dead")
        assert (heads(mine), tables(mine)) == (["0002"], {"mine", "item", "alembic_version"})
        return
    begun = event not in ("planned", "backed_up")
    assert result["outcome"] in (("downgraded", "untouched") if begun else ("untouched",))
    assert heads(mine) == ([] if begun else ["0002"])
    assert not find_unrecovered(options(host, mine))


@pytest.mark.parametrize("event", ["restore_begun", "restored"])
def test_a_restore_that_died_has_replaced_the_database_or_not(
    host: Host, mine: Path, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    host.result("upgrade", database(mine), run="r0")
    killed_at(monkeypatch, host, mine, event, 1, verb="restore", of_run="r0", restore_loses_writes=True)

    result = recovered(host, mine)["app"]

    assert result["outcome"] == ("restored" if event == "restored" else "untouched")
    assert tables(mine) == ({"mine"} if event == "restored" else {"mine", "item", "alembic_version"})
    assert not find_unrecovered(options(host, mine))


def test_a_backup_that_died_is_removed(host: Host, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at(monkeypatch, host, mine, "locked", 1, verb="backup")
    (host.layout.locate_backups("app") / ".dead.partial").mkdir(parents=True)

    result = recovered(host, mine)["app"]

    assert result["outcome"] == "untouched"
    assert names(host.layout.locate_backups("app")) == []


def test_what_still_runs_is_followed_and_only_then_planned(host: Host, mine: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    host.revise(
        "generic", "0003", "0002", f"import os, time\n    while not os.path.exists({str(gate)!r}): time.sleep(0.02)"
    )
    host.do("upgrade", database(mine), run="alive", follow=0)
    until(lambda: any(event["event"] == "begun" for event in host.events("alive")))

    first = recover(options(host, mine, follow=0.1))
    assert not first["finished"]
    gate.touch()
    result = recovered(host, mine, cursor=first["cursor"])["app"]

    assert (result["outcome"], result["of_run"], heads(mine)) == ("upgraded", "alive", ["0003"])
    assert len([event for event in host.events("alive") if event["event"] == "begun"]) == 3


def test_of_two_recoveries_at_once_one_reverts_and_the_other_finds_it_done(host: Host, mine: Path) -> None:
    failed(host, mine)
    answers: dict[str, Answer] = {}
    with plain_streams():
        threads = [
            threading.Thread(target=lambda run=run: answers.update({run: recovered(host, mine, run=run)}))
            for run in ("one", "two")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert {"downgraded"} <= {each["outcome"] for answer in answers.values() for each in answer.values()}
    assert len([event for event in host.events() if event["event"] == "downgraded"]) == 1
    assert heads(mine) == []


def test_a_rebooted_host_knows_it_from_its_root_alone(host: Host, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at(monkeypatch, host, mine, "ran", 2)
    shutil.rmtree(host.layout.workers)

    assert recovered(host, mine)["app"]["outcome"] in ("untouched", "downgraded", "restored")
    assert tables(mine) - {"alembic_version"} == {"mine"}


@pytest.mark.parametrize("damage", ["pruned", "changed"])
def test_a_release_that_is_not_what_the_run_worked_with_is_refused_and_named(
    host: Host, mine: Path, damage: str
) -> None:
    failed(host, mine)
    folder = host.layout.release("generic")
    if damage == "pruned":
        folder.rename(host.root / "kept")
    else:
        (folder / "release.json").write_text('{"content": "of another"}')

    result = recovered(host, mine)["app"]

    assert result["outcome"] == "refused"
    assert "playbooks/ship.yml" in result["error"]["remedy"]
    assert heads(mine) == ["0002"]
    assert [left.state for left in find_unrecovered(options(host, mine))] == ["cut_short"]
    # The same release again.
    if damage == "pruned":
        (host.root / "kept").rename(folder)
    else:
        (folder / "release.json").write_text("{}")
    assert recovered(host, mine, run="rec2")["app"]["outcome"] == "downgraded"


def test_a_database_that_another_run_holds_is_not_touched(host: Host, mine: Path) -> None:
    failed(host, mine)
    lock = mine.with_name("app.db-migrating")
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        result = recovered(host, mine, database_wait=0.2)["app"]

    assert result["outcome"] == "refused"
    assert_error(result["error"], "database-locked")
    assert heads(mine) == ["0002"]
    assert recovered(host, mine, run="rec2")["app"]["outcome"] == "downgraded"


@pytest.mark.parametrize("text", ["", '{"at": "2026', "\n\n"])
def test_a_journal_without_a_whole_line_says_nothing(host: Host, mine: Path, text: str) -> None:
    path = host.layout.locate_journal("app", "empty")
    path.parent.mkdir(parents=True)
    path.write_text(text)

    assert read_last_run_state(host.layout, "app") == RunState("app")
    assert recovered(host, mine) == {}


def test_a_cut_short_last_line_does_not_hide_what_came_before_it(host: Host, mine: Path) -> None:
    failed(host, mine)
    path = host.layout.locate_journal("app", "r1")
    with path.open("a") as handle:
        handle.write('{"at": "2026-11-22T03:00:00", "verb": "downgrade", "ev')

    assert recovered(host, mine)["app"]["outcome"] == "downgraded"
    assert heads(mine) == []


def test_a_database_that_the_inventory_no_longer_names_is_named_and_not_touched(
    host: Host, mine: Path, tmp_path: Path
) -> None:
    failed(host, mine)
    other = script(tmp_path / "other.db", "create table t (a)")

    assert recovered(host, other) == {}
    assert list_strangers(options(host, other)) == ["app"]
    assert heads(mine) == ["0002"]


def test_the_other_databases_are_not_touched(
    host: Host, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = script(tmp_path / "other.db", "create table t (a)")
    before = other.read_bytes()
    killed_at(monkeypatch, host, mine, "committed", 1)

    assert set(recovered(host, mine, other)) == {"app"}
    assert other.read_bytes() == before
    assert not list(host.layout.locate_journals("other").glob("*.jsonl"))


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("no", False),
        ("", False),
        (["app"], True),
        (["other"], False),
        ("app", True),
        ("other, app", True),
        ('["app"]', True),
        (None, False),
    ],
)
def test_a_person_clears_all_or_some(printed: Any, expected: bool) -> None:
    assert is_retried(printed, "app") is expected


# A restore that died before it had replaced anything


def dies() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def killed_in(monkeypatch: pytest.MonkeyPatch, host: Host, file: Path, name: str, verb: str, **more: Any) -> None:
    """Have a worker killed where its restore calls a function, or a method of the database's folder."""
    owner = HeldFolder if hasattr(HeldFolder, name) else restore
    until(lambda: not is_worker_alive(host.layout, "dead", "upgrade"))
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, lambda *_: dies())
        host.do(verb, database(file), run="dead", follow=0, **more)
        until(lambda: not is_worker_alive(host.layout, "dead", verb))


@pytest.mark.parametrize("function", ["copy_locked_file", "overwrite"])
def test_a_revert_that_died_before_it_wrote_into_a_linked_file_is_not_called_restored(
    host: Host, mine: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    os.link(mine, mine.with_name("other.db"))
    commits = "[op.execute('update mine set a = a + 10'), op.get_bind().connection.commit(), 1 / 0]"
    host.revise("generic", "0003", "0002", commits)
    sql(mine, "create table alembic_version (version_num varchar(32) not null)")
    host.result("upgrade", database(mine, target="0002"), run="first")
    assert host.result("upgrade", database(mine), run="dead")["outcome"] == "failed"
    assert sql(mine, "select a from mine") == [(11,), (12,)]
    killed_in(monkeypatch, host, mine, function, "downgrade")
    result = recovered(host, mine)["app"]

    assert (result["outcome"], sql(mine, "select a from mine")) == ("restored", [(1,), (2,)])
    assert sql(Path(result["retained"]), "select a from mine") == [(11,), (12,)]


@pytest.mark.parametrize("function", ["copy_locked_file", "overwrite"])
def test_a_restore_that_died_before_it_wrote_into_a_linked_file_has_changed_nothing(
    host: Host, mine: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    os.link(mine, mine.with_name("other.db"))
    host.result("upgrade", database(mine), run="r0")
    killed_in(monkeypatch, host, mine, function, "restore", of_run="r0", restore_loses_writes=True)

    result = recovered(host, mine)["app"]

    assert (result["outcome"], result["retained"], heads(mine)) == ("untouched", "", ["0002"])


def test_a_restore_that_died_while_there_was_no_whole_file_is_held(
    host: Host, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.result("upgrade", database(mine), run="r0")
    mine.write_bytes(b"These are no pages of a database" * 500)
    killed_in(monkeypatch, host, mine, "replace", "restore", of_run="r0")

    result = recovered(host, mine)["app"]

    assert result["outcome"] == "held"
    assert mine.read_bytes().startswith(b"These are no pages")
    assert "restore" in result["ways_out"]["forward"]
    assert host.result("restore", database(mine), run="again", of_run="r0")["outcome"] == "restored"
    assert sql(mine, "select a from mine") == [(1,), (2,)]


def test_a_failed_database_names_its_remedy_once() -> None:
    left = RunState("app", "failed", "r1", error={"code": "revision-failed", "what": "It failed", "remedy": CORRECT_IT})

    obstacle = left.find_obstacle(pending=True, retry=False)

    assert obstacle is not None
    assert_error(obstacle, "database-failed-before", "It failed", "revision-failed", "migrate_retry_failed")
    assert CORRECT_IT not in str(obstacle)
