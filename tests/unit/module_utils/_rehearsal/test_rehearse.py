from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.manifest import list_proven
from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._journal.abandoned_copies import list_abandoned
from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import read_events
from ansible_collections.hosting.alembic.plugins.module_utils._journal.worker_lock import is_worker_alive
from ansible_collections.hosting.alembic.plugins.module_utils._module.recover import list_littered, recover
from ansible_collections.hosting.alembic.plugins.module_utils._rehearsal.undo import MOST_REFILLS
from tests.codes import assert_error
from tests.lab.processes import holding
from tests.unit.stage import Answer, Host, database, heads, script, sql, tables


@pytest.fixture
def at_first(host: Host, file: Path) -> str:
    """A database at its first revision, with rows in it, and a release that goes further."""
    release = host.ship("generic")
    assert host.result("upgrade", database(file, target="0001"), run="r0")["outcome"] == "upgraded"
    sql(file, "insert into item (id, name) values (1, 'one'), (2, 'two'), (3, 'two')")
    return release


def rehearsed(host: Host, file: Path, **options: Any) -> Answer:
    """Rehearse, and make sure that the database was only read and that no copy is left."""
    before = file.read_bytes() if file.exists() else None
    result = host.result("rehearse", database(file), **options)
    assert (file.read_bytes() if file.exists() else None) == before
    assert scratches(host) == []
    assert not file.with_name("app.db-migrating").exists()
    return result


def scratches(host: Host) -> list[Path]:
    folder = host.layout.locate_scratches("app")
    return list(folder.iterdir()) if folder.exists() else []


def verdicts(result: Answer) -> list[tuple[str, str]]:
    return [(step["revision"], step["verdict"]) for step in result["revisions"]]


def words(host: Host, run: str = "r1") -> list[str]:
    return [event["event"] for event in read_events(host.layout.locate_rehearsal("app", run))]


def test_a_good_history_is_reversible_and_the_database_is_only_read(host: Host, file: Path, at_first: str) -> None:
    host.revise(at_first, "0003", "0002", "op.create_table('tag', sa.Column('id', sa.Integer))", "op.drop_table('tag')")

    result = rehearsed(host, file)

    assert (result["outcome"], result["error"]) == ("rehearsed", None)
    assert verdicts(result) == [("0002", "reversible"), ("0003", "reversible")]
    assert [(step["data_loss"], step["schema"], step["again"]) for step in result["revisions"]] == [([], [], True)] * 2
    assert (result["before"], result["after"], result["goal"]) == (["0001"], ["0001"], ["0003"])
    assert result["models"] is None
    assert result["expected_seconds"] >= result["upgrade_seconds"] > 0
    assert result["revisions"][1]["space"] > 0
    assert heads(file) == ["0001"]
    # What is pending was not brought there, so no earlier run is changed by it.
    assert (host.events("r1"), words(host)[0], words(host)[-1]) == ([], "planned", "done")
    (later,) = host.do("status", database(file))["databases"]
    assert later["last_run"]["run"] == "r0"


@pytest.mark.usefixtures("at_first")
def test_a_backup_of_the_present_state_is_used_and_another_is_not(host: Host, file: Path) -> None:
    taken = rehearsed(host, file)
    assert (taken["backup_taken"], taken["changed"]) == (True, True)

    used = rehearsed(host, file, run="r2")
    assert (used["backup_taken"], used["backup"]["run"]) == (False, "r1")
    # A later schema makes it one of another time.
    sql(file, "create table mine (a)")
    assert rehearsed(host, file, run="r3")["backup"]["run"] == "r3"
    # So does its age, and so does damage.
    assert rehearsed(host, file, run="r4", rehearsal_max_age=0)["backup"]["run"] == "r4"
    (newest, *_others) = list_proven(host.layout.locate_backups("app"))
    (Path(newest.path) / newest.dump).write_bytes(b"")
    assert rehearsed(host, file, run="r5")["backup"]["run"] == "r5"


def test_a_downgrade_that_loses_a_column_is_lossy_and_those_below_it_are_not(
    host: Host, file: Path, at_first: str
) -> None:
    drop = "with op.batch_alter_table('item') as item: item.drop_column('name')"
    back = "with op.batch_alter_table('item') as item: item.add_column("
    back += "sa.Column('name', sa.String(50), nullable=False, server_default='lost'))"
    host.revise(at_first, "0003", "0002", drop, back)
    host.revise(at_first, "0004", "0003", "op.execute('create index i on item (note)')", "op.execute('drop index i')")

    result = rehearsed(host, file)

    assert result["outcome"] == "rehearsed"
    assert verdicts(result) == [("0002", "reversible"), ("0003", "lossy"), ("0004", "reversible")]
    lossy = result["revisions"][1]
    assert [(lost["table"], lost["column"]) for lost in lossy["data_loss"]] == [("item", "name")]
    assert {line[0] for line in lossy["schema"]} == {"-", "+"}  # the default that it left
    assert lossy["again"] is True


@pytest.mark.parametrize(
    ("upgrade", "downgrade", "loss"),
    [
        ("op.execute('delete from item where id > 1')", "pass", ("item", None, "had 3 rows and has 1")),
        ("op.drop_table('item')", "pass", ("item", None, "is gone, and had 3 rows")),
        ("op.create_table('left', sa.Column('id', sa.Integer))", "pass", ("left", None, "was left behind")),
        (
            "op.execute('update item set name = id')",
            "op.execute(\"update item set name = case id when 2 then 'one' else 'two' end\")",
            ("item", None, "has its values in other rows than before"),
        ),
        ("op.execute(\"update item set note = 'n'\")", "pass", ("item", "note", "has other values than before")),
    ],
)
def test_what_did_not_come_back_is_named(
    host: Host, file: Path, at_first: str, upgrade: str, downgrade: str, loss: tuple[str, str | None, str]
) -> None:
    host.revise(at_first, "0003", "0002", upgrade, downgrade)

    result = rehearsed(host, file)

    assert verdicts(result)[1] == ("0003", "lossy")
    assert tuple(result["revisions"][1]["data_loss"][0].values()) == loss


@pytest.mark.parametrize("only_change", [True, False])
def test_what_only_the_file_itself_shows_did_not_come_back(
    host: Host, file: Path, at_first: str, only_change: bool
) -> None:
    if only_change:
        assert host.result("upgrade", database(file, target="0002"), run="r0b")["outcome"] == "upgraded"
    host.revise(at_first, "0003", "0002", "op.execute('pragma user_version = 7')")

    result = rehearsed(host, file)

    found = result["revisions"][-1]
    assert verdicts(result)[-1] == ("0003", "lossy" if only_change else "unknown")
    assert "user_version was 0 and is 7" in (found["schema"] if only_change else found["why"])


def test_a_revision_that_fails_a_second_time_is_reported(host: Host, file: Path, at_first: str) -> None:
    host.revise(at_first, "0003", "0002", "op.create_table('left', sa.Column('id', sa.Integer))")

    result = rehearsed(host, file)

    (_, left) = result["revisions"]
    assert left["again"] is False
    assert "already exists" in left["again_error"]
    assert result["outcome"] == "rehearsed"


def test_those_below_a_revision_without_a_downgrade_are_judged(host: Host, file: Path, at_first: str) -> None:
    path = host.revise(at_first, "0003", "0002", "op.execute('create table t (a)')")
    path.write_text(path.read_text().split("def downgrade")[0])
    host.revise(at_first, "0004", "0003", "op.execute('create table u (a)')", "raise NotImplementedError('never')")

    result = rehearsed(host, file)

    assert result["outcome"] == "rehearsed"
    assert verdicts(result) == [("0002", "reversible"), ("0003", "irreversible"), ("0004", "irreversible")]
    assert [bool(step["why"]) for step in result["revisions"]] == [False, True, True]
    assert "NotImplementedError: never" in result["revisions"][2]["why"]


def test_copies_are_not_made_without_end(host: Host, file: Path, at_first: str) -> None:
    below = "0002"
    for number in range(3, 6 + MOST_REFILLS):
        host.revise(at_first, f"{number:04}", below, f"op.execute('create table t{number} (a)')")
        below = f"{number:04}"

    result = rehearsed(host, file)

    assert result["outcome"] == "rehearsed"
    found = [verdict for _revision, verdict in verdicts(result)]
    assert found == ["unknown"] * 3 + ["lossy"] * (MOST_REFILLS + 1)


def test_an_upgrade_that_fails_on_the_rows_that_are_there_fails(host: Host, file: Path, at_first: str) -> None:
    host.revise(at_first, "0003", "0002", "op.execute('create unique index u on item (name)')")

    result = rehearsed(host, file)

    assert result["outcome"] == "failed"
    assert_error(result["error"], "revision-failed", "0003", "UNIQUE constraint failed: item.name")
    assert verdicts(result) == [("0002", "unknown"), ("0003", "unknown")]
    assert "failed" in words(host)
    assert tables(file) == {"alembic_version", "item"}
    # With the rows corrected, the backup that they are in is not used again.
    sql(file, "delete from item where id = 3")
    assert rehearsed(host, file, run="r2")["outcome"] == "rehearsed"


@pytest.mark.parametrize("kind", ["lossy", "again"])
def test_findings_fail_when_they_are_requested_to(host: Host, file: Path, at_first: str, kind: str) -> None:
    host.revise(at_first, "0003", "0002", "op.create_table('left', sa.Column('id', sa.Integer))")

    result = rehearsed(host, file, rehearsal_fails_on=[kind])

    assert result["outcome"] == "failed"
    assert "0003" in result["error"]["why"]
    assert rehearsed(host, file, run="r2", rehearsal_fails_on=["models"])["outcome"] == "rehearsed"


def test_differences_from_the_models_are_reported_and_fail_only_if_requested(
    host: Host, file: Path, at_first: str
) -> None:
    env = host.layout.release(at_first) / "source" / "migrations" / "env.py"
    models = "import sqlalchemy as sa\ntarget_metadata = sa.MetaData()\n"
    models += "sa.Table('item', target_metadata, sa.Column('id', sa.Integer, primary_key=True),"
    models += " sa.Column('name', sa.String(50)), sa.Column('price', sa.Integer))\n"
    models += "sa.Table('extra', target_metadata, sa.Column('id', sa.Integer))\n"
    env.write_text(env.read_text().replace("target_metadata = None\n", models))

    result = rehearsed(host, file)

    assert result["outcome"] == "rehearsed"
    assert sorted(result["models"]) == [
        "nullable of column item.name is False in the database and True in the models",
        "only the database has column item.note",
        "only the models have column item.price",
        "only the models have table extra",
    ]
    failed = rehearsed(host, file, run="r2", rehearsal_fails_on=["models"])
    assert (failed["outcome"], "item.price" in failed["error"]["why"]) == ("failed", True)


@pytest.mark.usefixtures("at_first")
def test_nothing_pending_is_nothing_to_rehearse(host: Host, file: Path) -> None:
    host.result("upgrade", database(file), run="r2")

    result = rehearsed(host, file, run="r3")

    assert (result["outcome"], result["changed"], result["backup"]) == ("unchanged", False, None)


@pytest.mark.parametrize("fixture", ["generic", "async", "pyproject", "attributes_connection", "several_contexts"])
def test_a_database_that_is_not_there_yet_is_not_made(host: Host, file: Path, fixture: str) -> None:
    host.ship(fixture)
    driver = "+aiosqlite" if fixture == "async" else ""

    result = host.result("rehearse", database(file, url=f"sqlite{driver}:///{file}"))

    assert result["outcome"] == "rehearsed"
    assert {verdict for _revision, verdict in verdicts(result)} == {"reversible"}, [
        s["why"] for s in result["revisions"]
    ]
    assert not file.exists()
    assert scratches(host) == []


def test_an_env_py_that_goes_elsewhere_is_refused_before_it_changes_anything(host: Host, file: Path) -> None:
    host.ship("elsewhere")
    script(file, "create table mine (a)")
    before = file.read_bytes()
    # It reads a variable that goes on naming the database itself, by its URL and by another spelling of it.
    for run, url, why in (
        ("r0", f"sqlite:///{file}", "ELSEWHERE_URL in environment is the URL of the database itself"),
        ("r1", f"sqlite:///{file.parent}/./{file.name}", "it connects to"),
    ):
        result = host.result("rehearse", database(file, environment={"ELSEWHERE_URL": url}), run=run)
        assert result["outcome"] == "refused"
        assert why in result["error"]["why"]
        assert file.read_bytes() == before

    # Named as one that receives the URL, it leads to the copy.
    aimed = host.result("rehearse", database(file, url_variables=["ELSEWHERE_URL"]), run="r2")
    assert aimed["outcome"] == "rehearsed"
    assert file.read_bytes() == before


def test_what_a_killed_rehearsal_leaves_is_removed_by_the_next_one(host: Host, file: Path, at_first: str) -> None:
    slow = host.revise(at_first, "0003", "0002", f"open({str(host.root / 'here')!r}, 'w'); import time; time.sleep(60)")
    host.do("rehearse", database(file), follow=0)
    while not (host.root / "here").exists():
        time.sleep(0.02)
    assert len(scratches(host)) == 1
    for pid in holding(scratches(host)[0]):
        os.kill(pid, signal.SIGKILL)
    assert host.result("rehearse", database(file), attach=True)["outcome"] == "failed"
    assert len(scratches(host)) == 1

    slow.unlink()
    assert rehearsed(host, file, run="r2")["outcome"] == "rehearsed"


def test_what_a_killed_rehearsal_leaves_is_removed_by_a_recovery_and_a_live_one_is_not(
    host: Host, file: Path, at_first: str
) -> None:
    host.revise(at_first, "0003", "0002", f"open({str(host.root / 'here')!r}, 'w'); import time; time.sleep(60)")
    host.do("rehearse", database(file), follow=0)
    while not (host.root / "here").exists():
        time.sleep(0.02)
    requested = {
        "root": str(host.root),
        "run": "rec",
        "cursor": {},
        "attach": False,
        "follow": 30,
        "retry_failed": False,
    }
    requested.update(databases=[{"name": "app", "url": f"sqlite:///{file}"}], lock_wait=5, database_wait=10)
    before = file.read_bytes()
    assert list_littered(requested) == []
    assert recover(requested)["results"] == []
    assert len(scratches(host)) == 1

    # The worker has its lock beside the copy's: no process is left to record how the rehearsal ended.
    for pid in {*holding(scratches(host)[0]), *holding(host.layout.locate_worker("r1", "rehearse"))}:
        os.kill(pid, signal.SIGKILL)
    while is_worker_alive(host.layout, "r1", "rehearse"):
        time.sleep(0.02)
    (copy,) = scratches(host)
    (result,) = recover(requested)["results"]

    assert (result["outcome"], result["of_run"], result["dropped"]) == ("pruned", "r1", [str(copy)])
    assert scratches(host) == []
    assert file.read_bytes() == before
    assert recover({**requested, "run": "again"})["results"] == []


def test_a_rehearsal_that_fails_leaves_nothing_to_recover(host: Host, file: Path, at_first: str) -> None:
    host.revise(at_first, "0003", "0002", "raise RuntimeError('fails on purpose')")
    assert host.result("rehearse", database(file))["outcome"] == "failed"

    assert list_abandoned(host.layout, "app") == []


def missing(host: Host, file: Path, **options: Any) -> str:
    """Return what the plan says is missing, or nothing."""
    options = {"require_rehearsal": True, **options}
    obstacles = host.plan(database(file, **options.pop("entry", {})), **options)["obstacles"]
    return " ".join(str(Refused.of(obstacle)) for obstacle in obstacles)


def test_a_required_rehearsal_must_be_of_this_release_this_database_and_this_revision(
    host: Host, file: Path, at_first: str
) -> None:
    host.revise(at_first, "0003", "0002", "pass")
    assert "none has succeeded on this host" in missing(host, file)
    assert missing(host, file, require_rehearsal=False) == ""
    assert host.result("upgrade", database(file), require_rehearsal=True)["outcome"] == "refused"
    rehearsed(host, file, run="r2")
    assert missing(host, file) == ""

    assert "longer ago than 0 s" in missing(host, file, rehearsal_max_age=0)
    assert "to another target" in missing(host, file, target="0002", entry={"x_arguments": ["a=b"]})
    host.ship("generic", "other")
    assert "rehearsed release generic, and this is other" in missing(host, file)
    assert missing(host, file, release=at_first) == ""

    options = {"release": at_first, "require_rehearsal": True}
    host.result("upgrade", database(file), run="r3", target="0002", release=at_first)
    assert "it has moved" in missing(host, file, **options)
    assert rehearsed(host, file, run="r4", release=at_first)["outcome"] == "rehearsed"
    assert host.result("upgrade", database(file), run="r5", **options)["outcome"] == "upgraded"
    assert heads(file) == ["0003"]


def test_a_failed_rehearsal_takes_the_place_of_an_earlier_success(host: Host, file: Path, at_first: str) -> None:
    rehearsed(host, file)
    assert missing(host, file) == ""
    host.revise(at_first, "0003", "0002", "raise RuntimeError('no')")
    assert rehearsed(host, file, run="r2")["outcome"] == "failed"
    assert "none has succeeded" in missing(host, file)


def test_rows_above_the_limit_are_only_counted(host: Host, file: Path, at_first: str) -> None:
    host.revise(at_first, "0003", "0002", "op.execute(\"update item set name = 'x'\")")
    assert verdicts(rehearsed(host, file, row_counts_limit=0)) == [("0002", "reversible"), ("0003", "reversible")]


def test_text_that_is_not_utf_8_is_compared(host: Host, file: Path, at_first: str) -> None:
    script(file, "create table mine (a); insert into mine values (cast(x'4de96c' as text))")
    host.revise(at_first, "0003", "0002", "op.execute('update mine set a = cast(a as blob)')")

    result = rehearsed(host, file)

    assert verdicts(result) == [("0002", "reversible"), ("0003", "lossy")]


def test_a_revision_above_one_that_writes_other_values_each_time_is_not_blamed_for_them(
    host: Host, file: Path, at_first: str
) -> None:
    random = "op.execute('update item set note = hex(randomblob(8))')"
    host.revise(at_first, "0003", "0002", random, "pass")
    add, drop = "op.execute('alter table item add extra text')", "op.execute('alter table item drop extra')"
    host.revise(at_first, "0004", "0003", add, drop)
    host.revise(at_first, "0005", "0004", "op.execute('delete from item')", "pass")

    result = rehearsed(host, file)

    assert verdicts(result)[2:] == [("0004", "reversible"), ("0005", "lossy")]
