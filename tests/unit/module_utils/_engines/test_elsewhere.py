"""Databases beside the one of the run, which env.py or a revision writes to: never "as before" without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._engines.server_place import (
    ServerPlace,
    find_argument_place,
)
from tests.codes import assert_error
from tests.unit.module_utils._engines.sqlite.test_others import release
from tests.unit.stage import Answer, Host, database, script, sql

MAKES = "create table more (a int)"
FAILS = "raise RuntimeError('no')"
#: What a revision does to the file beside, which is {0!r}.
WRITES = {
    "the driver": "import sqlite3; c = sqlite3.connect({0!r}); c.execute('update other set a = 6'); c.commit()",
    "an engine": "e = sa.create_engine({url!r})\n    with e.begin() as c: c.execute(sa.text('update other set a = 6'))",
    "an attached file of memory": "import sqlite3; c = sqlite3.connect(':memory:');"
    " c.execute('attach ' + repr({0!r}) + ' as b'); c.execute('update b.other set a = 6'); c.commit()",
}
READS = {
    "the driver": "import sqlite3; assert sqlite3.connect({0!r}).execute('select a from other').fetchall() == [(5,)]",
    "an engine": "e = sa.create_engine({url!r})\n"
    "    with e.connect() as c: assert c.execute(sa.text('select a from other')).scalar() == 5",
    "with settings": "import sqlite3; c = sqlite3.connect({0!r}); c.execute('pragma journal_mode = wal');"
    " c.execute('create temp table t (a)'); c.execute('insert into temp.t select a from other')",
}


@pytest.fixture
def beside(file: Path) -> Path:
    return script(file.with_name("beside.db"), "create table other (a); insert into other values (5)")


@pytest.fixture
def mine(file: Path) -> Path:
    return script(file, "create table mine (a); insert into mine values (1)")


def revisions(host: Host, body: str, *, fails: bool = True, at_once: bool = False, make: str = MAKES) -> None:
    """Ship a revision that makes a table and does more, and one that fails after it, or the same one."""
    release(host)
    if at_once:
        host.revise("generic", "r1", None, f"{body}\n    {FAILS}")  # type: ignore[arg-type]
        return
    drop = " ".join(["drop", *make.split()[1:3]])
    host.revise("generic", "r1", None, f"op.execute({make!r})\n    {body}", f"op.execute({drop!r})")  # type: ignore[arg-type]
    host.revise("generic", "r2", "r1", FAILS if fails else "pass")


def reverted(host: Host, one: Database) -> Answer:
    failed = host.result("upgrade", one)
    assert (failed["outcome"], failed["error"]["why"].count("RuntimeError: no")) == ("failed", 1), failed["error"]
    return host.result("downgrade", one)


def assert_held(result: Answer, *places: str) -> None:
    """The database is held for what is elsewhere, and the place is named."""
    assert result["outcome"] == "held", result
    assert_error(result["error"], "other-database-written", *places)
    assert [way for way in result["ways_out"] if way.startswith("back")] == []


@pytest.mark.parametrize("how", WRITES)
def test_a_file_that_a_failed_run_has_written_to_is_named(host: Host, mine: Path, beside: Path, how: str) -> None:
    revisions(host, WRITES[how].format(str(beside), url=f"sqlite:///{beside}"), at_once=how == "the driver")

    result = reverted(host, database(mine))

    assert_held(result, str(beside))
    assert "more" not in [name for (name,) in sql(mine, "select name from sqlite_master")]


@pytest.mark.parametrize("how", READS)
def test_a_file_that_is_only_read_is_not(host: Host, mine: Path, beside: Path, how: str) -> None:
    revisions(host, READS[how].format(str(beside), url=f"sqlite:///{beside}"))

    result = reverted(host, database(mine))

    assert (result["outcome"] in ("downgraded", "restored"), result["elsewhere"]) == (True, []), result


def test_a_run_that_succeeds_notes_it(host: Host, mine: Path, beside: Path) -> None:
    revisions(host, WRITES["the driver"].format(str(beside)), fails=False)

    result = host.result("upgrade", database(mine))

    assert result["outcome"] == "upgraded"
    assert [str(beside) in note for note in result["notes"]] == [True]


def test_the_file_of_the_run_itself_is_none_beside(host: Host, mine: Path) -> None:
    revisions(host, f"import sqlite3; sqlite3.connect({str(mine)!r}).execute('select * from mine')")

    assert reverted(host, database(mine))["elsewhere"] == []


def test_a_file_attached_by_a_parameter_is_not_written(host: Host, mine: Path, beside: Path) -> None:
    """What SQLAlchemy executes is known in time, and memory may be written to."""
    attach = "c = op.get_bind(); c.exec_driver_sql('attach ? as b', ({!r},)); c.exec_driver_sql('create table b.t (a)')"
    revisions(host, attach.format(str(beside)))
    result = host.result("upgrade", database(mine))
    assert_error(result["error"], "attached-database-written", "'b'")
    assert sql(beside, "select name from sqlite_master") == [("other",)]

    revisions_again = attach.format(":memory:")
    host.revise("generic", "r1", None, revisions_again)  # type: ignore[arg-type]
    host.revise("generic", "r2", "r1", "pass")
    host.result("downgrade", database(mine))
    assert host.result("upgrade", database(mine), run="r2", retry_failed=["app"])["outcome"] == "upgraded"


def test_what_env_py_writes_beside_its_revisions_is_named(host: Host, mine: Path, beside: Path) -> None:
    """A plan refuses what it writes then, so it writes once the revisions have run."""
    revisions(host, "pass", fails=False)
    env_py = host.layout.release("generic") / "source" / "migrations" / "env.py"
    with env_py.open("a") as written:
        written.write("import sqlite3\nimport sqlalchemy as sa\nif sa.inspect(engine).has_table('more'):\n")
        written.write(f"    {WRITES['the driver'].format(str(beside))}\n    {FAILS}\n")

    assert_held(reverted(host, database(mine)), str(beside))


def test_an_authorizer_of_the_customers_own_stays(host: Host, mine: Path, beside: Path) -> None:
    """A connection has one; so what a factory makes is named as opened past SQLAlchemy."""
    makes = "import sqlite3; C = type('C', (sqlite3.Connection,), {})"
    body = f"{makes}; c = sqlite3.connect({str(beside)!r}, factory=C); c.execute('update other set a = 6'); c.commit()"
    revisions(host, body)

    assert_held(reverted(host, database(mine)), str(beside), "past SQLAlchemy")


@pytest.mark.parametrize(
    "dsn",
    ["host=db password=s3cret application_name=https://shop dbname=x", "p@s3cret://x", "postgresql://u:s3cret@db/x"],
)
def test_no_password_becomes_the_name_of_a_place(dsn: str) -> None:
    assert "s3cret" not in str(find_argument_place((dsn,), {}))
    assert "s3cret" not in str(find_argument_place(("db", "u", dsn), {}))
    assert "s3cret" not in str(ServerPlace.of(dsn, dsn, dsn))
