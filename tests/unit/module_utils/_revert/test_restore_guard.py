"""What others write into what a run has made is never taken away by a restore, by each method, at any moment."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.manifest import list_proven
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database as Entry
from ansible_collections.hosting.alembic.plugins.module_utils._core.progress import Progress
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import Journal
from ansible_collections.hosting.alembic.plugins.module_utils._revert.restore_guard import RestoreGuard
from ansible_collections.hosting.alembic.plugins.module_utils._revert.run_record import RunRecord
from tests.codes import refused
from tests.lab.fixtures import Database
from tests.unit.stage import Host

MAKES = "op.execute('create table made (id integer)')"
SAVEPOINT = (
    "bind = op.get_bind(); nested = bind.begin_nested(); op.execute('insert into made values (1)'); nested.commit()"
)


class Stage:
    """A database whose run made a table, and wrote to it within a savepoint, before it failed."""

    def __init__(self, host: Host, database: Database, powers: str, second: str = SAVEPOINT) -> None:
        self.host, self.database = host, database
        self.entry = Entry.from_options({"name": "app", "url": database.url})
        host.ship("generic")
        versions = host.layout.release("generic") / "source" / "migrations" / "versions"
        for path in versions.glob("*.py"):
            path.unlink()
        environment = versions.parent / "env.py"
        text = environment.read_text()
        environment.write_text(text.replace("context.configure(", "context.configure(transaction_per_migration=True, "))
        database.execute(f'alter role "{database.user}" {powers}')
        host.revise("generic", "0001", None, "op.execute('create table item (id integer)')")  # type: ignore[arg-type]
        host.revise("generic", "0002", "0001", MAKES)
        host.revise("generic", "0003", "0002", second)
        host.revise("generic", "0004", "0003", "raise RuntimeError('no')")
        assert host.result("upgrade", self.entry, run="r0", target="0001")["outcome"] == "upgraded"
        assert host.result("upgrade", self.entry, run="r1")["outcome"] == "failed"

    def restore(self, theirs: str) -> None:
        """Restore, while others write after the guard has read for the first time."""
        engine = build_engine(self.entry, self.host.job("downgrade", self.entry, run="r1"))
        journal = Journal(self.host.layout.locate_journal("app", "r1"), "downgrade")
        try:
            manifest = list_proven(self.host.layout.locate_backups("app"))[0]
            run_record = RunRecord.of("r1", journal.read_events_of_run())
            with engine.lock(1, lambda _words: None):
                guard = RestoreGuard(engine, manifest, run_record, journal, Progress(journal.path.with_suffix(".p")))
                if theirs:
                    self.database.execute(theirs)
                find_restorer(engine).restore(manifest.as_archive(), "r1", lambda _words: None, guard)
        finally:
            engine.close()


@pytest.fixture(params=["nocreatedb", "createdb"])
def stage(request: pytest.FixtureRequest, host: Host, postgres_database: Database) -> Stage:
    return Stage(host, postgres_database, request.param)


def test_what_the_run_wrote_within_a_savepoint_is_not_a_reason_to_hold(stage: Stage) -> None:
    stage.restore("")

    assert stage.database.execute("select to_regclass('public.made') is null") == [["t"]]


def test_what_others_write_into_a_table_that_the_run_made_holds(stage: Stage) -> None:
    with refused("others-wrote"):
        stage.restore("insert into made values (2)")

    assert stage.database.execute("select id from made order by id") == [["1"], ["2"]]


@pytest.mark.parametrize("powers", ["nocreatedb", "createdb"])
def test_what_others_wrote_while_a_later_revision_ran_holds(
    host: Host, postgres_database: Database, powers: str
) -> None:
    url = postgres_database.server.url(postgres_database.name)
    psql = [str(postgres_database.server.bin / "psql"), "-c", "insert into made values (2)", url]
    theirs = f"{SAVEPOINT}; __import__('subprocess').run({psql!r}, check=True)"
    stage = Stage(host, postgres_database, powers, theirs)

    with refused("others-wrote"):
        stage.restore("")

    assert postgres_database.execute("select id from made order by id") == [["1"], ["2"]]
