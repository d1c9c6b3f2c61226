"""What others write into what a run has made: a downgrade drops it, so it may not come without a word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from tests.integration.targets import PostgresTarget, SQLiteTarget, Target
from tests.unit.stage import Answer, Host

ITEM = "op.create_table('item', sa.Column('id', sa.Integer(), primary_key=True), sa.Column('name', sa.String(50)))"
NOTE = "op.add_column('mine', sa.Column('note', sa.String(50), server_default='none'))"
NO_NOTE = 'with op.batch_alter_table("mine") as mine: mine.drop_column("note")'
FAILS = "raise RuntimeError('fails on purpose')"


class Application:
    """A database with a table of its own, and a host that migrates it."""

    def __init__(self, host: Host, target: Target) -> None:
        self.host = host
        self.target = target
        self.entry = Database.from_options({"name": "app", "url": target.url})
        target.rows("CREATE TABLE mine (a integer)")
        target.rows("INSERT INTO mine VALUES (1), (2)")

    def ship(self, *revisions: tuple[str, str]) -> None:
        """Ship a release of these upgrades and downgrades."""
        release = self.host.ship("broken", f"release-{len(list(self.host.layout.releases.glob('*'))) + 1}")
        for path in (self.host.layout.release(release) / "source" / "migrations" / "versions").glob("*.py"):
            path.unlink()
        for number, (upgrade, downgrade) in enumerate(revisions, 1):
            path = self.host.revise(release, f"{number:04}", f"{number - 1:04}", upgrade, downgrade)
            path.write_text(path.read_text().replace("'0000'", "None"))

    def do(self, verb: str, run: str = "r1", **options: Any) -> Answer:
        return self.host.result(verb, self.entry, run=run, **options)

    def fails(self, *good: tuple[str, str]) -> None:
        """Have these revisions committed and the next one fail."""
        self.ship(*good, (FAILS, "pass"))
        assert self.do("upgrade")["outcome"] == "failed"

    def rejected(self) -> Answer:
        """Revert what was verified and turned out not to do, as after a soak."""
        (result,) = self.host.do("downgrade", self.entry, rejected="it answered 500")["results"]
        return dict(result)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "root")


@pytest.fixture(params=["sqlite", "postgres"])
def application(request: pytest.FixtureRequest, host: Host) -> Application:
    target: SQLiteTarget | PostgresTarget = request.getfixturevalue(request.param)
    if isinstance(target, SQLiteTarget):
        target.path.touch()
    return Application(host, target)


def undone(result: Answer) -> list[str]:
    return [step["revision"] for step in result["undone"]]


def assert_held(result: Answer, *words: str) -> None:
    assert (result["outcome"], result["changed"]) == ("held", False), {**result, "before": 0}
    assert all(word in f"{result['error']['what']} {result['error']['why']}" for word in words), result["error"]
    assert set(result["ways_out"]) == {"back", "forward"}


def test_rows_in_a_table_that_the_run_made_hold_it(application: Application) -> None:
    application.fails((ITEM, "op.drop_table('item')"))
    application.target.rows("INSERT INTO item VALUES (7, 'theirs')")

    assert_held(application.do("downgrade"), "others wrote", "1 in", "item")

    assert application.target.revisions == ["0001"]
    assert application.target.rows("SELECT * FROM item") == [(7, "theirs")]
    application.target.rows("INSERT INTO mine VALUES (3)")
    # The revert that was printed.
    result = application.do("rollback", "r2", of_run="r1", only=["app"])
    assert (result["outcome"], application.target.tables()) == ("downgraded", ["mine"])
    assert application.target.rows("SELECT a FROM mine ORDER BY a") == [(1,), (2,), (3,)]
    # And what it has taken away.
    application.do("restore", "r3", backup=result["backup"]["path"], restore_loses_writes=True)
    assert application.target.rows("SELECT * FROM item") == [(7, "theirs")]


def test_a_column_that_the_run_made_and_others_filled_holds_it_or_is_backed_up(application: Application) -> None:
    application.fails((NOTE, NO_NOTE))
    application.target.rows("UPDATE mine SET note = 'theirs' WHERE a = 1")

    assert_held(application.do("downgrade"), "others wrote", "note")

    assert application.target.rows("SELECT a, note FROM mine ORDER BY a") == [(1, "theirs"), (2, "none")]


def test_rows_beside_a_column_that_the_run_made_are_not_a_reason(application: Application) -> None:
    application.fails((NOTE, NO_NOTE))
    application.target.rows("INSERT INTO mine (a) VALUES (3)")
    application.target.rows("UPDATE mine SET a = 4 WHERE a = 2")

    result = application.do("downgrade")

    assert (result["outcome"], application.target.revisions) == ("downgraded", []), result["error"]
    assert application.target.rows("SELECT * FROM mine ORDER BY a") == [(1,), (3,), (4,)]


LONG = "x" * 150
#: Downgrades that take away what others wrote, by the engine: in a table that the upgrade has changed, and in others.
CUTS = {
    "a column": {
        "sqlite": "op.execute('UPDATE mine SET word = substr(word, 1, 50)')",
        "postgresql": "op.alter_column('mine', 'word', type_=sa.String(50), postgresql_using='substr(word, 1, 50)')",
    },
    "rows of another table": {
        "sqlite": "op.execute('DELETE FROM others')",
        "postgresql": "op.execute('DELETE FROM others')",
    },
    "another table": {"sqlite": "op.execute('DELETE FROM others')", "postgresql": "op.execute('TRUNCATE others')"},
}


@pytest.mark.parametrize("what", sorted(CUTS))
def test_a_downgrade_that_cuts_what_others_wrote_loses_nothing(application: Application, what: str) -> None:
    target = application.target
    target.rows("ALTER TABLE mine ADD COLUMN word varchar(50)")
    target.rows("CREATE TABLE others (word varchar(200))")
    widen = {"sqlite": NOTE, "postgresql": "op.alter_column('mine', 'word', type_=sa.String(150))"}[target.engine]
    application.fails((widen, CUTS[what][target.engine]))
    table = "mine" if what == "a column" else "others"
    target.rows(f"INSERT INTO {table} (word) VALUES ('{LONG}')")

    result = application.do("downgrade")

    if (LONG,) not in target.rows(f"SELECT word FROM {table}"):
        backup = str(application.host.layout.locate_backups("app") / "r1-downgraded")
        assert backup in str(result["notes"]), result
        assert application.do("restore", "r2", backup=backup, restore_loses_writes=True)["outcome"] == "restored"
    assert (LONG,) in target.rows(f"SELECT word FROM {table}")


OWN = (
    "[op.execute(\"INSERT INTO item VALUES (1, 'one')\"), "
    "[op.execute(\"INSERT INTO item VALUES (2, 'two')\") for _nested in [op.get_bind().begin_nested()]], "
    "op.execute(\"UPDATE item SET name = 'again' WHERE id = 1\")]"
)


@pytest.mark.parametrize("rejected", [False, True])
def test_rows_of_the_run_itself_are_not_a_reason(application: Application, rejected: bool) -> None:
    revisions = [(ITEM, "op.drop_table('item')"), (OWN, "pass"), (NOTE, NO_NOTE)]
    revisions.append(("op.execute(\"UPDATE mine SET note = 'ours'\")", "pass"))
    if rejected:
        application.ship(*revisions)
        assert application.do("upgrade")["outcome"] == "upgraded"
    else:
        application.fails(*revisions)

    result = application.rejected() if rejected else application.do("downgrade")

    assert result["outcome"] in ("downgraded", "restored"), result.get("error")
    assert (application.target.revisions, application.target.tables()) == ([], ["mine"])
    assert application.target.rows("SELECT * FROM mine ORDER BY a") == [(1,), (2,)]


def test_a_table_and_a_column_that_were_renamed_were_not_made(application: Application) -> None:
    application.fails(
        ("op.rename_table('mine', 'yours')", "op.rename_table('yours', 'mine')"),
        ("op.alter_column('yours', 'a', new_column_name='b')", "op.alter_column('yours', 'b', new_column_name='a')")
        if application.target.engine == "postgresql"
        else ("pass", "pass"),
    )

    result = application.do("downgrade", on_failure="downgrade")

    assert result["outcome"] == "downgraded", result.get("error")
    assert application.target.rows("SELECT a FROM mine ORDER BY a") == [(1,), (2,)]


@pytest.mark.parametrize("rejected", [False, True])
def test_what_was_written_while_a_rollout_soaked_holds_it(application: Application, rejected: bool) -> None:
    application.ship((ITEM, "op.drop_table('item')"), (NOTE, NO_NOTE))
    assert application.do("upgrade")["outcome"] == "upgraded"
    application.target.rows("INSERT INTO item VALUES (7, 'theirs')")

    # As a host that failed, or as one that is reverted because others failed.
    held = application.rejected() if rejected else application.do("rollback", "r1", of_run="r1")

    assert_held(held, "others wrote", "item")
    assert "playbooks/rollback.yml -e migrate_rollback_run=r1 -e" in held["ways_out"]["back"]
    assert application.target.rows("SELECT * FROM item") == [(7, "theirs")]
    assert application.target.revisions == ["0002"]
    assert application.do("rollback", "r2", of_run="r1", only=["app"])["outcome"] == "downgraded"
    assert (application.target.revisions, application.target.tables()) == ([], ["mine"])


def test_in_a_large_file_it_is_not_known_whose_they_are(host: Host, sqlite: SQLiteTarget) -> None:
    sqlite.path.touch()
    application = Application(host, sqlite)
    application.ship((ITEM, "op.drop_table('item')"))
    assert application.do("upgrade", row_counts_limit=0)["outcome"] == "upgraded"
    sqlite.rows("INSERT INTO item VALUES (7, 'theirs')")

    result = application.rejected()

    assert result["outcome"] == "downgraded"
    assert "1 row in item " in result["notes"][0]


def test_a_restore_would_not_do_either(application: Application) -> None:
    application.fails((ITEM, FAILS))
    application.target.rows("INSERT INTO item VALUES (7, 'theirs')")

    assert_held(application.do("downgrade", on_failure="restore"), "would lose what others wrote", "item")

    assert application.target.rows("SELECT * FROM item") == [(7, "theirs")]


def test_on_purpose_they_go_into_the_backup_and_it_is_reported(application: Application) -> None:
    application.ship((ITEM, "op.drop_table('item')"))
    assert application.do("upgrade")["outcome"] == "upgraded"
    application.target.rows("INSERT INTO item VALUES (7, 'theirs')")

    result = application.do("rollback", "r2", of_run="r1")

    assert (result["outcome"], application.target.tables()) == ("downgraded", ["mine"])
    assert re.search(r"1 in .*item", result["notes"][0])
    assert result["backup"]["path"] in result["notes"][0]
    assert application.do("restore", "r3", backup=result["backup"]["path"], restore_loses_writes=True)
    assert application.target.rows("SELECT * FROM item") == [(7, "theirs")]


def by_another_session(target: Target, statement: str) -> str:
    """A line of a revision that has another session write while it runs."""
    driver = "psycopg2" if isinstance(target, PostgresTarget) else "sqlite3"
    where = target.url if isinstance(target, PostgresTarget) else target.url.removeprefix("sqlite:///")
    words = [f"import {driver}", f"c = {driver}.connect({where!r})", f"c.cursor().execute({statement!r})", "c.commit()"]
    return f"exec({'; '.join([*words, 'c.close()'])!r})"


def test_what_was_written_while_a_later_revision_ran_is_backed_up_before_it_is_dropped(
    application: Application,
) -> None:
    theirs = by_another_session(application.target, "INSERT INTO item VALUES (7, 'theirs')")
    application.fails((ITEM, "op.drop_table('item')"), (theirs, "pass"))

    result = application.do("downgrade")

    assert (result["outcome"], application.target.tables()) == ("downgraded", ["mine"])
    kept = str(application.host.layout.locate_backups("app") / "r1-downgraded")
    assert len([note for note in result["notes"] if kept in note]) == 1
    # A backup of its own: the run's is still what the revert leads to.
    assert application.do("restore", "r2", backup=kept, restore_loses_writes=True)["outcome"] == "restored"
    assert application.target.rows("SELECT * FROM item") == [(7, "theirs")]


def test_what_was_written_during_the_revert_holds_it(host: Host, postgres: PostgresTarget) -> None:
    application = Application(host, postgres)
    theirs = by_another_session(postgres, "INSERT INTO item VALUES (7, 'theirs')")
    # Until its transaction ends, the table is locked.
    between = f"with op.get_context().autocommit_block(): {theirs}"
    application.fails((ITEM, "op.drop_table('item')"), ("pass", between))

    result = application.do("downgrade")

    assert (result["outcome"], undone(result)) == ("held", ["0002"])
    assert "1 in public.item" in result["error"]["why"]
    assert postgres.rows("SELECT * FROM item") == [(7, "theirs")]


def test_a_default_that_no_session_wrote_is_not_data(application: Application) -> None:
    made = "op.add_column('mine', sa.Column('{}', sa.{}, server_default=sa.text(\"{}\")))"
    columns = [("at", "DateTime()", "CURRENT_TIMESTAMP"), ("n", "Integer()", "-7"), ("s", "Text()", "'it''s'")]
    if application.target.engine == "sqlite":
        columns = columns[1:]  # it adds no column with a default of which it would have to read the time
    gone = 'with op.batch_alter_table("mine") as mine: mine.drop_column("{}")'
    application.fails(*((made.format(*column), gone.format(column[0])) for column in columns))
    application.target.rows("INSERT INTO mine (a) VALUES (3)")

    result = application.do("downgrade")

    assert (result["outcome"], application.target.revisions) == ("downgraded", []), result["error"]
    assert ("3",) in [(str(row[0]),) for row in application.target.rows("SELECT * FROM mine")]
    # Of a default that differs from time to time it is unknown who filled it in.
    assert len([note for note in result["notes"] if "another session's" in note]) == (len(columns) == 3)
