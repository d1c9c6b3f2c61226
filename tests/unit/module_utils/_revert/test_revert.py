from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.manifest import list_proven
from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import HALF_WAY, Failed
from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import (
    Event,
    Journal,
    find_net_outcome,
    needs_revert,
    reject,
)
from ansible_collections.hosting.alembic.plugins.module_utils._journal.run_state import read_last_run_state
from ansible_collections.hosting.alembic.plugins.module_utils._revert import revert, verification
from ansible_collections.hosting.alembic.plugins.module_utils._revert.run_record import RunRecord
from tests.codes import assert_error
from tests.unit.stage import Answer, Host, database, heads, script, sql, tables


@pytest.fixture
def mine(file: Path) -> Path:
    """A database with something in it."""
    return script(file, "create table mine (a); insert into mine values (1), (2)")


def undone(result: Answer) -> list[str]:
    return [step["revision"] for step in result["undone"]]


def failed_upgrade(host: Host, file: Path, fixture: str = "broken", **more: Any) -> Answer:
    if fixture:
        host.ship(fixture)
    result = host.result("upgrade", database(file), **more)
    assert result["outcome"] == "failed"
    return result


def break_third(host: Host, before: str = "pass") -> None:
    """Let the third revision fail after a statement."""
    versions = host.layout.release("broken") / "source" / "migrations" / "versions"
    path = versions / "0003_fails_in_its_middle.py"
    path.write_text(
        path.read_text().replace('op.create_table("half", sa.Column("id", sa.Integer(), primary_key=True))', before)
    )


# After a failure


def test_what_was_committed_is_undone_in_reverse(host: Host, mine: Path) -> None:
    host.ship("broken")
    break_third(host)
    failed_upgrade(host, mine, "")

    result = host.result("downgrade", database(mine))

    assert (result["outcome"], result["changed"]) == ("downgraded", True)
    assert undone(result) == ["0002", "0001"]
    assert (result["before"], result["after"]) == (["0002"], [])
    assert result["upgrade_error"]["what"].startswith("Revision 0003")
    assert heads(mine) == []
    assert tables(mine) == {"mine", "alembic_version"}
    assert sql(mine, "select count(*) from mine") == [(2,)]


def test_only_what_this_run_committed_is_undone(host: Host, mine: Path) -> None:
    host.ship("broken")
    break_third(host)
    host.result("upgrade", database(mine, target="0001"), run="r0")
    sql(mine, "insert into item (id, name) values (1, 'kept')")
    failed_upgrade(host, mine, "")

    result = host.result("downgrade", database(mine))

    assert undone(result) == ["0002"]
    assert heads(mine) == ["0001"] == result["after"]
    assert sql(mine, "select id, name from item") == [(1, "kept")]


def test_where_a_downgrade_is_not_enough_the_backup_is_restored(host: Host, mine: Path) -> None:
    failed_upgrade(host, mine)

    result = host.result("downgrade", database(mine))

    assert (result["outcome"], result["changed"], undone(result)) == ("restored", True, [])
    assert result["after"] == []
    assert "left something behind" in result["reason"]
    assert tables(mine) == {"mine"}
    assert sql(mine, "select a from mine") == [(1,), (2,)]
    assert {"half", "item", "mine"} <= tables(Path(result["retained"]))


NUMBERED = "create table numbered (id integer primary key autoincrement); insert into numbered values (1)"
GIVEN = "insert into numbered values (5); delete from numbered where id = 5"


@pytest.mark.parametrize(
    ("write", "named"),
    [(GIVEN, "table numbered were given out up to 5"), ("pragma user_version = 3", "user_version was 0")],
)
def test_what_others_did_that_no_row_shows_holds(host: Host, file: Path, write: str, named: str) -> None:
    failed_upgrade(host, script(file, NUMBERED))
    script(file, write)

    held = host.result("downgrade", database(file))

    assert held["outcome"] == "held", held
    assert named in held["error"]["why"]


def test_rows_of_sqlites_own_tables_do_not_lead_to_a_restore(host: Host, file: Path) -> None:
    """A restore would lose what others wrote, and a downgrade loses nothing."""
    host.ship("broken")
    break_third(host)
    script(file, f"create table mine (a); create index by_a on mine (a); {NUMBERED}; analyze")
    failed_upgrade(host, file, "")
    sql(file, "insert into numbered default values")

    result = host.result("downgrade", database(file))

    assert (result["outcome"], undone(result)) == ("downgraded", ["0002", "0001"]), result["error"]
    assert sql(file, "select id from numbered") == [(1,), (2,)]


@pytest.mark.parametrize("given", [GIVEN, "select 1"])
def test_a_downgrade_gives_no_number_a_second_time_that_others_had(host: Host, file: Path, given: str) -> None:
    host.ship("generic")
    back = "op.execute(\"update sqlite_sequence set seq = 1 where name = 'numbered'\")"
    host.revise("generic", "0003", "0002", "pass", back)
    host.revise("generic", "0004", "0003", "raise RuntimeError('no')")
    script(file, NUMBERED)
    failed_upgrade(host, file, "")
    script(file, given)

    result = host.result("downgrade", database(file), on_failure="downgrade")

    assert result["outcome"] == "downgraded", (result.get("error"), result["notes"])
    sql(file, "insert into numbered default values")
    assert sql(file, "select max(id) from numbered") == [(6 if given == GIVEN else 2,)]


@pytest.mark.parametrize(
    "write", ["insert into mine values (3)", "update mine set a = 7 where a = 1", "delete from mine where a = 2"]
)
def test_where_others_wrote_meanwhile_it_is_held_until_a_person_decides(host: Host, mine: Path, write: str) -> None:
    failed_upgrade(host, mine)
    sql(mine, write)
    rows = sql(mine, "select a from mine")

    held = host.result("downgrade", database(mine))

    assert (held["outcome"], held["changed"]) == ("held", False)
    assert_error(held["error"], "others-wrote", "mine")
    assert "playbooks/restore.yml -e migrate_restore_run=r1" in held["ways_out"]["back"]
    assert sql(mine, "select a from mine") == rows
    assert "half" in tables(mine)

    # The revert that it printed.
    restored = host.result("restore", database(mine), run="r2", of_run="r1", restore_loses_writes=True)

    assert restored["outcome"] == "restored"
    assert tables(mine) == {"mine"}
    assert sql(mine, "select a from mine") == [(1,), (2,)]
    assert sql(Path(restored["retained"]), "select a from mine") == rows


def test_rows_that_the_run_itself_changed_do_not_keep_it_from_a_restore(host: Host, mine: Path) -> None:
    host.ship("broken")
    half = 'op.create_table("half", sa.Column("id", sa.Integer(), primary_key=True))'
    break_third(host, f"[op.execute('update mine set a = a + 10'), {half}]")
    versions = host.layout.release("broken") / "source" / "migrations" / "versions"
    second = next(versions.glob("0002*"))
    second.write_text(
        second.read_text().replace(
            "def upgrade() -> None:\n", "def upgrade() -> None:\n    op.execute('delete from mine where a = 2')\n"
        )
    )
    failed_upgrade(host, mine, "")
    assert sql(mine, "select count(*) from mine") == [(1,)]

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "restored"
    assert sql(mine, "select a from mine") == [(1,), (2,)]


def test_a_dropped_column_is_restored_with_what_was_in_it(host: Host, mine: Path) -> None:
    """A downgrade makes the column again, and it is empty."""
    host.ship("broken")
    break_third(host)
    versions = host.layout.release("broken") / "source" / "migrations" / "versions"
    second = next(versions.glob("0002*"))
    text = second.read_text()
    head = text[: text.index("def upgrade")]
    second.write_text(
        f"{head}def upgrade() -> None:\n    op.execute('alter table mine drop column b')\n\n\n"
        "def downgrade() -> None:\n    op.execute('alter table mine add column b')\n"
    )
    script(mine, "alter table mine add column b; update mine set b = 'precious'")
    failed_upgrade(host, mine, "")

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "restored"
    assert "column mine.b is gone" in result["reason"]
    assert sql(mine, "select a, b from mine") == [(1, "precious"), (2, "precious")]


def test_rows_that_others_wrote_after_the_failure_keep_it_from_a_restore(host: Host, mine: Path) -> None:
    failed_upgrade(host, mine)
    (failed,) = [event for event in host.events() if event["event"] == "failed"]
    assert failed["content"]
    sql(mine, "insert into item (id, name) values (1, 'late')")
    sql(mine, "insert into mine values (3)")

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "held"
    assert sql(mine, "select a from mine") == [(1,), (2,), (3,)]


def test_rows_that_others_wrote_while_it_ran_keep_it_from_a_restore(host: Host, mine: Path) -> None:
    """The other program writes from inside of a revision's process, over a connection of its own."""
    host.ship("broken")
    half = 'op.create_table("half", sa.Column("id", sa.Integer(), primary_key=True))'
    other = f"__import__('sqlite3').connect({str(mine)!r}, isolation_level=None).execute('insert into mine values (3)')"
    break_third(host, f"[{other}, {half}]")
    failed_upgrade(host, mine, "")
    (failed,) = [event for event in host.events() if event["event"] == "failed"]
    assert failed["content"] is None

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "held"
    assert sql(mine, "select a from mine") == [(1,), (2,), (3,)]


def test_what_a_person_may_choose_on_failure(host: Host, mine: Path) -> None:
    host.ship("broken")
    break_third(host)
    failed_upgrade(host, mine, "")

    held = host.result("downgrade", database(mine), on_failure="hold")

    assert (held["outcome"], held["after"], heads(mine)) == ("held", ["0002"], ["0002"])
    assert sorted(held["ways_out"]) == ["back", "forward"]


def test_on_failure_restore_does_not_try_a_downgrade(host: Host, mine: Path) -> None:
    host.ship("broken")
    break_third(host)
    failed_upgrade(host, mine, "")

    result = host.result("downgrade", database(mine), on_failure="restore")

    assert (result["outcome"], undone(result)) == ("restored", [])
    assert tables(mine) == {"mine"}


def test_on_failure_downgrade_never_restores(host: Host, mine: Path) -> None:
    failed_upgrade(host, mine)

    result = host.result("downgrade", database(mine), on_failure="downgrade")

    assert result["outcome"] == "held"
    assert {"half", "item"} <= tables(mine)


def test_a_batch_that_failed_in_its_middle_is_tidied_up_and_the_rest_downgraded(host: Host, mine: Path) -> None:
    """Others wrote, so a restore would lose something; the table that the batch was filling does not count."""
    host.ship("broken")
    break_third(host, "op.execute('create table _alembic_tmp_mine as select * from mine')")
    failed_upgrade(host, mine, "")
    sql(mine, "insert into mine values (3)")

    result = host.result("downgrade", database(mine))

    assert (result["outcome"], undone(result)) == ("downgraded", ["0002", "0001"])
    assert tables(mine) == {"mine", "alembic_version"}
    assert sql(mine, "select a from mine") == [(1,), (2,), (3,)]


def test_what_a_batch_was_filling_stays_where_the_other_table_is_gone(host: Host, mine: Path) -> None:
    host.ship("broken")
    break_third(
        host, "[op.execute('create table _alembic_tmp_mine as select * from mine'), op.execute('drop table mine')]"
    )
    failed_upgrade(host, mine, "")

    result = host.result("downgrade", database(mine), on_failure="downgrade")

    assert result["outcome"] == "held"
    assert sql(mine, "select a from _alembic_tmp_mine") == [(1,), (2,)]


@pytest.mark.parametrize("fixture", ["broken", "broken_autocommit", "swallows"])
def test_a_database_that_was_not_there_is_not_there_again_or_at_base(host: Host, file: Path, fixture: str) -> None:
    failed_upgrade(host, file, fixture)

    result = host.result("downgrade", database(file))

    assert result["outcome"] in ("restored", "downgraded")
    assert result["after"] == []
    assert not file.exists() or tables(file) <= {"alembic_version"}


def fail_with_downgrade(host: Host, file: Path, downgrade: str) -> None:
    """Fail in the third revision, with another downgrade of the first one's table."""
    host.ship("broken")
    break_third(host)
    versions = host.layout.release("broken") / "source" / "migrations" / "versions"
    path = versions / "0001_items.py"
    path.write_text(path.read_text().replace('op.drop_table("item")', downgrade))
    failed_upgrade(host, file, "")


def test_a_downgrade_that_fails_is_restored(host: Host, mine: Path) -> None:
    fail_with_downgrade(host, mine, "raise RuntimeError('no way back')")

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "restored"
    assert "no way back" in result["reason"]
    assert tables(mine) == {"mine"}


@pytest.mark.parametrize("function", ["keep_positions", "list_still_applied"])
def test_what_fails_after_a_downgrade_failed_does_not_hide_why(
    host: Host, mine: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    fail_with_downgrade(host, mine, "raise RuntimeError('no way back')")

    def fails(*_: object) -> None:
        raise RuntimeError("and this as well")

    monkeypatch.setattr(verification if function == "keep_positions" else revert, function, fails)
    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "restored", result
    assert "no way back" in result["reason"]
    assert "after the downgrade had failed: RuntimeError: and this as well" in result["notes"]
    assert tables(mine) == {"mine"}


def test_a_downgrade_that_does_not_bring_the_schema_back_is_restored(host: Host, mine: Path) -> None:
    fail_with_downgrade(host, mine, "pass")

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "restored"
    assert "did not bring the old schema back" in result["reason"]
    assert tables(mine) == {"mine"}


def test_a_downgrade_that_takes_rows_with_it_does_not_pass_for_a_revert(host: Host, mine: Path) -> None:
    fail_with_downgrade(host, mine, 'op.drop_table("item"); op.execute("delete from mine where a = 1")')

    result = host.result("downgrade", database(mine))

    # No other session has written, which the engine knows, so nothing is lost by a restore.
    assert result["outcome"] == "restored"
    assert "the downgrades changed rows" in result["reason"]
    assert sql(mine, "select a from mine") == [(1,), (2,)]


def test_a_failure_before_anything_was_committed_is_left_untouched(host: Host, mine: Path) -> None:
    host.revise(host.ship("generic"), "0003", "0002", "pass")
    host.result("upgrade", database(mine, target="0002"), run="r0")
    host.revise("generic", "0004", "0003", "pass")
    path = host.revise("generic", "0003", "0002", "raise RuntimeError")
    assert path.exists()
    before = mine.read_bytes()
    failed_upgrade(host, mine, "")

    result = host.result("downgrade", database(mine))

    assert (result["outcome"], result["changed"], result["after"]) == ("untouched", False, ["0002"])
    assert mine.read_bytes() == before


@pytest.mark.parametrize("how", ["damaged", "without its dump", "deleted"])
def test_without_its_backup_it_is_held_with_both_ways_out(host: Host, mine: Path, how: str) -> None:
    failed_upgrade(host, mine)
    (manifest,) = list_proven(host.layout.locate_backups("app"))
    dump = Path(manifest.path) / manifest.dump
    if how == "damaged":
        dump.write_bytes(dump.read_bytes()[:-1])
    elif how == "without its dump":
        dump.unlink()
    else:
        shutil.rmtree(manifest.path)
    before = mine.read_bytes()

    result = host.result("downgrade", database(mine))

    assert (result["outcome"], result["changed"]) == ("held", False)
    assert result["after"] == ["0002"]
    assert "migrate_retry_failed" in result["ways_out"]["forward"]
    if how != "deleted":
        assert_error(result["error"], "restore-replaced-nothing")
        # Who would type a command that restores it would lose the database.
        assert str(dump) not in result["ways_out"]["back"]
        assert "there is no older one" in result["ways_out"]["back"]
    assert mine.read_bytes() == before


def test_without_its_backup_a_rollback_is_printed_though_it_may_leave_something(host: Host, mine: Path) -> None:
    host.ship("broken")
    break_third(host)
    failed_upgrade(host, mine, "")
    Journal(host.layout.locate_journal("app", "r1"), "upgrade").write(
        "wrote_unseen", revision="0003", table="alembic_version", reason="another program"
    )
    sql(mine, "insert into item (id, name) values (1, 'theirs')")
    (manifest,) = list_proven(host.layout.locate_backups("app"))
    shutil.rmtree(manifest.path)

    held = host.result("downgrade", database(mine))

    assert (held["outcome"], undone(held)) == ("held", []), held
    assert "rollback.yml" in held["ways_out"]["back"]
    assert "migrate_rollback_run=r1" in held["ways_out"]["back"]
    # The way out that it printed, with what it takes in a backup of its own.
    result = rolled_back(host, mine, only=["app"])
    assert (result["outcome"], tables(mine)) == ("downgraded", {"mine", "alembic_version"}), result
    kept = Path(result["backup"]["path"]) / result["backup"]["dump"]
    assert sql(kept, "select name from item") == [("theirs",)]


def test_where_its_backup_is_damaged_the_revert_names_an_older_one(host: Host, mine: Path) -> None:
    host.ship("generic")
    host.result("backup", database(mine), run="r0")
    failed_upgrade(host, mine)
    newest, older = list_proven(host.layout.locate_backups("app"))
    dump = Path(newest.path) / newest.dump
    dump.write_bytes(dump.read_bytes()[:-1])

    back = host.result("downgrade", database(mine))["ways_out"]["back"]

    assert f"-e migrate_restore_backup={older.path}" in back
    restored = host.result("restore", database(mine), run="r2", backup=older.path, restore_loses_writes=True)
    assert restored["outcome"] == "restored"
    assert tables(mine) == {"mine"}


def test_a_database_that_others_moved_meanwhile_is_held(host: Host, mine: Path) -> None:
    failed_upgrade(host, mine)
    sql(mine, "update alembic_version set version_num = '0001'")
    before = mine.read_bytes()

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "held"
    assert_error(result["error"], "database-moved", "r1", "0002", "0001")
    assert mine.read_bytes() == before


def test_several_version_tables_of_a_new_database_are_reverted(host: Host, file: Path) -> None:
    """Before there was a database, it was unknown what its version tables would be called."""
    host.ship("several_contexts")
    host.revise("several_contexts", "0003", "0002", "raise RuntimeError('no')")
    failed_upgrade(host, file, "")

    result = host.result("downgrade", database(file))

    assert result["outcome"] in ("downgraded", "restored")
    assert not file.exists() or tables(file) <= {"alembic_version_red", "alembic_version_blue"}


def test_other_databases_stay_as_they_are(host: Host, file: Path) -> None:
    host.ship("broken")
    good, bad = file.with_name("good.db"), file.with_name("bad.db")
    one, other = database(good, "good", target="0002"), database(bad, "bad")

    upgrade = host.do("upgrade", one, other)
    answer = host.do("downgrade", one, other)

    assert [result["outcome"] for result in upgrade["results"]] == ["upgraded", "failed"]
    assert [result["name"] for result in answer["results"]] == ["bad"]
    assert heads(good) == ["0002"]


def test_a_run_that_went_well_needs_no_revert(host: Host, mine: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(mine))

    answer = host.do("downgrade", database(mine))

    assert (answer["finished"], answer["results"]) == (True, [])
    assert heads(mine) == ["0002"]


# On purpose


def rolled_back(host: Host, file: Path, of_run: str = "r1", **options: Any) -> Answer:
    return host.result("rollback", database(file), run="back", of_run=of_run, **options)


@pytest.mark.parametrize("fixture", ["generic", "several_contexts"])
def test_a_run_is_rolled_back_after_a_backup_of_what_was_written_since(host: Host, mine: Path, fixture: str) -> None:
    host.ship(fixture)
    host.result("upgrade", database(mine))
    sql(mine, "insert into mine values (3)")

    result = rolled_back(host, mine)

    assert (result["outcome"], result["changed"], result["of_run"]) == ("downgraded", True, "r1")
    assert result["after"] == []
    # A version table stays; rows of others stay too.
    assert {name for name in tables(mine) if not name.startswith("alembic_version")} == {"mine"}
    assert sql(mine, "select count(*) from mine") == [(3,)]
    copy = Path(result["backup"]["path"]) / result["backup"]["dump"]
    assert sql(copy, "select count(*) from mine") == [(3,)]
    assert "mine" in tables(copy)
    assert tables(copy) > {"mine"}


@pytest.mark.parametrize("fixture", ["generic", "several_contexts"])
def test_the_run_that_made_a_database_is_rolled_back_to_base(host: Host, file: Path, fixture: str) -> None:
    host.ship(fixture)
    host.result("upgrade", database(file))

    result = rolled_back(host, file)

    assert result["outcome"] == "downgraded"
    assert not [name for name in tables(file) if not name.startswith("alembic_version")]


def test_one_branch_of_several_is_rolled_back(host: Host, mine: Path) -> None:
    host.ship("multi_heads")
    host.result("upgrade", database(mine, target="contract@c001"), run="r0")
    host.result("upgrade", database(mine, target="heads"))

    result = rolled_back(host, mine)

    assert result["outcome"] == "downgraded"
    assert heads(mine) == ["c001"] == result["after"]


def test_a_run_that_later_runs_built_on_is_refused_with_which(host: Host, mine: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(mine, target="0001"))
    host.result("upgrade", database(mine), run="r2")

    result = rolled_back(host, mine)

    assert result["outcome"] == "refused"
    assert_error(result["error"], "rollback-not-possible", "r2", "migrate_rollback_run=r2")
    assert heads(mine) == ["0002"]


def test_a_database_that_others_moved_since_is_refused(host: Host, mine: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(mine))
    sql(mine, "update alembic_version set version_num = '0001'")

    result = rolled_back(host, mine)

    assert (result["outcome"], result["changed"]) == ("refused", False)
    assert_error(result["error"], "database-moved", "r1")
    assert [manifest.run for manifest in list_proven(host.layout.locate_backups("app"))] == ["r1"]


def test_what_was_rolled_back_is_not_rolled_back_again(host: Host, mine: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(mine))
    rolled_back(host, mine)

    answer = host.do("rollback", database(mine), run="again", of_run="r1")

    assert [result["outcome"] for result in answer["results"]] == ["refused"]
    assert heads(mine) == []


def test_a_rollback_that_fails_leaves_everything_as_it_was(host: Host, mine: Path) -> None:
    """What others have written since the upgrade is in the backup that it takes before it begins."""
    path = host.revise(host.ship("generic"), "0003", "0002", "op.execute('create table three (a)')")
    path.write_text(path.read_text().replace("    pass", "    raise RuntimeError('no way back')"))
    host.result("upgrade", database(mine))
    sql(mine, "insert into mine values (3)")

    result = rolled_back(host, mine)

    assert result["outcome"] == "failed"
    assert "no way back" in result["error"]["why"]
    assert heads(mine) == ["0003"]
    assert sql(mine, "select count(*) from mine") == [(3,)]


#: Downgrades of a revision that adds a column to a table, and whether they change rows that are in the backup too.
DOWNGRADES = {
    "op.execute('delete from mine where a = 1')": True,
    "op.execute('update mine set a = a + 1')": True,
    "op.execute('update mine set a = a')": False,
    "op.drop_column('mine', 'b')": False,
    "\n    with op.batch_alter_table('mine', recreate='always') as batch: batch.drop_column('b')": False,
}


@pytest.mark.parametrize("downgrade", DOWNGRADES)
def test_rows_that_a_rollback_changed_are_named(host: Host, file: Path, downgrade: str) -> None:
    mine = script(file, "create table mine (a integer); insert into mine values (1), (2)")
    add = "op.add_column('mine', sa.Column('b', sa.Text))"
    host.revise(host.ship("generic"), "0003", "0002", add, f"{downgrade}\n    pass")
    host.result("upgrade", database(mine))
    sql(mine, "update mine set b = 'theirs'")
    if "drop_column" not in downgrade:
        path = host.layout.release("generic") / "source" / "migrations" / "versions" / "0003.py"
        path.write_text(path.read_text().replace("    pass", "    op.drop_column('mine', 'b')"))

    result = rolled_back(host, mine)

    assert result["outcome"] == "downgraded", result
    notes = [note for note in result["notes"] if note.startswith("the downgrade changed rows of mine;")]
    assert bool(notes) == DOWNGRADES[downgrade], result["notes"]
    if notes:
        assert notes[0].endswith(result["backup"]["path"])


# By the run itself: a rollout that failed elsewhere


def taken_back(host: Host, file: Path, **options: Any) -> Answer:
    return host.result("rollback", database(file), run="r1", of_run="r1", **options)


def test_a_run_that_takes_itself_back_has_moved_nothing(host: Host, mine: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(mine, target="0001"), run="r0")
    host.result("upgrade", database(mine))

    result = taken_back(host, mine)

    assert result["outcome"] == "downgraded"
    assert heads(mine) == ["0001"]
    assert find_net_outcome(host.events("r1")) == ""
    assert [each["revision"] for each in host.plan(database(mine))["pending"]] == ["0002"]
    assert host.plan(database(mine))["obstacles"] == []


def test_what_a_downgrade_would_not_fill_again_is_restored_where_no_session_wrote(host: Host, mine: Path) -> None:
    drop, add = "alter table item drop column note", "alter table item add column note varchar(200)"
    host.revise(host.ship("generic"), "0003", "0002", f"op.execute({drop!r})", f"op.execute({add!r})")
    host.result("upgrade", database(mine, target="0002"), run="r0")
    sql(mine, "insert into item (name, note) values ('one', 'worth keeping')")
    host.result("upgrade", database(mine))

    result = taken_back(host, mine)

    assert result["outcome"] == "restored"
    assert sql(mine, "select note from item") == [("worth keeping",)]
    assert heads(mine) == ["0002"]
    assert find_net_outcome(host.events("r1")) == ""


# What a journal records


def test_an_account_is_read_from_a_journal(tmp_path: Path) -> None:
    events: list[Event] = [
        {"event": "planned", "release": "abc"},
        {
            "event": "backed_up",
            "path": str(tmp_path),
            "heads": {"main.v": ["1"]},
            "fingerprint": ["table t"],
            "at": "1",
        },
        {"event": "begun", "table": "main.v", "revision": "2"},
        {"event": "committed", "table": "main.v", "revision": "2"},
        {"event": "begun", "table": "main.v", "revision": "3"},
    ]
    run_record = RunRecord.of("r1", events)

    assert (run_record.release, run_record.backup, run_record.cut_short) == ("abc", tmp_path, True)
    assert run_record.begun == {"main.v": ["2", "3"]}
    assert run_record.committed == {"main.v": ["2"]}
    assert run_record.before.heads == {"main.v": ["1"]}

    ended = {
        "event": "failed",
        "heads": {"main.v": ["2"]},
        "fingerprint": [],
        "left": ["+table half"],
        "error": {"what": "x"},
    }
    run_record = RunRecord.of("r1", [*events, ended])
    assert (run_record.cut_short, run_record.left, run_record.error) == (False, ["+table half"], {"what": "x"})
    assert run_record.after.heads == {"main.v": ["2"]}


_BEGUN = {"event": "begun", "table": "main.v", "revision": "2"}
_HEARD = {"event": "touches", "names": [], "reason": ""}
_NAMED = {"event": "touches", "names": ["item", "log"], "reason": ""}
_DOUBTED = {"event": "touches", "names": [], "reason": "it has started another program"}
_UNSEEN = {"event": "wrote_unseen", "table": "main.v", "revision": "2", "reason": "it used another connection"}
_DOWNGRADED = {"event": "downgrade_begun", "table": "main.v", "revision": "2"}


@pytest.mark.parametrize(
    ("events", "touched"),
    [
        ([_HEARD, _BEGUN], set()),
        ([_HEARD, _BEGUN, _NAMED, _HEARD, _DOWNGRADED], {"item", "log"}),
        # An earlier version began it, and journaled none of its statements.
        ([_BEGUN, _HEARD, _DOWNGRADED, _NAMED], {"*", "item", "log"}),
        ([_BEGUN], {"*"}),
        ([], {"*"}),
        ([_HEARD, _BEGUN, _DOUBTED], {"*"}),
        ([_HEARD, _BEGUN, _NAMED, _UNSEEN], {"*"}),
    ],
)
def test_what_statements_have_named_is_known_where_all_were_heard(
    events: list[dict[str, Any]], touched: set[str]
) -> None:
    assert RunRecord.of("r1", events).collect_written_rows({}).touched == touched


def test_the_transactions_of_a_run_are_those_of_its_upgrade_and_of_its_revert(tmp_path: Path) -> None:
    events: list[Event] = [
        {"event": "backed_up", "path": str(tmp_path), "heads": {"public.v": []}, "fingerprint": ["table t"], "at": "1"},
        {"event": "ran", "table": "public.v", "revision": "1", "transactions": [7], "span": [7, 9]},
        {"event": "committed", "table": "public.w", "revision": "1"},
        {"event": "failed", "heads": {}, "fingerprint": [], "content_digest": {"not_shared": True}},
        {"event": "downgrade_ran", "table": "public.v", "revision": "1", "transactions": [12]},
    ]
    written_rows = RunRecord.of("r1", events).collect_written_rows({"relations": {}})

    assert (written_rows.transactions, written_rows.spans) == (frozenset({7, 12}), [[7, 9]])
    assert (written_rows.before, written_rows.version_tables) == (["table t"], frozenset({"public.v", "public.w"}))
    assert (written_rows.content_digest, written_rows.activity) == ({"not_shared": True}, {"relations": {}})


def test_rows_that_a_dead_process_had_committed_before_the_end_of_a_revision_are_left_unless_it_is_applied() -> None:
    events: list[Event] = [
        {"event": "begun", "table": "main.v", "revision": "2"},
        {"event": "wrote_early", "table": "main.v", "revision": "2", "rows": {"main.t": 3}},
        {"event": "ran", "table": "main.v", "revision": "2", "wrote": {"main.t": 4}},
        {"event": "begun", "table": "main.v", "revision": "3"},
        {"event": "wrote_early", "table": "main.v", "revision": "3", "rows": {"main.t": 1}},
    ]
    run_record = RunRecord.of("r1", events)
    run_record.committed = {"main.v": ["2"]}

    assert run_record.wrote == {"main.t": 5}
    assert run_record.list_left_by_unapplied() == ["+rows that revision 3 committed before its end"]
    describe: Event = {"event": "failed", "heads": {}, "fingerprint": [], "left": [], "wrote": {"main.t": 2}}
    run_record = RunRecord.of("r1", [*events, describe])
    assert run_record.wrote == {"main.t": 6}
    assert not run_record.list_left_by_unapplied()


def test_what_was_journaled_at_a_commit_counts_until_the_revision_has_ended() -> None:
    rows = {"pg_class": {"700": 1}}
    facts = {"wrote": {"t": 3}, "transactions": [7], "held": {"files": ["16390"]}, "catalog_rows": {"7": rows}}
    events: list[Event] = [
        {"event": "ran", "table": "v", "revision": "1", "wrote": {"v": 1}, "transactions": [7], "catalog_rows": {}},
        {"event": "commit_begun", "table": "v", "revision": "2", "written_rows": facts},
    ]
    dead = RunRecord.of("r1", events)

    assert (dead.wrote, dead.transactions) == ({"v": 1, "t": 3}, {7})
    assert (list(dead.held["files"]), dead.catalog_rows) == (["16390"], {"7": rows})

    later = {**facts, "wrote": {"t": 5}, "transactions": [7, 8]}
    twice = RunRecord.of("r1", [*events, {**events[-1], "written_rows": later}])
    assert (twice.wrote, twice.transactions) == ({"v": 1, "t": 5}, {7, 8})

    for ended in ("ran", "step_failed"):
        whole = RunRecord.of("r1", [*events, {"event": ended, "table": "v", "revision": "2", **later}])
        assert (whole.wrote, whole.transactions) == ({"v": 1, "t": 5}, {7, 8})


def test_only_an_upgrade_that_began_something_and_did_not_end_well_needs_a_revert() -> None:
    begun: Event = {"verb": "upgrade", "event": "begun"}

    def done(outcome: str) -> Event:
        return {"verb": "upgrade", "event": "done", "result": {"outcome": outcome}}

    assert needs_revert([begun])
    assert needs_revert([begun, done("failed")])
    assert not needs_revert([begun, done("upgraded")])
    assert not needs_revert([{"verb": "upgrade", "event": "planned"}, done("refused")])
    assert not needs_revert([])


# After an upgrade that was verified and then rejected


def rejected(host: Host, file: Path, **more: Any) -> Answer:
    answer = host.do("downgrade", database(file), rejected="http://127.0.0.1/: it answered 500", **more)
    (result,) = answer["results"]
    return dict(result)


def test_a_verified_upgrade_that_is_rejected_is_reverted_and_waits_for_a_person(host: Host, mine: Path) -> None:
    host.ship("generic")
    assert host.result("upgrade", database(mine))["outcome"] == "upgraded"
    assert host.do("downgrade", database(mine))["results"] == []

    result = rejected(host, mine)

    assert (result["outcome"], undone(result)) == ("downgraded", ["0002", "0001"])
    assert "it answered 500" in result["upgrade_error"]["why"]
    assert (heads(mine), tables(mine)) == ([], {"mine", "alembic_version"})
    assert rejected(host, mine, attach=True)["outcome"] == "downgraded"
    assert [event["event"] for event in host.events()].count("rejected") == 1
    (obstacle,) = host.plan(database(mine), run="r2")["obstacles"]
    assert_error(obstacle, "database-failed-before", "r1", "500")


def test_what_was_written_after_a_rejected_upgrade_is_not_lost(host: Host, mine: Path) -> None:
    host.revise(
        host.ship("generic"), "0003", "0002", 'op.execute("drop table mine")', 'op.execute("create table mine (a)")'
    )
    host.result("upgrade", database(mine))
    script(mine, "create table theirs (a); insert into theirs values (1)")

    result = rejected(host, mine)

    assert (result["outcome"], heads(mine)) == ("held", ["0003"])
    assert sql(mine, "select * from theirs") == [(1,)]
    assert set(result["ways_out"]) == {"back", "forward"}


def test_a_rejected_upgrade_whose_revert_did_not_run_is_cut_short(host: Host, mine: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(mine))
    assert read_last_run_state(host.layout, "app").state == ""
    reject(
        Journal(host.layout.locate_journal("app", "r1"), "upgrade"),
        {"what": "it was rejected", "why": "", "remedy": ""},
    )
    # Its worker may still be about to end; then the controller has its word.
    assert read_last_run_state(host.layout, "app").state in ("cut_short", "running")


# Text that is not UTF-8, as old applications have left it

LATIN_1 = "create table mine (a); insert into mine values (cast(x'4de96c' as text)), (x'00ff'), (2.5), (null)"


@pytest.mark.parametrize("left", ["pass", ""])
def test_text_that_is_not_utf_8_does_not_stop_a_revert(host: Host, file: Path, left: str) -> None:
    script(file, LATIN_1)
    rows = sql(file, "select hex(a), typeof(a) from mine")
    host.ship("broken")
    if left:
        break_third(host, left)
    failed_upgrade(host, file, "")

    result = host.result("downgrade", database(file))

    assert result["outcome"] == ("downgraded" if left else "restored")
    assert sql(file, "select hex(a), typeof(a) from mine") == rows


@pytest.mark.parametrize(("statement", "outcome"), [("", "restored"), ("update mine set a = x'4de96d'", "held")])
def test_text_that_is_not_utf_8_is_compared(host: Host, file: Path, statement: str, outcome: str) -> None:
    script(file, LATIN_1)
    failed_upgrade(host, file)
    if statement:
        script(file, statement)

    assert host.result("downgrade", database(file))["outcome"] == outcome


def test_a_restore_that_replaced_the_database_is_not_followed_by_downgrades(host: Host, mine: Path) -> None:
    host.ship("broken")
    break_third(host)
    versions = host.layout.release("broken") / "source" / "migrations" / "versions"
    second = next(versions.glob("0002*"))
    update = "def upgrade() -> None:\n    op.execute('update mine set a = a + 10')\n"
    second.write_text(second.read_text().replace("def upgrade() -> None:\n", update))
    failed_upgrade(host, mine, "")
    (manifest,) = list_proven(host.layout.locate_backups("app"))
    path = Path(manifest.path) / "manifest.json"
    facts = json.loads(path.read_text())
    facts["fingerprint"].append("table that_no_restore_brings")
    path.write_text(json.dumps(facts))

    result = host.result("downgrade", database(mine))

    assert (result["outcome"], undone(result)) == ("held", [])
    assert_error(result["error"], "restore-half-way")
    assert sql(mine, "select a from mine") == [(1,), (2,)]


def test_a_reason_in_front_of_an_error_keeps_its_code() -> None:
    assert Failed("what", "why", code=HALF_WAY).with_reason("reason").code == HALF_WAY


BY_ITSELF = "__import__('sqlite3').connect({path!r}, isolation_level=None).execute('update mine set a = a + 10')"
BY_A_PROGRAM = "__import__('subprocess').run(['sqlite3', {path!r}, 'update mine set a = a + 10'], check=True)"


@pytest.mark.parametrize("how", [BY_ITSELF, BY_A_PROGRAM])
def test_what_a_revision_wrote_past_its_connection_is_never_as_before(host: Host, mine: Path, how: str) -> None:
    host.ship("broken")
    break_third(host, f"[{how.format(path=str(mine))}, 1 / 0]")
    failed_upgrade(host, mine, "")

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "held"
    assert sql(mine, "select a from mine") == [(11,), (12,)]
