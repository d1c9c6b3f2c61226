# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A revision that commits in the middle of the one transaction of a run: what was done until then is the run's own.

Where its process dies right after, or nothing notices the commit before it is done, only the journal says so.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.test_revert_postgresql import Stage, dump, executed
from tests.lab.fixtures import Database
from tests.unit.stage import Host

#: What the revision before it has done to the schema, in the same transaction.
ALTERS = "alter table other add size integer; drop function twice(integer); comment on table item is 'new'"
DIES = "__import__('os').kill(__import__('os').getpid(), 9)"
BLOCK = "with op.get_context().autocommit_block():\n        "

#: How a revision commits before its end, and dies then.
COMMITS = {
    "COMMIT": [executed("commit"), DIES],
    "commit()": ["op.get_bind().commit()", DIES],
    "after an autocommit block": [f"{BLOCK}pass", DIES],
    "in an autocommit block": [f"{BLOCK}{DIES}"],
    "two of them": [executed("commit"), executed("update item set price = 2"), executed("commit"), DIES],
}
#: What it has done itself until then.
CHANGES = {"rows": "update item set price = 0", "schema": "alter table other add more integer"}


@pytest.fixture
def stage(tmp_path: Path, postgres_database: Database) -> Stage:
    found = Stage(Host(tmp_path / "root"), postgres_database)
    found.edit_env_py("transaction_per_migration=True, ", "")
    return found


def revert(stage: Stage, change: str, commits: str, theirs: str = "") -> str:
    """Upgrade by two revisions, the second of which dies, let others change something, and return how that ended."""
    dies = "\n    ".join([executed(change), *COMMITS[commits]])
    return str(stage.fail_after(executed(ALTERS), fails=dies, theirs=theirs)["outcome"])


KINDS = [(commits, change) for commits in COMMITS for change in CHANGES]
DAILY = [("COMMIT", "rows"), ("after an autocommit block", "rows"), ("in an autocommit block", "schema")]


@pytest.mark.parametrize(
    ("commits", "change"),
    [pytest.param(*each, marks=[] if each in DAILY else [pytest.mark.exhaustive]) for each in KINDS],
)
def test_what_the_transaction_had_done_until_then_is_the_runs_own(stage: Stage, commits: str, change: str) -> None:
    before = dump(stage.database)

    outcome = revert(stage, CHANGES[change], commits)

    assert (outcome, dump(stage.database) == before) == ("restored", True)


@pytest.mark.parametrize("theirs", ["grant select on item to pg_monitor", "update other set word = 'theirs'"])
def test_what_others_change_after_it_died_is_theirs(stage: Stage, theirs: str) -> None:
    assert revert(stage, CHANGES["rows"], "COMMIT", theirs) == "held"


#: How a revision commits so that nothing notices it before it is done.
UNSEEN = {
    "the driver's own": "op.get_bind().connection.commit()",
    "in a string": "op.get_bind().exec_driver_sql('create table more (id integer); commit')",
    "behind a comment": executed("/* now */ commit"),
    "in a file of SQL": "op.execute((__import__('pathlib').Path(__file__).parent / 'more.sql').read_text())",
}


@pytest.mark.parametrize(
    ("way", "change"),
    [
        pytest.param(way, change, marks=[] if change == "schema" else [pytest.mark.exhaustive])
        for way in UNSEEN
        for change in CHANGES
    ],
)
def test_what_was_done_before_a_commit_that_nothing_notices_is_the_runs_own(
    stage: Stage, way: str, change: str
) -> None:
    (stage.host.layout.release("generic") / "source" / "migrations" / "versions" / "more.sql").write_text(
        "create table more (id integer); /* and now */ commit"
    )
    before = dump(stage.database)
    fails = "\n    ".join([executed(CHANGES[change]), UNSEEN[way], "raise RuntimeError('no')"])

    outcome = stage.fail_after(executed(ALTERS), fails=fails)["outcome"]

    assert (outcome, dump(stage.database) == before) == ("restored", True)
