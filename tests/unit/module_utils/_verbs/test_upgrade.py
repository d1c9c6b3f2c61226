from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.manifest import check, list_proven
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.locks import FileLock
from tests.codes import assert_error, assert_names
from tests.unit.stage import Answer, Host, database, heads, script, sql, tables


def words(host: Host) -> list[str]:
    return [event["event"] for event in host.events()]


def applied(result: Answer) -> list[str]:
    return [step["revision"] for step in result["applied"]]


@pytest.mark.parametrize("fixture", ["generic", "async", "pyproject", "attributes_connection"])
@pytest.mark.parametrize("there", [True, False])
def test_an_upgrade_ends_at_its_target_with_a_proven_backup(
    host: Host, file: Path, fixture: str, *, there: bool
) -> None:
    host.ship(fixture)
    if there:
        script(file, "create table mine (a); insert into mine values (1)")
    driver = "+aiosqlite" if fixture == "async" else ""

    result = host.result("upgrade", database(file, url=f"sqlite{driver}:///{file}"))

    assert result["outcome"] == "upgraded"
    assert result["changed"]
    assert (result["before"], result["after"]) == ([], ["0002"])
    assert applied(result) == ["0001", "0002"]
    assert result["applied"][0]["message"] == "items"
    assert (result["error"], result["lost_rows"]) == (None, {})
    assert heads(file) == ["0002"]
    assert tables(file) == {"alembic_version", "item"} | ({"mine"} if there else set())
    (manifest,) = list_proven(host.layout.locate_backups("app"))
    check(manifest)
    assert manifest.path == result["backup"]["path"]
    assert manifest.row_counts == ({"mine": 1} if there else {})
    assert not file.with_name("app.db-migrating").exists()


def test_the_backup_holds_the_database_as_it_was_before(host: Host, file: Path) -> None:
    host.revise(host.ship("generic"), "0003", "0002", 'op.execute("delete from mine")')
    script(file, "create table mine (a); insert into mine values (1)")

    result = host.result("upgrade", database(file))

    copy = Path(result["backup"]["path"]) / result["backup"]["dump"]
    assert sql(copy, "select a from mine") == [(1,)]
    assert tables(copy) == {"mine"}


def test_a_second_run_changes_nothing_and_takes_no_backup(host: Host, file: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(file))
    before = file.read_bytes()

    result = host.result("upgrade", database(file), run="r2")

    assert (result["outcome"], result["changed"], result["backup"]) == ("unchanged", False, None)
    assert file.read_bytes() == before
    assert len(list_proven(host.layout.locate_backups("app"))) == 1


def test_lost_rows_are_reported_and_not_refused(host: Host, file: Path) -> None:
    release = host.ship("generic")
    host.revise(release, "0003", "0002", "op.execute(\"delete from mine where a > 1\"); op.drop_table('gone')")
    script(file, "create table mine (a); insert into mine values (1), (2), (3); create table gone (a)")
    script(
        file, "create table numbered (id integer primary key autoincrement); insert into numbered values (1); analyze"
    )
    sql(file, "insert into gone values (1)")

    result = host.result("upgrade", database(file))

    assert result["outcome"] == "upgraded"
    assert result["lost_rows"] == {"mine": [3, 1], "gone": [1, 0]}


def test_rows_above_the_limit_are_not_compared(host: Host, file: Path) -> None:
    host.revise(host.ship("generic"), "0003", "0002", 'op.execute("delete from mine")')
    script(file, "create table mine (a); insert into mine values (1)")

    assert host.result("upgrade", database(file), row_counts_limit=0)["lost_rows"] == {}


def test_several_version_tables_are_upgraded_and_verified(host: Host, file: Path) -> None:
    host.ship("several_contexts")

    result = host.result("upgrade", database(file))

    assert result["outcome"] == "upgraded"
    assert applied(result) == ["0001", "0002", "0001", "0002"]
    assert heads(file, "alembic_version_red") == heads(file, "alembic_version_blue") == ["0002"]


def test_a_version_table_with_nothing_to_do_does_not_keep_the_next_one_from_committing(host: Host, file: Path) -> None:
    host.ship("several_contexts")
    host.result("upgrade", database(file))
    script(file, "drop table blue_order; drop table blue_item; delete from alembic_version_blue")

    result = host.result("upgrade", database(file), run="r2")

    assert (result["outcome"], applied(result)) == ("upgraded", ["0001", "0002"])
    assert heads(file, "alembic_version_blue") == ["0002"]


def test_what_env_py_prints_is_kept_beside_the_journal_and_nowhere_else(
    host: Host, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    host.ship("prints")

    assert host.result("upgrade", database(file))["outcome"] == "upgraded"

    output = host.layout.locate_journal("app", "r1").with_suffix(".output")
    assert "env.py writes to descriptor 1" in output.read_text()
    assert "revision 0001 prints" in output.read_text()
    assert capfd.readouterr() == ("", "")


# Refused: nothing was tried


@pytest.mark.parametrize(
    ("fixture", "more", "code"),
    [
        ("multi_heads", {}, "several-heads"),
        ("generic", {"target": "ffff"}, "target-unreachable"),
        ("elsewhere", {"environment": {"ELSEWHERE_URL": "sqlite:////nowhere/else.db"}}, "env-py-failed"),
        ("generic", {"url": "oracle://u@server/x"}, "database-type-unsupported"),
    ],
)
def test_what_cannot_be_done_is_refused_before_a_backup(
    host: Host, file: Path, fixture: str, more: dict[str, Any], code: str
) -> None:
    host.ship(fixture)
    script(file, "create table mine (a)")
    before = file.read_bytes()

    result = host.result("upgrade", database(file, **more))

    assert (result["outcome"], result["changed"]) == ("refused", False)
    assert result["error"]["code"] == code
    assert result["error"]["remedy"] or result["error"]["why"]
    assert file.read_bytes() == before
    assert list_proven(host.layout.locate_backups("app")) == []
    assert not {"backed_up", "begun"} & set(words(host))


def test_an_env_py_that_hangs_is_refused_and_blocks_nothing(host: Host, file: Path) -> None:
    path = host.layout.release(host.ship("generic")) / "source" / "migrations" / "env.py"
    text = path.read_text()
    path.write_text(f"import time\ntime.sleep(600)\n{text}")
    script(file, "create table mine (a)")

    result = host.result("upgrade", database(file), plan_timeout=0.5)

    assert (result["outcome"], result["changed"]) == ("refused", False)
    assert_error(result["error"], "env-py-timeout", "0.5 s")
    assert not {"backed_up", "begun"} & set(words(host))
    path.write_text(text)
    assert host.result("upgrade", database(file), run="next", database_wait=10)["outcome"] == "upgraded"


def test_what_another_run_holds_is_refused_with_who_holds_it(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table mine (a)")
    lock = FileLock.attempt(file.with_name("app.db-migrating"), "run other")
    assert lock is not None

    result = host.result("upgrade", database(file), database_wait=0.2)
    lock.release()

    assert result["outcome"] == "refused"
    assert_error(result["error"], "database-locked", "run other")
    assert (result["before"], result["after"]) == (None, None), "nobody has read where it stands"
    assert tables(file) == {"mine"}


def test_a_shared_database_that_was_not_brought_here_is_refused(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table mine (a)")

    result = host.result("upgrade", database(file), verify_only=["app"])

    assert result["outcome"] == "refused"
    assert_error(result["error"], "shared-database-behind")
    assert tables(file) == {"mine"}


def test_a_shared_database_that_was_brought_here_is_verified(host: Host, file: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(file))

    assert host.result("upgrade", database(file), run="r2", verify_only=["app"])["outcome"] == "unchanged"


# Failed: how far it came


def test_a_failed_revision_is_reported_with_what_was_committed_before_it(host: Host, file: Path) -> None:
    host.ship("broken")
    script(file, "create table mine (a)")

    result = host.result("upgrade", database(file))

    assert (result["outcome"], result["changed"]) == ("failed", True)
    assert applied(result) == ["0001", "0002"]
    assert result["after"] == ["0002"] == heads(file)
    place = "versions/0003_fails_in_its_middle.py:15"
    assert_error(result["error"], "revision-failed", "0003", "this revision fails on purpose", place)
    (failed,) = [event for event in host.events() if event["event"] == "failed"]
    assert "+table half" in failed["left"]
    assert "half" in tables(file)


def test_a_revision_that_fails_before_it_did_anything_leaves_nothing_behind(host: Host, file: Path) -> None:
    release = host.ship("broken")
    path = host.layout.release(release) / "source" / "migrations" / "versions" / "0003_fails_in_its_middle.py"
    path.write_text(path.read_text().replace("op.create_table", "(lambda *_: None)"))
    script(file, "create table mine (a)")

    host.result("upgrade", database(file))

    (failed,) = [event for event in host.events() if event["event"] == "failed"]
    assert failed["left"] == []


def test_a_failure_that_env_py_hides_is_a_failure(host: Host, file: Path) -> None:
    host.ship("swallows")
    script(file, "create table mine (a)")

    result = host.result("upgrade", database(file))

    assert result["outcome"] == "failed"
    assert applied(result) == ["0001"]
    assert "fails on purpose" in result["error"]["why"]


def test_an_env_py_that_goes_elsewhere_once_it_may_write_is_stopped(host: Host, file: Path) -> None:
    """The dry pass was right; what counts is where env.py is when it comes to change something."""
    release = host.ship("elsewhere")
    env = host.layout.release(release) / "source" / "migrations" / "env.py"
    count = file.with_name("count")
    second = f"sqlite:///{script(file.with_name('other.db'), 'create table theirs (a)')}"
    turn = f"""
import os, pathlib
count = pathlib.Path({str(count)!r})
if count.exists():
    os.environ["ELSEWHERE_URL"] = {second!r}
count.touch()
"""
    env.write_text(turn + env.read_text())
    script(file, "create table mine (a)")

    result = host.result("upgrade", database(file, url_variables=["ELSEWHERE_URL"]))

    assert result["outcome"] == "failed"
    assert_error(result["error"], "env-py-other-database")
    assert tables(file.with_name("other.db")) == {"theirs"}
    assert tables(file) == {"mine"}


def test_an_env_py_that_undoes_its_work_is_found_out(host: Host, file: Path) -> None:
    release = host.ship("generic")
    env = host.layout.release(release) / "source" / "migrations" / "env.py"
    undo = "connection.exec_driver_sql('delete from alembic_version'); connection.commit()"
    env.write_text(
        env.read_text().replace("# ... etc.", "")
        + f"""
with engine_from_config(config.get_section("alembic"), prefix="sqlalchemy.").connect() as connection:
    {undo}
"""
    )
    script(file, "create table mine (a); create table alembic_version (version_num varchar(32) primary key)")

    result = host.result("upgrade", database(file))

    assert result["outcome"] == "failed"
    assert_error(result["error"], "target-not-reached")
    assert result["after"] == []


def upgrade_itself(host: Host, file: Path, reached: str) -> None:
    """Have env.py upgrade the database by plain Alembic in its second run, which is the one that may write."""
    source = host.layout.release(host.ship("generic")) / "source"
    count = file.with_name("count")
    alembic = [sys.executable, "-m", "alembic", "-x", f"url=sqlite:///{file}", "upgrade", reached]
    env = source / "migrations" / "env.py"
    of_argument = "context.get_x_argument(as_dictionary=True).get('url') or config.get_main_option('sqlalchemy.url')"
    given = f"config.set_main_option('sqlalchemy.url', {of_argument})\n    connectable = "
    env.write_text(
        f"""
import os, pathlib, subprocess
count = pathlib.Path({str(count)!r})
if count.exists() and "BY_ITSELF" not in os.environ:
    subprocess.run({alembic!r}, check=True, cwd={str(source)!r}, env={{**os.environ, "BY_ITSELF": "1"}})
count.touch()
"""
        + env.read_text().replace("connectable = ", given)
    )
    script(file, "create table mine (a); insert into mine values (1)")


@pytest.mark.parametrize(("reached", "own"), [("0001", ["0002"]), ("0002", [])])
def test_what_an_application_upgrades_by_itself_counts_as_what_it_is(
    host: Host, file: Path, reached: str, own: list[str]
) -> None:
    """Many an application upgrades when it starts, and starts where migrate_setup imports it."""
    upgrade_itself(host, file, reached)

    result = host.result("upgrade", database(file))

    assert (result["outcome"], result["after"], result["error"]) == ("upgraded", ["0002"], None)
    assert heads(file) == ["0002"]
    assert sql(file, "select a from mine") == [(1,)]
    (note,) = result["notes"]
    assert note.startswith("0001 was" if own else "0001, 0002 was")
    rollback = host.result("rollback", database(file), run="r2", of_run="r1")
    assert (rollback["outcome"], rollback["after"]) == ("downgraded", [])
    assert tables(file) - {"alembic_version"} == {"mine"}


def test_a_database_that_another_session_took_past_its_target_is_reported(host: Host, file: Path) -> None:
    upgrade_itself(host, file, "0002")

    result = host.result("upgrade", database(file, target="0001"))

    assert (result["outcome"], result["after"]) == ("upgraded", ["0002"])
    assert heads(file) == ["0002"]
    assert_names(result["notes"][1], "0002", "0001")


def test_a_damaged_database_is_not_upgraded(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table mine (a); create table more (a); create index i on more (a)")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany("insert into more values (?)", [("x" * 200,) for _ in range(500)])
    with file.open("r+b") as handle:
        handle.seek(file.stat().st_size // 2)
        handle.write(os.urandom(8192))
    before = file.read_bytes()

    result = host.result("upgrade", database(file))

    assert result["outcome"] == "failed"
    assert_error(result["error"], "backup-damaged")
    assert file.read_bytes() == before


# Locks that others hold


HOLD = """
import pathlib, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin immediate")
print("held", flush=True)
while not any(sys.argv[3] in journal.read_text() for journal in pathlib.Path(sys.argv[2]).glob("*.jsonl")):
    time.sleep(0.05)
"""


@contextmanager
def writing(host: Host, file: Path, until: str) -> Iterator[None]:
    """Keep a write lock in a process of its own, as an application does, until the journal has an event."""
    command = [sys.executable, "-c", HOLD, str(file), str(host.layout.locate_journals("app")), f'"event": "{until}"']
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.kill()


def test_a_lock_that_was_not_got_is_tried_for_again(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table mine (a)")

    with writing(host, file, "waits"):
        result = host.result("upgrade", database(file), lock_timeout=0.1, lock_wait=30)

    assert result["outcome"] == "upgraded"
    waits = [event["reason"] for event in host.events() if event["event"] == "waits"]
    assert set(waits) == {"database is locked"}


def test_a_lock_that_is_never_got_is_given_up_with_nothing_changed(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table mine (a)")
    before = file.read_bytes()

    with writing(host, file, "done"):
        result = host.result("upgrade", database(file), lock_timeout=0.1, lock_wait=0.5)

    assert result["outcome"] == "failed"
    assert "database is locked" in result["error"]["why"]
    assert applied(result) == []
    assert file.read_bytes() == before
