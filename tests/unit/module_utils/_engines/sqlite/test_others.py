"""Files beside the database, and others who write to it: what they have written is there afterwards."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._journal.worker_lock import is_worker_alive
from tests.codes import assert_error
from tests.lab.waiting import wait_until
from tests.unit.stage import Answer, Host, database, script, sql, tables

ENV = """
from alembic import context
from sqlalchemy import create_engine, pool
{proxy}
engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool{options})
with engine.connect() as connection:
    {before}
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
OTHER = "__import__('sqlite3').connect({!r}, isolation_level=None).execute({!r})"
#: The same in a process of its own: of one that the revision opens itself it is not known that it is another's.
OTHERS = "__import__('subprocess').run([__import__('sys').executable, '-c', {!r}], check=True)"


#: How env.py opens the file: the class is a subclass, or passes all on, which shows in the name of the class or not.
CONNECTS = {
    "a class of its own": "connect_args={'factory': type('Own', (__import__('sqlite3').Connection,), {})}",
    "a proxy": "creator=lambda: Proxy(True)",
    "a proxy that shows nothing": "creator=lambda: Proxy(False)",
}
PROXY = """
class Proxy:
    def __init__(self, shows):
        import sqlite3

        vars(self).update(inner=sqlite3.connect(context.config.get_main_option("sqlalchemy.url")[10:]), shows=shows)

    @property
    def __class__(self):
        return type(self.inner) if self.shows else Proxy

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def __setattr__(self, name, value):
        setattr(self.inner, name, value)

"""


def release(host: Host, before: str = "pass", options: str = "") -> None:
    """Ship an env.py without a revision."""
    source = host.layout.release(host.ship("generic")) / "source" / "migrations"
    (source / "env.py").write_text(ENV.format(before=before, options=options, proxy=PROXY))
    for path in (source / "versions").glob("*.py"):
        path.unlink()


def dump(path: Path) -> str:
    """Return what SQLite's shell says of all tables but the version table."""
    command = ["sqlite3", str(path), *(f".dump {name}" for name in sorted(tables(path) - {"alembic_version"}))]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def executes(*statements: str) -> str:
    return "; ".join(f"op.execute({statement!r})" for statement in statements)


@pytest.fixture
def mine(file: Path) -> Path:
    return script(file, "create table mine (a); insert into mine values (1); create table theirs (a)")


@pytest.fixture
def beside(file: Path) -> Path:
    """Another database."""
    return script(file.with_name("beside.db"), "create table other (a); insert into other values (5)")


# Files that are attached


@pytest.mark.parametrize("where", ["env.py", "the revision"])
def test_nothing_is_written_to_an_attached_file(host: Host, mine: Path, beside: Path, where: str) -> None:
    attaches = f"attach {str(beside)!r} as beside"
    in_env = f"connection.connection.driver_connection.execute({attaches!r})"
    release(host, in_env if where == "env.py" else "pass")
    host.revise("generic", "r1", None, executes("create table more (a)"), executes("drop table more"))  # type: ignore[arg-type]
    first = [] if where == "env.py" else [attaches]
    host.revise("generic", "r2", "r1", executes(*first, "update beside.other set a = 6"))
    before = dump(mine), dump(beside)

    result = host.result("upgrade", database(mine))
    back = host.result("downgrade", database(mine))

    assert result["outcome"] == "failed"
    assert_error(result["error"], "attached-database-written", "'beside'")
    assert back["outcome"] in ("downgraded", "restored")
    assert (dump(mine), dump(beside)) == before


def test_an_attached_file_can_be_read_and_memory_be_written(host: Host, mine: Path, beside: Path) -> None:
    release(host)
    statements = [
        "attach ':memory:' as scratch",
        "create table scratch.t (a)",
        "insert into scratch.t values (9)",
        f"attach {str(beside)!r} as beside",
        "insert into mine select a from beside.other",
        "insert into mine select a from scratch.t",
    ]
    host.revise("generic", "r1", None, executes(*statements))  # type: ignore[arg-type]

    result = host.result("upgrade", database(mine))

    assert (result["outcome"], result["error"]) == ("upgraded", None)
    assert sql(mine, "select a from mine") == [(1,), (5,), (9,)]


# A revision that puts another file into the place of the database


@pytest.mark.parametrize("wal", [False, True])
def test_a_file_that_a_revision_has_replaced_is_held_and_restored(
    host: Host, mine: Path, beside: Path, *, wal: bool
) -> None:
    if wal:
        script(mine, "pragma journal_mode = wal")
    before = dump(mine)
    release(host)
    replace = f"__import__('shutil').copyfile({str(beside)!r}, {str(mine)!r}); raise RuntimeError('no')"
    host.revise("generic", "r1", None, replace)  # type: ignore[arg-type]
    host.result("upgrade", database(mine))

    assert host.result("downgrade", database(mine))["outcome"] == "held"
    restored = host.result("restore", database(mine), run="r2", of_run="r1", restore_loses_writes=True)

    assert restored["outcome"] == "restored", restored["error"]
    assert dump(mine) == before


def test_the_mode_that_a_copy_in_the_place_of_the_database_has_is_noted(host: Host, mine: Path) -> None:
    mine.chmod(0o600)
    release(host)
    copy = str(mine.with_name("copy.db"))
    moves = f"__import__('shutil').copyfile({str(mine)!r}, {copy!r}); __import__('os').replace({copy!r}, {str(mine)!r})"
    host.revise("generic", "r1", None, f"{moves}; raise RuntimeError('no')")  # type: ignore[arg-type]
    host.result("upgrade", database(mine))

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "untouched"
    assert [note for note in result["notes"] if "mode" in note and "0600" in note and "0644" in note]


# Others who write

#: Where a session writes: while the first revision runs, while the one that fails does, or after the failure.
MOMENTS = ["first", "failing", "later"]
#: What the run itself does in its first revision, and in the one that fails before it raises.
RUNS = {
    "schema": ("create table more (a)", "select 1"),
    "rows": ("update mine set a = a * 10", "select 1"),
    "left": ("create table more (a)", "create table half (a)"),
}


def failed(host: Host, mine: Path, run: str, moment: str, write: str) -> Answer:
    release(host)
    first, failing = RUNS[run]
    other = OTHER.format(str(mine), write)
    undo = executes("drop table more") if "more" in first else "pass"
    begins = f"{other}; " if moment == "first" else ""
    host.revise("generic", "r1", None, begins + executes(first), undo)  # type: ignore[arg-type]
    begins = f"{other}; " if moment == "failing" else ""
    host.revise("generic", "r2", "r1", f"{begins}{executes(failing)}; raise RuntimeError('no')")
    assert host.result("upgrade", database(mine))["outcome"] == "failed"
    if moment == "later":
        sql(mine, write)
    return host.result("downgrade", database(mine))


@pytest.mark.parametrize(("mode", "run"), [*(("delete", run) for run in RUNS), ("wal", "left")])
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_others_wrote_is_there(host: Host, mine: Path, mode: str, run: str, moment: str) -> None:
    script(mine, f"pragma journal_mode = {mode}")

    result = failed(host, mine, run, moment, "insert into theirs values (7)")

    assert sql(mine, "select a from theirs") == [(7,)]
    # Either all of the run is undone, or the database is held and says so.
    undone = sql(mine, "select a from mine") == [(1,)] and tables(mine) <= {"mine", "theirs", "alembic_version"}
    assert undone or result["outcome"] == "held"
    assert result["outcome"] in ("downgraded", "held")


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("run", RUNS)
def test_where_no_session_wrote_all_is_as_before(host: Host, mine: Path, mode: str, run: str) -> None:
    script(mine, f"pragma journal_mode = {mode}")
    before = dump(mine)

    result = failed(host, mine, run, "never", "")

    assert result["outcome"] in ("downgraded", "restored")
    assert dump(mine) == before


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_checkpoint_of_others_is_not_taken_for_a_write(host: Host, mine: Path, run: str, moment: str) -> None:
    """It changes what a connection sees of the file, so the rows are read; and those are as before."""
    script(mine, "pragma journal_mode = wal")
    before = dump(mine)

    result = failed(host, mine, run, moment, "pragma wal_checkpoint(truncate)")

    # Rows that the run has changed while another session was there may be that one's.
    held = run == "rows" and moment != "later"
    assert result["outcome"] in (("held",) if held else ("downgraded", "restored")), result
    assert held or dump(mine) == before
    assert sql(mine, "select a from mine") == [(10 if held else 1,)]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_file_that_was_replaced_by_a_rename_stays(host: Host, mine: Path, moment: str) -> None:
    """An operator restored a backup of his own meanwhile; connections to the old file see nothing of it."""
    theirs = mine.with_name("theirs.db")
    shutil.copy(mine, theirs)
    script(theirs, "insert into theirs values (8)")
    release(host)
    rename = f"__import__('os').replace({str(theirs)!r}, {str(mine)!r})"
    at = {name: f"{rename}; " if name == moment else "" for name in MOMENTS}
    host.revise("generic", "r1", None, at["first"] + executes(RUNS["left"][0]), executes("drop table more"))  # type: ignore[arg-type]
    host.revise("generic", "r2", "r1", f"{at['failing']}{executes(RUNS['left'][1])}; raise RuntimeError('no')")
    assert host.result("upgrade", database(mine))["outcome"] == "failed"
    if moment == "later":
        theirs.replace(mine)

    host.result("downgrade", database(mine))

    assert sql(mine, "select a from theirs") == [(8,)]


@pytest.mark.parametrize("how", ["deleted", "damaged"])
def test_a_file_that_is_gone_or_damaged_is_brought_back(host: Host, mine: Path, how: str) -> None:
    release(host)
    host.revise("generic", "r1", None, executes("create table more (a)"))  # type: ignore[arg-type]
    before = dump(mine)
    assert host.result("upgrade", database(mine))["outcome"] == "upgraded"
    if how == "deleted":
        mine.unlink()
    else:
        mine.write_bytes(b"These are no pages of a database" * 500)

    result = host.result("restore", database(mine), run="r2")

    assert (result["outcome"], bool(result["retained"])) == ("restored", how == "damaged")
    assert dump(mine) == before


#: What others do to the schema, and what is there of it afterwards.
DEFINES = {
    "create table new (a); insert into new values (7)": "select a from new",
    "create index found on theirs (a)": "select name from sqlite_master where name = 'found'",
    "create index found on mine (a)": "select name from sqlite_master where name = 'found'",
    "create view found as select a from mine": "select name from sqlite_master where name = 'found'",
    "alter table theirs add column b default 7": "select name from pragma_table_info('theirs') where name = 'b'",
    "pragma user_version = 7": "select 1 from pragma_user_version where user_version = 7",
    "pragma application_id = 7": "select 1 from pragma_application_id where application_id = 7",
    "pragma page_size = 8192; vacuum": "select 1 from pragma_page_size where page_size = 8192",
    "pragma auto_vacuum = full; vacuum": "select 1 from pragma_auto_vacuum where auto_vacuum = 1",
    "alter table mine add column b default 7": "select name from pragma_table_info('mine') where name = 'b'",
}
#: What the run does in its first revision, and what its downgrade does.
REVISES = {
    "a downgrade that fails": ("create table more (a)", "raise RuntimeError('no way back')"),
    "another column": ("alter table mine add column c", "raise RuntimeError('no way back')"),
    "a revision that left something": ("create table more (a)", "op.execute('drop table more')"),
}


@pytest.mark.parametrize("revises", REVISES)
@pytest.mark.parametrize("moment", MOMENTS[1:])
@pytest.mark.parametrize("statement", DEFINES)
def test_what_others_changed_in_the_schema_is_never_taken_back(
    host: Host, mine: Path, statement: str, moment: str, revises: str
) -> None:
    release(host)
    upgrade, downgrade = REVISES[revises]
    host.revise("generic", "r1", None, executes(upgrade), downgrade)  # type: ignore[arg-type]
    reached, gate = mine.with_name("reached"), mine.with_name("gate")
    waits = f"open({str(reached)!r}, 'w').close()\n    while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n    "
    half = f"{executes('create table half (a)')}; " if "left" in revises else ""
    host.revise("generic", "r2", "r1", f"import os, time; {waits}{half}raise RuntimeError('no')")

    def theirs() -> None:
        wait_until(reached.exists, "the second revision was not reached")
        if moment == "failing":
            script(mine, statement)
        gate.touch()

    with ThreadPoolExecutor() as pool:
        wrote = pool.submit(theirs)
        assert host.result("upgrade", database(mine))["outcome"] == "failed"
        wrote.result()
    if moment == "later":
        script(mine, statement)

    result = host.result("downgrade", database(mine))

    assert result["outcome"] in ("downgraded", "held"), result
    assert sql(mine, DEFINES[statement])


#: How the process that runs a revision dies, alone or with the worker; a process that was its child is left.
DIES = {"alone": "os.kill(os.getpid(), 9)", "with its worker": "os.kill(os.getppid(), 9); os.kill(os.getpid(), 9)"}


def killed(host: Host, mine: Path, upgrade: str, dies: str, theirs: str | None) -> Answer:
    """Kill a run in its only revision and revert it; another session executes a statement between the two."""
    release(host)
    host.revise("generic", "r1", None, f"import os; {upgrade}; {DIES[dies]}")  # type: ignore[arg-type]
    host.do("upgrade", database(mine), follow=0)
    wait_until(lambda: not is_worker_alive(host.layout, "r1", "upgrade"), "the worker has not ended")
    if theirs:
        script(mine, theirs)
    return host.result("downgrade", database(mine))


@pytest.mark.parametrize("dies", DIES)
@pytest.mark.parametrize("upgrade", ["create table half (a)", "alter table mine add column c"])
def test_what_a_dead_process_left_is_taken_back(host: Host, mine: Path, upgrade: str, dies: str) -> None:
    before = dump(mine)

    result = killed(host, mine, executes(upgrade), dies, None)

    assert (result["outcome"], dump(mine)) == ("restored", before), result


@pytest.mark.parametrize("dies", DIES)
@pytest.mark.parametrize("upgrade", ["create table half (a)", "alter table mine add column c"])
@pytest.mark.parametrize("statement", DEFINES)
def test_what_others_changed_after_a_process_died_is_never_taken_back(
    host: Host, mine: Path, statement: str, upgrade: str, dies: str
) -> None:
    result = killed(host, mine, executes(upgrade), dies, statement)

    assert result["outcome"] == "held", result
    assert sql(mine, DEFINES[statement])


#: Statements of the run around what others do in its first revision, by when a state of the schema is read.
AROUND = {
    "in a transaction": ("update mine set a = a", "create table more (a)"),
    "between two statements": (
        "create table more (a)",
        "insert into more values (1)",
        "create index more_a on more (a)",
    ),
    "right before": ("create table more (a)",),
    "in a transaction that changes the same table": ("update mine set a = a", "alter table mine add column c"),
}


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("statement", ["create index found on theirs (a)", "alter table mine add column b default 7"])
def test_what_others_changed_between_two_statements_is_never_taken_back(
    host: Host, mine: Path, statement: str, around: str, mode: str
) -> None:
    script(mine, f"pragma journal_mode = {mode}")
    release(host)
    theirs = OTHERS.format(OTHER.format(str(mine), statement))
    first, *more = AROUND[around]
    before = [theirs, executes(first)] if around != "between two statements" else [executes(first), theirs]
    host.revise("generic", "r1", None, "; ".join([*before, *map(executes, more)]), "raise RuntimeError('no way back')")  # type: ignore[arg-type]
    host.revise("generic", "r2", "r1", f"{executes('create table half (a)')}; raise RuntimeError('no')")
    assert host.result("upgrade", database(mine))["outcome"] == "failed"

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "held", result
    assert sql(mine, DEFINES[statement])


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_state_that_others_have_made_is_theirs_also_where_a_downgrade_comes_back_to_it(
    host: Host, mine: Path, mode: str
) -> None:
    script(mine, f"pragma journal_mode = {mode}")
    release(host)
    theirs = OTHERS.format(OTHER.format(str(mine), "alter table mine add column b default 7"))
    downgrade = f"{executes('alter table mine drop column c')}; raise RuntimeError('no way back')"
    host.revise("generic", "r1", None, f"{theirs}; {executes('alter table mine add column c')}", downgrade)  # type: ignore[arg-type]
    host.revise("generic", "r2", "r1", "raise RuntimeError('no')")
    assert host.result("upgrade", database(mine))["outcome"] == "failed"

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "held", result
    assert sql(mine, DEFINES["alter table mine add column b default 7"])


@pytest.mark.parametrize("others", [True, False])
def test_what_others_made_after_a_rollback_as_the_run_had_is_theirs(host: Host, mine: Path, others: bool) -> None:
    """The process dies at the commit of a revision; what it had journaled of its transaction is not in the file."""
    dies = "__import__('os').kill(__import__('os').getpid(), 9)"
    release(host, f"__import__('sqlalchemy').event.listen(connection, 'commit', lambda connection: {dies})")
    begins = executes("create table early (a)", "update mine set a = a", "create table more (a)")
    host.revise("generic", "r1", None, begins)  # type: ignore[arg-type]
    host.do("upgrade", database(mine))
    assert [event["event"] for event in host.events()].count("ran") == 1
    assert {"early", "more"} & tables(mine) == {"early"}
    if others:
        script(mine, "create table more (a)")

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == ("held" if others else "restored"), result
    assert tables(mine) - {"alembic_version"} == {"mine", "theirs", *(("early", "more") if others else ())}


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize(
    "then", [(), ("savepoint s", "create table half (a)", "rollback to s", "release s")], ids=["whole", "a part"]
)
def test_what_a_transaction_has_left_is_known_as_the_run_s(
    host: Host, mine: Path, mode: str, then: tuple[str, ...]
) -> None:
    """Others' statistics show as a write, so only the states show that the run has made what differs."""
    script(mine, f"pragma journal_mode = {mode}; create index a on mine (a)")
    release(host)
    first = executes("update mine set a = a", "create table more (a)", *then)
    host.revise("generic", "r1", None, first, "raise RuntimeError('no way back')")  # type: ignore[arg-type]
    host.revise("generic", "r2", "r1", f"import os; {DIES['alone']}")
    text = dump(mine)
    host.do("upgrade", database(mine))
    assert "more" in tables(mine)
    script(mine, "analyze")

    result = host.result("downgrade", database(mine))

    assert (result["outcome"], dump(mine)) == ("restored", text), result


def test_what_others_changed_while_a_statement_waited_for_them_is_never_taken_back(host: Host, mine: Path) -> None:
    release(host)
    theirs = mine.with_name("theirs.py")
    theirs.write_text(
        "import sqlite3, sys, time\n"
        f"session = sqlite3.connect({str(mine)!r}, isolation_level=None)\n"
        "session.execute('begin immediate')\n"
        "session.execute('create index found on theirs (a)')\n"
        "print('holds it', flush=True)\n"
        "time.sleep(1)\n"
        "session.execute('commit')\n"
    )
    waits = (
        f"import subprocess, sys; theirs = subprocess.Popen([sys.executable, {str(theirs)!r}], stdout=subprocess.PIPE)"
        f"; theirs.stdout.readline(); {executes('create table more (a)')}"
    )
    host.revise("generic", "r1", None, waits, "raise RuntimeError('no way back')")  # type: ignore[arg-type]
    host.revise("generic", "r2", "r1", f"{executes('create table half (a)')}; raise RuntimeError('no')")
    assert host.result("upgrade", database(mine))["outcome"] == "failed"

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "held", result
    assert sql(mine, DEFINES["create index found on theirs (a)"])


@pytest.mark.parametrize(
    "before",
    [
        "__import__('sqlalchemy').create_engine('sqlite://').connect().exec_driver_sql('create table x (a)')",
        "connection.exec_driver_sql('pragma foreign_keys = on')",
    ],
)
def test_what_env_py_does_elsewhere_keeps_nothing_from_being_taken_back(host: Host, mine: Path, before: str) -> None:
    release(host, before)
    text = dump(mine)
    host.revise("generic", "r1", None, f"import os; {executes('create table half (a)')}; {DIES['alone']}")  # type: ignore[arg-type]
    host.do("upgrade", database(mine))

    result = host.result("downgrade", database(mine))

    assert (result["outcome"], dump(mine)) == ("restored", text), result


def test_statistics_of_others_hold_nothing(host: Host, mine: Path) -> None:
    script(mine, "create index a on mine (a)")
    text = dump(mine)

    result = failed(host, mine, "left", "first", "analyze")

    assert (result["outcome"], dump(mine)) == ("restored", text), result


@pytest.mark.parametrize("driver", ["a class of its own", "a proxy", "a proxy that shows nothing"])
def test_rows_are_compared_whatever_connection_env_py_makes(host: Host, mine: Path, driver: str) -> None:
    release(host, options=f", {CONNECTS[driver]}")
    first = executes("update mine set a = a * 10")
    host.revise("generic", "r1", None, first, "pass")  # type: ignore[arg-type]
    host.revise("generic", "r2", "r1", "raise RuntimeError('no')")
    before = dump(mine)
    assert host.result("upgrade", database(mine))["outcome"] == "failed"
    assert dump(mine) != before

    result = host.result("downgrade", database(mine))

    assert (result["outcome"], dump(mine)) == ("restored", before), result


def test_what_a_driver_without_an_authorizer_has_done_is_called_unknown(host: Host, mine: Path) -> None:
    # What keeps a plan from writing can be set all the same.
    lacking = "lambda connection, heard: type(heard.__self__).__name__ == '_Guard' or 1 / 0"
    driver = f"type('Driver', (__import__('sqlite3').Connection,), {{'set_authorizer': {lacking}}})"
    release(host, options=f", connect_args={{'factory': {driver}}}")
    host.revise("generic", "r1", None, executes("create table more (a)"), "raise RuntimeError('no way back')")  # type: ignore[arg-type]
    host.revise("generic", "r2", "r1", "raise RuntimeError('no')")
    assert host.result("upgrade", database(mine))["outcome"] == "failed"
    script(mine, "create index found on theirs (a)")

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "held", result
    assert_error(result["error"], "others-wrote", "more")
    assert [event["wrote"] for event in host.events() if event["event"] == "ran"] == [{"*": 1}]


def test_a_journal_names_each_state_of_a_schema_when_it_is_new(host: Host, mine: Path) -> None:
    release(host)
    for number in range(1, 21):
        down = f"r{number - 1:02}" if number > 1 else None
        host.revise("generic", f"r{number:02}", down, executes(f"create table t{number} (a)"))  # type: ignore[arg-type]

    assert host.result("upgrade", database(mine))["outcome"] == "upgraded"

    states = [state for event in host.events() for state in event.get("held", {}).get("schemas", ())]
    # While the step is at work, and when it has ended.
    assert len(states) <= 2 * len(set(states))
    assert len(set(states)) > 20


_MAKES_IT_AGAIN = "c.execute('create table half (a)'); c.execute('insert into half values (5)')"


@pytest.mark.parametrize("ends", ["raise RuntimeError('no')", DIES["alone"]], ids=["fails", "dies"])
@pytest.mark.parametrize("revisions", [1, 2])
def test_what_others_make_again_as_the_run_had_it_is_theirs(host: Host, mine: Path, ends: str, revisions: int) -> None:
    """A run makes a table and drops it, and an application then makes the same, with a row."""
    release(host)
    host.revise("generic", "r0", None, executes("create table more (a)"), "raise RuntimeError('no way back')")  # type: ignore[arg-type]
    makes, drops = executes("create table half (a)"), executes("drop table half")
    steps = [f"{makes}; {drops}"] if revisions == 1 else [makes, drops]
    for number, step in enumerate(steps, 1):
        host.revise("generic", f"r{number}", f"r{number - 1}", step, "pass")
    opens = f"import sqlite3; c = sqlite3.connect({str(mine)!r}, isolation_level=None)"
    others = OTHERS.format(f"{opens}; {_MAKES_IT_AGAIN}")
    host.revise("generic", "last", f"r{revisions}", f"import os; {others}; {executes('select 1')}; {ends}")
    host.do("upgrade", database(mine))
    assert sql(mine, "select * from half") == [(5,)]

    result = host.result("downgrade", database(mine))

    assert result["outcome"] == "held", result
    assert sql(mine, "select * from half") == [(5,)]
