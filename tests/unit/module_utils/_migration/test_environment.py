from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._migration.attributes import Attributes
from ansible_collections.hosting.alembic.plugins.module_utils._migration.environment import Environment
from ansible_collections.hosting.alembic.plugins.module_utils._migration.interrupted import Interrupted
from ansible_collections.hosting.alembic.plugins.module_utils._migration.step import Step, Watcher
from ansible_collections.hosting.alembic.plugins.module_utils._migration.version_table import read_heads
from tests.codes import refused
from tests.unit.stage import Host, database, heads, in_process, script, sql, tables

#: Environments that need nothing but a URL.
ORDINARY = ["generic", "async", "pyproject", "attributes_connection"]


def inside(host: Host, one: Database, work: Callable[[Environment], Any], **options: Any) -> Any:
    """Do something with an environment in a process of its own."""
    return in_process(lambda: work(Environment.of(one, host.job("upgrade", **options))))


def upgrade(host: Host, one: Database, **options: Any) -> list[str]:
    """Upgrade and return the revisions that were begun."""
    steps: list[Step] = inside(host, one, lambda environment: environment.upgrade(Watcher()), **options)
    return [step.revision for step in steps]


def interruption(host: Host, one: Database, **options: Any) -> tuple[str, str, list[tuple[str, bool]]]:
    """Upgrade, and return how it was interrupted."""

    def work(environment: Environment) -> tuple[str, str, list[tuple[str, bool]]]:
        with pytest.raises(Interrupted) as caught:
            environment.upgrade(Watcher())
        steps = [(step.revision, step.ran) for step in caught.value.steps]
        return type(caught.value.cause).__name__, str(caught.value), steps

    answer: tuple[str, str, list[tuple[str, bool]]] = inside(host, one, work, **options)
    return answer


def one_of(fixture: str, file: Path, **more: Any) -> Database:
    driver = "+aiosqlite" if fixture == "async" else ""
    return database(file, url=f"sqlite{driver}:///{file}", **more)


@pytest.mark.parametrize("fixture", ORDINARY)
def test_an_env_py_is_driven_forward_and_back_unedited(host: Host, file: Path, fixture: str) -> None:
    host.ship(fixture)
    script(file, "create table other (a)")
    one = one_of(fixture, file)

    assert upgrade(host, one) == ["0001", "0002"]
    assert heads(file) == ["0002"]
    assert tables(file) == {"other", "alembic_version", "item"}

    committed = {"main.alembic_version": ["0001", "0002"]}
    steps = inside(host, one, lambda environment: environment.downgrade(committed, Watcher()))

    assert [step.revision for step in steps] == ["0002", "0001"]
    assert heads(file) == []
    assert tables(file) == {"other", "alembic_version"}


@pytest.mark.parametrize("fixture", [*ORDINARY, "prints", "several_contexts", "multi_heads", "swallows", "broken"])
def test_reading_changes_nothing(host: Host, file: Path, fixture: str) -> None:
    host.ship(fixture)
    script(file, "create table other (a)")
    before = file.read_bytes()

    inside(host, one_of(fixture, file), lambda environment: environment.read_streams(), target="heads")

    assert file.read_bytes() == before


def test_a_stream_says_where_it_is_and_what_lies_before_it(host: Host, file: Path) -> None:
    release = host.ship("generic")
    one = database(file)
    upgrade(host, one)
    host.revise(release, "0003", "0002", "pass")
    host.revise(release, "0004", "0003", "pass")

    (stream,) = inside(host, one, lambda environment: environment.read_streams())

    assert (stream.table, stream.heads, stream.goal) == ("main.alembic_version", ("0002",), ("0004",))
    assert [(each.revision, each.message) for each in stream.pending] == [
        ("0003", "revision 0003"),
        ("0004", "revision 0004"),
    ]


def test_several_contexts_are_several_streams(host: Host, file: Path) -> None:
    host.ship("several_contexts")
    script(file, "create table other (a)")
    one = database(file)

    streams = inside(host, one, lambda environment: environment.read_streams())
    assert [(stream.table, len(stream.pending)) for stream in streams] == [
        ("main.alembic_version_red", 2),
        ("main.alembic_version_blue", 2),
    ]

    steps = inside(host, one, lambda environment: environment.upgrade(Watcher()))
    assert [(step.table.rsplit("_", 1)[1], step.revision) for step in steps] == [
        ("red", "0001"),
        ("red", "0002"),
        ("blue", "0001"),
        ("blue", "0002"),
    ]
    assert heads(file, "alembic_version_red") == heads(file, "alembic_version_blue") == ["0002"]

    # Back where only one of them went.
    committed = {"main.alembic_version_red": ["0002"]}
    inside(host, one, lambda environment: environment.downgrade(committed, Watcher()))
    assert heads(file, "alembic_version_red") == ["0001"]
    assert heads(file, "alembic_version_blue") == ["0002"]


# Targets


@pytest.mark.parametrize(
    ("target", "goal"),
    [
        ("heads", ["c002"]),
        ("expand@head", ["e002"]),
        ("contract@head", ["c002"]),
        ("contract@c001", ["c001"]),
        ("+1", ["0001"]),
        ("e00", None),
        ("e001", ["e001"]),
        ("expand@+1", ["0001"]),
        ("000", ["0001"]),
        ("expand", ["e001"]),
        ("9999", None),
    ],
)
def test_a_target_is_whatever_alembic_takes_and_leads_where_the_plan_reported(
    host: Host, file: Path, target: str, goal: list[str] | None
) -> None:
    host.ship("multi_heads")
    script(file, "create table other (a)")
    one = database(file, target=target)
    if goal is None:
        with refused("target-unreachable", "migrate_target"):
            inside(host, one, lambda environment: environment.read_streams())
        return

    (stream,) = inside(host, one, lambda environment: environment.read_streams())
    begun = upgrade(host, one)

    assert begun == [revision.revision for revision in stream.pending]
    assert heads(file) == list(stream.goal)
    assert set(goal) <= set(stream.goal)


def test_several_heads_and_target_head_is_refused_with_the_ways_out(host: Host, file: Path) -> None:
    host.ship("multi_heads")
    script(file, "create table other (a)")

    with refused("several-heads", "c002", "e002", "heads", "branch@head"):
        inside(host, database(file), lambda environment: environment.read_streams())


def test_the_databases_target_goes_before_the_jobs(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table other (a)")

    assert upgrade(host, database(file, target="0001"), target="head") == ["0001"]
    assert upgrade(host, database(file), target="0001") == []


def test_going_back_takes_only_what_is_named(host: Host, file: Path) -> None:
    host.ship("multi_heads")
    script(file, "create table other (a)")
    one = database(file, target="heads")
    first = upgrade(host, database(file, target="contract@c001"))
    second = upgrade(host, one)

    committed = {"main.alembic_version": second}
    inside(host, one, lambda environment: environment.downgrade(committed, Watcher()))

    assert first == ["0001", "c001"]
    assert heads(file) == ["c001"]
    assert tables(file) == {"other", "alembic_version", "item", "archive"}


# What env.py may do to us


def test_an_error_that_env_py_hides_is_an_interruption(host: Host, file: Path) -> None:
    host.ship("swallows")
    script(file, "create table other (a)")

    kind, words, steps = interruption(host, database(file))

    assert (kind, words) == ("RuntimeError", "this revision fails on purpose")
    assert steps == [("0001", True), ("0002", False)]
    assert heads(file) == ["0001"]


def test_an_error_in_a_revision_is_an_interruption(host: Host, file: Path) -> None:
    host.ship("broken")
    script(file, "create table other (a)")

    kind, words, steps = interruption(host, database(file))

    assert (kind, words) == ("RuntimeError", "this revision fails on purpose")
    assert steps == [("0001", True), ("0002", True), ("0003", False)]


@pytest.mark.parametrize("end", ["sys.exit(3)", "sys.exit()"])
def test_a_revision_that_ends_the_process_is_an_interruption(host: Host, file: Path, end: str) -> None:
    host.revise(host.ship("generic"), "0003", "0002", f"import sys; {end}")
    script(file, "create table other (a)")

    assert interruption(host, database(file))[0] == "SystemExit"


def env_py(host: Host, release: str, before: str = "", after: str = "") -> None:
    path = host.layout.release(release) / "source" / "migrations" / "env.py"
    path.write_text(before + path.read_text() + after)


def test_an_env_py_that_never_migrates_is_refused(host: Host, file: Path) -> None:
    release = host.ship("generic")
    (host.layout.release(release) / "source" / "migrations" / "env.py").write_text("")
    script(file, "create table other (a)")

    with refused("env-py-no-migrations", "env.py"):
        inside(host, database(file), lambda environment: environment.read_streams())
    # Nothing was raised in it, and that alone is an interruption.
    assert interruption(host, database(file))[0] == "NoneType"


@pytest.mark.parametrize(
    ("line", "caused"),
    [("import nothing_like_it", "nothing_like_it"), ("raise SystemExit('no')", "no"), ("1 / 0", "division")],
)
def test_an_env_py_that_fails_is_refused_with_its_words(host: Host, file: Path, line: str, caused: str) -> None:
    env_py(host, host.ship("generic"), before=f"{line}\n")
    script(file, "create table other (a)")

    with refused("env-py-failed", "'app'", caused, "migrations/env.py line"):
        inside(host, database(file), lambda environment: environment.read_streams())


def test_a_revision_that_does_not_load_is_refused(host: Host, file: Path) -> None:
    host.revise(host.ship("generic"), "0003", "0002", "(")

    with refused("revisions-not-loadable", "SyntaxError", "alembic heads"):
        inside(host, database(file), lambda environment: environment.read_streams())


def test_an_env_py_that_leads_elsewhere_is_refused_and_nothing_is_touched(host: Host, file: Path) -> None:
    host.ship("elsewhere")
    script(file, "create table mine (a)")
    other = script(file.with_name("other.db"), "create table theirs (a)")
    one = database(file, environment={"ELSEWHERE_URL": f"sqlite:///{other}"})

    with refused("env-py-other-database", "other.db", "url_variables"):
        inside(host, one, lambda environment: environment.read_streams())
    assert interruption(host, one)[0] == "Refused"

    assert tables(file) == {"mine"}
    assert tables(other) == {"theirs"}


def test_an_env_py_that_reads_a_variable_gets_the_url_in_it(host: Host, file: Path) -> None:
    host.ship("elsewhere")
    script(file, "create table mine (a)")

    assert upgrade(host, database(file, url_variables=["ELSEWHERE_URL"])) == ["0001", "0002"]
    assert heads(file) == ["0002"]


def test_what_follows_x_reaches_env_py(host: Host, file: Path) -> None:
    note = file.with_name("note")
    line = f"open({str(note)!r}, 'w').write(repr(context.get_x_argument(as_dictionary=True)))\n"
    env_py(host, host.ship("generic"), after=line)
    script(file, "create table mine (a)")

    inside(host, database(file, x_arguments=["tenant=shop", "a=b=c"]), lambda environment: environment.read_streams())

    assert note.read_text() == "{'tenant': 'shop', 'a': 'b=c'}"


def test_a_password_with_a_percent_sign_reaches_env_py(host: Host, file: Path) -> None:
    host.ship("generic")
    one = database(file, url=f"sqlite:///{file}?vfs=100%25")

    url = inside(host, one, lambda environment: environment.config.get_main_option("sqlalchemy.url"))

    assert url == f"sqlite:///{file}?vfs=100%25"


# migrate_setup


@pytest.mark.parametrize(
    ("prepared", "seen"),
    [
        ("None", "called"),
        ("Manager()", "called entered"),
        ("App()", "called entered"),
    ],
)
def test_setup_is_called_before_env_py_which_runs_inside_what_it_returns(
    host: Host, file: Path, prepared: str, seen: str
) -> None:
    release = host.ship("generic")
    (host.layout.release(release) / "source" / "prepare.py").write_text(f"""
import os
class Manager:
    def __enter__(self):
        os.environ["SEEN"] += " entered"
    def __exit__(self, *_):
        os.environ["SEEN"] += " left"
class App:
    def app_context(self):
        return Manager()
def setup():
    os.environ["SEEN"] = "called"
    return {prepared}
""")
    note = file.with_name("note")
    env_py(host, release, before=f"import os\nopen({str(note)!r}, 'w').write(os.environ['SEEN'])\n")
    script(file, "create table mine (a)")

    inside(host, database(file), lambda environment: environment.read_streams(), setup="prepare:setup")

    assert note.read_text() == seen


def test_revisions_that_load_only_after_setup_was_called_are_loaded(host: Host, file: Path) -> None:
    release = host.ship("generic")
    source = host.layout.release(release) / "source"
    (source / "prepare.py").write_text("import os\ndef setup():\n    os.environ['READY'] = '1'\n")
    first = source / "migrations" / "versions" / "0001_items.py"
    first.write_text(f"import os\nos.environ['READY']\n{first.read_text()}")

    heads = inside(host, database(file), lambda environment: environment.script.get_heads(), setup="prepare:setup")

    assert heads == ["0002"]


@pytest.mark.parametrize("setup", ["nothing_like_it:f", "os:nothing_like_it", "os", "os:abort_not", "sys:exit"])
def test_a_setup_that_fails_is_refused(host: Host, file: Path, setup: str) -> None:
    host.ship("generic")

    with refused("setup-failed", f"'{setup}'"):
        inside(host, database(file), lambda environment: environment.read_streams(), setup=setup)


# What is reported meanwhile


class Notes(Watcher):
    def __init__(self, file: Path) -> None:
        self.file = file
        self.notes: list[str] = []

    def on_begin(self, step: Step, number: int, count: int) -> None:
        self.notes.append(f"{number}/{count} begins {step.revision}")

    def on_ran(self, step: Step) -> None:
        self.notes.append(f"ran {step.revision}")

    def on_left(self, step: Step) -> None:
        self.notes.append(f"left {step.revision} with {heads(self.file)}")

    def on_early_commit(self, step: Step) -> None:
        self.notes.append(f"commits early {step.revision}")


def test_with_one_transaction_per_migration_a_step_that_was_left_is_committed(host: Host, file: Path) -> None:
    host.ship("broken_autocommit")
    script(file, "create table mine (a)")

    def work(environment: Environment) -> tuple[list[str], bool]:
        watcher = Notes(file)
        with pytest.raises(Interrupted) as caught:
            environment.upgrade(watcher)
        return watcher.notes, caught.value.steps[-1].wrote_early

    notes, wrote_early = inside(host, database(file), work)

    assert notes == [
        "1/4 begins 0001",
        "ran 0001",
        "left 0001 with ['0001']",
        "2/4 begins 0002",
        "ran 0002",
        "left 0002 with ['0002']",
        "3/4 begins 0003",
        "commits early 0003",
    ]
    assert not wrote_early


def test_rows_written_in_an_autocommit_block_are_noticed(host: Host, file: Path) -> None:
    block = 'with op.get_context().autocommit_block(): op.execute("insert into mine values (1)")'
    host.revise(host.ship("generic"), "0003", "0002", block)
    script(file, "create table mine (a)")

    steps = inside(host, database(file), lambda environment: environment.upgrade(Watcher()))

    assert [step.wrote_early for step in steps] == [False, False, True]


@pytest.mark.parametrize(
    ("upgrade", "early"),
    [
        ("op.get_bind().commit()", True),
        ("op.execute('COMMIT')", True),
        ("op.execute('insert into mine values (1)')", False),
    ],
)
def test_what_a_revision_commits_before_its_end_is_reported(host: Host, file: Path, upgrade: str, early: bool) -> None:
    host.revise(host.ship("generic"), "0003", "0002", f"op.execute('insert into mine values (1)'); {upgrade}")
    script(file, "create table mine (a)")

    def work(environment: Environment) -> list[str]:
        watcher = Notes(file)
        environment.upgrade(watcher)
        return watcher.notes

    notes = inside(host, database(file), work)

    assert ("commits early 0003" in notes) == early
    assert len([note for note in notes if "early" in note]) == int(early)


# Attributes


def test_a_connection_is_opened_only_for_an_env_py_that_cannot_do_without_one() -> None:
    opened = []

    def open_connection() -> sa.Connection:
        opened.append(sa.create_engine("sqlite://").connect())
        return opened[-1]

    attributes = Attributes(open_connection)
    attributes["mine"] = 1
    assert attributes.get("mine") == 1
    assert attributes.get("connection") is None
    assert "connection" not in attributes
    assert attributes.get("connection", "mine") == "mine"
    with pytest.raises(KeyError):
        attributes["other"]
    assert opened == []

    assert attributes["connection"] is attributes["connection"] is attributes.get("connection") is opened[0]
    assert len(opened) == 1
    opened[0].close()


def test_where_no_connection_can_be_offered_there_is_none() -> None:
    attributes = Attributes(lambda: None)

    with pytest.raises(KeyError):
        attributes["connection"]


def test_reading_a_version_table_that_is_not_there_says_base(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table mine (a)")

    def work(environment: Environment) -> tuple[tuple[str, ...], set[str], set[str]]:
        own = environment.engine.open_own_connection()
        return read_heads(own, "main.none"), environment.list_applied(()), environment.list_applied(("0002",))

    assert inside(host, database(file), work) == ((), set(), {"0001", "0002"})
    assert sql(file, "select name from sqlite_master") == [("mine",)]
