"""Published histories on MariaDB, unedited: by a middle with rows to head, and a revision that fails on top."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.codes import assert_code
from tests.integration.foreign import foreign
from tests.integration.site import Site
from tests.integration.targets import MariaDBTarget


@dataclass(frozen=True)
class History:
    """What is done with one of them on its way."""

    case: str
    #: A revision in the middle, and rows that are put in there.
    middle: str
    rows: tuple[str, ...]
    #: What is there of them at head.
    kept: str
    #: The folder of revisions that gets the one that fails, and what it builds on.
    versions: str
    head: str


HISTORIES = (
    History(
        "mlflow",
        "bd07f7e963c5",
        (
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'größe ☃', 'active')",
            "INSERT INTO runs (run_uuid, name, experiment_id, status) VALUES ('r1', 'one', 7, 'FINISHED')",
            "INSERT INTO metrics (`key`, value, timestamp, run_uuid, step, is_nan) VALUES ('m', 1.5, 3, 'r1', 0, 0)",
        ),
        "SELECT e.name, r.run_uuid, m.value FROM experiments e JOIN runs r USING (experiment_id) JOIN metrics m"
        " USING (run_uuid)",
        "versions",
        "dc11669786a5",
    ),
    History(
        "keystone",
        "27e647c0fad4",
        ("INSERT INTO region (id, description, extra) VALUES ('r1', 'größe', '{}')",),
        "SELECT description FROM region WHERE id = 'r1'",
        "migrations/versions/bobcat/contract",
        "c88cdce8f248",
    ),
    History(
        "privacyidea",
        "903a6ed6f6c4",
        (
            "INSERT INTO realm (id, name) VALUES (7, 'größe ☃')",
            "INSERT INTO token SET id = 1, serial = 'größe', rollout_state = '', active = 1, revoked = 0, locked = 0",
        ),
        "SELECT realm.name, token.serial FROM realm, token WHERE token.rollout_state = 'enrolled'",
        "migrations/versions",
        "b7c1e4d2a9f3",
    ),
)
FAILS = '''"""fails"""
import sqlalchemy as sa
from alembic import op

revision = "fa115fa11500"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table("half", sa.Column("id", sa.Integer(), primary_key=True))
    op.execute("ALTER TABLE there_is_no_such_table ADD COLUMN x int")


def downgrade():
    op.drop_table("half")
'''


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.case)
def test_a_published_history_with_rows_in_it(
    site: Site, mariadb: MariaDBTarget, tmp_path: Path, history: History
) -> None:
    case: foreign.ForeignCase = getattr(foreign, f"{history.case}_source")()
    case.prepare(mariadb.url)
    variables = case.variables("")
    [entry] = variables["migrate_databases"]
    entry = {**entry, **mariadb.entry}
    server, user = mariadb.database.server, mariadb.database.user
    server.execute(f"GRANT ALL ON `hosting\\_alembic\\_%`.* TO '{user}'@'%'; GRANT PROCESS ON *.* TO '{user}'@'%'")

    site.run("migrate", **{**variables, "migrate_databases": [{**entry, "target": history.middle}]})
    assert mariadb.revisions == [history.middle]
    for statement in history.rows:
        mariadb.rows(statement)
    site.run("migrate", **{**variables, "migrate_databases": [entry]})
    assert set(mariadb.revisions) == case.heads
    kept = mariadb.rows(history.kept)
    assert kept
    before = mariadb.dump()
    assert site.run("migrate", **{**variables, "migrate_databases": [entry]}).changed == 0
    assert mariadb.dump() == before

    broken = tmp_path / "broken"
    shutil.copytree(case.source, broken)
    (broken / history.versions / "fails.py").write_text(FAILS.format(head=history.head))
    outcome = site.run("migrate", code=2, **{**variables, "migrate_source": broken, "migrate_databases": [entry]})
    assert_code(outcome, "revision-failed", "there_is_no_such_table", database=mariadb.name)
    assert set(mariadb.revisions) == case.heads
    assert mariadb.dump() == before
