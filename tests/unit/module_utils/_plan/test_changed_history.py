from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._plan.at_head import read_known_plans
from ansible_collections.hosting.alembic.plugins.module_utils._plan.changed_history import History, check_made_anew
from tests.codes import assert_error
from tests.unit.stage import Answer, Host, database, heads, script, sql


@pytest.fixture
def release(host: Host, file: Path) -> str:
    """A release that has brought a database to its second revision, and has a third one since."""
    release = host.ship("generic")
    host.result("upgrade", database(file), run="first")
    shipped_again = host.ship("generic", "newer")
    host.revise(shipped_again, "0003", "0002", "op.create_table('extra', sa.Column('id', sa.Integer))")
    assert release != shipped_again
    return shipped_again


def versions(host: Host, release: str) -> Path:
    return host.layout.release(release) / "source" / "migrations" / "versions"


def edit(host: Host, release: str, revision: str = "0001") -> Path:
    path = next(versions(host, release).glob(f"{revision}*.py"))
    path.write_text(path.read_text() + "\n# edited\n")
    return path


def found(plan: Answer) -> str:
    return "\n".join(f"{finding['what']}: {finding['why']}" for finding in plan["changed_history"])


def apply_by_hand(file: Path, revision: str) -> None:
    sql(file, "update alembic_version set version_num = ?", revision)


def test_a_committed_revision_has_the_digest_of_its_file(host: Host, file: Path) -> None:
    release = host.ship("generic")
    host.result("upgrade", database(file))

    digests = [event["sha256"] for event in host.events() if event["event"] == "committed"]

    files = sorted(versions(host, release).glob("*.py"))
    assert digests == [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


@pytest.mark.usefixtures("release")
def test_nothing_is_reported_of_a_history_that_is_as_it_was(host: Host, file: Path) -> None:
    plan = host.plan(database(file))

    assert [step["revision"] for step in plan["pending"]] == ["0003"]
    assert (plan["changed_history"], plan["obstacles"]) == ([], [])


def test_a_file_that_has_changed_is_reported_with_the_run_that_applied_it(host: Host, file: Path, release: str) -> None:
    edit(host, release)

    plan = host.plan(database(file))

    assert_error(plan["changed_history"][0], "revision-files-changed", "0001", "run first")
    assert "0002" not in found(plan)
    assert plan["obstacles"] == []


def test_a_file_that_is_edited_before_it_is_applied_does_not_matter(host: Host, file: Path, release: str) -> None:
    edit(host, release, "0003")

    assert host.plan(database(file))["changed_history"] == []


def test_refuse_makes_it_an_obstacle_and_leaves_the_database_alone(host: Host, file: Path, release: str) -> None:
    edit(host, release)

    result = host.result("upgrade", database(file), run="second", on_changed_history="refuse")

    assert result["outcome"] == "refused"
    assert_error(result["error"], "revision-files-changed")
    assert heads(file) == ["0002"]
    assert not (host.layout.locate_backups("app") / "second").exists()


def test_warn_lets_the_upgrade_go_on_and_says_it_again_at_head(host: Host, file: Path, release: str) -> None:
    edit(host, release)

    result = host.result("upgrade", database(file), run="second")

    assert result["outcome"] == "upgraded"
    quick = read_known_plans(host.job("plan", database(file)))["app"]
    assert_error(quick["changed_history"][0], "revision-files-changed", "0001")
    (state,) = host.do("status", database(file))["databases"]
    assert_error(state["changed_history"][0], "revision-files-changed", "0001")


def test_a_database_that_was_adopted_is_not_reported(host: Host, file: Path) -> None:
    release = host.ship("generic")
    script(
        file,
        "create table item (id integer primary key, name varchar(50) not null);"
        "create table alembic_version (version_num varchar(32) not null primary key);"
        "insert into alembic_version values ('0001')",
    )
    host.result("backup", database(file), run="before")
    host.result("upgrade", database(file), run="first")
    host.revise(release, "0003", "0002", "pass")

    assert heads(file) == ["0002"]
    assert host.plan(database(file))["changed_history"] == []


def test_what_others_applied_since_is_reported_until_a_run_goes_ahead(host: Host, file: Path, release: str) -> None:
    host.revise(release, "0004", "0003", "pass")
    apply_by_hand(file, "0003")
    host.result("backup", database(file), run="nightly")

    plan = host.plan(database(file))
    assert_error(*plan["changed_history"], "revisions-of-unknown-origin", "'app'", "0003")
    assert host.result("upgrade", database(file), run="strict", on_changed_history="refuse")["outcome"] == "refused"
    assert host.result("upgrade", database(file), run="second")["outcome"] == "upgraded"

    host.revise(release, "0005", "0004", "pass")
    assert host.plan(database(file))["changed_history"] == []


def test_where_no_journal_has_applied_anything_nothing_is_checked(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table alembic_version (version_num varchar(32)); insert into alembic_version values ('0001')")

    assert host.plan(database(file))["changed_history"] == []


def test_a_file_that_is_gone_is_reported_where_alembic_can_do_without_it(host: Host, file: Path, release: str) -> None:
    (first,) = versions(host, release).glob("0001*.py")
    first.unlink()
    (second,) = versions(host, release).glob("0002*.py")
    second.write_text(second.read_text().replace('down_revision = "0001"', "down_revision = None"))

    printed = found(host.plan(database(file)))

    assert "Files of revisions are gone" in printed
    assert "0001 (by run first)" in printed
    assert "0002 (applied on" in printed


def test_what_was_rolled_back_is_not_missed(host: Host, file: Path, release: str) -> None:
    host.result("rollback", database(file), run="back", of_run="first")
    assert heads(file) == []
    for path in versions(host, release).glob("*.py"):
        path.unlink()
    host.revise(release, "other", None, "pass")  # type: ignore[arg-type]

    assert host.plan(database(file))["changed_history"] == []


def test_what_a_restore_took_away_is_not_missed(host: Host, file: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(file, target="0001"), run="first")
    host.ship("broken")
    assert host.result("upgrade", database(file), run="second")["outcome"] == "failed"
    assert host.result("downgrade", database(file), run="second")["outcome"] == "restored"
    (second,) = versions(host, host.ship("generic", "newer")).glob("0002*.py")
    second.unlink()

    plan = host.plan(database(file))

    assert heads(file) == ["0001"]
    assert plan["changed_history"] == []


def test_a_file_that_another_took_the_place_of_is_reported_and_one_that_was_restored_is_not(
    host: Host, file: Path
) -> None:
    one = database(file)
    host.ship("generic")
    host.result("upgrade", one, run="first")
    assert host.plan(one, remember=True)["changed_history"] == []
    assert read_known_plans(host.job("plan", one)), "no record was left, so this proves less"
    copy = file.read_bytes()
    file.unlink()

    (gone,) = host.plan(one)["changed_history"]
    assert_error(gone, "database-made-anew", "'app'", "first")
    assert not host.plan(one)["obstacles"]
    assert host.plan(one, on_changed_history="refuse")["obstacles"] == [gone]
    file.write_bytes(copy)
    for _ in range(2):
        plan = host.plan(one, remember=True)
        (anew,) = plan["changed_history"]
        assert_error(anew, "database-made-anew", "'app'", "first", "migrate_restore_databases")
        assert anew != gone
    (status,) = host.do("status", one)["databases"]
    assert status["changed_history"] == [anew]

    done = host.result("restore", one, run="second", of_run="first", restore_loses_writes=True)
    assert done["outcome"] == "restored", done
    assert host.plan(one)["changed_history"] == []


@pytest.mark.parametrize(
    ("known", "now", "reported"),
    [
        ("born 1.5", "born 1.5", False),
        ("born 1.5", "born 2.5", True),
        ("inode 7", "inode 8", True),
        ("inode 7", "born 2.5", False),  # another system or mount reported it; the file may be the same
        ("16384", "16390", True),
        ("16384", None, True),
        ("16384", "", False),
    ],
)
def test_what_cannot_be_known_is_not_a_finding(known: str, now: str | None, reported: bool) -> None:
    history = History(made=("2026-11-28T03:00:00", "r1", known))
    assert bool(check_made_anew("app", history, now)) == reported


@pytest.mark.parametrize("fixture", ["broken", "broken_autocommit"])
def test_a_file_that_a_revert_restored_or_removed_is_not_another_one(host: Host, file: Path, fixture: str) -> None:
    script(file, "create table mine (a)")
    host.ship(fixture)
    host.result("upgrade", database(file))
    host.result("downgrade", database(file))
    assert host.plan(database(file))["changed_history"] == []

    new = database(file.with_name("new.db"), "new")
    host.result("upgrade", new, run="r2")
    host.result("downgrade", new, run="r2")
    assert host.plan(new)["changed_history"] == []
