"""What env.py commits in its real run before its first revision, when it raises then: that is reverted, or held."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._journal.run_state import read_last_run_state
from ansible_collections.hosting.alembic.plugins.module_utils._journal.worker_lock import is_worker_alive
from ansible_collections.hosting.alembic.plugins.module_utils._module.recover import recover
from tests.lab.dumps import in_order
from tests.lab.fixtures import Database as Postgres
from tests.lab.fixtures import MariaDatabase
from tests.lab.waiting import wait_until
from tests.unit.module_utils._journal.test_run_state import options
from tests.unit.module_utils._migration.test_env_postgresql import RUN, START, shipped
from tests.unit.module_utils._migration.test_env_sqlite import dump
from tests.unit.stage import Host, database, script

#: What env.py commits: nothing, a table of its own, a row, a row that is changed, a row that is gone.
WRITES = {
    "nothing": "select 1",
    "table": "create table written (a int)",
    "insert": "insert into mine values (2)",
    "update": "update mine set a = 3",
    "delete": "delete from mine",
}
#: A plan, also that under the lock, comes before the backup.
REAL_RUN = """
from pathlib import Path
if "backed_up" in Path({journal!r}).read_text():
    with engine.begin() as one:
        one.execute(text({statement!r}))
    {ends}
"""
RAISES = "raise RuntimeError('too early')"
DIES = "import os; os.kill(os.getppid(), 9); os.kill(os.getpid(), 9)"


def ship_early(host: Host, of: Any, statement: str, ends: str = RAISES) -> Any:
    """Ship an env.py that writes before its first revision, and return the entry of the database."""
    journal = host.layout.locate_journal("app", "r1")
    write = REAL_RUN.format(journal=str(journal), statement=statement, ends=ends)
    return shipped(host, of, START + write + RUN.format(schema=None, first="pass"))


def fail_early(host: Host, of: Any, statement: str) -> tuple[str, str, str]:
    """Upgrade and revert; return how that ended, and the state that is left for the next run."""
    entry = ship_early(host, of, statement)
    failed = host.result("upgrade", entry)
    assert failed["error"]["code"] == "env-py-failed"
    return failed["outcome"], host.result("downgrade", entry)["outcome"], read_last_run_state(host.layout, "app").state


@pytest.mark.parametrize(
    ("what", "outcome", "state"),
    [
        ("nothing", "untouched", ""),
        ("table", "held", "held"),
        # As those of any other connection than that of the revisions, its rows are taken for others'.
        ("insert", "untouched", "failed"),
        ("update", "untouched", "failed"),
        ("delete", "held", "held"),
    ],
)
def test_a_sqlite_file_is_reverted_or_held(host: Host, file: Path, what: str, outcome: str, state: str) -> None:
    script(file, "create table mine (a); insert into mine values (1)")
    before = dump(file)

    assert fail_early(host, database(file), WRITES[what]) == ("failed", outcome, state)

    assert (dump(file) == before) == (what == "nothing")


@pytest.fixture
def stocked(postgres_database: Postgres) -> Postgres:
    """A database with a row in a table of its owner."""
    owner = f'alter table mine owner to "{postgres_database.user}"'
    postgres_database.execute(f"create table mine (a int); insert into mine values (1); {owner}")
    return postgres_database


def read_schema_and_rows(of: Postgres) -> list[str]:
    command = ["pg_dump", "--exclude-schema=alembic_aside_*", of.url]
    return list(in_order(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


@pytest.mark.parametrize("what", WRITES)
def test_a_postgresql_database_is_as_before(host: Host, stocked: Postgres, what: str) -> None:
    before = read_schema_and_rows(stocked)

    done = fail_early(host, stocked, WRITES[what])

    expected = ("untouched", "") if what == "nothing" else ("restored", "failed")
    assert (done, read_schema_and_rows(stocked)) == (("failed", *expected), before)


@pytest.mark.parametrize("what", WRITES)
def test_a_postgresql_database_is_as_before_where_env_py_has_died(host: Host, stocked: Postgres, what: str) -> None:
    before = read_schema_and_rows(stocked)
    entry = ship_early(host, stocked, WRITES[what], DIES)
    host.do("upgrade", entry, follow=0)
    wait_until(lambda: not is_worker_alive(host.layout, "r1", "upgrade"), "the worker is alive", 20)

    answer = recover(options(host, databases=[{"name": "app", "url": stocked.url}]))

    assert [result["outcome"] for result in answer["results"]] == ["untouched" if what == "nothing" else "restored"]
    assert read_schema_and_rows(stocked) == before


@pytest.mark.parametrize(
    ("what", "outcome", "state"),
    [
        ("nothing", "untouched", ""),
        ("table", "restored", "failed"),
        # Which session of the server wrote a row is not known.
        ("insert", "held", "held"),
        ("update", "held", "held"),
        ("delete", "held", "held"),
    ],
)
def test_a_mariadb_database_is_reverted_or_held(
    host: Host, mariadb_database: MariaDatabase, what: str, outcome: str, state: str
) -> None:
    mariadb_database.execute("create table mine (a int); insert into mine values (1)")
    before = mariadb_database.dump()

    done = fail_early(host, mariadb_database, WRITES[what])

    assert done == ("failed", outcome, state)
    assert (mariadb_database.dump() == before) == (outcome != "held")
